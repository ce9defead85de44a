"""Token files in storage folders: written, locked, held, read by the others, and removed in any case.

Runs on hosts (Python 3.6 and newer, standard library only), joined with its neighbours before it is sent.

Each token is held by a process of its own, which removes it when it is told to, when the program that started it ends
in whatever way, or when nobody has said a word for ``SILENCE_S``. A process of its own also so that a file system that
hangs holds up nobody else: that process goes on when the file system does, finds that its time is over, and removes
what it wrote. A later run removes what is older than an hour.
"""

import errno
import fcntl
import hashlib
import json
import mmap
import os
import re
import stat
import time
from contextlib import suppress
from typing import Any, NoReturn

from hotfoot.reach.proof.waiting import Ended, Lines, Waiter, said, write_all

STALE_S = 3600
STALE_ATTRIBUTES_S = 2.0
TOKEN_BYTES = 4096
"""One page: the least that every file system reads with O_DIRECT."""

_TOKEN = re.compile(r"\.hotfoot-proof-[0-9a-f]{12}\.\d+-")


class FolderToken:
    """One folder, with a token of this host's in it."""

    def __init__(self, path: str, name: str) -> None:
        self._path = path
        self._file = os.path.join(path, name)

    def hold(self) -> "tuple[bool, dict[str, Any]]":
        """Write the token and lock it: whether it is held, and what to answer."""
        return _hold(self._path, self._file)

    def look(self, tokens: "list[dict[str, Any]]") -> "dict[str, Any]":
        """Look at the tokens of other hosts; return what is seen of each, by host."""
        until = time.monotonic() + STALE_ATTRIBUTES_S
        return {each["host"]: _look_at_token(self._path, each, until) for each in tokens}

    def remove(self) -> None:
        """Remove the token, if it is there."""
        _remove(self._file)


class Keeper:
    """The starter's side of the process that holds one token (a ``FolderToken``, or what has the same three methods).

    ``path`` is what the controller calls the place of the token.
    """

    def __init__(self, path: str, token: "Any") -> None:
        self.path = path
        ask_read, self._asks = os.pipe()
        self._answers = Lines(-1)
        self._answers.descriptor, answer_write = os.pipe()
        if os.fork() == 0:
            _be_keeper(token, ask_read, answer_write)
        os.close(ask_read)
        os.close(answer_write)

    @property
    def descriptor(self) -> int:
        """Readable when there is an answer, or when the process has ended."""
        return self._answers.descriptor

    def ask(self, question: "Any") -> None:
        """Send a question; a process that has ended gives no answer."""
        with suppress(OSError):
            write_all(self._asks, json.dumps(question).encode() + b"\n")

    def hear(self) -> "tuple[Any | None, bool]":
        """Return the answer if it is whole, and whether the process has ended."""
        self._answers.read()
        return self._answers.next(), self._answers.ended

    def let_go(self) -> None:
        """Have the token removed."""
        os.close(self._asks)


def _be_keeper(token: "Any", asks: int, answers: int) -> "NoReturn":
    """Hold one token until nobody wants it any more (in a child process, which never returns)."""
    tried = False
    try:
        _leave_behind(asks, answers)
        waiter = Waiter(Lines(asks))
        tried = True
        held, answer = token.hold()
        write_all(answers, json.dumps(answer).encode() + b"\n")
        while held:
            question = waiter.question()
            write_all(answers, json.dumps(token.look(question["tokens"])).encode() + b"\n")
    except Ended:
        pass
    finally:
        if tried:
            token.remove()
        os._exit(0)


def _leave_behind(*kept: int) -> None:
    """Hold none of the parent's descriptors: neither its session's end nor that of the other keepers must wait."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in kept:
            with suppress(OSError):  # the listing's own
                os.close(int(name))


def _hold(path: str, file: str) -> "tuple[bool, dict[str, Any]]":
    """Write the token and lock it; the lock lasts as long as this process, or until it closes the file."""
    content = os.urandom(TOKEN_BYTES // 2).hex().encode()
    lock_error = ""
    try:
        folder = os.stat(path)
        if not stat.S_ISDIR(folder.st_mode):
            return False, {"problem": os.strerror(errno.ENOTDIR)}
        os.umask(0o022)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        write_all(descriptor, content)
        # The owner who is compared is one who matters; where root is squashed, what is seen tells.
        with suppress(OSError):
            os.fchown(descriptor, folder.st_uid, folder.st_gid)
        os.fsync(descriptor)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock_error = said(error)
        seen = os.fstat(descriptor)
    except OSError as error:
        return False, {"problem": said(error)}
    _remove_stale(path, seen.st_mtime)
    digest = hashlib.sha256(content).hexdigest()
    return True, {"problem": "", "sha256": digest, "uid": seen.st_uid, "gid": seen.st_gid, "lock_error": lock_error}


def _remove_stale(path: str, now: float) -> None:
    """Remove tokens that a killed host left; ``now`` is by the file system's own clock."""
    with suppress(OSError):
        for name in filter(_TOKEN.match, os.listdir(path)):
            with suppress(OSError):  # another host removes them too
                found = os.lstat(os.path.join(path, name))
                if stat.S_ISREG(found.st_mode) and now - found.st_mtime > STALE_S:
                    _remove(os.path.join(path, name))


def _remove(file: str) -> None:
    with suppress(OSError):  # it is not there, or the file system is read-only by now
        os.unlink(file)


def _look_at_token(path: str, token: "dict[str, Any]", until: float) -> "dict[str, Any]":
    """Look at another host's token; again, until a time, where it is there with other content or another owner.

    FUSE takes the attributes that came with a listing for true for a second: a token that was listed while it was
    being written reads as empty until then, and one that was not yet given away belongs to root.
    """
    found = _look_once(path, token)
    while _may_be_stale(found, token) and time.monotonic() < until:
        time.sleep(0.3)
        found = _look_once(path, token)
    return found


def _may_be_stale(found: "dict[str, Any]", token: "dict[str, Any]") -> bool:
    if "uid" not in found:
        return False
    return not found["same"] or any(found[key] != token.get(key, found[key]) for key in ("uid", "gid"))


def _look_once(path: str, token: "dict[str, Any]") -> "dict[str, Any]":
    """Read another host's token, try its lock, and read it past the page cache."""
    file = os.path.join(path, token["name"])
    found: dict[str, Any] = {"problem": "", "same": False, "lock_error": ""}
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return found
    except OSError as error:
        return {"problem": said(error)}
    try:
        content = os.read(descriptor, TOKEN_BYTES + 1)
        seen = os.fstat(descriptor)
        found["same"] = hashlib.sha256(content).hexdigest() == token["sha256"]
        found["uid"], found["gid"] = seen.st_uid, seen.st_gid
        found["lock_refused"] = False
        try:
            # A shared lock, for which reading is enough; the writer's exclusive one refuses it all the same.
            fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            found["lock_refused"] = error.errno in (errno.EACCES, errno.EAGAIN)
            found["lock_error"] = "" if found["lock_refused"] else said(error)
    except OSError as error:
        return {"problem": said(error)}
    finally:
        os.close(descriptor)
    found["direct"] = _direct(file) == content
    return found


def _direct(file: str) -> "bytes | None":
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECT)
    except OSError:
        return None
    try:
        with mmap.mmap(-1, TOKEN_BYTES) as page:  # anonymous memory is aligned to pages, as O_DIRECT needs it
            count = os.readv(descriptor, [page])
            return page[:count]
    except OSError:
        return None
    finally:
        os.close(descriptor)
