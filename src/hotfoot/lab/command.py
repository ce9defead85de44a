"""Running the machine's own programs for the lab, with their failure told in one sentence."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from hotfoot.errors import HotfootError


class LabError(HotfootError):
    """Something in the lab did not work."""


def run(
    argv: Sequence[str | Path],
    *,
    stdin: str | None = None,
    timeout_s: float = 60,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a program to its end and return what it printed.

    Raises LabError naming the program and the last line that it complained with.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            # Never this process's own input: a program that runs over SSH would read it.
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=env,
            check=False,
        )
    except FileNotFoundError:
        raise LabError(f"The program {words[0]} is not installed; `make setup` installs what the lab needs.") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"`{shlex.join(words)}` did not end within {timeout_s:.0f} s.") from None
    if done.returncode != 0:
        complaint = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise LabError(f"`{shlex.join(words)}` ended with {done.returncode}: {complaint}")
    return done.stdout
