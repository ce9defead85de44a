"""The migrations from one host that its libvirt told of while somebody listened.

The figures are of the same kind whoever moved. Heard as job-completed events by the host's own ``virsh event``, as in
``completed_job``, but many, with their times.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self

from hotfoot.errors import HotfootError

_MARK = "event 'job-completed' for domain '"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardMove:
    """One migration that completed."""

    instance: str
    ended_s: float
    """Since 1970 UTC, by the host's clock."""
    total_ms: int
    downtime_ms: int
    sent_bytes: int


def heard_moves(text: str) -> tuple[HeardMove, ...]:
    """Return what ``virsh event --loop --timestamp --event job-completed`` printed, in its order.

    Raises HotfootError where a figure is missing.
    """
    found = []
    heading, figures = "", dict[str, str]()
    for line in [*text.splitlines(), f"end: {_MARK}"]:
        if _MARK in line:
            if heading:
                found.append(_move(heading, figures))
            heading, figures = line, {}
        elif line.startswith("\t"):
            key, _, value = line.strip().partition(": ")
            figures[key] = value
    return tuple(found)


def _move(heading: str, figures: dict[str, str]) -> HeardMove:
    at, _, rest = heading.partition(f": {_MARK}")
    try:
        return HeardMove(
            instance=rest.partition("'")[0],
            ended_s=datetime.strptime(at, "%Y-%m-%d %H:%M:%S.%f%z").timestamp(),
            total_ms=int(figures["time_elapsed"]),
            downtime_ms=int(figures["downtime"]),
            sent_bytes=int(figures["memory_processed"]),
        )
    except (KeyError, ValueError) as error:
        raise HotfootError(f"libvirt told no figures of a completed migration: {heading!r}, {figures}.") from error


class MoveListener:
    """Listens on one host from entering to leaving; needs some 0.1 s before it hears anything."""

    def __init__(self, on_host: Sequence[str], most_s: int) -> None:
        """``most_s``: when it ends by itself, should nobody end it."""
        words = ["virsh", "event", "--event", "job-completed", "--loop", "--timestamp", "--timeout", str(most_s)]
        self._argv = [*on_host, "stdbuf", "-oL", *words]

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._out = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            self._argv, stdin=subprocess.DEVNULL, stdout=self._out, stderr=subprocess.STDOUT
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop listening."""
        self._process.kill()
        self._process.wait()
        self._out.close()

    def heard(self) -> tuple[HeardMove, ...]:
        """Return all that was heard so far."""
        self._out.seek(0)
        return heard_moves(self._out.read().decode(errors="replace"))
