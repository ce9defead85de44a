"""Whether this machine has room for a lab's hosts: what it has only so many of, whatever its memory.

inotify instances are counted by user, for all namespaces together (inotify(7), ``max_user_instances``): without one
left, a host's systemd or libvirtd ends as soon as it starts. A light host's are counted in its own user namespace.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

INOTIFY_PER_HOST = 4
"""What root of a host holds: systemd 3, libvirtd 1. A login adds 3 for its user manager, which may then be missing one:
no more than what cannot be is refused."""


def obstacle(host_count: int) -> str | None:
    """Return why so many hosts would exhaust the machine's inotify instances, None if there are enough."""
    limit = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())
    return shortage(limit, _held_by_root(), host_count)


def shortage(limit: int, held: int, host_count: int) -> str | None:
    """Judge whether so many hosts find room below root's limit of inotify instances, of which ``held`` are in use.

    >>> shortage(128, 10, 16)
    """
    room = max(0, limit - held) // INOTIFY_PER_HOST
    if host_count <= room:
        return None
    enough = max(1024, 2 * (held + host_count * INOTIFY_PER_HOST))
    return (
        f"it allows root {limit} inotify instances, of which {held} are in use, so that there is room for {room} more "
        f"hosts, not {host_count}; `sysctl fs.inotify.max_user_instances={enough}` makes room, and with `--light`, for "
        "hosts to look at, there is room for 50"
    )


def _held_by_root() -> int:
    ours = os.readlink("/proc/self/ns/user")
    held = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it may end at any time
            if process.stat().st_uid == 0 and os.readlink(process / "ns/user") == ours:
                held += sum(_is_inotify(handle.path) for handle in os.scandir(process / "fd"))
    return held


def _is_inotify(handle: str) -> bool:
    with contextlib.suppress(OSError):
        return os.readlink(handle) == "anon_inode:inotify"
    return False
