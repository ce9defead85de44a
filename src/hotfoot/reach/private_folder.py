"""A folder for what hotfoot writes while it runs, which nobody else can read, change or put there first."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from hotfoot.errors import HotfootError


def private_folder() -> Path:
    """Make (or find) ``hotfoot`` in the user's runtime folder, mode 0700, from which programs may be run.

    Invariant: the folder is the user's own, no symbolic link, and closed to others; what is not is never
    used. Raises HotfootError if there is no such place.
    """
    user = os.getuid()
    declared = os.environ.get("XDG_RUNTIME_DIR")
    candidates = [Path(declared) / "hotfoot"] if declared and Path(declared).is_absolute() else []
    candidates.append(Path(f"/run/user/{user}/hotfoot"))
    candidates.append(Path(tempfile.gettempdir()) / f"hotfoot-{user}")
    for folder in candidates:
        if _make(folder, user):
            return folder
    raise HotfootError(
        "there is no private folder from which a program can be run: tried "
        f"{', '.join(map(str, candidates))}; set XDG_RUNTIME_DIR to one that is not mounted noexec"
    )


def _make(folder: Path, user: int) -> bool:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != user:
            return False
        if found.st_mode & 0o077:
            folder.chmod(0o700)
        # /run is mounted noexec by Debian, and libvirt has to execute the wrapper script.
        return not os.statvfs(folder).f_flag & os.ST_NOEXEC and os.access(folder, os.W_OK)
    except OSError:
        return False
