"""How one migration ended: the record that ends every ``hotfoot migrate``. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Literal

from hotfoot.errors import ExitStatus
from hotfoot.migration.action import Action
from hotfoot.migration.outage import Outage


class Outcome(StrEnum):
    """The three ends that a script sees."""

    COMPLETED = "completed"
    FAILED = "failed"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTotals:
    """The hypervisor's own account of a finished migration; None where it keeps none."""

    downtime_ms: int | None = None
    memory_sent_bytes: int | None = None
    disk_sent_bytes: int | None = None
    iterations: int | None = None
    throughput_bytes_per_s: int | None = None
    elapsed_ms: int | None = None

    @property
    def transferred_bytes(self) -> int | None:
        """All that was sent; None where neither memory nor disks are known."""
        if self.memory_sent_bytes is None and self.disk_sent_bytes is None:
            return None
        return (self.memory_sent_bytes or 0) + (self.disk_sent_bytes or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """A volume or a port of a server, and how it was with it before the move and is after it; None: it was not."""

    kind: Literal["volume", "port"]
    id: str
    before: str | None
    """Of a volume its device; of a port its addresses and its state."""
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationResult:
    """One migration that ended, or was refused. Times in ms; None means not known or not measured."""

    instance: str
    outcome: Outcome
    status: ExitStatus
    uuid: str | None = None
    source: str | None = None
    destination: str | None = None
    mode: str | None = None
    reason: str | None = None
    remarks: tuple[str, ...] = ()
    """What else the operator has to know, in sentences; part of ``reason`` in JSON."""
    total_ms: int | None = None
    """From the call to its return: what the operator waited for, start-up of the command and checks apart."""
    outage: Outage | None = None
    memory_bytes: int | None = None
    totals: JobTotals = JobTotals()
    forecast: Mapping[str, object] | None = None
    """The forecast made before the start, as JSON."""
    policy: str | None = None
    """Name of the policy that steered it."""
    actions: tuple[Action, ...] = ()
    """What steering did, in order of time."""
    attached: tuple[Attached, ...] = ()
    """What a cloud has of volumes and ports; empty where none are known."""
    id: str | None = None
    """Its name in the journal."""
    only_cold: bool = False
    """Whether it failed since no host can take it live, for what it is made of."""

    def as_json(self) -> dict[str, object]:
        """Return the object that ``--json`` ends with; always all keys, null where there is no value."""
        return {
            "instance": self.instance,
            "uuid": self.uuid,
            "source": self.source,
            "destination": self.destination,
            "mode": self.mode,
            "outcome": self.outcome.value,
            "reason": " ".join(filter(None, (self.reason, *self.remarks))) or None,
            "total_ms": self.total_ms,
            "downtime_ms": self.totals.downtime_ms,
            "outage_ms": self.outage.outage_ms if self.outage else None,
            "probes_sent": self.outage.probes_sent if self.outage else None,
            "probes_lost": self.outage.probes_lost if self.outage else None,
            "memory_bytes": self.memory_bytes,
            "transferred_bytes": self.totals.transferred_bytes,
            "iterations": self.totals.iterations,
            "throughput_bytes_per_s": self.totals.throughput_bytes_per_s,
            "forecast": self.forecast,
            "policy": self.policy,
            "actions": [asdict(action) for action in self.actions],
            "attached": [asdict(one) for one in self.attached],
            "id": self.id,
        }
