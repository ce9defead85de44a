"""Taking over a migration that goes on without its Hotfoot, and following it to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from hotfoot.cloud.protocol import Cloud
from hotfoot.errors import HotfootError
from hotfoot.journal.afterwards import prove
from hotfoot.journal.claims import clear
from hotfoot.journal.entries import Entries
from hotfoot.journal.owner import Owner
from hotfoot.journal.place import Place
from hotfoot.journal.record import Record
from hotfoot.journal.recorder import Recorder
from hotfoot.journal.store import Store
from hotfoot.journal.verdict import order_of, result_of
from hotfoot.migration import proof as proofs
from hotfoot.migration.result import JobTotals, MigrationResult
from hotfoot.migration.sample import JobSample

LOOK_S = 0.5
ABORT_AGAIN_S = 0.1
BEGIN_PATIENCE_S, END_PATIENCE_S = 3.0, 8.0


class Following:
    """One migration taken over; ``execute`` once."""

    def __init__(
        self, cloud: Cloud, record: Record, recorder: Recorder, on_sample: Callable[[JobSample], None]
    ) -> None:
        self.record = record
        self._cloud = cloud
        self._recorder = recorder
        self._on_sample = on_sample
        self._abort = asyncio.Event()

    def request_abort(self) -> None:
        """Stop the migration as soon as the hypervisor can; ``execute`` still returns what became of it."""
        self._abort.set()

    async def execute(self) -> MigrationResult:
        """Follow it to its end, and end its record.

        Invariant: the record is ended only by the last word of the hosts; else it stays open for the next look.
        """
        source, uuid, last = self.record.source or "", self.record.uuid or "", None
        while (sample := await self._cloud.job(source, uuid)) is not None:
            last = sample
            self._recorder.sample(sample)
            self._on_sample(sample)
            await self._pause(source, uuid)
        proof, last_word = await prove(self._cloud, self.record)
        there = proof.place is proofs.Place.DESTINATION
        totals = await self._cloud.totals(order_of(self.record)) if there else JobTotals()
        stopped = self._abort.is_set()
        result = result_of(
            self.record,
            proof,
            totals,
            how=f"Picked up after the Hotfoot of {self.record.owner} had ended{', and stopped' if stopped else ''}:",
            total_ms=totals.elapsed_ms or (last.elapsed_ms if last else None),
            stopped=stopped,
        )
        if last_word:
            await asyncio.to_thread(self._recorder.end, result, END_PATIENCE_S, found_afterwards=True)
            await clear(self._cloud, uuid, self.record.owner, self.record.source, self.record.destination)
        return result

    async def _pause(self, source: str, uuid: str) -> None:
        if self._abort.is_set():
            with suppress(HotfootError):
                await self._cloud.abort(source, uuid)
            await asyncio.sleep(ABORT_AGAIN_S)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await self._abort.wait()


async def follow(
    cloud: Cloud,
    place: Place,
    record: Record,
    me: Owner,
    say: Callable[[str], None],
    on_sample: Callable[[JobSample], None],
) -> Following | None:
    """Make an orphaned record this process's own; None where another process was faster, or it has just ended.

    ``say`` is called from another thread. Raises HotfootError where the journal cannot be written.
    """
    store = Store(place)
    try:
        if not await asyncio.to_thread(store.adopt, record, me):
            return None
    finally:
        store.close()
    recorder = Recorder(Entries(place), replace(record, owner=me), say)
    await asyncio.to_thread(recorder.begin, BEGIN_PATIENCE_S)
    return Following(cloud, record, recorder, on_sample)
