"""What is mounted at boot: /etc/fstab and systemd mount units, parsed, and the lines that are right.

Sources: fstab(5), systemd.mount(5), nfs(5), mount.glusterfs(8), mount.ceph(8).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hotfoot.cluster import Storage
from hotfoot.readiness.edit import EnsureLine, value_of
from hotfoot.readiness.facts import HostFacts

PATH = "/etc/fstab"
MOUNT_UNITS = "/etc/systemd/system/*.mount"
FILES = (PATH, MOUNT_UNITS)

NFS_OPTIONS = ("vers=4.2", "proto=tcp", "hard", "noatime", "_netdev", "nofail")
FS_TYPES: dict[str, frozenset[str]] = {
    "nfs": frozenset({"nfs", "nfs4"}),
    "glusterfs": frozenset({"fuse.glusterfs"}),
    "cephfs": frozenset({"ceph", "fuse.ceph", "fuse.ceph-fuse"}),
    "ocfs2": frozenset({"ocfs2"}),
    "gfs2": frozenset({"gfs2"}),
}
"""File system types, as the kernel shows them, of each shared type of the cluster file."""

SHARED_TYPES = frozenset().union(*FS_TYPES.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One mount that is made at boot. ``text`` is the line itself, or the path of the unit that says so."""

    source: str
    path: str
    fs_type: str
    options: tuple[str, ...]
    text: str
    unit: bool = False

    def option(self, name: str) -> str | None:
        """Return an option's value, "" where it has none, None where it is not given; the last one counts."""
        found = [option for option in self.options if option.partition("=")[0] == name]
        return found[-1].partition("=")[2] if found else None


def parse(text: str) -> tuple[Entry, ...]:
    """Return the entries of an fstab, in order; comments and what is no entry left out."""
    entries = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 3 or fields[0].startswith("#"):
            continue
        source, path, fs_type = (_plain(field) for field in fields[:3])
        options = tuple(_plain(fields[3]).split(",")) if len(fields) > 3 else ("defaults",)
        entries.append(Entry(source=source, path=_trimmed(path), fs_type=fs_type, options=options, text=line))
    return tuple(entries)


def render(source: str, path: str, fs_type: str, options: tuple[str, ...]) -> str:
    """Return the fstab line of a mount that is neither dumped nor checked at boot.

    >>> render("nas:/srv/my data", "/mnt", "nfs4", ("hard", "_netdev"))
    'nas:/srv/my\\\\040data /mnt nfs4 hard,_netdev 0 0'
    """
    return " ".join((_escaped(source), _escaped(path), fs_type, _escaped(",".join(options)), "0", "0"))


def entries_for(facts: HostFacts, path: str) -> tuple[Entry, ...]:
    """Return what this host mounts on a path at boot: fstab's entries first, then mount units."""
    found = [entry for entry in parse(facts.text(PATH)) if entry.path == path]
    for file in facts.files.values():
        if file.path.endswith(".mount") and file.content and (entry := _unit(file.path, file.content)):
            found.extend([entry] if entry.path == path else [])
    return tuple(found)


def line_for(storage: Storage, host: str, source: str) -> str:
    """Return the fstab line that a host should have for a shared storage, ``source`` being what is mounted.

    Of CephFS, which has two clients, ``cephfs_mount`` knows it.
    """
    if storage.type == "nfs":
        return render(source, storage.path, "nfs4", NFS_OPTIONS)
    if storage.type == "glusterfs":
        return _gluster_line(storage, host, source)
    return render(source, storage.path, storage.type, ("noatime", "_netdev", "nofail"))


def edit_for(path: str, line: str) -> EnsureLine:
    """Return the edit that makes a line the one entry of a path."""
    return EnsureLine(line=line, instead_of=rf"^\s*[^#\s]\S*\s+{re.escape(_escaped(path))}/*\s")


def _gluster_line(storage: Storage, host: str, source: str) -> str:
    options: tuple[str, ...] = ("defaults", "_netdev", "nofail")
    server, _, volume = source.partition(":")
    if not storage.servers:
        return render(source, storage.path, "glusterfs", options)
    if host in storage.servers:
        if server == "localhost":
            options += ("x-systemd.requires=glusterd.service",)
    elif server == "localhost":  # this host has no daemon of its own to ask for the volume's layout
        source = f"{storage.servers[0]}:{volume}"
        if storage.servers[1:]:
            options += (f"backup-volfile-servers={':'.join(storage.servers[1:])}",)
    return render(source, storage.path, "glusterfs", options)


def _unit(path: str, text: str) -> Entry | None:
    try:
        where, what, fs_type, options = (value_of(text, key, "Mount") for key in ("Where", "What", "Type", "Options"))
    except ValueError:
        return None
    if where is None or what is None:
        return None
    words = tuple((options or "defaults").split(","))
    return Entry(source=what, path=_trimmed(where), fs_type=fs_type or "", options=words, text=path, unit=True)


def _trimmed(path: str) -> str:
    return path.rstrip("/") or "/"


def _plain(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def _escaped(field: str) -> str:
    return re.sub(r"[\s\\#]", lambda match: f"\\{ord(match[0]):03o}", field)
