"""Hosts whose own kernel mounts CephFS: from bare to a move and back, and its mounts after a power cut."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.command import well
from tests.lab.labs import TestLab
from tests.lab.tree import differences, tree
from tests.lab.vm_labs import HOSTS, TIMEOUT_S, advice, broken, codes, machines, marks

NAME = "vmk2"
pytestmark = marks(NAME)
CEPHFS = {"cephfs.no-conf": 2, "cephfs.no-keyring": 2, "shared_path.not-mounted": 2}
KEYRING = "/etc/ceph/ceph.client.compute.keyring"
PATH = "/var/lib/nova/instances"


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestLab]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with machines(NAME, "cephfs", "--bare") as lab:
        yield lab


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestLab]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with machines(NAME, "cephfs", "--instances", "1", "--memory", "128") as lab:
        yield lab


def mounted(lab: TestLab, host: str) -> str:
    return lab.on(host, "sh", "-c", f"findmnt -no FSTYPE {PATH} || :").strip()


def test_bare_hosts_mount_cephfs_by_their_kernel_and_are_given_back_as_they_were(bare: TestLab) -> None:
    before = {host: tree(bare, host) for host in HOSTS}
    assert codes(bare, 8) == broken(CEPHFS) | advice()

    prepared = bare.run("prepare", "--yes", "--json", timeout_s=TIMEOUT_S)
    assert prepared.status == 0, prepared.blocking
    run = prepared.json["run"]
    assert codes(bare, 0) == advice()
    for host in HOSTS:
        assert mounted(bare, host) == "ceph"
        assert bare.on(host, "stat", "-c", "%a %U:%G", KEYRING).strip() == "600 root:root"
        (entry,) = (line for line in bare.on(host, "cat", "/etc/fstab").splitlines() if f" {PATH} " in line)
        assert " ceph noatime,_netdev,nofail " in entry
        assert "secret" not in entry

    bare.lab("instance", "add", "vm1", "--host", "n1", "--memory", "128")
    moved = bare.run("migrate", "vm1", "n2", "--no-forecast", "--json", timeout_s=TIMEOUT_S)
    assert moved.status == 0, moved.out + moved.err
    assert bare.where("vm1") == "n2"
    bare.verify("vm1")

    again = bare.run("prepare", "--yes", "--json", timeout_s=TIMEOUT_S)
    assert (again.status, again.json["changes"], again.json["run"]) == (0, [], None)

    bare.lab("instance", "kill", "vm1")
    undone = bare.run("prepare", "--undo", run, "--json", timeout_s=TIMEOUT_S)
    assert undone.status == 0, undone.out + undone.err
    assert {host: differences(before[host], tree(bare, host)) for host in HOSTS} == {host: [] for host in HOSTS}


def test_a_ready_lab_has_its_mounts_after_a_power_cut_too(ready: TestLab) -> None:
    assert {mounted(ready, host) for host in HOSTS} == {"ceph"}
    ready.on("n2", "sync")
    ready.lab("fault", "kill-host", "n2")
    well("lab", "fault", "start-host", "n2", "--name", NAME, timeout_s=TIMEOUT_S)
    assert mounted(ready, "n2") == "ceph"
    moved = ready.run("migrate", "vm1", "n2", "--no-forecast", timeout_s=TIMEOUT_S)
    assert moved.status == 0, moved.out + moved.err
    ready.verify("vm1")
