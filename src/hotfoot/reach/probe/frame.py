"""What every section of the probe needs: programs and files read with limits, and hung file systems kept apart.

Runs on hosts (Python 3.6 to 3.13, standard library only), joined with its neighbours by ``script``.
"""

import json
import os
import select
import signal
import stat
import subprocess
import time
from contextlib import suppress
from typing import Any

try:  # as the library's own random does: hashlib would load all of OpenSSL, which takes longer than all else here
    from _sha2 import sha256  # type: ignore[import-not-found]
except ImportError:
    from hashlib import sha256

MOST_TEXT_BYTES = 256 * 1024
REMOTE = ("nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "gfs2", "ocfs2", "lustre", "9p", "autofs", "afs", "gpfs")
ENVIRONMENT = dict(
    os.environ,
    LC_ALL="C",
    PATH=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
)
RUNNING = {}  # type: dict[int, subprocess.Popen[bytes]]
ANSWER_S = 8.0
"""How long a program may take: emulated or overloaded hosts need seconds for what others do in milliseconds."""


class Failed(Exception):
    """Something could not be told: the reason, for the operator."""


def program(name: str) -> "str | None":
    """Return where a program is."""
    places = (os.path.join(folder, name) for folder in ENVIRONMENT["PATH"].split(":") if folder)
    return next((place for place in places if os.access(place, os.X_OK) and os.path.isfile(place)), None)


def start(argv: "list[str]", reads: bool = False) -> "subprocess.Popen[bytes]":
    """Start a program, which reads what ``finish`` gives it or nothing. Raises Failed if it is not there."""
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE if reads else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
    except FileNotFoundError:
        raise Failed(f"{argv[0]} is not installed") from None
    except OSError as error:
        raise Failed(f"{argv[0]} cannot be run: {error.strerror}") from None
    RUNNING[process.pid] = process
    return process


def finish(
    process: "subprocess.Popen[bytes]", timeout_s: float = ANSWER_S, data: "bytes | None" = None
) -> "tuple[int, bytes, str]":
    """Return a program's status and both outputs. Raises Failed, and ends it, if it takes too long."""
    try:
        out, err = process.communicate(data, timeout_s)
    except subprocess.TimeoutExpired:
        end(process)
        words = " ".join(process.args[:3]) if isinstance(process.args, list) else str(process.args)
        raise Failed(f"`{words}` did not answer within {timeout_s:g} s") from None
    finally:
        RUNNING.pop(process.pid, None)
    return process.returncode, out, err.decode("utf-8", "replace")


def ask(argv: "list[str]", timeout_s: float = ANSWER_S, data: "bytes | None" = None) -> "tuple[int, str, str]":
    """Run a program; return its status and both outputs. Raises Failed if it is not there or takes too long."""
    status, out, err = finish(start(argv, data is not None), timeout_s, data)
    return status, out.decode("utf-8", "replace"), err


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a program with all that it started."""
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)


def tell(argv: "list[str]", timeout_s: float = ANSWER_S) -> str:
    """Return what a program prints. Raises Failed with its first complaint where it fails."""
    status, out, err = ask(argv, timeout_s)
    if status != 0:
        raise Failed("`{}` ended with {}: {}".format(" ".join(argv[:3]), status, first_line(err or out)))
    return out


def digest(data: bytes) -> str:
    """Return the SHA-256 of some bytes in hexadecimal digits."""
    return str(sha256(data).hexdigest())


def first_line(text: str) -> str:
    """Return the first line that is not empty."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "no message")


def text_of(path: str, limit: int = MOST_TEXT_BYTES) -> str:
    """Return a small file's text, empty where it cannot be read."""
    pieces = []  # type: list[bytes]
    with suppress(OSError), open(path, "rb", 0) as file:
        while limit > 0:
            piece = file.read(min(limit, 1 << 16))
            if not piece:
                break
            pieces.append(piece)
            limit -= len(piece)
    return b"".join(pieces).decode("utf-8", "replace")


def word_of(path: str) -> str:
    """Return the text of a file of one word, as in /sys."""
    return text_of(path).strip("\0 \n\t")


def between(text: str, before: str, after: str) -> str:
    """Return what stands between the first ``before`` and the next ``after``; an expression would cost more."""
    begin = text.find(before)
    stop = text.find(after, begin + len(before)) if begin >= 0 else -1
    return text[begin + len(before) : stop] if stop >= 0 else ""


def matching(pattern: str) -> "list[str]":
    """Return the paths that an absolute pattern matches, in order; only ``*`` is special.

    As ``glob`` does, which has an expression compiled for each pattern.
    """
    found = ["/"]
    parts = pattern.strip("/").split("/")
    for part in parts:
        if "*" in part:
            found = [os.path.join(folder, name) for folder in found for name in listed(folder) if _fits(name, part)]
        else:
            found = [os.path.join(folder, part) for folder in found]
    # What a folder lists is there; to look at it could hang, where it is a mount point.
    return sorted(found if "*" in parts[-1] else filter(os.path.lexists, found))


def listed(folder: str) -> "list[str]":
    """Return the names in a folder, none where it cannot be read."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _fits(name: str, part: str) -> bool:
    first, *others = part.split("*")
    if not name.startswith(first) or (name.startswith(".") and not first):
        return False
    at = len(first)
    for piece in others[:-1]:
        at = name.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return name.endswith(others[-1]) and len(name) - len(others[-1]) >= at


def outside(path: str) -> "dict[str, Any]":
    """Return a path's kind, mode and owner, of what a symbolic link points to."""
    try:
        found = os.stat(path)
    except OSError:
        return {"path": path, "exists": False, "kind": "link" if os.path.islink(path) else ""}
    kinds = (
        (stat.S_ISREG, "file"),
        (stat.S_ISDIR, "folder"),
        (stat.S_ISBLK, "block"),
        (stat.S_ISCHR, "character"),
        (stat.S_ISSOCK, "socket"),
    )
    return {
        "path": path,
        "exists": True,
        "kind": next((kind for test, kind in kinds if test(found.st_mode)), "other"),
        "mode": stat.S_IMODE(found.st_mode),
        "uid": found.st_uid,
        "gid": found.st_gid,
        "size_bytes": found.st_size,
    }


def read_mounts() -> "list[dict[str, str]]":
    """Return /proc/self/mountinfo: target, source, type, and options of the mount and of the file system."""
    mounts = []
    for line in text_of("/proc/self/mountinfo", 4 << 20).splitlines():
        first, _, second = line.partition(" - ")
        left, right = first.split(" "), second.split(" ")
        if len(left) < 6 or len(right) < 3:
            continue
        options = left[5].split(",")
        options += [option for option in right[2].split(",") if option not in options]
        mounts.append(
            {
                "target": plain_path(left[4]),
                "source": plain_path(right[1]),
                "fs_type": right[0],
                "options": ",".join(options),
            }
        )
    return mounts


def plain_path(text: str) -> str:
    """Undo the octal escapes of mountinfo."""
    for code, letter in (("040", " "), ("011", "\t"), ("012", "\n"), ("043", "#"), ("134", "\\")):
        text = text.replace("\\" + code, letter)
    return text


def mount_of(path: str, mounts: "list[dict[str, str]]") -> "dict[str, str] | None":
    """Return the mount that a path is on, judged by its name alone, which a hung file system cannot delay."""
    found = None
    for mount in mounts:
        target = mount["target"].rstrip("/")
        on_it = path == target or path.startswith(target + "/")
        if on_it and (found is None or len(target) >= len(found["target"].rstrip("/"))):
            found = mount
    return found


def is_remote(mount: "dict[str, str] | None") -> bool:
    """Whether a file system can hang because another machine does not answer."""
    return mount is not None and (mount["fs_type"] in REMOTE or mount["fs_type"].startswith("fuse"))


class Apart:
    """A piece of work in a process of its own, which may hang for ever without harm; begun before any thread.

    ``work`` yields objects, and ``told`` returns those that came in time.
    """

    def __init__(self, work: "Any") -> None:
        self.began_s = time.monotonic()
        self.reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                # Nothing that hangs may hold the connection open, nor answer in our place.
                null = os.open(os.devnull, os.O_RDWR)
                for descriptor in (0, 1, 2):
                    os.dup2(null, descriptor)
                os.setsid()
                signal.alarm(60)
                with os.fdopen(writing, "wb", 0) as pipe:
                    try:
                        for each in work:
                            pipe.write(json.dumps(each).encode() + b"\n")
                        pipe.write(b"null\n")
                    except Exception as error:  # told by the parent, where it is a failure of a section
                        pipe.write(json.dumps(f"{type(error).__name__}: {error}").encode() + b"\n")
            finally:
                os._exit(0)
        os.close(writing)

    def told(self, timeout_s: float) -> "tuple[list[Any], bool]":
        """Return what was told until so long after the start, and whether more was to come.

        Raises Failed where the work itself failed.
        """
        data = b""
        while True:
            left_s = max(0.0, self.began_s + timeout_s - time.monotonic())
            if not select.select([self.reading], [], [], left_s)[0]:
                break
            piece = os.read(self.reading, 1 << 20)
            if not piece:
                break
            data += piece
        os.close(self.reading)
        with suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, os.WNOHANG)
        told = [json.loads(line.decode()) for line in data.split(b"\n")[:-1]]
        if told and isinstance(told[-1], str):
            raise Failed(told[-1])
        complete = bool(told) and told[-1] is None
        return told[:-1] if complete else told, not complete


def processes() -> "list[tuple[int, int, str]]":
    """Return PID, UID and name of every process, those in containers with PIDs of their own left out."""
    found = []
    own = os.readlink("/proc/self/ns/pid")
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with suppress(OSError):
            if os.readlink(f"/proc/{entry}/ns/pid") == own:
                found.append((int(entry), os.stat("/proc/" + entry).st_uid, word_of(f"/proc/{entry}/comm")))
    return found


def arguments_of(pid: int) -> "list[str]":
    """Return a process's command line."""
    return text_of(f"/proc/{pid}/cmdline").rstrip("\0").split("\0")
