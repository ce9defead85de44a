"""Files: written whole or not at all, and put back byte for byte."""

import errno
import hashlib
import os
import stat
from typing import Any, Dict, Iterable, Optional, Sequence

from hotfoot.prepare.on_host.ledger import Act, Ledger, sync_folder
from hotfoot.prepare.on_host.paths import (
    give_xattrs,
    label,
    make_above,
    outside,
    owner_of,
    resolve,
    set_outside,
    xattrs_of,
)
from hotfoot.prepare.on_host.programs import Trouble, run
from hotfoot.reach.probe.secrets import mark, unmark

ABSENT = ""
"""The digest of a file that is not there."""


def put(
    ledger: Ledger,
    path: str,
    data: bytes,
    mode: Optional[int] = None,
    owner: Optional[str] = None,
    check: Sequence[str] = (),
) -> None:
    """Make a file hold exactly this, with mode and owner (None: as they are; 0644 root of a new one).

    The new file is written beside the old one, checked, and renamed: at every moment there is one of the two, whole.
    """
    real = resolve(path)
    old = content(real)
    if old == data:
        set_outside(ledger, real, mode, owner)
        return
    make_above(ledger, real)
    keep = outside(os.lstat(real), xattrs_of(real)) if old is not None else None
    numbers = owner_of(owner) if owner else (keep["uid"], keep["gid"]) if keep else (0, 0)
    after = {
        "mode": mode if mode is not None else keep["mode"] if keep else 0o644,
        "uid": numbers[0],
        "gid": numbers[1],
        "xattrs": keep["xattrs"] if keep else {},
    }
    act = _begin(ledger, real, old, keep, digest(data))
    try:
        _replace(act, data, after, check)
    except Trouble:
        ledger.undone(act)
        raise
    if old is None:
        label(real)
    ledger.done(act)


def put_text(ledger: Ledger, order: Dict[str, Any]) -> None:
    """Carry out an ``edit`` or ``put`` step: its whole new text, with marks in place of the file's secrets.

    Refuses a file that is not the one from which the text was made, unless it already is as wanted.
    """
    step, path = order["step"], order["step"]["path"]
    old = content(resolve(path))
    text = order["new_text"]
    marked, values = mark(_decoded(path, old)) if old is not None else ("", [])
    if old is not None and _bare(text) == _bare(marked):
        set_outside(ledger, path, step.get("mode"), step.get("owner"))
        return
    if digest(old) != order["old_sha256"]:
        what = "was made" if not order["old_sha256"] else "was removed" if old is None else "was changed"
        raise Trouble("{} {} by somebody else after the plan was made; make a new plan".format(path, what))
    try:
        data = unmark(text, values).encode("utf-8")
    except (ValueError, IndexError, KeyError):
        raise Trouble(
            "the secrets in {} are not those from which the plan was made; make a new plan".format(path)
        ) from None
    put(ledger, path, data, step.get("mode"), step.get("owner"), step.get("check") or ())


def replace(path: str, data: bytes) -> None:
    """Give a file that is there another content, whole or not at all, and nothing else of it; keeps no old version."""
    _replace({"path": path}, data, {**outside(os.lstat(path), xattrs_of(path)), "mtime_ns": None}, ())


def remove(ledger: Ledger, path: str, old_sha256: str) -> None:
    """Make a file be no more; of a symbolic link the link goes, not what it points to.

    Refuses a file that is not the one that the plan saw.
    """
    folder, name = os.path.split(path)
    real = os.path.join(resolve(folder), name)
    if not os.path.lexists(real):
        return
    if os.path.islink(real):
        act = ledger.begin("file", path=real, link=os.readlink(real), wrote=ABSENT)
    else:
        old = content(real)
        if digest(old) != old_sha256:
            raise Trouble("{} was changed by somebody else after the plan was made; make a new plan".format(path))
        act = _begin(ledger, real, old, outside(os.lstat(real), xattrs_of(real)), ABSENT)
    os.unlink(real)
    sync_folder(os.path.dirname(real))
    ledger.done(act)


def will_make(ledger: Ledger, path: str) -> Act:
    """Write down that a program is about to make a file that is not there; end it with ``made``."""
    return _begin(ledger, path, None, None, None)


