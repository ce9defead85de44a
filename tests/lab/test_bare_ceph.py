"""Bare hosts and an operator's Ceph: they become its clients, an instance in its pool moves, and all is given back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.labs import TestLab, raised
from tests.lab.test_bare import ADVICE, BROKEN
from tests.lab.tree import differences, tree

HOSTS = ("n1", "n2", "n3")
BROKEN_BY_CEPH = {"ceph_rbd.no-conf": 3, "ceph_rbd.no-keyring": 3, "ceph_rbd.no-secret": 3}
KEYRING = "/etc/ceph/ceph.client.libvirt.keyring"


@pytest.fixture(scope="module")
def bare(state: Path) -> Iterator[TestLab]:
    with raised("ceph", "--bare", "--hosts", "3", "--storage", "ceph") as lab:
        yield lab


def key_of(lab: TestLab) -> str:
    text = (lab.cluster.parent / "ceph" / "ceph.client.libvirt.keyring").read_text()
    found = re.search(r"key = (\S+)", text)
    assert found is not None
    return found[1]


def test_bare_hosts_become_clients_of_ceph_and_are_given_back_as_they_were(bare: TestLab, state: Path) -> None:
    before = {host: tree(bare, host) for host in HOSTS}
    found = bare.codes()
    assert found == BROKEN | BROKEN_BY_CEPH | ADVICE

    prepared = bare.run("prepare", "--yes", "--json", timeout_s=400)
    assert prepared.status == 0, prepared.blocking
    run = prepared.json["run"]
    for host in HOSTS:
        assert bare.on(host, "stat", "-c", "%a %U:%G", KEYRING).strip() == "640 root:root"
    assert bare.codes() == ADVICE

    bare.lab("instance", "add", "vm1", "--host", "n1")
    for destination in ("n2", "n3", "n1"):
        moved = bare.run("migrate", "vm1", destination, "--no-forecast", "--json")
        assert moved.status == 0, moved.out + moved.err
        bare.verify("vm1")
        assert bare.where("vm1") == destination
    again = bare.run("prepare", "--yes", "--json")
    assert (again.status, again.json["changes"], again.json["run"]) == (0, [], None)

    # A key that Ceph does not take is found by the proof, although the secret is there, and mended.
    uuid = bare.on("n2", "virsh", "-q", "secret-list").split()[0]
    wrong = key_of(bare)[:-6] + "AAAA=="
    bare.on(
        "n2", "sh", "-c", 'echo "$2" > /run/wrong; virsh -q secret-set-value "$1" --file /run/wrong', "sh", uuid, wrong
    )
    broken = bare.run("check", "--topic", "ceph_rbd", "--json").json["findings"]
    assert [(each["code"], each["host"]) for each in broken] == [("ceph_rbd.key-refused", "n2")]
    mended = bare.run("prepare", "--topic", "ceph_rbd", "--yes", "--json")
    assert mended.status == 0, mended.out + mended.err
    assert bare.codes() == ADVICE

    bare.lab("instance", "kill", "vm1")
    # The newest first; the first run's secret was changed by somebody since, which is told and needs a word.
    assert bare.run("prepare", "--undo", mended.json["run"], "--json").status == 0
    left = bare.run("prepare", "--undo", run, "--json", timeout_s=400)
    assert left.status == 1, left.out
    assert [change["host"] for change in left.json["changes"] if change["problem"]] == ["n2"]
    undone = bare.run("prepare", "--undo", run, "--force", "--json", timeout_s=400)
    assert undone.status == 0, undone.out + undone.err
    assert {host: differences(before[host], tree(bare, host)) for host in HOSTS} == {host: [] for host in HOSTS}
    assert bare.codes() == found

    # Nowhere is the key but where it was at first: not in what hosts and controller remember of the runs.
    key = key_of(bare)
    for host in HOSTS:
        assert bare.on(host, "sh", "-c", f"grep -rl '{key}' /etc /var /run /root 2>/dev/null || :") == ""
    assert [path for path in state.rglob("*") if path.is_file() and key.encode() in path.read_bytes()] == []


def test_a_ready_lab_has_instances_on_ceph_and_nothing_to_mend() -> None:
    with raised("ceph-ready", "--hosts", "2", "--instances", "1", "--storage", "ceph") as lab:
        assert lab.run("check", "--topic", "ceph_rbd", "--json").json["findings"] == []
        moved = lab.run("migrate", "vm1", "n2", "--no-forecast", "--json")
        assert moved.status == 0, moved.out + moved.err
        lab.verify("vm1")
