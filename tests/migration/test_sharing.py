"""Disks on ceph-fuse: one and the same on two hosts, as far as both can tell and libvirt was told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hotfoot.inventory import Disk
from hotfoot.migration.facts import FileSight
from hotfoot.migration.sharing import CEPH_FUSE, Sharing, is_shared, judge

PATH = "/var/lib/nova/instances/vm1.qcow2"
DISK = Disk(target="vda", kind="file", source=PATH)
SIGHT = FileSight(
    path=PATH, exists=True, inode=7, size_bytes=1, fs_type=CEPH_FUSE, mount_source="aa11/data", told_shared=True
)


def test_the_same_file_of_the_same_cluster_is_shared() -> None:
    assert judge(DISK, SIGHT, SIGHT, ()).sharing is Sharing.SHARED


def test_a_file_that_is_missing_beyond_is_told_so_though_a_folder_knows_no_pool() -> None:
    folder = replace(SIGHT, exists=False, inode=0, mount_source="aa11/")
    judged = judge(DISK, SIGHT, folder, ())
    assert (judged.sharing, "missing" in judged.why) == (Sharing.SHARED, True)


@pytest.mark.parametrize("other", ["bb22/data", "aa11/other"])
def test_one_inode_of_two_file_systems_is_never_taken_for_one_file(other: str) -> None:
    judged = judge(DISK, SIGHT, replace(SIGHT, mount_source=other), ())
    assert judged.sharing is Sharing.SAME_BY_TWO_WAYS


def test_nothing_is_known_where_the_cluster_is_not_told() -> None:
    silent = replace(SIGHT, mount_source="")
    for here, there in ((SIGHT, silent), (silent, SIGHT), (silent, silent)):
        assert judge(DISK, here, there, ()).sharing is Sharing.UNKNOWN


@pytest.mark.parametrize(("untold", "where"), [(0, "source"), (1, "destination")])
def test_libvirt_must_be_told_on_both_hosts(untold: int, where: str) -> None:
    sights = [SIGHT, SIGHT]
    sights[untold] = replace(SIGHT, told_shared=False)
    judged = judge(DISK, sights[0], sights[1], ())
    assert (judged.sharing, where in judged.why) == (Sharing.UNKNOWN, True)


def test_what_libvirt_was_told_makes_no_local_disk_a_shared_one() -> None:
    assert not is_shared(replace(SIGHT, fs_type="ext4"))


def test_a_file_by_both_clients_of_cephfs_is_neither_copied_nor_taken_for_shared() -> None:
    kernel = replace(SIGHT, fs_type="ceph", mount_source="nova@aa11.disks=/", told_shared=False)
    for here, there in ((SIGHT, kernel), (kernel, SIGHT)):
        assert judge(DISK, here, there, ()).sharing is Sharing.SAME_BY_TWO_WAYS
