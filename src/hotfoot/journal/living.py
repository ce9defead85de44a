"""Whether a process still lives, as this machine's /proc tells. Linux only."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path

from hotfoot.journal.owner import Owner

_PROC = Path("/proc")
_START = 19  # starttime, the 22nd field of proc(5) stat, counted after the name in parentheses


def myself() -> Owner:
    """Return this process as an owner."""
    return Owner(
        user=_user(), host=socket.gethostname(), boot=_boot(), pid=os.getpid(), start=_started(os.getpid()) or 0
    )


def asked_from() -> str | None:
    """Return from where the operator is logged in on this machine (an address), None where he sits at it."""
    return os.environ.get("SSH_CONNECTION", "").partition(" ")[0] or None


def lives(owner: Owner) -> bool | None:
    """Whether the owner's process lives; None where that cannot be known from this machine."""
    if owner.boot != _boot():
        return None
    return _started(owner.pid) == owner.start


def _user() -> str:
    """The user who logged in, also where sudo made another of him."""
    try:
        return os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _boot() -> str:
    """Two containers of one machine share the boot, but not the process ids."""
    boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {os.stat(_PROC / 'self/ns/pid').st_ino}"


def _started(pid: int) -> int | None:
    """When a process started, in ticks since the boot; None when there is none, or it is dead but not yet reaped."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[_START])
