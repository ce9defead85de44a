"""How CephFS is mounted on a host: by the kernel's client where the kernel has one, else by ceph-fuse.

Sources: mount.ceph(8) for both forms of what is mounted, mount.fuse.ceph(8) and ceph-fuse(8) for the other client.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hotfoot.readiness import fstab
from hotfoot.readiness.facts import HostFacts

FUSE_TYPES = ("fuse.ceph", "fuse.ceph-fuse")
"""As fstab, and as the kernel names it."""
FUSE_SOURCES = ("none", "ceph-fuse")
"""The same of what is mounted: neither tells which file system it is."""
_NEW = re.compile(r"(?P<user>[^@=/]+)@(?P<fsid>[^.=/]*)\.(?P<name>[^=/]+)=(?P<path>.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class CephFs:
    """What a source names, as far as it does: the older form names monitors instead of user, cluster and name."""

    path: str
    user: str | None = None
    fsid: str | None = None
    name: str | None = None
    monitors: tuple[str, ...] = ()


def read(source: str) -> CephFs:
    """Return what a source of the kernel's client names.

    >>> read("nova@.disks=/").user, read("mon1,mon2:/nova").monitors
    ('nova', ('mon1', 'mon2'))
    """
    if found := _NEW.fullmatch(source):
        path = _rooted(found["path"])
        return CephFs(path=path, user=found["user"], fsid=found["fsid"] or None, name=found["name"])
    monitors, _, path = source.rpartition(":")
    return CephFs(path=_rooted(path), monitors=tuple(each for each in monitors.split(",") if each))


def only_by_fuse(host: HostFacts) -> bool:
    """Whether a host's kernel is known to have no client of CephFS, so that only ceph-fuse can mount it."""
    return host.storage is not None and host.storage.cephfs_in_kernel is False


def line_for(path: str, source: str, user: str | None, *, by_fuse: bool) -> str | None:
    """Return the fstab line of a mount on ``path``, None where nobody knows the Ceph user.

    ``user`` is who mounts on other hosts: it counts where the source itself names none.
    """
    wanted = read(source)
    if by_fuse:
        named = wanted.user or user
        if named is None:
            return None
        place = (f"ceph.client_fs={wanted.name}",) if wanted.name else ()
        options = (f"ceph.id={named}", *place, f"ceph.client_mountpoint={wanted.path}", "_netdev", "nofail")
        return fstab.render("none", path, "fuse.ceph", options)
    if wanted.user is None and user is None:
        return None
    name = () if wanted.user else (f"name={user}",)
    return fstab.render(source, path, "ceph", (*name, "noatime", "_netdev", "nofail"))


def _rooted(path: str) -> str:
    return "/" + path.strip("/")
