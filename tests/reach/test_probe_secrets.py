from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hotfoot.reach.probe.secrets import _SECRET, mark, unmark

SECRET = "hunter2"

_PIECES = st.sampled_from(
    ["\u212aey", "pa\u017fs", "token", "connection", "yes", ",", "passwd", "\n  ", "_"]
    + ["@secret:", "@secret:0", "@", "0", "1@", "secret:", "secret", "password", "key", "=", " = ", ":", "://", "u:p@h"]
    + ["\n", "\r\n", " ", "\t", "#", ";", '"', "'", "/", "x"]
    + ["-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"]
)


@given(st.one_of(st.text(), st.lists(_PIECES).map("".join)))
@example("@secret:0@secret:1@")
@example("@secret:5-----BEGIN PRIVATE KEY-----\nx")
@example("://@secret:0:@secret:1@")
def test_marks_are_taken_back_exactly(text: str) -> None:
    assert unmark(*mark(text)) == text


@given(st.lists(_PIECES, max_size=40).map("".join))
@example("a:://\n key=\u212aey=x")
def test_lines_without_a_hint_hold_no_secret(text: str) -> None:
    found = [next(group for group in match.groups()[1::2] if group is not None) for match in _SECRET.finditer(text)]
    assert mark(text)[1] == found


@given(st.lists(_PIECES).map("".join))
def test_marks_are_numbered_in_order(text: str) -> None:
    marked, values = mark(text)
    places = [marked.find(f"@secret:{n}@") for n in range(len(values))]
    assert -1 not in places
    assert places == sorted(places)


@pytest.mark.parametrize(
    "line",
    [
        f"password = {SECRET}",
        f"#password={SECRET}",
        f'spice_password = "{SECRET}"',
        f"transport_url = rabbit://nova:{SECRET}@mq:5672/",
        f"connection = mysql+pymysql://nova:{SECRET}@db/nova",
        f"memcache_secret_key={SECRET}",
        f"metadata_proxy_shared_secret = {SECRET}",
        f"admin_token : {SECRET}",
        f"\tkey = {SECRET}",
        f"node.session.auth.password = {SECRET}",
        f"node.session.auth.password_in = {SECRET}",
        f"mon1:/ /var/lib/nova/instances ceph name=nova,secret={SECRET},_netdev 0 0",
        f"//nas/x /srv cifs username=u,password={SECRET} 0 0",
        f"Environment=OS_PASSWORD={SECRET} OS_USERNAME=nova",
        f'Environment="OS_PASSWORD={SECRET}"',
        f"url = https://user:{SECRET}@proxy:3128/",
        f"url = https://user:a@{SECRET}@proxy:3128/",
        f"transport_url = rabbit://a:{SECRET}@h1:5672,\n  b:{SECRET}@h2:5672/",
        f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----",
        f'"api_key": "{SECRET}"',
    ],
)
def test_secrets_are_marked(line: str) -> None:
    text = f"[section]\nfirst = 1\n{line}\nlast = 2\n"
    marked, values = mark(text)
    assert SECRET not in marked
    assert values
    assert marked.startswith("[section]\nfirst = 1\n")
    assert marked.endswith("last = 2\n")


@pytest.mark.parametrize(
    "line",
    [
        "rbd_secret_uuid = 457eb676-33da-42ec-9a8c-9293d545c337",
        "live_migration_uri = qemu+ssh://nova@%s/system",
        "connection_uri = qemu+tcp://%s:16509/system",
        "key_file = /etc/pki/libvirt/private/serverkey.pem",
        "password_file = /etc/secrets",
        "mon1:/nova /mnt ceph name=nova,secretfile=/etc/ceph/nova.secret,_netdev 0 0",
        "PasswordAuthentication no",
        "PasswordAuthentication=no",
        "passwd:         files systemd",
        "HostKey /etc/ssh/ssh_host_ed25519_key",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKey= root@n1",
        "n1:/srv/instances /var/lib/nova/instances nfs4 vers=4.2,hard,_netdev 0 0",
        "10.77.0.11 n1 n1.example.org",
        "/srv/instances n1(rw,sync,no_root_squash) n2(rw,sync,no_root_squash)",
        "instances_path = $state_path/instances",
        "mon_host = [v2:10.0.0.1:3300,v1:10.0.0.1:6789]",
    ],
)
def test_what_is_no_secret_stays(line: str) -> None:
    assert mark(f"{line}\n") == (f"{line}\n", [])


def test_an_edited_text_gets_its_secrets_back() -> None:
    marked, values = mark("[a]\npassword = one\n[b]\npassword = two\n")
    assert unmark(marked.replace("[b]\n", "[b]\nmode = x\n"), values) == (
        "[a]\npassword = one\n[b]\nmode = x\npassword = two\n"
    )


def test_a_mark_without_a_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="no secret of number 1"):
        unmark("a = @secret:1@", ["one"])
