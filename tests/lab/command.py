"""Runs the ``hotfoot`` command as a user does, and keeps what it said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOTFOOT = str(Path(sys.executable).with_name("hotfoot"))
_running: list[subprocess.Popen[str]] = []


@dataclass(frozen=True, slots=True)
class Said:
    """What a command answered."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The object on the last line of its output."""
        found: dict[str, Any] = json.loads(self.out.strip().splitlines()[-1])
        return found

    @property
    def blocking(self) -> str:
        """Problems and blocking findings of the object alone, a line each: what matters of a long one that failed."""
        told = [finding for finding in self.json.get("findings", ()) if finding["severity"] == "blocks"]
        return "\n".join([*self.json.get("problems", ()), *map(str, told), self.err])


def environment(cluster: Path | None = None, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a command: a cluster file, no colours, and Python's own stacks if it should crash."""
    env = {key: value for key, value in os.environ.items() if key != "HOTFOOT_CLUSTER"}
    env |= {"NO_COLOR": "1", "PYTHONFAULTHANDLER": "1", **(more or {})}
    if cluster is not None:
        env["HOTFOOT_CLUSTER"] = str(cluster)
    return env


def start(*words: str, cluster: Path | None = None) -> subprocess.Popen[str]:
    """Start a command and return at once."""
    return popen([HOTFOOT, *words], environment(cluster))


def popen(argv: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start a program and return at once."""
    process = subprocess.Popen(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env=env,
        cwd="/",
    )
    _running.append(process)
    return process


@contextmanager
def ended() -> Iterator[None]:
    """End what was started within and still runs: a test that failed leaves nothing to the next."""
    before = len(_running)
    try:
        yield
    finally:
        for process in _running[before:]:
            if process.poll() is None:
                process.kill()
                process.wait()
        del _running[before:]


def finish(process: subprocess.Popen[str], timeout_s: float = 180) -> Said:
    """Wait for a started command."""
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"the command hung; it had said {out!r} {err!r}") from None
    assert "Traceback" not in err, err
    return Said(process.returncode, out, err)


def hotfoot(*words: str, cluster: Path | None = None, timeout_s: float = 180) -> Said:
    """Run a command to its end."""
    return finish(start(*words, cluster=cluster), timeout_s)


def well(*words: str, cluster: Path | None = None, timeout_s: float = 180) -> Said:
    """Run a command that must succeed."""
    said = hotfoot(*words, cluster=cluster, timeout_s=timeout_s)
    assert said.status == 0, f"{words} ended with {said.status}: {said.out}\n{said.err}"
    return said
