"""SSH between hosts: accounts, keys, host keys, and what the old guides leave behind."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from hotfoot.cluster.validation import cluster_from
from hotfoot.readiness.change import Command, EditFile, MakeFolder, MakeSshKey, SetMode, SetUnit
from hotfoot.readiness.facts import (
    Facts,
    GroupFact,
    HostFacts,
    IdentityFact,
    PathFact,
    SshFact,
    Text,
    UnitFact,
    UserFact,
)
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.judge import judge
from hotfoot.readiness.plan import plan
from hotfoot.readiness.ssh import TOPIC
from hotfoot.readiness.ssh_files import known_hosts

ADDRESSES = {"n1": "10.0.0.1", "n2": "10.0.0.2", "n3": "10.0.0.3"}
HOME = "/var/lib/nova"
KNOWN = "/etc/ssh/ssh_known_hosts"
KEYS = f"{HOME}/.ssh/authorized_keys"


def _blob(word: str) -> str:
    return base64.b64encode(hashlib.sha256(word.encode()).digest()).decode()


def _host_key(name: str) -> str:
    return f"ssh-ed25519 {_blob('host' + name)}"


def _user_key(name: str) -> str:
    return f"ssh-ed25519 {_blob('user' + name)}"


ALL_KNOWN = "".join(f"{name},{address} {_host_key(name)}\n" for name, address in ADDRESSES.items())


def _text(path: str, content: str) -> Text:
    return Text(path=path, exists=True, content=content, mode=0o644, sha256="0")


def _path(path: str, mode: int, uid: int = 108) -> PathFact:
    return PathFact(path=path, exists=True, kind="file", mode=mode, uid=uid, gid=113)


def _host(
    name: str,
    *,
    known: str = ALL_KNOWN,
    own: tuple[str, ...] | None = None,
    let_in: tuple[str, ...] = tuple(ADDRESSES),
    shell: str = "/bin/sh",
    home: str = HOME,
    files: dict[str, str] | None = None,
    modes: dict[str, tuple[int, int]] | None = None,
    effective: dict[str, str] | None = None,
    **more: object,
) -> HostFacts:
    """Return a host on which logins between hosts work, save for what is given otherwise."""
    users = (
        UserFact(name="root", uid=0, gid=0, home="/root", shell="/bin/bash"),
        UserFact(name="nova", uid=108, gid=113, home=home, shell=shell),
    )
    groups = (GroupFact(name="root", gid=0), GroupFact(name="nova", gid=113))
    keys = (_user_key(name),) if own is None else own
    ssh = SshFact(
        host_keys=(_host_key(name),),
        public_keys=keys,
        authorized=tuple(_user_key(each) for each in let_in),
        config_valid=True,
        effective={"port": "22", "pubkeyauthentication": "yes", **(effective or {})},
    )
    told = {f"{HOME}/": (0o755, 108), f"{HOME}/.ssh": (0o700, 108), KEYS: (0o600, 108)} | (modes or {})
    if keys:
        told = {f"{HOME}/.ssh/id_ed25519": (0o600, 108), f"{HOME}/.ssh/id_ed25519.pub": (0o644, 108)} | told
    contents = {KNOWN: known, KEYS: "".join(f"{_user_key(each)} x\n" for each in let_in)} | (files or {})
    facts = {
        "host": name,
        "identity": IdentityFact(users=users, groups=groups),
        "ssh": ssh,
        "files": {path: _text(path, content) for path, content in contents.items()},
        "paths": {path: _path(path, *mode) for path, mode in told.items()},
        "units": {"ssh.service": UnitFact(name="ssh.service", load="loaded", active="active", enabled="enabled")},
    }
    return HostFacts.model_validate(facts | more)


def _facts(*hosts: HostFacts) -> Facts:
    given = {host.host: host for host in hosts}
    return Facts(hosts=tuple(given.get(name) or _host(name) for name in ADDRESSES))


def _found(facts: Facts, user: str | None = "nova") -> tuple[Finding, ...]:
    hosts = [{"name": name, "address": address} for name, address in ADDRESSES.items()]
    return judge(cluster_from({"hosts": hosts, "migration": {"user": user}}), facts, [TOPIC])


def _codes(facts: Facts, user: str | None = "nova") -> list[tuple[str, str]]:
    return [(finding.code, finding.host) for finding in _found(facts, user)]


def _one(*hosts: HostFacts) -> Finding:
    (finding,) = _found(_facts(*hosts))
    return finding


def _planned(facts: Facts) -> dict[tuple[str, str], str]:
    """Return the new text of each file that the plan writes, by host and path."""
    changes = plan(_found(facts), facts).changes
    return {(each.host, each.step.path): each.new_text or "" for each in changes if isinstance(each.step, EditFile)}


def test_hosts_that_log_in_to_each_other_are_right() -> None:
    assert _codes(_facts()) == []


def test_nothing_is_asked_of_keys_where_nobody_logs_in() -> None:
    facts = _facts(_host("n1", known="", own=(), let_in=(), shell="/bin/false"))
    assert _codes(facts, user=None) == []


def test_a_configuration_that_sshd_refuses_blocks() -> None:
    broken = SshFact(config_valid=False, config_problem="line 3: Bad configuration option: Prot")
    host = _host("n1").model_copy(update={"ssh": broken})
    found = {finding.code: finding for finding in _found(_facts(host), user=None)}
    assert "Bad configuration option" in found["ssh.config-invalid"].evidence


def test_an_sshd_that_does_not_start_at_boot_is_enabled() -> None:
    units = {"sshd.service": UnitFact(name="sshd.service", load="loaded", active="active", enabled="disabled")}
    finding = _one(_host("n1", units=units))
    assert finding.code == "ssh.not-enabled"
    assert finding.changes[0].step == SetUnit(unit="sshd.service", enabled=True)


def test_a_user_that_a_host_lacks_blocks() -> None:
    nobody = IdentityFact(users=(UserFact(name="root", uid=0, gid=0),))
    assert _codes(_facts(_host("n1").model_copy(update={"identity": nobody}))) == [("ssh.no-user", "n1")]


@pytest.mark.parametrize("shell", ["/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false"])
def test_a_user_without_login_shell_gets_one_that_can_be_taken_back(shell: str) -> None:
    finding = _one(_host("n1", shell=shell))
    step = finding.changes[0].step
    assert finding.code == "ssh.no-shell"
    assert isinstance(step, Command)
    assert step.argv == ("usermod", "--shell", "/bin/sh", "nova")
    assert step.undo == ("usermod", "--shell", shell, "nova")


def test_a_user_without_home_blocks() -> None:
    assert ("ssh.no-home", "n1") in _codes(_facts(_host("n1", home="/nonexistent")))


def test_a_host_without_key_makes_one_and_the_others_let_it_in_in_the_same_plan() -> None:
    others = tuple(_host(name, let_in=("n2", "n3")) for name in ("n2", "n3"))
    n1 = _host("n1", own=())
    facts = _facts(n1.model_copy(update={"paths": {}}), *others)
    found = {(finding.code, finding.host): finding for finding in _found(facts)}
    assert set(found) == {("ssh.no-key", "n1"), ("ssh.not-authorized", "n2"), ("ssh.not-authorized", "n3")}
    assert [change.step for change in found["ssh.no-key", "n1"].changes] == [
        MakeFolder(path=f"{HOME}/.ssh", mode=0o700, owner="nova:nova"),
        MakeSshKey(user="nova", path=f"{HOME}/.ssh/id_ed25519"),
    ]
    assert _planned(facts)["n2", KEYS].endswith("{{public-key:n1}}\n")


def test_a_public_half_alone_is_no_key() -> None:
    facts = _facts(
        _host("n1", modes={f"{HOME}/.ssh/id_ed25519.pub": (0o644, 108)}).model_copy(
            update={"paths": {f"{HOME}/.ssh/id_ed25519.pub": _path(f"{HOME}/.ssh/id_ed25519.pub", 0o644)}}
        )
    )
    assert ("ssh.no-key", "n1") in _codes(facts)


def test_a_key_that_is_not_let_in_is_added_to_those_that_are() -> None:
    facts = _facts(_host("n1", let_in=("n1", "n3")))
    (finding,) = _found(facts)
    assert (finding.code, finding.host) == ("ssh.not-authorized", "n1")
    text = _planned(facts)["n1", KEYS]
    assert text.splitlines()[:2] == [f"{_user_key('n1')} x", f"{_user_key('n3')} x"]
    assert text.splitlines()[2] == f"{_user_key('n2')} nova@n2"


def test_keys_kept_elsewhere_are_edited_there_only_if_they_were_seen() -> None:
    effective = {"authorizedkeysfile": "/etc/ssh/authorized_keys/%u"}
    (unseen,) = _found(_facts(_host("n1", let_in=("n3",), effective=effective)))
    assert unseen.changes == ()
    files = {"/etc/ssh/authorized_keys/nova": "# keys\n"}
    facts = _facts(_host("n1", let_in=("n3",), effective=effective, files=files))
    assert _planned(facts)["n1", "/etc/ssh/authorized_keys/nova"].startswith("# keys\nssh-ed25519 ")


def test_unknown_host_keys_are_written_by_name_and_address() -> None:
    facts = _facts(_host("n1", known=""))
    (finding,) = _found(facts)
    assert (finding.code, finding.host, finding.severity) == ("ssh.host-key-unknown", "n1", Severity.BLOCKS)
    assert "n2 and n3" in finding.what
    assert _planned(facts)["n1", KNOWN] == ALL_KNOWN


def test_an_address_that_is_not_known_counts_too() -> None:
    known = ALL_KNOWN.replace("n2,10.0.0.2", "n2")
    facts = _facts(_host("n1", known=known))
    (finding,) = _found(facts)
    assert (finding.peer, "10.0.0.2" in finding.evidence) == ("n2", True)
    assert _planned(facts)["n1", KNOWN] == ALL_KNOWN


def test_an_old_host_key_is_taken_out_of_whichever_file_has_it() -> None:
    old = f"n2,10.0.0.2 ssh-ed25519 {_blob('old')}\n"
    files = {f"{HOME}/.ssh/known_hosts": f"# mine\n{old}"}
    facts = _facts(_host("n1", known=ALL_KNOWN.replace(f"n2,10.0.0.2 {_host_key('n2')}\n", ""), files=files))
    (finding,) = _found(facts)
    assert (finding.code, finding.host, finding.peer) == ("ssh.host-key-changed", "n1", "n2")
    planned = _planned(facts)
    assert planned["n1", f"{HOME}/.ssh/known_hosts"] == "# mine\n"
    after = _host("n1", known=planned["n1", KNOWN], files={f"{HOME}/.ssh/known_hosts": "# mine\n"})
    assert _codes(_facts(after)) == []


def test_an_old_key_beside_the_right_one_does_no_harm() -> None:
    assert _codes(_facts(_host("n1", known=f"n2 ssh-ed25519 {_blob('old')}\n{ALL_KNOWN}"))) == []


def test_a_line_of_several_hosts_loses_only_the_one_that_is_wrong() -> None:
    known = f"n2,10.0.0.2,backup {'ssh-ed25519 ' + _blob('old')}\n" + ALL_KNOWN.replace(
        f"n2,10.0.0.2 {_host_key('n2')}\n", ""
    )
    facts = _facts(_host("n1", known=known))
    assert f"backup ssh-ed25519 {_blob('old')}" in _planned(facts)["n1", KNOWN].splitlines()


def test_what_stays_of_an_old_line_stays_in_its_own_file() -> None:
    own = f"{HOME}/.ssh/known_hosts"
    known = ALL_KNOWN.replace(f"n2,10.0.0.2 {_host_key('n2')}\n", "")
    planned = _planned(_facts(_host("n1", known=known, files={own: f"n2,backup ssh-ed25519 {_blob('old')}\n"})))
    assert planned["n1", own] == f"backup ssh-ed25519 {_blob('old')}\n"
    assert "backup" not in planned["n1", KNOWN]


def test_hashed_names_and_authorities_are_understood() -> None:
    salt = b"0123456789abcdefghij"

    def hashed(name: str) -> str:
        digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
        return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"

    names = [word for pair in ADDRESSES.items() for word in pair]
    owners = {word: name for name, address in ADDRESSES.items() for word in (name, address)}
    known = "".join(f"{hashed(word)} {_host_key(owners[word])}\n" for word in names)
    assert _codes(_facts(_host("n1", known=known))) == []
    assert _codes(_facts(_host("n1", known=f"@cert-authority * {_host_key('ca')}\n"))) == []


def test_a_revoked_key_is_never_right() -> None:
    known = f"@revoked * {_host_key('n2')}\n{ALL_KNOWN}"
    assert ("ssh.host-key-changed", "n1") in _codes(_facts(_host("n1", known=known)))


def test_another_port_is_named_in_brackets() -> None:
    facts = _facts(*(_host(name, known="", effective={"port": "2222"}) for name in ADDRESSES))
    written = _planned(facts)["n1", KNOWN]
    assert written.startswith("[n1]:2222,[10.0.0.1]:2222 ssh-ed25519 ")
    after = _facts(*(_host(name, known=written, effective={"port": "2222"}) for name in ADDRESSES))
    assert _codes(after) == []


def test_known_hosts_patterns_fit_as_in_sshd() -> None:
    known = known_hosts((f"n*,!n3 {_host_key('x')}\n[n4]:22* {_host_key('x')}\n",))
    assert [bool(known.entries(name)) for name in ("n1", "n3", "[n4]:2222", "4")] == [True, False, True, False]


@pytest.mark.parametrize(
    "text",
    [
        "Host *\n    StrictHostKeyChecking no\n    UserKnownHostsFile=/dev/null\n",
        "StrictHostKeyChecking=off\n",
        'Host n2 n3\n\tstricthostkeychecking "no"\n',
        "Match host n2\n  UserKnownHostsFile /dev/null\n",
    ],
)
def test_the_guides_way_of_not_checking_is_found_and_taken_out(text: str) -> None:
    config = f"{HOME}/.ssh/config"
    facts = _facts(_host("n1", files={config: text + "# the end\n"}))
    (finding,) = _found(facts)
    assert (finding.code, finding.severity) == ("ssh.host-key-checking-off", Severity.DANGEROUS)
    after = _planned(facts)["n1", config]
    assert after.endswith("# the end\n")
    assert _codes(_facts(_host("n1", files={config: after}))) == []


def test_checking_that_is_off_for_others_than_the_hosts_is_left_alone() -> None:
    proxy = "Host unix/* vsock/*\n    StrictHostKeyChecking no\n    UserKnownHostsFile /dev/null\nHost .host\n"
    assert _codes(_facts(_host("n1", files={"/etc/ssh/ssh_config.d/20-systemd-ssh-proxy.conf": proxy}))) == []
    assert _codes(_facts(_host("n1", files={"/etc/ssh/ssh_config": "StrictHostKeyChecking accept-new\n"}))) == []


def test_one_key_for_all_hosts_is_advice() -> None:
    shared = (_user_key("n1"),)
    facts = _facts(*(_host(name, own=shared) for name in ADDRESSES))
    (finding,) = _found(facts)
    assert (finding.code, finding.severity, finding.changes) == ("ssh.shared-key", Severity.ADVICE, ())


def test_copied_host_keys_are_dangerous() -> None:
    twin = SshFact(
        host_keys=(_host_key("n1"),), public_keys=(_user_key("n2"),), authorized=tuple(map(_user_key, ADDRESSES))
    )
    found = _found(_facts(_host("n2").model_copy(update={"ssh": twin})))
    assert ("ssh.host-key-twice", "n2", "n1") in [(each.code, each.host, each.peer) for each in found]


@pytest.mark.parametrize(
    ("path", "mode", "right"),
    [
        (f"{HOME}/.ssh/id_ed25519", 0o640, 0o600),
        (f"{HOME}/.ssh", 0o775, 0o700),
        (KEYS, 0o666, 0o600),
        (f"{HOME}/", 0o777, 0o755),
    ],
)
def test_what_others_may_write_or_read_is_closed(path: str, mode: int, right: int) -> None:
    finding = _one(_host("n1", modes={path: (mode, 108)}))
    assert finding.code == "ssh.modes"
    assert finding.changes[0].step == SetMode(path=path.rstrip("/"), mode=right)


def test_a_key_of_another_owner_is_given_back() -> None:
    finding = _one(_host("n1", modes={KEYS: (0o600, 500)}))
    assert finding.changes[0].step == SetMode(path=KEYS, mode=0o600, owner="nova:nova")


def test_root_must_be_let_in_where_it_migrates() -> None:
    facts = _facts(_host("n1", effective={"permitrootlogin": "no"}))
    assert ("ssh.root-login-forbidden", "n1") in _codes(facts, user="root")
    assert ("ssh.root-login-forbidden", "n1") not in _codes(facts)


@pytest.mark.parametrize(
    ("effective", "code"),
    [
        ({"pubkeyauthentication": "no"}, "ssh.keys-off"),
        ({"authenticationmethods": "publickey,password"}, "ssh.keys-off"),
        ({"allowusers": "admin\noperator@10.*"}, "ssh.user-not-allowed"),
        ({"allowgroups": "wheel"}, "ssh.user-not-allowed"),
        ({"denyusers": "no*"}, "ssh.user-not-allowed"),
    ],
)
def test_an_sshd_that_keeps_the_user_out_is_left_to_a_person(effective: dict[str, str], code: str) -> None:
    finding = _one(_host("n1", effective=effective))
    assert (finding.code, finding.severity, finding.changes) == (code, Severity.BLOCKS, ())


def test_an_sshd_that_names_the_user_is_right() -> None:
    for effective in ({"allowusers": "admin\nnov?"}, {"allowgroups": "nova wheel"}, {"denyusers": "nova@10.9.*"}):
        assert _codes(_facts(_host("n1", effective=effective))) == []
