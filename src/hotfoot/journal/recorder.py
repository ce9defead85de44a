"""Writing a record while its migration runs, without ever holding the migration up.

A thread of its own writes, so that a journal whose disk stalls or whose server is gone costs the migration nothing.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Literal

from hotfoot.errors import HotfootError
from hotfoot.journal.entries import Entries, now_ms
from hotfoot.journal.record import Record, Timed, ended
from hotfoot.migration.action import Action
from hotfoot.migration.result import MigrationResult
from hotfoot.migration.sample import JobSample

APART_S = 1.0
"""Samples closer together than this are left out, except the first of an iteration and of a phase."""
BEAT_S = 5.0
"""How often the record says that its owner lives when there is nothing else to say."""
MOST_KEPT = 10_000
"""Samples kept in memory while the journal cannot be written: some hours of them."""

_BATCH = 500
"""So many samples are written at the latest, however fast more of them come."""

_Kind = Literal["samples", "actions"]


class Recorder:
    """The record of one migration. ``sample``, ``action`` and ``end`` return at once.

    Invariant: no trouble with the journal raises here. It is said once, what could not be written is kept, and it
    is tried again with whatever comes next; where even the end cannot be written, that is said too.
    """

    def __init__(self, entries: Entries, record: Record, say: Callable[[str], None]) -> None:
        """``record`` without an id is yet to be opened; ``say`` is called from another thread."""
        self._record = record
        self._began_s = time.monotonic() - (now_ms() - record.started_ms) / 1000
        self._writer = _Writer(entries, record, say)
        self._last: JobSample | None = None

    def begin(self, patience_s: float) -> str | None:
        """Open the record and return its id; None where the journal does not take it in that time."""
        self._writer.start()
        return self._writer.opened(patience_s)

    def sample(self, sample: JobSample) -> None:
        """Keep a look at the migration, unless one much like it has just been kept."""
        last = self._last
        new = last is None or (sample.phase, sample.iteration) != (last.phase, last.iteration)
        if new or last is None or sample.at_s - last.at_s >= APART_S:
            self._last = sample
            seen = {key: value for key, value in asdict(sample).items() if key != "at_s"}
            self._writer.put("samples", Timed(round(1000 * (sample.at_s - self._began_s)), seen))

    def action(self, action: Action) -> None:
        """Keep what steering did, by this record's clock: the action's own begins with the move."""
        at_ms = round(1000 * (time.monotonic() - self._began_s))
        self._writer.put("actions", Timed(at_ms, asdict(action)))

    def end(self, result: MigrationResult, patience_s: float, *, found_afterwards: bool = False) -> None:
        """Keep how it ended, and wait until that is written, or cannot be."""
        self._writer.end(ended(self._record, result, now_ms(), found_afterwards=found_afterwards), patience_s)


class _Writer:
    """The thread that writes, and what waits to be written."""

    def __init__(self, entries: Entries, record: Record, say: Callable[[str], None]) -> None:
        self._entries = entries
        self._record = record
        self._say = say
        self._things: queue.SimpleQueue[tuple[_Kind, Timed] | Record] = queue.SimpleQueue()
        self._waiting: dict[_Kind, list[tuple[int, Timed]]] = {"samples": [], "actions": []}
        self._counts: dict[_Kind, int] = {"samples": 0, "actions": 0}
        self._opened, self._ended = threading.Event(), threading.Event()
        self._complained = False

    def start(self) -> None:
        threading.Thread(target=self._write, name="journal", daemon=True).start()

    def opened(self, patience_s: float) -> str | None:
        if not self._opened.wait(patience_s):
            self._complain(f"the journal {self._entries.name} does not answer")
        return self._record.id or None

    def put(self, kind: _Kind, timed: Timed) -> None:
        self._things.put((kind, timed))

    def end(self, record: Record, patience_s: float) -> None:
        self._things.put(record)
        if not self._ended.wait(patience_s):
            self._complain(f"the journal {self._entries.name} does not answer")
            self._incomplete()

    def _write(self) -> None:
        try:
            self._try(self._open)
            self._opened.set()
            while True:
                try:
                    thing = self._things.get(timeout=BEAT_S)
                except queue.Empty:
                    self._try(self._add)
                    continue
                if isinstance(thing, Record):
                    self._finish(thing)
                    return
                self._keep(*thing)
                if self._things.empty() or len(self._waiting["samples"]) % _BATCH == 0:
                    self._try(self._add)
        finally:
            self._entries.close()
            self._ended.set()

    def _keep(self, kind: _Kind, timed: Timed) -> None:
        if len(self._waiting[kind]) < MOST_KEPT:
            self._waiting[kind].append((self._counts[kind], timed))
            self._counts[kind] += 1

    def _open(self) -> None:
        if self._record.id:
            self._counts = self._entries.counts(self._record.id)
        else:
            self._record = replace(self._record, id=self._entries.open(self._record))

    def _add(self) -> None:
        if not self._record.id:
            self._open()
        self._entries.add(self._record.id, self._waiting["samples"], self._waiting["actions"])
        for rows in self._waiting.values():
            rows.clear()

    def _finish(self, record: Record) -> None:
        """Write all; where there is no room for all, the end at least."""

        def end() -> None:
            if not self._record.id:
                self._open()
            self._entries.end(replace(record, id=self._record.id))

        self._try(self._add)
        if not self._try(end):
            self._incomplete()

    def _try(self, write: Callable[[], None]) -> bool:
        try:
            write()
        except HotfootError as error:
            self._complain(str(error))
            return False
        return True

    def _complain(self, why: str) -> None:
        if not self._complained:
            self._complained = True
            self._say(f"{why[0].upper()}{why[1:]}; the migration goes on without it.")

    def _incomplete(self) -> None:
        left = "not complete: the next command finds out anew how it ended" if self._record.id else "not in the journal"
        self._say(f"This migration is {left}.")
