"""How a migration ended whose Hotfoot ended first, judged from what the hosts say. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hotfoot.errors import ExitStatus
from hotfoot.inventory import InstanceState
from hotfoot.journal.record import Record
from hotfoot.migration.options import MigrationOptions, Mode, Order
from hotfoot.migration.proof import Place, Proof, Sighting, judge
from hotfoot.migration.result import JobTotals, MigrationResult, Outcome


def order_of(record: Record) -> Order:
    """Return the order that a record was made for, as far as finding the instance again needs it."""
    return Order(
        uuid=record.uuid or "",
        name=record.instance,
        source=record.source or "",
        destination=record.destination or "",
        mode=Mode(record.mode or Mode.LIVE),
        persistent=record.persistent,
        options=MigrationOptions(),
    )


def place_of(record: Record, sightings: Sequence[Sighting]) -> tuple[Proof, bool]:
    """Return where the instance is, and whether that is the last word.

    Invariant: not the last word as long as a host that does not answer, or half a migration, may still show that
    it is elsewhere.
    """
    proof = judge(order_of(record), sightings, InstanceState(record.state_before))
    unsure = proof.place is Place.UNCLEAR and any(seen.problem or seen.half for seen in sightings)
    return proof, not unsure


def result_of(
    record: Record, proof: Proof, totals: JobTotals, *, how: str, total_ms: int | None = None, stopped: bool = False
) -> MigrationResult:
    """Return the record's end. ``how`` begins the reason: who found it out; ``stopped``: somebody wanted it to."""
    name = record.instance
    destination = record.destination or (proof.host if proof.place is Place.DESTINATION else None)
    outcome, status, where = {
        Place.DESTINATION: (Outcome.COMPLETED, ExitStatus.COMPLETED, f"{name} lives on {destination}."),
        Place.SOURCE: (Outcome.FAILED, ExitStatus.FAILED_ON_SOURCE, f"{name} lives on {record.source}, as before."),
        Place.UNCLEAR: (Outcome.FAILED, ExitStatus.UNKNOWN_STATE, ""),
    }[proof.place]
    if stopped and proof.place is Place.SOURCE:
        outcome, status = Outcome.ABORTED, ExitStatus.ABORTED
    return MigrationResult(
        instance=name,
        outcome=outcome,
        status=status,
        uuid=record.uuid,
        source=record.source,
        destination=destination,
        mode=record.mode,
        reason=f"{how} {where}".rstrip(),
        remarks=proof.remarks,
        total_ms=total_ms,
        memory_bytes=record.memory_bytes,
        totals=totals,
        forecast=record.forecast,
        policy=record.policy,
        id=record.id,
    )
