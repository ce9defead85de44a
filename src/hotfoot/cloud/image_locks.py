"""Whether somebody has an image open for writing: QEMU's own locks, asked for by ``qemu-img``. Pure.

QEMU locks every image file that it opens (image locking, since 2.10); ``qemu-img info`` without ``--force-share`` is
refused by such a lock, also by one of another host where the file system carries locks between hosts.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from enum import StrEnum

from hotfoot.inventory import Disk

_REFUSED = ("failed to get", "another process using")
_SCRIPT = r"""
look() {
  if said=$(LC_ALL=C timeout 10 qemu-img info --output=json -f "$1" -- "$2" 2>&1 >/dev/null); then word=free
  else word=$(printf %s "$said" | tr '\n\t' '  '); fi
  printf 'lock\t%s\t%s\n' "$2" "$word"
}
"""


class Lock(StrEnum):
    """What an image's lock tells."""

    FREE = "free"
    HELD = "held"
    UNTOLD = "untold"
    """The image could not be looked at."""


def lockable(disks: Iterable[Disk]) -> tuple[Disk, ...]:
    """Return the disks whose lock tells something: files that the instance writes to, and shares with no other."""
    return tuple(disk for disk in disks if disk.kind == "file" and disk.source and _own(disk))


def untold(disks: Iterable[Disk]) -> tuple[Disk, ...]:
    """Return the disks that it writes to and whose locks tell nothing about other hosts: devices, network images."""
    return tuple(disk for disk in disks if disk.kind != "file" and disk.source and _own(disk))


def question(disks: Iterable[Disk]) -> str:
    """Return the script that looks at the locks; it never writes."""
    asked = [f"look {shlex.quote(disk.format)} {shlex.quote(disk.source or '')}" for disk in lockable(disks)]
    return _SCRIPT + "\n".join([*asked, "exit 0", ""])


def answer(text: str) -> Mapping[str, Lock]:
    """Read what the script printed: path to lock."""
    found = {}
    for line in text.splitlines():
        match line.split("\t"):
            case ["lock", path, said]:
                found[path] = _lock(said.lower())
            case _:
                pass
    return found


def _lock(said: str) -> Lock:
    if said == "free":
        return Lock.FREE
    return Lock.HELD if "lock" in said and any(word in said for word in _REFUSED) else Lock.UNTOLD


def _own(disk: Disk) -> bool:
    return not disk.read_only and not disk.shareable
