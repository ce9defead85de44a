"""What throughput earlier migrations between two hosts reached."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing

from hotfoot.errors import HotfootError
from hotfoot.journal.entries import Entries, Move
from hotfoot.journal.place import Place

_LOOK_BACK = 50
_DIFFERENT = ("native_tls", "bandwidth_bytes_per_s", "parallel", "compress")
"""Options with which a stream reaches another throughput than a plain one."""


def earlier_throughputs(place: Place, cluster: str, source: str, destination: str) -> tuple[int, ...]:
    """Return what plain memory streams between the two reached, in bytes per second, the newest first.

    A journal that cannot be read tells nothing: it is not needed for a forecast.
    """
    with closing(Entries(place)) as entries:
        try:
            return reached(entries.moves(cluster, source, destination, _LOOK_BACK))
        except HotfootError:
            return ()


def reached(moves: Iterable[Move]) -> tuple[int, ...]:
    """Pick the throughputs of the moves with a plain memory stream. Pure."""
    return tuple(
        int(throughput)
        for move in moves
        if not any(move.asked.get(option) for option in _DIFFERENT)
        and isinstance(throughput := move.result.get("throughput_bytes_per_s"), (int, float))
        and throughput
    )
