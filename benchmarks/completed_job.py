"""What the hypervisor says of a migration that has completed.

Heard as libvirt's job-completed event on the source, by the host's own ``virsh event``: it carries the same
statistics that ``virsh domjobinfo --completed`` shows on the destination. These are thrown away by the first who
reads them, and ``hotfoot migrate`` reads them; an event reaches everybody.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from hotfoot.errors import HotfootError

_MOST_S = 200
_AFTER_THE_COMMAND_S = 10


@dataclass(frozen=True, slots=True)
class CompletedJob:
    """How long a migration took, how long the guest stood still, and how often memory was gone over."""

    total_ms: int
    downtime_ms: int
    iterations: int


def completed_job(text: str) -> CompletedJob:
    """Return what ``virsh event --event job-completed`` printed; raises HotfootError where it heard nothing."""
    rows = (line.strip().partition(": ") for line in text.splitlines())
    figures = {key: value for key, _, value in rows}
    try:
        return CompletedJob(*(int(figures[key]) for key in ("time_elapsed", "downtime", "memory_iteration")))
    except (KeyError, ValueError):
        raise HotfootError(f"libvirt told no figures of a completed migration; it said: {text.strip()!r}.") from None


class Listener:
    """Listens on one host from entering to leaving; needs some 0.1 s before it hears anything."""

    def __init__(self, on_host: Sequence[str], instance: str) -> None:
        words = ["virsh", "event", "--domain", instance, "--event", "job-completed", "--timeout", str(_MOST_S)]
        self._argv = [*on_host, *words]

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._process = subprocess.Popen(
            self._argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop listening."""
        self._process.kill()
        self._process.communicate()

    def heard(self) -> CompletedJob:
        """Return the figures of the migration that has just ended."""
        try:
            text, _ = self._process.communicate(timeout=_AFTER_THE_COMMAND_S)
        except subprocess.TimeoutExpired:
            raise HotfootError("libvirt on the source told of no completed migration.") from None
        return completed_job(text)
