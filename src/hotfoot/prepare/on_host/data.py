"""Data of a local folder moved onto the shared file system that takes its place: copied, compared, the old one kept."""

import errno
import fcntl
import hashlib
import json
import os
import stat
from contextlib import suppress
from typing import AbstractSet, Any, Dict, FrozenSet, Iterator, List, NamedTuple, Optional, Tuple

from hotfoot.prepare.on_host.ledger import Act, Ledger, runs, sync_folder
from hotfoot.prepare.on_host.mounts import (
    MOUNT_S,
    entry_of,
    mount_by_fstab,
    mounted_on,
    mounts,
    refuse_if_used,
    shown_source,
    unmount,
)
from hotfoot.prepare.on_host.paths import give_xattrs, xattrs_of
from hotfoot.prepare.on_host.programs import Trouble, run
from hotfoot.prepare.on_host.systemd import reload_units

_BLOCK = 1 << 20
_NEW = ".hotfoot-moving"
_ASIDE = "/run/hotfoot-move-"


class Name(NamedTuple):
    """A name below the folder, and what it is."""

    path: str
    found: os.stat_result


def move(ledger: Ledger, step: Dict[str, Any]) -> None:
    """Copy what is in a folder onto the share of fstab, keep the folder under another name, mount the share on it.

    Nothing on the share is written over: a name that is there with other content ends the step before anything is
    copied. Whatever goes wrong before the folder is renamed, what was copied is removed again.
    """
    path, keep = step["path"].rstrip("/"), step["keep"].rstrip("/")
    entry = entry_of(path)
    if entry is None or entry.source != step["source"]:
        raise Trouble("/etc/fstab does not mount {} on {}".format(step["source"], path))
    now = mounted_on(path)
    if now is not None and now.source.rstrip("/") == shown_source(entry).rstrip("/"):
        return
    if now is not None:
        raise Trouble("{} is mounted on {}; its data is not on this host".format(now.source, path))
    if not os.path.isdir(path) or os.path.islink(path):
        raise Trouble("{} is no folder".format(path))
    if os.path.lexists(keep):
        raise Trouble("{} is there, of an earlier move; look at it and remove it".format(keep))
    below = [target for _, target, _, _ in mounts() if target.startswith(path + "/")]
    if below:
        raise Trouble("{} is a mount of its own; unmount it first".format(below[0]))
    refuse_if_used(path)
    reload_units()
    for _, target, _, _ in mounts():  # of a move that was killed: one at a time is at work on a host
        if target.startswith(_ASIDE):
            _unmount_aside(target)
    work = _ASIDE + ledger.run
    unfinished = _folders_of_killed(ledger, path)
    act = ledger.begin("move-data", path=path, keep=keep, work=work, mount=list(entry), copies="", shared=False)
    copies = ledger.side_file("copies-{}".format(act["id"]))
    try:
        _mount_aside(act)
        names = list(names_in(path))
        refuse_conflicts(path, work, names)
        _refuse_without_room(path, work, names)
        copy_all(path, work, names, copies, unfinished)
        _unmount_aside(work)
        refuse_if_used(path)
    except (Trouble, OSError) as error:
        remove_copies(work, copies)
        _unmount_aside(work)
        ledger.undone(act)
        if isinstance(error, Trouble):
            raise
        raise Trouble("{} cannot be copied: {}".format(path, error)) from None
    _exchange(ledger, act)


def take_back(ledger: Ledger, act: Act, force: bool) -> Optional[str]:
    """Bring the folder of before back, and remove the copies; returns why not.

    Refused when a copy was changed since: the old data would take the place of newer. Refused, by force too, while an
    instance has a copy open, on whatever host: QEMU holds a lock on every image that it uses.
    """
    path, keep, work = act["path"], act["keep"], act["work"]
    copies = ledger.side_file("copies-{}".format(act["id"]))
    if mounted_on(work) is None and os.path.exists(copies):
        _mount_aside(act)
    try:
        used = list(locked(work, copies))
        if used:
            return "{} on the shared storage is in use; stop the instances that run from there".format(
                ", ".join(used[:5])
            )
        changed = list(changed_since(work, copies)) if os.path.lexists(keep) else []
        if changed and not force:
            told = ", ".join(changed[:5])
            return "{} on the shared storage changed since; the old data stays in {}".format(told, keep)
        if os.path.lexists(keep):
            if mounted_on(path) is not None:
                refuse_if_used(path)
                unmount(path, stale=False)
            if os.path.isdir(path):
                os.rmdir(path)
            os.rename(keep, path)
            sync_folder(os.path.dirname(path))
        remove_copies(work, copies)
    except OSError as error:
        return "{} cannot be brought back: {}".format(path, error)
    finally:
        _unmount_aside(work)
    return None


