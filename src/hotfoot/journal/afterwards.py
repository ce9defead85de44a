"""After a crash: what became of the migrations whose Hotfoot is dead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass, replace

from hotfoot.cloud.protocol import Cloud
from hotfoot.journal.claims import clear
from hotfoot.journal.entries import now_ms
from hotfoot.journal.living import lives
from hotfoot.journal.record import Record, ended
from hotfoot.journal.store import Open, Store, Wanted
from hotfoot.journal.verdict import order_of, place_of, result_of
from hotfoot.migration.proof import Place, Proof
from hotfoot.migration.result import JobTotals

SILENT_MS = 30_000
"""After which time without a word the owner on another machine is taken for dead; it writes every 5 s."""
PATIENCE_S = 5.0
AGAIN_S = 0.5


@dataclass(frozen=True, slots=True)
class Found:
    """One migration without its Hotfoot: what was found, in a sentence."""

    record: Record
    under_way: bool
    sentence: str


def is_orphan(left: Open) -> bool:
    """Whether the owner of an open record is dead."""
    alive = lives(left.record.owner)
    return left.silent_ms > SILENT_MS if alive is None else not alive


async def orphans(store: Store, cluster: str, hosts: Collection[str] | None) -> tuple[Record, ...]:
    """Return the open records of a cluster between hosts of it whose owner is dead, the oldest first.

    Without ``hosts`` between any: where they are not declared, but Nova's to tell.
    """
    left = await asyncio.to_thread(store.left_open, cluster)
    return tuple(
        each.record
        for each in left
        if is_orphan(each) and (hosts is None or {each.record.source, each.record.destination} - {None} <= {*hosts})
    )


async def look_afterwards(
    cloud: Cloud, store: Store, cluster: str, hosts: Collection[str] | None, *, stopped: str | None = None
) -> tuple[Found, ...]:
    """Look where the instances of all orphaned records are, and end the records that can be ended.

    Invariant: a record is ended only by what every host that could hold the instance says now; where one of them
    is silent it stays open, and the next look tries again. A migration that goes on is left alone. ``stopped`` is
    the UUID of an instance whose migration has just been stopped.
    """
    found = await orphans(store, cluster, hosts)
    return tuple(
        await asyncio.gather(*(_settle(cloud, store, record, stopped=record.uuid == stopped) for record in found))
    )


async def look_again(cloud: Cloud, store: Store, cluster: str, uuid: str) -> Found | None:
    """Look where an instance is whose last migration ended in a state that could not be known, and end it anew.

    None where its last migration (refused ones never began) ended otherwise.
    """
    newest = await asyncio.to_thread(store.records, Wanted(cluster=cluster, instance=uuid))
    last = next((record for record in newest if record.word != "refused"), None)
    if last is None or last.word != "unknown":
        return None
    who = f"How the migration {last.id} of {last.instance} ended could not be known"
    return await _settle(cloud, store, last, stopped=False, who=who)


async def _settle(cloud: Cloud, store: Store, record: Record, *, stopped: bool, who: str | None = None) -> Found:
    name = record.instance
    who = who or f"The Hotfoot of {record.owner} ended before the migration {record.id} of {name} did"
    if await cloud.job(record.source or "", record.uuid or "") is not None:
        return Found(
            record,
            True,
            f"{who}; it goes on from {record.source} to {record.destination or 'where Nova chose'}:"
            f" `hotfoot watch {name}` follows it to its"
            f" end, `hotfoot abort {name}` stops it.",
        )
    proof, last_word = await prove(cloud, record)
    if not last_word:
        return Found(record, False, f"{who}; {' '.join(proof.remarks)} The next command looks again.")
    totals = await cloud.totals(order_of(record)) if proof.place is Place.DESTINATION else JobTotals()
    how = "stopped by `hotfoot abort`:" if stopped else "found afterwards:"
    result = result_of(record, proof, totals, how=f"{who}; {how}", total_ms=totals.elapsed_ms, stopped=stopped)
    done = ended(record, result, now_ms(), found_afterwards=True)
    if record.result:  # what was measured at the time, such as the outage, nobody can measure any more
        told = {key: value for key, value in (done.result or {}).items() if value is not None}
        done = replace(done, result={**record.result, **told}, outage_at_ms=record.outage_at_ms)
    await asyncio.to_thread(store.entries.end, done)
    await clear(cloud, record.uuid or "", record.owner, record.source, record.destination)
    return Found(done, False, done.reason or "")


async def prove(cloud: Cloud, record: Record) -> tuple[Proof, bool]:
    """Return where the instance of a record is, and whether that is the last word, having waited a little for it."""
    end_s = time.monotonic() + PATIENCE_S
    while True:
        proof, last_word = place_of(record, await cloud.sightings(record.uuid or ""))
        if last_word or time.monotonic() > end_s:
            return proof, last_word
        await asyncio.sleep(AGAIN_S)
