"""File systems of fstab mounted, never under the hands of instances or of whoever has files open."""

import glob
import os
import re
from typing import Any, Dict, List, NamedTuple, Optional

from hotfoot.prepare.on_host.ledger import Act, Ledger
from hotfoot.prepare.on_host.programs import Trouble, lines_of, run
from hotfoot.prepare.on_host.systemd import escaped_mount, instances, reload_units

MOUNT_S = 120.0
# Words to mount and systemd, which the kernel does not show in the options of a mount.
_NOT_SHOWN = re.compile(
    r"(defaults|auto|noauto|_netdev|nofail|fail|user|users|nouser|owner|group|comment=.*|x-.*|bg|fg|retry=.*|ceph\..*)$"
)
_CEPH_FUSE = "ceph-fuse"


class Mounted(NamedTuple):
    """What is mounted on a folder."""

    source: str
    fs_type: str
    options: str


class Entry(NamedTuple):
    """A line of /etc/fstab."""

    source: str
    fs_type: str
    options: str


def mount(ledger: Ledger, step: Dict[str, Any]) -> None:
    """Have the file system of fstab on a folder; refused while anybody has files open there."""
    path = step["path"].rstrip("/") or "/"
    entry = entry_of(path)
    if entry is None:
        raise Trouble("/etc/fstab has no line for {}".format(path))
    now = mounted_on(path)
    if now is not None and _as_wanted(now, entry, path):
        return
    if now is not None and not step.get("again"):
        raise Trouble("{} is mounted on {} instead of {}".format(now.source, path, entry.source))
    refuse_if_used(path)
    if now is None and not os.path.isdir(path):
        raise Trouble("the folder {} is not there".format(path))
    reload_units()
    act = ledger.begin("mount", path=path, before=list(now) if now else None)
    if now is not None:
        unmount(path, _is_stale(path))
    problem = mount_by_fstab(path)
    if problem:
        if now is not None:
            run(["mount", "-t", now.fs_type, "-o", _given(now.options), now.source, path], MOUNT_S)
        raise Trouble("{} cannot be mounted on {}: {}".format(entry.source, path, problem))
    ledger.done(act)


def take_back(act: Act) -> Optional[str]:
    """Unmount what was mounted; returns why not. ``finish`` mounts again what was there before."""
    path = act["path"]
    now = mounted_on(path)
    if now is None or (act["before"] is not None and "done" not in act and list(now) == act["before"]):
        return None
    try:
        refuse_if_used(path)
        unmount(path, _is_stale(path))
    except Trouble as trouble:
        return str(trouble)
    return None


def is_taken_back(act: Act) -> bool:
    """Whether what a run mounted is gone."""
    now = mounted_on(act["path"])
    return now is None or (act["before"] is not None and list(now) == act["before"])


def finish(act: Act) -> Optional[str]:
    """Mount what was there before the run, once fstab is as before; returns why not."""
    before, path = act["before"], act["path"]
    if before is None or mounted_on(path) is not None:
        return None
    source, fs_type, options = before
    entry = entry_of(path)
    if entry is not None and shown_source(entry) == source:
        problem = mount_by_fstab(path)
    else:
        ran = run(["mount", "-t", fs_type, "-o", _given(options), source, path], MOUNT_S)
        problem = "" if ran.status == 0 else ran.said
    return "{} cannot be mounted on {} again: {}".format(source, path, problem) if problem else None


def mounted_on(path: str) -> Optional[Mounted]:
    """Return what is mounted on a folder, the last of several on top of each other."""
    found = None
    for source, target, fs_type, options in mounts():
        if target == path and fs_type != "autofs":
            found = Mounted(source, fs_type, options)
    return found


