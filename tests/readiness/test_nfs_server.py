from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.readiness.storage_hosts import PATH, cluster, codes, folder, host, planned, titles, with_files
from tests.readiness.storage_hosts import found as judged

from hotfoot.readiness import nfs_server
from hotfoot.readiness.change import Command, Install, MakeFolder, SetMode, SetUnit
from hotfoot.readiness.exports import parse
from hotfoot.readiness.facts import FolderFact, HostFacts, MountFact, UnitFact
from hotfoot.readiness.finding import Finding, Severity

DECLARED = cluster({"path": PATH, "type": "nfs", "servers": ["n1"], "folder": "/srv/nova"})
RIGHTS = "(rw,sync,no_subtree_check,no_root_squash)"
LINE = f"/srv/nova n1{RIGHTS} n2{RIGHTS} n3{RIGHTS}"
RUNNING = UnitFact(name="nfs-server.service", load="loaded", active="active", enabled="enabled")
CLIENTS = (host("n2"), host("n3"))


def server(
    exports: str | None = LINE + "\n",
    *,
    unit: UnitFact = RUNNING,
    served: FolderFact | None = None,
    active: str | None = None,
    files: dict[str, str] | None = None,
    **other: Any,
) -> HostFacts:
    """A right server; what the kernel exports follows its files unless ``active`` tells otherwise."""
    written = {**({"/etc/exports": exports} if exports is not None else {}), **(files or {})}
    shown = "".join(
        f"{entry.folder} {client}\n" for text in written.values() for entry in parse(text) for client in entry.clients
    )
    return host(
        "n1",
        files=written,
        units=[unit],
        packages=["nfs-kernel-server"],
        folders=[folder(), served or folder("/srv/nova")],
        storage={"exports": shown if active is None else active},
        **other,
    )


def found(one: HostFacts, *clients: HostFacts) -> list[Finding]:
    return judged(nfs_server.TOPIC, DECLARED, one, *(clients or CLIENTS))


def exports_after(one: HostFacts, findings: list[Finding], path: str = "/etc/exports") -> str:
    (after, *_) = with_files(findings, one, *CLIENTS)
    return after.text(path)


def mended(one: HostFacts) -> list[str]:
    """What is left once the planned lines are written and exported."""
    (after, *_) = with_files(found(one), one, *CLIENTS)
    files = {path: file.content or "" for path, file in after.files.items()}
    return codes(found(server(None, files=files)))


def test_a_server_that_is_right_has_no_finding() -> None:
    assert found(server()) == []


def test_hosts_may_be_named_by_address_full_name_and_prefix() -> None:
    line = f"/srv/nova n1.example.org{RIGHTS} 10.0.0.2{RIGHTS} 10.0.0.3/32{RIGHTS}\n"
    assert found(server(line)) == []


def test_only_declared_servers_are_judged() -> None:
    elsewhere = cluster({"path": PATH, "type": "nfs", "source": "nas:/x"})
    assert judged(nfs_server.TOPIC, elsewhere, *CLIENTS) == []


def test_not_installed() -> None:
    one = server(None, unit=UnitFact(name="nfs-server.service", load="not-found")).model_copy(update={"packages": {}})
    findings = found(one)
    assert codes(findings) == ["not-exported n1", "not-installed n1"]
    steps = [change.step for finding in findings for change in finding.changes]
    assert Install(packages=("nfs-kernel-server",)) in steps
    assert SetUnit(unit="nfs-server.service", running=True) in steps
    assert titles(findings, one, *CLIENTS) == [
        "n1: install nfs-kernel-server",
        "n1: write /etc/exports",
        "n1: start nfs-server.service",
        "n1: enable nfs-server.service",
        "n1: reload nfs-server.service if it runs",
    ]


@pytest.mark.parametrize(
    ("unit", "code"),
    [
        ({"active": "inactive"}, "not-running"),
        ({"active": "failed", "enabled": "disabled"}, "not-running"),
        ({"enabled": "disabled"}, "not-enabled"),
        ({"active": "inactive", "load": "masked", "enabled": "masked"}, "not-running"),
    ],
)
def test_the_service(unit: dict[str, str], code: str) -> None:
    (finding,) = found(server(unit=RUNNING.model_copy(update=unit)))
    assert finding.code == f"nfs_server.{code}"
    start = SetUnit(unit="nfs-server.service", running=True, masked=False if unit.get("load") == "masked" else None)
    enable = SetUnit(unit="nfs-server.service", enabled=True)
    assert [change.step for change in finding.changes] == ([enable] if code == "not-enabled" else [start, enable])


