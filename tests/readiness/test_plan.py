"""Findings' changes become one plan: merged by file, in a safe order, and nothing twice."""

from __future__ import annotations

import random

from hotfoot.readiness.change import (
    Change,
    EditFile,
    Install,
    Phase,
    PutFile,
    Refresh,
    RemoveFile,
    SetUnit,
    Step,
)
from hotfoot.readiness.edit import EnsureLine, SetKey
from hotfoot.readiness.facts import Facts, GroupFact, HostFacts, IdentityFact, Text, UserFact
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.plan import Plan, plan

HOSTS = "127.0.0.1 localhost\n"
IDENTITY = IdentityFact(users=(UserFact(name="root", uid=0, gid=0),), groups=(GroupFact(name="root", gid=0),))


def facts(*names: str, content: str | None = HOSTS) -> Facts:
    file = Text(path="/etc/hosts", exists=True, content=content, sha256="abc", mode=0o644)
    return Facts(hosts=tuple(HostFacts(host=name, identity=IDENTITY, files={"/etc/hosts": file}) for name in names))


def finding(code: str, *changes: tuple[str, Phase, Step], host: str = "n1") -> Finding:
    made = tuple(Change(host=on, phase=phase, step=step) for on, phase, step in changes)
    return Finding(
        code=code, severity=Severity.BLOCKS, host=host, what="w", evidence="e", why="y", remedy="r", changes=made
    )


def line(text: str) -> EditFile:
    return EditFile(path="/etc/hosts", edits=(EnsureLine(line=text),))


def titles(found: Plan) -> list[str]:
    return [f"{change.host}: {change.title}" for change in found.changes]


def test_all_edits_of_a_file_become_one_change_with_one_diff() -> None:
    found = plan(
        [
            finding("names.one", ("n1", Phase.NAMES, line("10.0.0.2 n2"))),
            finding("names.two", ("n1", Phase.NOVA, line("10.0.0.3 n3"))),
        ],
        facts("n1"),
    )
    (change,) = found.changes
    assert change.new_text == HOSTS + "10.0.0.2 n2\n10.0.0.3 n3\n"
    assert change.phase is Phase.NAMES
    assert change.codes == ("names.one", "names.two")
    assert change.diff.splitlines()[-2:] == ["+10.0.0.2 n2", "+10.0.0.3 n3"]
    assert change.old_sha256 == "abc"


def test_an_edit_that_changes_nothing_is_no_change() -> None:
    assert plan([finding("a.b", ("n1", Phase.NAMES, line("127.0.0.1 localhost")))], facts("n1")).changes == ()


def test_a_file_of_the_right_content_but_the_wrong_mode_is_a_change() -> None:
    right = PutFile(path="/etc/hosts", content=HOSTS, mode=0o644)
    wrong = PutFile(path="/etc/hosts", content=HOSTS, mode=0o600)
    assert plan([finding("a.b", ("n1", Phase.NAMES, right))], facts("n1")).changes == ()
    assert len(plan([finding("a.b", ("n1", Phase.NAMES, wrong))], facts("n1")).changes) == 1


def test_a_file_that_is_gone_already_needs_no_removal() -> None:
    step = RemoveFile(path="/etc/not-there")
    assert plan([finding("a.b", ("n1", Phase.NAMES, step))], facts("n1")).changes == ()


def test_packages_of_a_host_are_installed_at_once() -> None:
    found = plan(
        [
            finding("a.b", ("n1", Phase.PACKAGES, Install(packages=("nfs-common", "attr")))),
            finding("a.c", ("n1", Phase.PACKAGES, Install(packages=("attr", "chrony")))),
        ],
        facts("n1"),
    )
    assert titles(found) == ["n1: install attr chrony nfs-common"]


def test_phases_follow_each_other_and_services_are_refreshed_last_in_theirs() -> None:
    socket = SetUnit(unit="libvirtd-tls.socket", enabled=True, running=True)
    found = plan(
        [
            finding(
                "libvirt.x",
                ("n2", Phase.LIBVIRT, Refresh(unit="libvirtd.service", how="reload")),
                ("n2", Phase.LIBVIRT, socket),
                ("n1", Phase.LIBVIRT, Refresh(unit="libvirtd.service")),
                ("n1", Phase.LIBVIRT, Refresh(unit="libvirtd.service", how="reload")),
            ),
            finding("names.x", ("n2", Phase.NAMES, line("10.0.0.1 n1"))),
        ],
        facts("n1", "n2"),
    )
    assert titles(found) == [
        "n2: write /etc/hosts",
        "n2: enable and start libvirtd-tls.socket",
        "n1: restart libvirtd.service if it runs",
        "n2: reload libvirtd.service if it runs",
    ]


def test_a_file_that_cannot_be_understood_is_left_to_a_person() -> None:
    edit = EditFile(path="/etc/hosts", edits=(SetKey(section="a", key="b", value="c"),))
    found = plan([finding("a.b", ("n1", Phase.NOVA, edit))], facts("n1"))
    assert found.changes == ()
    assert found.obstacles[0].why.startswith("/etc/hosts cannot be edited: not an INI file")


def test_a_file_too_large_to_look_at_is_left_to_a_person() -> None:
    found = plan([finding("a.b", ("n1", Phase.NAMES, line("x")))], facts("n1", content=None))
    assert "larger than 256 KiB" in found.obstacles[0].why


def test_nothing_is_planned_for_a_host_that_gave_no_facts() -> None:
    assert plan([finding("a.b", ("n9", Phase.NAMES, line("x")), host="n9")], facts("n1")).changes == ()


def test_the_plan_does_not_depend_on_which_finding_came_first_for_its_phases() -> None:
    findings = [
        finding(f"a.{phase.name.lower()}", ("n1", phase, SetUnit(unit=f"{phase.name}.service", running=True)))
        for phase in Phase
    ]
    expected = titles(plan(findings, facts("n1")))
    random.Random(7).shuffle(findings)
    assert titles(plan(findings, facts("n1"))) == expected