def _exchange(ledger: Ledger, act: Act) -> None:
    path, keep = act["path"], act["keep"]
    outside = os.lstat(path)
    os.rename(path, keep)
    os.mkdir(path, 0o700)
    os.chown(path, outside.st_uid, outside.st_gid)
    os.chmod(path, stat.S_IMODE(outside.st_mode))
    sync_folder(os.path.dirname(path))
    problem = mount_by_fstab(path)
    if problem:
        back = take_back(ledger, act, force=True)
        if back is None:
            ledger.undone(act)
        raise Trouble(
            "{} cannot be mounted on {}: {}; {}".format(
                act["mount"][0], path, problem, back or "the folder is as it was before"
            )
        )
    ledger.done(act)


def _folders_of_killed(ledger: Ledger, path: str) -> FrozenSet[str]:
    """Return the folders that killed moves of this path made: their modes and owners are yet to be given."""
    found: List[str] = []
    for name in runs(ledger.home):
        other = Ledger(name, ledger.home)
        for act in other.acts():
            if act["act"] == "move-data" and act["path"] == path and "done" not in act:
                copies = other.side_file("copies-{}".format(act["id"]))
                found.extend(each for each, digest in _listed(copies) if digest == "folder")
    return frozenset(found)


def names_in(folder: str) -> Iterator[Name]:
    """Yield all below a folder, each after the folder that it is in."""
    waiting = [""]
    while waiting:
        above = waiting.pop()
        for name in sorted(os.listdir(os.path.join(folder, above))):
            relative = os.path.join(above, name)
            found = os.lstat(os.path.join(folder, relative))
            if stat.S_ISDIR(found.st_mode):
                waiting.append(relative)
            if stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):
                yield Name(relative, found)  # sockets and pipes mean nothing on another host


def refuse_conflicts(source: str, target: str, names: List[Name]) -> None:
    """Raise Trouble where the target has another thing, or other content, under one of the names."""
    conflicts = []
    for name in names:
        there = os.path.join(target, name.path)
        if not os.path.lexists(there):
            continue
        mode = os.lstat(there).st_mode
        same = stat.S_IFMT(mode) == stat.S_IFMT(name.found.st_mode)
        if same and stat.S_ISREG(mode):
            same = _digest(there) == _digest(os.path.join(source, name.path))
        elif same and stat.S_ISLNK(mode):
            same = os.readlink(there) == os.readlink(os.path.join(source, name.path))
        if not same:
            conflicts.append(name.path)
    if conflicts:
        told = ", ".join(conflicts[:5]) + (" and {} more".format(len(conflicts) - 5) if conflicts[5:] else "")
        raise Trouble(
            "the shared storage has other files of the same names as {}: {}; nothing was copied".format(source, told)
        )


def _refuse_without_room(source: str, target: str, names: List[Name]) -> None:
    needed = sum(name.found.st_blocks * 512 for name in names if not os.path.lexists(os.path.join(target, name.path)))
    room = os.statvfs(target)
    free = room.f_bavail * room.f_frsize
    if needed > free:
        raise Trouble(
            "there is no room on the shared storage for {}: {} MiB are needed, {} are free".format(
                source, needed >> 20, free >> 20
            )
        )


