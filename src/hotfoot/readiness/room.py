"""Room on storage paths, and on the folders that servers keep them in.

Sources: QEMU stops an instance that cannot write its disk (werror=enospc, libvirt's default); a qcow2 disk grows as
its guest writes; requirement A1 of live migration with libvirt and Nova.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hotfoot.cluster import Cluster
from hotfoot.readiness.facts import Facts, FolderFact, HostFacts
from hotfoot.readiness.finding import Finding, Severity, Topic

FULL_BYTES = 64 << 20
"""Below this a growing disk, or the few files of an instance that arrives, find no room."""
NEARLY_FULL_BYTES = 1 << 30
"""Below this one guest that writes for some seconds fills it."""
FULL_INODES = 16
NEARLY_FULL_INODES = 1000
# Others make inodes as they need them, and tell 0 or any number.
_FIXED_INODES = ("ext2", "ext3", "ext4", "xfs", "tmpfs", "overlay")


def judge(cluster: Cluster, facts: Facts) -> Iterable[Finding]:
    """Return storage folders that are full or nearly so; a shared one is told of once."""
    told: set[str] = set()
    for host in facts.hosts:
        for storage in cluster.storage:
            shared = storage.shared and _is_mounted(host, storage.path)
            for path in dict.fromkeys([storage.path] + ([storage.folder] if host.host in storage.servers else [])):
                folder = host.storage.folder(path) if host.storage else None
                if folder is None or folder.hung or folder.problem or not folder.exists or path in told:
                    continue
                found = list(_room(host, folder, path, "every host" if shared and path == storage.path else ""))
                yield from found
                if found and shared and path == storage.path:
                    told.add(path)


def _is_mounted(host: HostFacts, path: str) -> bool:
    return any(mount.target == path for mount in host.storage.mounts) if host.storage else False


def _room(host: HostFacts, folder: FolderFact, path: str, others: str) -> Iterator[Finding]:
    where = f"{path} on {host.host}" + (f" (shared with {others})" if others else "")
    full = folder.free_bytes < FULL_BYTES
    if full or folder.free_bytes < NEARLY_FULL_BYTES:
        yield Finding(
            code="room.full" if full else "room.nearly-full",
            severity=Severity.BLOCKS if full else Severity.DANGEROUS,
            host=host.host,
            what=f"{where} is {'full' if full else 'nearly full'}.",
            evidence=f"{folder.free_bytes >> 20} MiB are free.",
            why="An instance that cannot write its disk is stopped by QEMU until there is room; one that arrives "
            "needs room for its files; a disk that is copied needs all of its size.",
            remedy=f"Free some: look with du -xsh {path}/* for disks and snapshots that no instance uses, or enlarge "
            "the storage.",
        )
    if folder.mount is None or folder.mount.fs_type not in _FIXED_INODES:
        return
    none_left = folder.free_inodes < FULL_INODES
    if none_left or folder.free_inodes < NEARLY_FULL_INODES:
        yield Finding(
            code="room.no-inodes" if none_left else "room.few-inodes",
            severity=Severity.BLOCKS if none_left else Severity.DANGEROUS,
            host=host.host,
            what=f"{where} has {'no' if none_left else 'few'} inodes left.",
            evidence=f"{folder.free_inodes} inodes are free on {folder.mount.fs_type}.",
            why="Each file takes one, however small; without any no disk, no console log and no lock can be made.",
            remedy=f"Find the folder with very many files (du --inodes -x {path}) and remove what is not needed.",
        )


TOPIC = Topic(name="room", title="Room for disks", judge=judge, sections=("storage",))
