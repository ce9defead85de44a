"""Whether a disk is one and the same on two hosts: found out from what both see. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

from hotfoot.inventory import Disk
from hotfoot.migration.facts import DeclaredStorage, FileSight

SHARED_FS = frozenset({"nfs", "nfs4", "fuse.glusterfs", "ceph", "ocfs2", "gfs2"})
"""File systems that libvirt itself takes for shared (virFileIsSharedFS)."""
CEPH_FUSE = "fuse.ceph-fuse"
"""A file system that hosts share, and that libvirt takes for shared where it was told so."""
LOCAL_FS = frozenset(
    {
        "ext2",
        "ext3",
        "ext4",
        "xfs",
        "btrfs",
        "zfs",
        "f2fs",
        "bcachefs",
        "overlay",
        "tmpfs",
        "squashfs",
        "iso9660",
    }
)


class Sharing(StrEnum):
    """What is known about one disk on two hosts."""

    SHARED = "shared"
    LOCAL = "local"
    UNKNOWN = "unknown"
    SAME_BY_TWO_WAYS = "same by two ways"
    """Perhaps one file, reached in two ways: neither copying nor sharing is safe."""
    NOT_MOUNTED = "not mounted"
    """On shared storage at the source, on something else at the destination."""


@dataclass(frozen=True, slots=True)
class DiskSharing:
    """One disk, what is known of it, and why, in words."""

    disk: Disk
    sharing: Sharing
    why: str


def is_shared(sight: FileSight) -> bool:
    """Whether a path lies on a file system that hosts share, and that libvirt takes for it."""
    return sight.fs_type in SHARED_FS or (sight.fs_type == CEPH_FUSE and sight.told_shared)


def place_of(sight: FileSight) -> tuple[str, str]:
    """Return by type and source which file system a path is on; of ceph-fuse the cluster, which folders tell too."""
    source = sight.mount_source
    return sight.fs_type, source.partition("/")[0] if sight.fs_type == CEPH_FUSE else source


def judge(
    disk: Disk,
    at_source: FileSight | None,
    at_destination: FileSight | None,
    declared: Sequence[DeclaredStorage],
) -> DiskSharing:
    """Say whether a disk is the same on both hosts.

    Invariant: SHARED is said only when both hosts see the same file of the same cluster file system, the same
    device, or an image on the network, or when the operator declares it and the hosts cannot be asked; and
    LOCAL is never said of a file that might be the same one on both hosts, since copying it would be onto
    itself.
    """
    if disk.kind == "network":
        return DiskSharing(disk, Sharing.SHARED, f"an image on the network ({disk.protocol})")
    if at_source is None or at_destination is None or not at_source.exists:
        return _by_declaration(disk, declared)
    if disk.kind == "block":
        return DiskSharing(disk, *_devices(at_source, at_destination))
    if disk.kind == "file":
        return DiskSharing(disk, *_files(at_source, at_destination))
    return _by_declaration(disk, declared)


def _files(source: FileSight, destination: FileSight) -> tuple[Sharing, str]:
    same_inode = destination.exists and source.inode == destination.inode
    if source.fs_type == destination.fs_type == CEPH_FUSE:
        for sight, where in ((source, "source"), (destination, "destination")):
            if not sight.told_shared:
                return Sharing.UNKNOWN, f"on ceph-fuse, and libvirt at the {where} is not told that this is shared"
            if not place_of(sight)[1]:
                return Sharing.UNKNOWN, f"on ceph-fuse, which at the {where} does not tell of which cluster it is"
    source_shared, destination_shared = is_shared(source), is_shared(destination)
    two_clients = {source.fs_type, destination.fs_type} == {"ceph", CEPH_FUSE}
    if (source_shared != destination_shared or two_clients) and same_inode:
        return (
            Sharing.SAME_BY_TWO_WAYS,
            f"{source.fs_type} on one host and {destination.fs_type} on the other",
        )
    if source_shared:
        if source.fs_type != destination.fs_type:
            return (
                Sharing.NOT_MOUNTED,
                f"on {source.fs_type} at the source, on {destination.fs_type} at the destination",
            )
        if not _same_export(source, destination):
            if same_inode:
                return Sharing.SAME_BY_TWO_WAYS, f"by {source.mount_source} and by {destination.mount_source}"
            return Sharing.UNKNOWN, f"mounted from {source.mount_source} and from {destination.mount_source}"
        if not destination.exists:
            return Sharing.SHARED, f"{source.fs_type} {source.mount_source}, but missing at the destination"
        if same_inode:
            return Sharing.SHARED, f"the same file on {source.fs_type} {source.mount_source}"
        return Sharing.UNKNOWN, f"different files on {source.fs_type} {source.mount_source}"
    if source.fs_type in LOCAL_FS:
        return Sharing.LOCAL, f"on {source.fs_type}, which is the source's own"
    return Sharing.UNKNOWN, f"on {source.fs_type}, which libvirt does not take for shared"


def _same_export(source: FileSight, destination: FileSight) -> bool:
    """Whether two mounts are of one file system.

    NFS: server and export must agree to the letter, since a replica of an export has the same inode numbers.
    GlusterFS and Ceph: any server leads to the same volume, so that only the volume or path counts. OCFS2 and
    GFS2: the device has its own name on each host, and the inode decides. ceph-fuse: the cluster must be the same, and
    of two files the pool, since two file systems of one cluster have the same inode numbers.
    """
    if source.fs_type == CEPH_FUSE:
        (cluster, _, pool), (other, _, other_pool) = (
            each.mount_source.partition("/") for each in (source, destination)
        )
        return cluster == other and (pool == other_pool or "" in (pool, other_pool))
    if source.fs_type in ("ocfs2", "gfs2"):
        return True
    if source.fs_type in ("nfs", "nfs4"):
        return source.mount_source == destination.mount_source
    volume, other = (sight.mount_source.rpartition(":")[2].strip("/") for sight in (source, destination))
    return volume == other


def _devices(source: FileSight, destination: FileSight) -> tuple[Sharing, str]:
    if not destination.exists:
        return Sharing.LOCAL, "a device that the destination does not have"
    if source.wwid and source.wwid == destination.wwid:
        return Sharing.SHARED, f"the same device ({source.wwid})"
    if source.wwid and destination.wwid:
        return Sharing.LOCAL, f"different devices ({source.wwid} and {destination.wwid})"
    return Sharing.UNKNOWN, "a device without a world-wide name"


def _by_declaration(disk: Disk, declared: Sequence[DeclaredStorage]) -> DiskSharing:
    path = PurePosixPath(disk.source or "/")
    fits = [storage for storage in declared if path.is_relative_to(storage.path)]
    if not fits:
        return DiskSharing(disk, Sharing.UNKNOWN, "neither seen by SSH nor declared under storage: in the cluster file")
    nearest = max(fits, key=lambda storage: len(PurePosixPath(storage.path).parts))
    sharing = Sharing.SHARED if nearest.shared else Sharing.LOCAL
    return DiskSharing(disk, sharing, f"declared for {nearest.path} in the cluster file")