def copy_all(
    source: str, target: str, names: List[Name], copies: str, unfinished: AbstractSet[str] = frozenset()
) -> None:
    """Copy what the target does not have, each name noted in the file ``copies`` before it is made.

    ``unfinished`` are folders that an earlier copy made and did not come to the end of.
    """
    folders: List[Tuple[str, str]] = []
    with open(copies, "a", encoding="ascii") as listed:

        def note(path: str, digest: str) -> None:
            listed.write(json.dumps([path, digest]) + "\n")
            listed.flush()
            os.fsync(listed.fileno())

        for name in names:
            old, new = os.path.join(source, name.path), os.path.join(target, name.path)
            if os.path.lexists(new):
                if name.path in unfinished and stat.S_ISDIR(name.found.st_mode):
                    folders.append((old, new))
                continue
            if stat.S_ISDIR(name.found.st_mode):
                note(name.path, "folder")
                os.mkdir(new, 0o700)
                folders.append((old, new))
            elif stat.S_ISLNK(name.found.st_mode):
                note(name.path, "link " + os.readlink(old))
                os.symlink(os.readlink(old), new)
                os.chown(new, name.found.st_uid, name.found.st_gid, follow_symlinks=False)
                os.utime(new, ns=(name.found.st_atime_ns, name.found.st_mtime_ns), follow_symlinks=False)
            else:
                _copy_file(old, new, name, note)
    for old, new in reversed(folders):  # after their content, which changes their times
        found = os.lstat(old)
        descriptor = os.open(new, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _outside(descriptor, found, old)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _copy_file(old: str, new: str, name: Name, note: Any) -> None:
    """Copy beside, compare what the storage gives back, and only then give it its name."""
    folder, last = os.path.split(new)
    beside = os.path.join(folder, "." + last + _NEW)
    with suppress(FileNotFoundError):  # of a move that was killed
        os.unlink(beside)
    note(os.path.join(os.path.dirname(name.path), os.path.basename(beside)), "part")
    source = os.open(old, os.O_RDONLY | os.O_NOFOLLOW)
    target = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        _copy_content(source, target, name.found.st_size)
        _outside(target, name.found, old)
        os.fsync(target)
        os.posix_fadvise(target, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(source)
        os.close(target)
    digest = _digest(beside)
    if digest != _digest(old):
        os.unlink(beside)
        raise Trouble("{} read back from the shared storage is not what was written".format(name.path))
    note(name.path, digest)
    try:
        os.link(beside, new)  # never over a name that another host made meanwhile
    except FileExistsError:
        if _digest(new) != digest:
            raise Trouble("another host put another {} onto the shared storage meanwhile".format(name.path)) from None
    finally:
        os.unlink(beside)


def _copy_content(source: int, target: int, size: int) -> None:
    """Copy data and leave holes out: disks are mostly holes."""
    place = 0
    while place < size:
        try:
            start = os.lseek(source, place, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                break
            raise
        end = os.lseek(source, start, os.SEEK_HOLE)
        while start < end:
            block = os.pread(source, min(_BLOCK, end - start), start)
            if not block:
                raise OSError(errno.EIO, "it became shorter while it was read")
            start += os.pwrite(target, block, start)
        place = end
    os.ftruncate(target, size)


def _outside(descriptor: int, found: os.stat_result, old: str) -> None:
    os.fchown(descriptor, found.st_uid, found.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(found.st_mode))
    give_xattrs(descriptor, {name: value for name, value in xattrs_of(old).items() if name.startswith("user.")})
    os.utime(descriptor, ns=(found.st_atime_ns, found.st_mtime_ns))


def _listed(copies: str) -> List[Tuple[str, str]]:
    found = []
    with suppress(FileNotFoundError), open(copies, encoding="ascii") as lines:
        for line in lines:
            with suppress(ValueError):  # a line that was cut off: what it would tell was not done
                path, digest = json.loads(line)
                found.append((path, digest))
    return found


def changed_since(target: str, copies: str) -> Iterator[str]:
    """Yield the copied files that are gone or of other content by now."""
    for path, digest in _listed(copies):
        there = os.path.join(target, path)
        if not _is_file(digest):
            continue
        if not os.path.isfile(there) or _digest(there) != digest:
            yield path


def locked(target: str, copies: str) -> Iterator[str]:
    """Yield the copied files that somebody holds a lock on, here or on another host."""
    for path in dict.fromkeys(path for path, digest in _listed(copies) if _is_file(digest)):
        with suppress(FileNotFoundError), open(os.path.join(target, path), "r+b") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.EACCES):
                    yield path


def remove_copies(target: str, copies: str) -> None:
    """Remove what was copied and is still the same, newest first; folders that are empty then."""
    for path, digest in reversed(_listed(copies)):
        there = os.path.join(target, path)
        with suppress(OSError):
            if digest == "folder":
                os.rmdir(there)
            elif digest == "part":
                os.unlink(there)
            elif digest.startswith("link "):
                if os.readlink(there) == digest[len("link ") :]:
                    os.unlink(there)
            elif _digest(there) == digest:
                os.unlink(there)
    with suppress(FileNotFoundError):
        os.unlink(copies)


def _is_file(digest: str) -> bool:
    return digest not in ("folder", "part") and not digest.startswith("link ")


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(_BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()


def _mount_aside(act: Act) -> None:
    source, fs_type, options = act["mount"]
    work = act["work"]
    os.makedirs(work, 0o700, exist_ok=True)
    given = ",".join(
        option for option in options.split(",") if not option.startswith(("x-", "nofail", "_netdev", "noauto"))
    )
    ran = run(["mount", "-t", fs_type, "-o", given or "defaults", source, work], MOUNT_S)
    if ran.status != 0 or mounted_on(work) is None:
        _unmount_aside(work)
        raise Trouble("{} cannot be mounted: {}".format(source, ran.said or "mount said nothing"))


def _unmount_aside(work: str) -> None:
    if mounted_on(work) is not None:
        run(["umount", work], 30)
    with suppress(OSError):
        os.rmdir(work)
