"""Definitions of instances in the journal, for the day that their host is dead. Blocking calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields

from sqlalchemy import delete, insert, select, update

from hotfoot.definition import Definition
from hotfoot.journal.store import Store
from hotfoot.journal.tables import DEFINITIONS

_KEYS = tuple(field.name for field in fields(Definition))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A definition as the journal has it. Times in ms since 1970 UTC."""

    definition: Definition
    host: str
    """Where the instance was last known to be."""
    seen_ms: int
    """When the definition was read."""
    placed_ms: int
    """When it was known to be on that host: by that look, or by a migration since."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What a look changes."""

    put: Mapping[str, tuple[str, Definition]]
    """By uuid, with the host."""
    gone: frozenset[str]


def settle(kept: Iterable[Kept], seen: Mapping[str, Sequence[Definition]], at_ms: int, *, whole: bool) -> Settled:
    """Say what a look at hosts (those that answered) at a moment changes of what is kept. Pure.

    ``whole``: every host of the cluster answered. Invariants: only then is anything forgotten, since what is nowhere
    may be on a host that is silent; what is kept of a silent host is changed only by seeing the instance run elsewhere;
    a look never takes back what was learnt after it; of an instance that two hosts have, the one that runs it counts.
    """
    known = {one.definition.uuid: one for one in kept}
    put: dict[str, tuple[str, Definition]] = {}
    for host, definitions in seen.items():
        for one in definitions:
            if one.uuid not in put or (one.running and not put[one.uuid][1].running):
                put[one.uuid] = (host, one)
    for uuid, before in known.items():
        silent = before.host not in seen and before.definition.running
        if before.placed_ms > at_ms or (silent and uuid in put and not put[uuid][1].running):
            put.pop(uuid, None)
    there = {one.uuid for definitions in seen.values() for one in definitions}
    gone = (uuid for uuid, before in known.items() if whole and uuid not in there and before.placed_ms <= at_ms)
    return Settled(put, frozenset(gone))


class Definitions:
    """The definitions in one journal. Every method raises HotfootError where the database cannot do it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def keep(self, cluster: str, seen: Mapping[str, Sequence[Definition]], at_ms: int, *, whole: bool) -> None:
        """Keep what hosts that answered said at a moment; ``whole``: all of the cluster did."""
        settled = settle(self.kept(cluster), seen, at_ms, whole=whole)
        with self._store.transaction() as database:
            for uuid, (host, one) in settled.put.items():
                values = {**asdict(one), "host": host, "seen_ms": at_ms, "placed_ms": at_ms}
                at = (DEFINITIONS.c.cluster == cluster, DEFINITIONS.c.uuid == uuid)
                if database.execute(select(DEFINITIONS.c.uuid).where(*at)).first() is None:
                    database.execute(insert(DEFINITIONS).values(cluster=cluster, **values))
                else:  # somebody who looked later may have written meanwhile
                    database.execute(update(DEFINITIONS).where(*at, DEFINITIONS.c.placed_ms <= at_ms).values(values))
            gone = (DEFINITIONS.c.cluster == cluster, DEFINITIONS.c.uuid.in_(sorted(settled.gone)))
            database.execute(delete(DEFINITIONS).where(*gone, DEFINITIONS.c.placed_ms <= at_ms))

    def place(self, cluster: str, uuid: str, host: str, at_ms: int) -> None:
        """Note that an instance was started on a host."""
        at = (DEFINITIONS.c.cluster == cluster, DEFINITIONS.c.uuid == uuid)
        with self._store.transaction() as database:
            database.execute(update(DEFINITIONS).where(*at).values(host=host, running=True, placed_ms=at_ms))

    def kept(self, cluster: str) -> tuple[Kept, ...]:
        """Return all that is kept of a cluster, by name."""
        if not self._store.place.exists:
            return ()
        query = select(DEFINITIONS).where(DEFINITIONS.c.cluster == cluster)
        with self._store.transaction() as database:
            rows = [row._mapping for row in database.execute(query.order_by(DEFINITIONS.c.name, DEFINITIONS.c.uuid))]
        return tuple(
            Kept(
                definition=Definition(**{key: row[key] for key in _KEYS}),
                host=row["host"],
                seen_ms=row["seen_ms"],
                placed_ms=row["placed_ms"],
            )
            for row in rows
        )
