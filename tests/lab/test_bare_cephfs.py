"""Bare hosts and an operator's CephFS: they mount it by ceph-fuse, an instance on it moves, and all is given back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.labs import TestLab, raised
from tests.lab.test_bare import ADVICE, BROKEN, HOSTS
from tests.lab.tree import differences, tree

from hotfoot.lab import storage

pytestmark = [
    pytest.mark.matrix,  # some minutes
    pytest.mark.skipif(
        "ceph" in Path("/proc/filesystems").read_text().split(),
        reason="this kernel mounts CephFS itself, for which lab hosts have no mount.ceph",
    ),
]
BROKEN_BY_CEPHFS = {
    "cephfs.no-conf": 3,
    "cephfs.no-keyring": 3,
    "cephfs.fuse-not-shared": 3,
    "shared_path.not-mounted": 3,
}
KEYRING = "/etc/ceph/ceph.client.compute.keyring"
PATH = "/var/lib/nova/instances"


@pytest.fixture(scope="module")
def bare(state: Path) -> Iterator[TestLab]:
    if reason := storage.obstacle("cephfs"):
        pytest.skip(reason)
    with raised("barecephfs", "--bare", "--hosts", "3", "--storage", "cephfs") as lab:
        yield lab


def test_bare_hosts_mount_cephfs_and_are_given_back_as_they_were(bare: TestLab, state: Path) -> None:
    before = {host: tree(bare, host) for host in HOSTS}
    found = bare.codes()
    assert found == BROKEN | BROKEN_BY_CEPHFS | ADVICE

    prepared = bare.run("prepare", "--yes", "--json", timeout_s=400)
    assert prepared.status == 0, prepared.blocking
    run = prepared.json["run"]
    for host in HOSTS:
        assert bare.on(host, "stat", "-c", "%a %U:%G", KEYRING).strip() == "600 root:root"
        assert bare.on(host, "findmnt", "-no", "FSTYPE", PATH).strip() == "fuse.ceph-fuse"
    assert bare.codes() == ADVICE

    bare.lab("instance", "add", "vm1", "--host", "n1")
    for destination in ("n2", "n3", "n1"):
        moved = bare.run("migrate", "vm1", destination, "--no-forecast", "--json")
        assert moved.status == 0, moved.out + moved.err
        assert "not proven" not in moved.out + moved.err
        bare.verify("vm1")
        assert bare.where("vm1") == destination
    assert bare.codes() == ADVICE
    again = bare.run("prepare", "--yes", "--json")
    assert (again.status, again.json["changes"], again.json["run"]) == (0, [], None)

    # The storage is not pulled from under an instance.
    refused = bare.run("prepare", "--undo", run, "--json", timeout_s=400)
    assert refused.status == 1, refused.out
    assert any("vm1" in (change["problem"] or "") for change in refused.json["changes"])
    bare.verify("vm1")

    bare.lab("instance", "kill", "vm1")
    undone = bare.run("prepare", "--undo", run, "--json", timeout_s=400)
    assert undone.status == 0, undone.out + undone.err
    assert {host: differences(before[host], tree(bare, host)) for host in HOSTS} == {host: [] for host in HOSTS}
    assert bare.codes() == found

    # Nowhere is the key but where it was at first: not in what hosts and controller remember of the runs.
    key = re.search(r"key = (\S+)", (bare.cluster.parent / "ceph" / Path(KEYRING).name).read_text())
    assert key is not None
    for host in HOSTS:
        assert bare.on(host, "sh", "-c", f"grep -rl '{key[1]}' /etc /var /run /root 2>/dev/null || :") == ""
    assert [path for path in state.rglob("*") if path.is_file() and key[1].encode() in path.read_bytes()] == []


def test_a_ready_lab_has_instances_on_cephfs_and_its_mounts_come_back() -> None:
    if reason := storage.obstacle("cephfs"):
        pytest.skip(reason)
    with raised("cephfs", "--hosts", "2", "--instances", "1", "--storage", "cephfs") as lab:
        assert lab.codes("--topic", "cephfs") == {}
        moved = lab.run("migrate", "vm1", "n2", "--no-forecast", "--json")
        assert moved.status == 0, moved.out + moved.err
        lab.verify("vm1")

        # What libvirt is no longer told is found before a move would be refused, and mended.
        lab.on("n1", "sed", "-i", "/^shared_filesystems/d", "/etc/libvirt/qemu.conf")
        assert lab.codes("--topic", "cephfs") == {"cephfs.fuse-not-shared": 1}
        mended = lab.run("prepare", "--topic", "cephfs", "--yes", "--json")
        assert mended.status == 0, mended.out + mended.err

        lab.lab("fault", "kill-host", "n1")
        lab.lab("fault", "start-host", "n1")
        assert lab.run("migrate", "vm1", "n1", "--no-forecast").status == 0
        lab.verify("vm1")
