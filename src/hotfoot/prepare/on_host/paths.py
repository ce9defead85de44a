"""Files and folders from outside: owner, mode, label, and which links root may follow."""

import grp
import os
import pwd
import stat
from typing import Any, Dict, List, Optional, Tuple

from hotfoot.prepare.on_host.ledger import Act, Ledger, packed, unpacked
from hotfoot.prepare.on_host.programs import Trouble, run, there

Owner = Tuple[int, int]
_ENFORCE = "/sys/fs/selinux/enforce"


def owner_of(text: str) -> Owner:
    """Return the numbers of ``user:group`` (names or numbers). Raises Trouble for a name that is not known here."""
    user, _, group = text.partition(":")
    try:
        uid = int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid
    except KeyError:
        raise Trouble("there is no user {} on this host".format(user)) from None
    try:
        if not group:
            return uid, pwd.getpwuid(uid).pw_gid
        return uid, int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise Trouble("there is no group {} on this host".format(group or "of user {}".format(user))) from None


def resolve(path: str) -> str:
    """Return the real path; links are followed only where root alone could have made them.

    Else a user could have root write where he cannot: a link in ~nova/.ssh to /etc/shadow is refused.
    """
    seen, rest, hops = "/", [part for part in path.split("/") if part], 0
    while rest:
        part = rest.pop(0)
        if part == "..":
            seen = os.path.dirname(seen)
            continue
        step = os.path.join(seen, part)
        if not os.path.islink(step):
            seen = step
            continue
        above = os.stat(seen)
        if above.st_uid != 0 or above.st_mode & 0o022:
            raise Trouble(
                "{} is a symbolic link in a folder that others than root can write; it is not followed".format(step)
            )
        hops += 1
        if hops > 40:
            raise Trouble("{} is a ring of symbolic links".format(path))
        target = os.readlink(step)
        rest = [part for part in target.split("/") if part and part != "."] + rest
        if target.startswith("/"):
            seen = "/"
    return seen


def outside(found: os.stat_result, xattrs: Dict[str, str]) -> Dict[str, Any]:
    """Return what is restored of a file beside its content."""
    return {
        "mode": stat.S_IMODE(found.st_mode),
        "uid": found.st_uid,
        "gid": found.st_gid,
        "mtime_ns": found.st_mtime_ns,
        "atime_ns": found.st_atime_ns,
        "xattrs": xattrs,
    }


def xattrs_of(path: str) -> Dict[str, str]:
    """Return extended attributes (labels, ACLs, capabilities), packed."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return {}
    found = {}
    for name in names:
        try:
            found[name] = packed(os.getxattr(path, name, follow_symlinks=False))
        except OSError:
            continue
    return found


def give_xattrs(descriptor: int, xattrs: Dict[str, str]) -> None:
    """Set extended attributes, those that the file system can have."""
    for name, value in xattrs.items():
        try:
            os.setxattr(descriptor, name, unpacked(value))
        except OSError:
            continue


def label(path: str) -> None:
    """Give a new file or folder the SELinux label that the policy has for its place."""
    if os.path.exists(_ENFORCE) and there("restorecon"):
        run(["restorecon", "-F", path])


def set_outside(ledger: Ledger, path: str, mode: Optional[int], owner: Optional[str]) -> None:
    """Give a file or folder, which is there, a mode and an owner; nothing when it has them."""
    real = resolve(path)
    try:
        found = os.lstat(real)
    except OSError:
        raise Trouble("{} is not there".format(path)) from None
    uid, gid = owner_of(owner) if owner else (found.st_uid, found.st_gid)
    wanted = stat.S_IMODE(found.st_mode) if mode is None else mode
    before = _numbers(found)
    after = [wanted, uid, gid]
    if before == after:
        return
    act = ledger.begin("outside", path=real, before=before, after=after)
    _give(real, after)
    ledger.done(act)


def take_back_outside(act: Act, force: bool) -> Optional[str]:
    """Give back mode and owner; returns why not."""
    path = act["path"]
    try:
        now = _numbers(os.lstat(path))
    except OSError:
        return None  # what made it has been taken back, or somebody removed it
    if now == act["before"]:
        return None
    # Half done counts too: the owner is given before the mode.
    if now != act["after"] and now[1:] != act["after"][1:] and not force:
        return "the owner of {} was changed since by somebody else; it was left as it is".format(path)
    _give(path, act["before"])
    return None


def make_folder(ledger: Ledger, path: str, mode: int = 0o755, owner: str = "root:root") -> None:
    """Make a folder and those above it (0755, root) be there; one that is there gets mode and owner."""
    real = resolve(path)
    if os.path.isdir(real):
        set_outside(ledger, real, mode, owner)
        return
    if os.path.lexists(real):
        raise Trouble("{} is there, and is not a folder".format(path))
    numbers = owner_of(owner)
    for each in _missing(os.path.dirname(real)):
        _make(ledger, each, 0o755, (0, 0))
    _make(ledger, real, mode, numbers)


def make_above(ledger: Ledger, path: str) -> None:
    """Make the folders above a path be there."""
    for each in _missing(os.path.dirname(path)):
        _make(ledger, each, 0o755, (0, 0))


def take_back_folder(act: Act) -> Optional[str]:
    """Remove a folder that was made, when it is empty; returns why not."""
    try:
        os.rmdir(act["path"])
    except FileNotFoundError:
        return None
    except OSError:
        return "the folder {} is in use or not empty; it was left".format(act["path"])
    return None


def _missing(path: str) -> List[str]:
    found: List[str] = []
    while not os.path.isdir(path):
        if os.path.lexists(path):
            raise Trouble("{} is there, and is not a folder".format(path))
        found.insert(0, path)
        path = os.path.dirname(path)
    return found


def _make(ledger: Ledger, path: str, mode: int, owner: Owner) -> None:
    act = ledger.begin("folder", path=path)
    try:
        os.mkdir(path, 0o700)
    except OSError as error:
        ledger.undone(act)
        raise Trouble("the folder {} cannot be made: {}".format(path, error.strerror)) from None
    _give(path, [mode, owner[0], owner[1]])
    label(path)
    ledger.done(act)


def _numbers(found: os.stat_result) -> List[int]:
    return [stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid]


def _give(path: str, numbers: List[int]) -> None:
    mode, uid, gid = numbers
    try:
        os.chown(path, uid, gid, follow_symlinks=False)
        os.chmod(path, mode)  # after the owner: changing that takes setuid bits away
    except OSError as error:
        raise Trouble("mode and owner of {} cannot be changed: {}".format(path, error.strerror)) from None
