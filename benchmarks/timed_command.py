"""Running one command to its end, with the time and the resources that it took."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hotfoot.errors import HotfootError

_TIMEOUT_S = 180
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """A command that ended well: what it printed, how long it took, what it used."""

    out: str
    elapsed_ms: float
    cpu_s: float
    """User and system time of its own process, all threads."""
    children_cpu_s: float
    """The same of the processes that it waited for; counted by the kernel in steps of 10 ms."""
    resident_bytes: int
    """Peak of its process or of its largest child. Linux lets a process inherit the peak of the one that
    started it, so this is never less than the benchmark's own memory: too large perhaps, never too small."""


def timed(argv: Sequence[str], env: Mapping[str, str]) -> Timed:
    """Run a command; raises HotfootError with its last words where it fails or takes longer than 180 s."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started_s = time.monotonic()
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env)
        give_up = threading.Timer(_TIMEOUT_S, process.kill)
        give_up.daemon = True
        give_up.start()
        try:
            # WNOWAIT leaves it a zombie: only then can its own time be told from its children's.
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            elapsed_ms = 1000 * (time.monotonic() - started_s)
            children_cpu_s = _children_cpu_s(process.pid)
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            give_up.cancel()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        said, complained = out.read().decode(errors="replace"), err.read().decode(errors="replace")
    if process.returncode != 0:
        last_words = (complained.strip() or said.strip() or "no message").splitlines()[-1]
        raise HotfootError(f"`{' '.join(argv)}` ended with {process.returncode}: {last_words}")
    return Timed(
        out=said,
        elapsed_ms=elapsed_ms,
        cpu_s=max(0.0, usage.ru_utime + usage.ru_stime - children_cpu_s),
        children_cpu_s=children_cpu_s,
        resident_bytes=usage.ru_maxrss * 1024,
    )


def _children_cpu_s(pid: int) -> float:
    """Return ``cutime + cstime`` of a process (proc_pid_stat(5), fields 16 and 17)."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[13]) + int(after_name[14])) / _TICKS_PER_S
