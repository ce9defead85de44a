"""Section of the probe: users, groups, whose processes run, and files of nova and libvirt with wrong owners."""

import os
import stat
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from hotfoot.reach.probe.frame import is_remote, mount_of, text_of

_MOST_NAMED = 20
_MOST_SEARCH_SEEN = 20000
_MOST_SEARCH_S = 1.5
NOVA = "/var/lib/nova"


def users() -> "list[dict[str, Any]]":
    """Return the lines of /etc/passwd."""
    rows = [line.split(":") for line in text_of("/etc/passwd", 4 << 20).splitlines()]
    return [
        {"name": row[0], "uid": int(row[2]), "gid": int(row[3]), "home": row[5], "shell": row[6]}
        for row in rows
        if len(row) == 7 and row[2].isdigit() and row[3].isdigit()
    ]


def groups() -> "list[dict[str, Any]]":
    """Return the lines of /etc/group."""
    rows = [line.split(":") for line in text_of("/etc/group", 4 << 20).splitlines()]
    return [
        {"name": row[0], "gid": int(row[2]), "members": [name for name in row[3].split(",") if name]}
        for row in rows
        if len(row) == 4 and row[2].isdigit()
    ]


def identity(
    counted: "list[str]", running: "list[tuple[int, int, str]]", mounts: "list[dict[str, str]]", folders: "list[str]"
) -> "dict[str, Any]":
    """Tell who is who; ``counted`` are the users whose processes are counted, ``folders`` are not searched."""
    known, grouped = users(), groups()
    uids = {user["name"]: user["uid"] for user in known}
    numbers = Counter(uid for _, uid, _ in running)
    of_qemu = {uids[name] for name in ("libvirt-qemu", "qemu") if name in uids}
    unowned, misowned = [], []  # type: list[str], list[str]
    valid = ({user["uid"] for user in known}, {group["gid"] for group in grouped})
    for path, found in _files((NOVA, "/var/lib/libvirt"), mounts, folders):
        if found.st_uid not in valid[0] or found.st_gid not in valid[1]:
            unowned.append(path)
        if "nova" in uids and path.startswith(NOVA) and found.st_uid != uids["nova"]:
            # Disks belong to QEMU's user while their instance runs, and to root once it is stopped.
            a_disk = path.startswith(NOVA + "/instances/") and not stat.S_ISDIR(found.st_mode)
            if not (a_disk and (found.st_uid == 0 or found.st_uid in of_qemu)):
                misowned.append(path)
    return {
        "users": known,
        "groups": grouped,
        "processes": {uids[name]: numbers[uids[name]] for name in counted if name in uids and numbers[uids[name]]},
        "unowned": unowned[:_MOST_NAMED],
        "misowned": misowned[:_MOST_NAMED],
    }


def _files(
    roots: "tuple[str, ...]", mounts: "list[dict[str, str]]", left_out: "list[str]"
) -> "Iterator[tuple[str, os.stat_result]]":
    """Yield path and lstat below folders, on local file systems only; other mounts are not even looked at."""
    # By name, since already the lstat of a mount point can hang.
    avoided = set(left_out) | {mount["target"] for mount in mounts if is_remote(mount)}
    end_s, seen = time.monotonic() + _MOST_SEARCH_S, 0
    waiting = [root for root in roots if root not in avoided and not is_remote(mount_of(root, mounts))]
    for root in waiting:
        with suppress(OSError):
            yield root, os.lstat(root)
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue
        for entry in entries:
            seen += 1
            if seen > _MOST_SEARCH_SEEN or time.monotonic() > end_s:
                return
            if entry.path in avoided:
                continue
            with suppress(OSError):
                yield entry.path, entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
