"""What throughput earlier migrations between two hosts reached."""

from __future__ import annotations

from collections.abc import Iterable

from hotfoot.errors import HotfootError
from hotfoot.journal.place import Place
from hotfoot.journal.record import Record
from hotfoot.journal.store import Store, Wanted

_LOOK_BACK = 50
_DIFFERENT = ("native_tls", "bandwidth_bytes_per_s", "parallel", "compress")
"""Options with which a stream reaches another throughput than a plain one."""


def earlier_throughputs(place: Place, cluster: str, source: str, destination: str) -> tuple[int, ...]:
    """Return what plain memory streams between the two reached, in bytes per second, the newest first.

    A journal that cannot be read tells nothing: it is not needed for a forecast.
    """
    store = Store(place)
    try:
        return reached(store.records(Wanted(cluster=cluster, host=destination, limit=_LOOK_BACK)), source, destination)
    except HotfootError:
        return ()
    finally:
        store.close()


def reached(records: Iterable[Record], source: str, destination: str) -> tuple[int, ...]:
    """Pick the throughputs of completed plain live migrations from the source to the destination. Pure."""
    return tuple(
        throughput
        for record in records
        if (record.source, record.destination) == (source, destination)
        and record.outcome == "completed"
        and record.mode == "live"
        and not any(record.asked.get(option) for option in _DIFFERENT)
        and (throughput := record.number("throughput_bytes_per_s"))
    )
