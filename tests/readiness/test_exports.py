from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfoot.readiness.exports import Client, Export, active, parse, render

TEXT = """\
# exported file systems
/srv/nova       n1(rw,sync) n2(rw,async) \\
                10.0.0.0/24(ro)   # a comment
"/srv/my data"  *.example.org(rw)
/srv/other\\040one -rw,sync @trusted 10.9.9.9/32(ro)
/srv/open
/srv/typo n1 (rw)
"""


def test_what_it_holds() -> None:
    nova, data, other, opened, typo = parse(TEXT)
    assert [str(client) for client in nova.clients] == ["n1(rw,sync)", "n2(rw,async)", "10.0.0.0/24(ro)"]
    assert len(nova.lines) == 2
    assert (data.folder, data.clients[0].kind) == ("/srv/my data", "wildcard")
    assert other.folder == "/srv/other one"
    trusted, single = other.clients
    assert (trusted.kind, trusted.options) == ("netgroup", ("rw", "sync"))
    assert (single.kind, single.name, single.says("rw", "ro", False)) == ("host", "10.9.9.9", False)
    assert [client.kind for client in opened.clients] == ["world"]
    assert [(client.who, client.blank) for client in typo.clients] == [("n1", False), ("*", True)]


@pytest.mark.parametrize(
    ("who", "kind"),
    [
        ("*", "world"),
        ("0.0.0.0/0", "world"),
        ("10.0.0.0/255.255.255.0", "network"),
        ("fd00::/64", "network"),
        ("[fd00::1]", "host"),
        ("n?.example.org", "wildcard"),
        ("n[12]", "wildcard"),
        ("n1.example.org", "host"),
        ("gss/krb5", "security"),
    ],
)
def test_who_a_client_is(who: str, kind: str) -> None:
    assert Client(who=who).kind == kind


NAMES = st.from_regex(r"[a-z0-9.*@-]{1,12}(/24)?", fullmatch=True).filter(lambda name: not name.startswith("-"))
OPTIONS = st.lists(st.sampled_from(["rw", "ro", "sync", "async", "no_root_squash", "fsid=7"]), max_size=4)
CLIENTS = st.builds(lambda who, options: Client(who=who, options=tuple(options)), NAMES, OPTIONS)
FOLDERS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]) | st.sampled_from(' \t\\#"'), max_size=20)


@given(FOLDERS, st.lists(CLIENTS, min_size=1, max_size=4))
def test_what_is_written_is_read_back(name: str, clients: list[Client]) -> None:
    export = Export(folder=f"/srv{name}".rstrip("/"), clients=tuple(clients))
    assert parse(render(export)) == (export,)


@given(st.text())
def test_any_text_is_read_without_a_fault(text: str) -> None:
    for export in parse(text):
        assert export.clients
        assert export.lines


def test_what_the_kernel_exports() -> None:
    shown = active(
        "/srv/nova     \tn1.example.org(sync,wdelay,hide,no_subtree_check,sec=sys,rw,secure,no_root_squash)\n"
        "/srv/nova     \tn2(sync,ro)\n"
        "/srv/a/very/long/name\n\t\t<world>(rw,async)\n"
    )
    assert [client.who for client in shown["/srv/nova"]] == ["n1.example.org", "n2"]
    assert shown["/srv/nova"][0].says("no_root_squash", "root_squash", False)
    assert [client.kind for client in shown["/srv/a/very/long/name"]] == ["world"]