def mounts() -> List[List[str]]:
    """All mounts: source, target, type, options (those of the file system with those of the mount)."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            own, _, rest = line.partition(" - ")
            words, told = own.split(), rest.split()
            options = words[5] + ("," + told[2] if len(told) > 2 else "")
            found.append([_plain(told[1]), _plain(words[4]), told[0], options])
    return found


def entry_of(path: str) -> Optional[Entry]:
    """Return the line of /etc/fstab for a folder."""
    try:
        with open("/etc/fstab", encoding="utf-8", errors="surrogateescape") as file:
            lines = lines_of(file.read())
    except OSError:
        return None
    for line in lines:
        words = line.split()
        if not line.lstrip().startswith("#") and len(words) >= 3 and _plain(words[1]).rstrip("/") == path.rstrip("/"):
            return Entry(_plain(words[0]), words[2], words[3] if len(words) > 3 else "defaults")
    return None


def refuse_if_used(path: str) -> None:
    """Raise Trouble when instances or other processes have files open below a folder, or sit in it."""
    users = _users(path)
    if not users:
        return
    guests = instances()
    names = sorted({guests[pid] for pid in users if pid in guests})
    if names:
        raise Trouble("the instances {} have disks open in {}; move them away first".format(", ".join(names), path))
    told = ", ".join("{} ({})".format(_name_of(pid), pid) for pid in users[:5])
    raise Trouble("files in {} are open in {}; stop that first".format(path, told))


def _users(path: str) -> List[int]:
    inside = path.rstrip("/") + "/"
    found = []
    for folder in glob.glob("/proc/[0-9]*"):
        pid = int(folder.split("/")[2])
        if pid == os.getpid():
            continue
        links = [folder + "/cwd", folder + "/root"] + glob.glob(folder + "/fd/*")
        if any((_link(link) + "/").startswith(inside) for link in links) or _maps(folder, inside):
            found.append(pid)
    return sorted(found)


def _maps(folder: str, inside: str) -> bool:
    try:
        with open(folder + "/maps", errors="replace") as file:
            return any(inside in line for line in file)
    except OSError:
        return False


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _name_of(pid: int) -> str:
    try:
        with open("/proc/{}/comm".format(pid)) as file:
            return file.read().strip()
    except OSError:
        return "a process"


def shown_source(entry: Entry) -> str:
    """Return the source that the kernel shows of what a line of fstab mounts: ceph-fuse only ever names itself."""
    return _CEPH_FUSE if entry.fs_type == "fuse.ceph" else entry.source


def _as_wanted(now: Mounted, entry: Entry, path: str) -> bool:
    if now.source.rstrip("/") != shown_source(entry).rstrip("/") or _is_stale(path):
        return False
    shown = now.options.split(",")
    if ("ro" in shown) != ("ro" in entry.options.split(",")):  # the kernel turns a broken file system read-only
        return False
    return all(option in shown or _NOT_SHOWN.match(option) for option in entry.options.split(","))


def _is_stale(path: str) -> bool:
    """Whether the file system does not answer; asked by another process, which may hang."""
    return run(["stat", "-f", path], 5).status != 0


def unmount(path: str, stale: bool) -> None:
    """Unmount a folder that nobody uses; ``stale``: by force if it has to be. Raises Trouble when it cannot be."""
    ran = run(["umount", path], 30)
    if ran.status != 0 and stale:  # a server that is gone: nobody has files open there, as was seen before
        ran = run(["umount", "-f", "-l", path], 30)
    if ran.status != 0:
        raise Trouble("{} cannot be unmounted: {}".format(path, ran.said))


def mount_by_fstab(path: str) -> str:
    """Mount by fstab; returns why it failed. By systemd, so that what a mount needs is started, and outlives us."""
    unit = escaped_mount(path)
    if unit is not None:
        run(["systemctl", "reset-failed", unit], 10)
        ran = run(["systemctl", "start", "--", unit], MOUNT_S)
        if ran.status == 0 and mounted_on(path) is not None:
            return ""
    said = run(["mount", path], MOUNT_S)  # it tells the reason better
    if mounted_on(path) is not None:
        return ""
    return said.said or "it was not mounted"


def _given(options: str) -> str:
    """Options of a mount in a form that mount takes: without what only the kernel says of itself."""
    own = [
        word
        for word in options.split(",")
        if not re.match(r"(addr|clientaddr|mountaddr|user_id|group_id|max_read)=", word)
    ]
    return ",".join(dict.fromkeys(own))


def _plain(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)