def made(ledger: Ledger, act: Act) -> None:
    """Write down what the program made."""
    ledger.done(act, wrote=digest(content(act["path"])))


def take_back(ledger: Ledger, act: Act, force: bool) -> Optional[str]:
    """Put a file back as it was; returns why not."""
    path = act["path"]
    if os.path.lexists(_temporary(path)):
        os.unlink(_temporary(path))
    if "link" in act:
        return _take_back_link(act, force)
    before = ledger.load(act["saved"]) if act["saved"] else None
    now = content(path)
    wrote = act.get("done", {}).get("wrote", act["wrote"])
    if now != before and wrote is not None and digest(now) != wrote and not force:
        return "{} was changed since by somebody else; it was left as it is".format(path)
    if before is None:
        if now is not None:
            os.unlink(path)
            sync_folder(os.path.dirname(path))
        return None
    if not os.path.isdir(os.path.dirname(path)):
        return "{} cannot be put back: its folder is gone".format(path)
    _replace(act, before, act["outside"], ())
    return None


def content(path: str) -> Optional[bytes]:
    """Return the bytes of a plain file, None where there is none. Raises Trouble for what is not a file."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(found.st_mode):
        raise Trouble("{} is not a plain file".format(path))
    with open(path, "rb") as file:
        return file.read()


def digest(data: Optional[bytes]) -> str:
    """SHA-256 of a content in hex, ``ABSENT`` for none."""
    return ABSENT if data is None else hashlib.sha256(data).hexdigest()


def _begin(
    ledger: Ledger, real: str, old: Optional[bytes], keep: Optional[Dict[str, Any]], wrote: Optional[str]
) -> Act:
    return ledger.begin("file", path=real, saved=ledger.save(old) if old is not None else "", outside=keep, wrote=wrote)


def _take_back_link(act: Act, force: bool) -> Optional[str]:
    path = act["path"]
    if os.path.islink(path) and os.readlink(path) == act["link"]:
        return None
    if os.path.lexists(path):
        if not force:
            return "{} was made anew since by somebody else; it was left as it is".format(path)
        os.unlink(path)
    os.symlink(act["link"], path)
    return None


def _temporary(path: str) -> str:
    # Hidden, and with an end that no service reads as configuration.
    folder, name = os.path.split(path)
    return os.path.join(folder, ".{}.hotfoot-new".format(name))


def _replace(act: Act, data: bytes, after: Dict[str, Any], check: Iterable[str]) -> None:
    path = act["path"]
    temporary = _temporary(path)
    try:
        if os.path.lexists(temporary):  # of a run that was killed
            os.unlink(temporary)
        try:
            _write(temporary, data, after)
            _accept(path, temporary, list(check))
            os.rename(temporary, path)
        finally:
            if os.path.lexists(temporary):
                os.unlink(temporary)
        sync_folder(os.path.dirname(path))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Trouble("there is no room for {}; it is as it was".format(path)) from None
        raise Trouble("{} cannot be written: {}; it is as it was".format(path, error.strerror)) from None


def _write(path: str, data: bytes, after: Dict[str, Any]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fchown(descriptor, after["uid"], after["gid"])
        give_xattrs(descriptor, after["xattrs"])
        os.fchmod(descriptor, after["mode"])
        if after.get("mtime_ns") is not None:
            os.utime(descriptor, ns=(after["atime_ns"], after["mtime_ns"]))
        os.fsync(descriptor)


def _accept(path: str, temporary: str, check: Sequence[str]) -> None:
    if not check:
        return
    ran = run([word.replace("{}", temporary) for word in check], 60)
    if ran.status != 0:
        raise Trouble("{} refuses the new {}, which was not put in place: {}".format(check[0], path, ran.said))


def _decoded(path: str, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Trouble("{} is not text in UTF-8; it was left as it is".format(path)) from None


def _bare(text: str) -> str:
    """The text without the numbers of its marks: they count anew in a file from which a secret was taken out."""
    parts = text.split("@secret:")
    return "@secret:".join([parts[0]] + [part.lstrip("0123456789") for part in parts[1:]])