def test_the_folder() -> None:
    (finding,) = found(server(served=folder("/srv/nova", exists=False)))
    assert finding.code == "nfs_server.no-folder"
    assert [change.step for change in finding.changes] == [MakeFolder(path="/srv/nova", owner="libvirt-qemu:kvm")]
    (finding,) = found(server(served=folder("/srv/nova", exists=False), nova=162))
    assert [change.step for change in finding.changes] == [MakeFolder(path="/srv/nova", owner="nova:nova")]
    (finding,) = found(server(served=folder("/srv/nova", uid=0, gid=0, mode=0o700)))
    assert finding.code == "nfs_server.folder-closed"
    assert [change.step for change in finding.changes] == [SetMode(path="/srv/nova", mode=0o711)]


def test_not_exported() -> None:
    for one in (server(""), server("# nothing\n/srv/other n9(ro)\n"), server(None)):
        findings = found(one)
        assert codes(findings) == ["not-exported n1"]
        assert exports_after(one, findings) == one.text("/etc/exports") + LINE + "\n"
        assert mended(one) == []


def test_a_host_that_is_left_out() -> None:
    one = server(f"/srv/nova n1{RIGHTS} n3{RIGHTS}\n")
    (finding,) = findings = found(one)
    assert finding.what == "n1 does not let n2 mount /srv/nova."
    assert exports_after(one, findings) == LINE + "\n"


@pytest.mark.parametrize(
    ("clients", "code"),
    [
        (f"*{RIGHTS}", "world"),
        (f"10.0.0.0/24{RIGHTS}", "network"),
        (f"n*{RIGHTS}", "wildcard"),
        (f"n1 {RIGHTS} n2{RIGHTS} n3{RIGHTS}", "blank"),
    ],
)
def test_whoever_is_let_in_besides(clients: str, code: str) -> None:
    one = server(f"/srv/nova {clients}\n")
    findings = found(one)
    assert f"{code} n1" in codes(findings)
    assert exports_after(one, findings) == LINE + "\n"
    assert mended(one) == []


@pytest.mark.parametrize(
    ("options", "expected", "severity"),
    [
        ("rw,async,no_subtree_check,no_root_squash", "async", Severity.DANGEROUS),
        ("rw,insecure,no_subtree_check,no_root_squash", "insecure", Severity.DANGEROUS),
        ("rw,no_subtree_check", "root-squash", Severity.BLOCKS),
        ("rw,no_root_squash,all_squash", "all-squash", Severity.BLOCKS),
        ("no_root_squash", "read-only", Severity.BLOCKS),
        ("rw,no_root_squash,subtree_check", "subtree-check", Severity.ADVICE),
        ("rw,no_root_squash,fsid=0", "fsid-0", Severity.ADVICE),
    ],
)
def test_options_of_a_host(options: str, expected: str, severity: Severity) -> None:
    one = server(LINE.replace(f"n2{RIGHTS}", f"n2({options})") + "\n")
    (finding,) = findings = found(one)
    assert (finding.code, finding.severity) == (f"nfs_server.{expected}", severity)
    assert exports_after(one, findings) == LINE + "\n"


def test_the_line_of_the_old_guides() -> None:
    one = server("/srv/nova *(rw,fsid=0,insecure,no_subtree_check,async,no_root_squash)\n")
    assert codes(found(one)) == ["async n1", "fsid-0 n1", "insecure n1", "world n1"]
    assert exports_after(one, found(one)) == LINE + "\n"


