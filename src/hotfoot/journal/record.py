"""What the journal keeps of one migration. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from hotfoot.errors import ExitStatus
from hotfoot.journal.owner import Owner
from hotfoot.migration.result import MigrationResult

Json = Mapping[str, object]

RESULT_KEYS = (
    "instance", "uuid", "source", "destination", "mode", "outcome", "reason", "total_ms", "downtime_ms", "outage_ms",
    "probes_sent", "probes_lost", "memory_bytes", "transferred_bytes", "iterations", "throughput_bytes_per_s",
    "forecast", "policy", "actions", "attached", "id",
)  # fmt: skip
"""Keys of the migrate record that every entry of the history has, also one that has not ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One migration in the journal. Times are ms since 1970 UTC unless they say otherwise."""

    id: str
    cluster: str
    instance: str
    uuid: str | None
    source: str | None
    destination: str | None
    mode: str | None
    memory_bytes: int | None
    persistent: bool
    state_before: str
    """The instance's state when it was asked: a word of ``InstanceState``."""
    asked: Json
    """What was asked for: options and arguments."""
    forecast: Json | None
    policy: str | None
    owner: Owner
    asked_from: str | None
    started_ms: int
    heartbeat_ms: int = 0
    """When the owner last wrote, by the database's clock."""
    ended_ms: int | None = None
    outcome: str | None = None
    status: int | None = None
    result: Json | None = None
    """The migrate record, once it has ended."""
    outage_at_ms: int | None = None
    """When the longest silence began, since ``started_ms``."""
    found_afterwards: bool = False
    """Whether its Hotfoot ended first, and another one found out how the migration ended."""

    @property
    def word(self) -> str:
        """The outcome in one word, refused and unknown told apart; ``open`` as long as it has none."""
        if self.outcome is None:
            return "open"
        if self.status == ExitStatus.REFUSED:
            return "refused"
        return "unknown" if self.status == ExitStatus.UNKNOWN_STATE else self.outcome

    @property
    def reason(self) -> str | None:
        """Why it did not complete, and remarks."""
        return self.text("reason")

    def number(self, key: str) -> int | None:
        """Return a figure of the migrate record; None where it is not known."""
        value = (self.result or {}).get(key)
        return int(value) if isinstance(value, (int, float)) else None

    def text(self, key: str) -> str | None:
        """Return a sentence of the migrate record."""
        value = (self.result or {}).get(key)
        return value if isinstance(value, str) else None

    def as_json(self) -> dict[str, object]:
        """Return the entry of ``hotfoot history --json``: the migrate record, and what only the journal knows."""
        opened = {
            "instance": self.instance, "uuid": self.uuid, "source": self.source,
            "destination": self.destination, "mode": self.mode, "memory_bytes": self.memory_bytes,
            "forecast": self.forecast, "policy": self.policy,
        }  # fmt: skip
        known = {key: value for key, value in (self.result or {}).items() if value is not None}
        return {
            **dict.fromkeys(RESULT_KEYS),
            **opened,
            **known,
            "id": self.id,
            "cluster": self.cluster,
            "status": self.status,
            "started": iso(self.started_ms),
            "ended": None if self.ended_ms is None else iso(self.ended_ms),
            "asked": self.asked,
            "user": self.owner.user,
            "controller": self.owner.host,
            "pid": self.owner.pid,
            "asked_from": self.asked_from,
            "found_afterwards": self.found_afterwards,
        }


@dataclass(frozen=True, slots=True)
class Timed:
    """One look (the keys of ``JobSample``) or one action, and when: ms since the record's start."""

    at_ms: int
    what: Json


def ended(record: Record, result: MigrationResult, at_ms: int, *, found_afterwards: bool = False) -> Record:
    """Return a record that ends with this result, ``at_ms`` since 1970."""
    outage_at = result.outage.outage_at if result.outage else None
    return replace(
        record,
        destination=record.destination or result.destination,  # it may have been left to the cloud
        ended_ms=at_ms,
        outcome=result.outcome.value,
        status=int(result.status),
        result={key: value for key, value in result.as_json().items() if key != "id"},
        outage_at_ms=None if outage_at is None else round(1000 * outage_at.timestamp()) - record.started_ms,
        found_afterwards=found_afterwards,
    )


def iso(epoch_ms: int) -> str:
    """Return ``2026-11-21T09:31:05.123+00:00``."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="milliseconds")
