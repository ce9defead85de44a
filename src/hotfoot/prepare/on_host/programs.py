"""Programs of the host: run with an end in time, and what went wrong as one sentence."""

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

NOT_THERE = 127
TOO_LATE = 124


class Trouble(Exception):
    """Why a step cannot be done or taken back: a sentence for the operator."""


class Ran(NamedTuple):
    """A program that ended; status 127: it is not there, 124: it did not end in time."""

    status: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """The end of what it said (errors first), in one line of at most 300 characters."""
        lines = [line.strip() for line in (self.err.strip() or self.out.strip()).splitlines() if line.strip()]
        text = " / ".join(lines[-3:])
        return text if len(text) <= 300 else text[:297] + "..."


def run(
    argv: Sequence[str],
    timeout_s: float = 60.0,
    stdin: str = "",
    env: Optional[Dict[str, str]] = None,
    user: Optional[Tuple[int, int]] = None,
) -> Ran:
    """Run a program; never raises for what it does. ``user``: its UID and GID, else root's."""

    def become() -> None:
        if user is not None:
            os.setgroups([])
            os.setgid(user[1])
            os.setuid(user[0])

    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(os.environ, **(env or {})),
            cwd="/",
            start_new_session=True,
            preexec_fn=become,  # noqa: PLW1509 - there are no threads
        )
    except FileNotFoundError:
        return Ran(NOT_THERE, "", "{}: not found".format(argv[0]))
    except (OSError, subprocess.SubprocessError) as error:
        return Ran(126, "", "{}: {}".format(argv[0], error))
    try:
        out, err = process.communicate(stdin.encode(), timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):  # what it started may hold the pipes open
            process.communicate(timeout=2)
        return Ran(TOO_LATE, "", "{} did not end within {:g} s".format(argv[0], timeout_s))
    return Ran(process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))


def must(argv: Sequence[str], what: str, timeout_s: float = 60.0) -> str:
    """Run a program that has to succeed, and return what it printed; raises Trouble: ``what`` and what it said."""
    ran = run(argv, timeout_s)
    if ran.status != 0:
        raise Trouble("{}: {}".format(what, ran.said or "{} ended with {}".format(argv[0], ran.status)))
    return ran.out


def there(program: str) -> bool:
    """Whether a program can be run."""
    return shutil.which(program) is not None


def lines_of(text: str) -> List[str]:
    """Lines of a text without those that are blank."""
    return [line for line in text.splitlines() if line.strip()]