def test_others_and_their_options_stay() -> None:
    text = f"""\
# ours
/srv/nova n1{RIGHTS} n2(rw,async,sec=krb5p,no_root_squash) \\
   n3{RIGHTS} backup(ro,async) @admins(ro)
/srv/iso *(ro)
"""
    one = server(text)
    findings = found(one)
    assert exports_after(one, findings) == (
        f"# ours\n/srv/nova n1{RIGHTS} n2(rw,sync,no_subtree_check,no_root_squash,sec=krb5p) n3{RIGHTS} "
        "backup(ro) @admins(ro)\n/srv/iso *(ro)\n"
    )
    assert mended(one) == []


def test_a_stranger_who_is_root_there_is_told_and_left() -> None:
    one = server(f"{LINE} backup(rw,no_root_squash)\n")
    (finding,) = found(one)
    assert (finding.code, finding.changes) == ("nfs_server.stranger", ())


def test_entries_in_drop_ins_are_joined_in_the_first() -> None:
    drop_in = "/etc/exports.d/nova.exports"
    one = server(f"/srv/nova n1{RIGHTS}\n", files={drop_in: f"# x\n/srv/nova n2{RIGHTS}\n"})
    findings = found(one)
    assert codes(findings) == ["host-missing n1"]
    assert exports_after(one, findings) == LINE + "\n"
    assert exports_after(one, findings, drop_in) == "# x\n"


def test_a_file_system_without_uuid_gets_a_number_of_its_own() -> None:
    text = "/srv/iso n9(ro,fsid=1)\n"
    one = server(text, mounts=[MountFact(target="/srv", source="tmpfs", fs_type="tmpfs", options="rw")])
    after = exports_after(one, found(one))
    assert "no_root_squash,fsid=2)" in after
    assert after.startswith(text)


def test_what_the_kernel_does_not_export_yet() -> None:
    (finding,) = found(server(active=f"/srv/nova n1{RIGHTS}\n"))
    assert finding.code == "nfs_server.not-active"
    assert "n2 and n3" in finding.what
    (step,) = (change.step for change in finding.changes)
    assert isinstance(step, Command)
    assert step.argv == step.undo == ("exportfs", "-ra")
    (finding,) = found(server(active=LINE.replace("sync", "async")))
    assert finding.code == "nfs_server.not-active"


_CLIENT = st.sampled_from(["n1", "n2", "n3", "10.0.0.2", "*", "10.0.0.0/8", "backup", "@net", "n? "])
_OPTION = st.sampled_from(["rw", "ro", "async", "insecure", "fsid=0", "no_root_squash", "all_squash", "sec=sys"])
_ENTRY = st.builds(
    lambda folder, clients, sep: f"{folder} {sep.join(clients)}",
    st.sampled_from(["/srv/nova", '"/srv/nova"', "/srv/nova/", "/srv/iso"]),
    st.lists(st.builds(lambda who, options: f"{who}({','.join(options)})", _CLIENT, st.lists(_OPTION)), max_size=3),
    st.sampled_from([" ", " \\\n  "]),
)


@given(st.lists(_ENTRY, max_size=4))
def test_whatever_stands_there_one_plan_mends_it(entries: list[str]) -> None:
    one = server("".join(f"{entry}\n" for entry in entries))
    if any(not finding.changes for finding in found(one) if not finding.code.endswith("stranger")):
        return  # lines that cannot be told apart are left to a person
    assert [code for code in mended(one) if not code.startswith("stranger")] == []
    before, after = (
        [entry for entry in parse(text) if entry.folder != "/srv/nova"]
        for text in (one.text("/etc/exports"), exports_after(one, found(one)))
    )
    assert after == before


def test_names_of_owners_agree() -> None:
    conf = "[General]\nDomain = {domain}\n[Mapping]\nNobody-User = nobody\nNobody-Group = {group}\n"
    right = {"/etc/idmapd.conf": conf.format(domain="cloud", group="nogroup")}
    clients = (host("n2", files=right), host("n3", files=right))
    assert found(server(files=right), *clients) == []
    assert found(server(), *clients) == []
    other = {"/etc/idmapd.conf": conf.format(domain="local", group="nobody")}
    odd = host("n3", files=other)
    findings = found(server(files=right), clients[0], odd)
    assert codes(findings) == ["idmap-domain n3", "idmap-nobody n3"]
    plan = planned(findings, server(files=right), clients[0], odd)
    assert [change.new_text for change in plan.changes] == [right["/etc/idmapd.conf"]]
