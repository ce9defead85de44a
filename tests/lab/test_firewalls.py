"""Hosts behind ufw and firewalld as their packages install them: found closed, opened for each other, put back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.labs import TestLab, raised

pytestmark = pytest.mark.matrix
CLOSED = {
    "firewall.controllers-closed",
    "firewall.libvirt-closed",
    "firewall.migration-closed",
    "ports.libvirt-filtered",
    "ports.migration-filtered",
}
RULES = {
    "ufw": "ufw show added; cat /etc/ufw/user.rules /etc/ufw/user6.rules",
    "firewalld": "firewall-cmd --list-all; firewall-cmd --permanent --list-all",
}
AFRESH = {"ufw": "ufw reload", "firewalld": "firewall-cmd --reload"}
NAME, STRANGER = "behind", "n3"


@pytest.fixture(params=["ufw", "firewalld"], scope="module")
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def closed(kind: str, state: Path) -> Iterator[TestLab]:
    """Two hosts behind a firewall, and a third that their cluster file does not name: a stranger."""
    with raised(NAME, "--hosts", "3", "--instances", "1", "--storage", "none", "--firewall", kind) as lab:
        cluster = lab.cluster.with_name("two.yaml")
        kept = [line for line in lab.cluster.read_text().splitlines() if f"name: {STRANGER}," not in line]
        cluster.write_text("\n".join(kept) + "\n")
        yield TestLab(lab.name, cluster, tuple(host for host in lab.hosts if host != STRANGER))


def codes(lab: TestLab) -> set[str]:
    return {finding["code"] for finding in lab.run("check", "--json").json["findings"]}


def reaches(lab: TestLab, source: str, port: int) -> bool:
    """Whether a host gets a connection to n1 there; firewalld says no at once, ufw nothing at all."""
    tried = f"timeout 3 bash -c 'exec 3<>/dev/tcp/n1/{port}' 2>/dev/null; echo $?"
    return lab.on(source, "sh", "-c", tried).strip() == "0"


def test_a_closed_host_is_found_and_opened_for_the_others_alone(closed: TestLab, kind: str) -> None:
    before = [closed.on(host, "sh", "-c", RULES[kind]) for host in closed.hosts]
    found = closed.run("check", "--json").json["findings"]
    assert {finding["code"] for finding in found} == CLOSED
    assert all(f"({kind})" in finding["what"] for finding in found if finding["code"].startswith("firewall."))
    failed = closed.run("migrate", "vm1", "n2", "--no-forecast")
    assert failed.status not in (0, 1)
    assert closed.where("vm1") == "n1"

    prepared = closed.run("prepare", "--yes", "--json")
    assert prepared.status == 0, prepared.blocking
    for host in closed.hosts:
        closed.on(host, "sh", "-c", AFRESH[kind])
    assert codes(closed) == set()
    assert closed.run("prepare", "--yes", "--json").json["changes"] == []
    assert reaches(closed, "n2", 16514)
    assert not reaches(closed, STRANGER, 16514)
    moved = closed.run("migrate", "vm1", "n2", "--no-forecast")
    assert moved.status == 0, moved.err
    closed.verify("vm1")

    undone = closed.run("prepare", "--undo", prepared.json["run"], "--yes")
    assert undone.status == 0, undone.err
    assert [closed.on(host, "sh", "-c", RULES[kind]) for host in closed.hosts] == before
    assert codes(closed) == CLOSED
