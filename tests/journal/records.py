"""Records as tests need them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hotfoot.errors import ExitStatus
from hotfoot.journal.entries import now_ms
from hotfoot.journal.living import myself
from hotfoot.journal.owner import Owner
from hotfoot.journal.record import Record, ended
from hotfoot.migration.result import JobTotals, MigrationResult, Outcome

UUID = "bc7b3e9f-c8f4-5853-941d-be5ab5116dee"
DEAD = Owner(user="ann", host="ctl1", boot=myself().boot, pid=2**22 + 1, start=1)
"""A process of this machine that is gone: no process id is that high."""
STRANGER = Owner(user="bob", host="ctl2", boot="another boot", pid=4711, start=99)
"""A process of another machine."""


def record(**changes: Any) -> Record:
    """A record of vm1 from n1 to n2 that this process has just opened."""
    return replace(
        Record(
            id="",
            cluster="rack1",
            instance="vm1",
            uuid=UUID,
            source="n1",
            destination="n2",
            mode="live",
            memory_bytes=1 << 28,
            persistent=True,
            state_before="running",
            asked={"instance": "vm1", "destination": "n2"},
            forecast=None,
            policy="balanced",
            owner=myself(),
            asked_from=None,
            started_ms=now_ms(),
        ),
        **changes,
    )


def completed(of: Record, downtime_ms: int = 90, total_ms: int = 1200, **changes: Any) -> Record:
    """The record, ended well."""
    result = MigrationResult(
        instance=of.instance,
        outcome=Outcome.COMPLETED,
        status=ExitStatus.COMPLETED,
        uuid=of.uuid,
        source=of.source,
        destination=changes.pop("destination", of.destination),
        mode="live",
        total_ms=total_ms,
        memory_bytes=of.memory_bytes,
        totals=JobTotals(downtime_ms=downtime_ms, memory_sent_bytes=1 << 27, iterations=3),
        **changes,
    )
    return ended(of, result, of.started_ms + total_ms)


def failed(of: Record, status: ExitStatus, reason: str) -> Record:
    """The record, ended badly."""
    result = MigrationResult(
        instance=of.instance, outcome=Outcome.FAILED, status=status, uuid=of.uuid, source=of.source,
        destination=of.destination, reason=reason,
    )  # fmt: skip
    return ended(of, result, of.started_ms + 500)
