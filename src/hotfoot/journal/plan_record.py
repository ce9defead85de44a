"""What the journal keeps of one plan that is carried out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from hotfoot.journal.owner import Owner
from hotfoot.journal.record import Json, iso
from hotfoot.placement.course import Step, StepState
from hotfoot.placement.snapshot import Cold


class PlanState(StrEnum):
    """How far a plan is."""

    RUNNING = "running"
    PAUSED = "paused"
    ENDED = "ended"


class Asked(StrEnum):
    """What somebody else wants of a running plan, which looks while it runs."""

    PAUSE = "pause"
    CANCEL = "cancel"
    ABORT = "abort"
    """Cancel, and abort the moves that run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRecord:
    """One plan. Times are ms since 1970 UTC."""

    id: str
    cluster: str
    verb: str
    wish: Json
    """As ``placement.wish.Wish`` in JSON."""
    asked: Json
    """Options that hold for its moves."""
    hosts: tuple[str, ...]
    """The hosts that it touches: no other plan does meanwhile."""
    state: PlanState
    owner: Owner
    made_ms: int
    asked_from: str | None = None
    wanted: Asked | None = None
    heartbeat_ms: int = 0
    """When the owner last wrote, by the database's clock."""
    ended_ms: int | None = None
    status: int | None = None
    """The exit status it ended with, also when it was paused."""
    stays: Mapping[str, str] = field(default_factory=dict)
    """Instances that should have been moved and were not, by name, each with the reason."""
    remark: str | None = None

    @property
    def title(self) -> str:
        """``drain n1, n2``."""
        objective = self.wish.get("objective")
        hosts = objective.get("hosts", ()) if isinstance(objective, Mapping) else ()
        return f"{self.verb} {', '.join(sorted(hosts or self.asked_hosts))}".strip()

    @property
    def asked_hosts(self) -> tuple[str, ...]:
        """The hosts that the operator named."""
        hosts = self.asked.get("hosts")
        return tuple(hosts) if isinstance(hosts, (list, tuple)) else ()

    @property
    def deadline_ms(self) -> int | None:
        """When its moves are to be over; ms since 1970 UTC."""
        at_ms = self.asked.get("deadline_ms")
        return at_ms if isinstance(at_ms, int) else None

    def as_json(self, steps: tuple[Step, ...]) -> dict[str, object]:
        """Return the object of ``hotfoot plan show --json``, with the moves."""
        return {
            "id": self.id,
            "cluster": self.cluster,
            "verb": self.verb,
            "hosts": list(self.asked_hosts),
            "state": self.state.value,
            "wanted": self.wanted.value if self.wanted else None,
            "status": self.status,
            "made": iso(self.made_ms),
            "deadline": None if self.deadline_ms is None else iso(self.deadline_ms),
            "ended": None if self.ended_ms is None else iso(self.ended_ms),
            "user": self.owner.user,
            "controller": self.owner.host,
            "pid": self.owner.pid,
            "touches": list(self.hosts),
            "moves": [step_json(step) for step in steps],
            "stays": dict(self.stays),
            "remark": self.remark,
        }


def step_json(step: Step) -> dict[str, object]:
    """Return one move as people's programs read it."""
    return {
        "number": step.n,
        "round": step.round,
        "instance": step.name,
        "uuid": step.uuid,
        "source": step.source,
        "destination": step.destination,
        "state": step.state.value,
        "status": step.status,
        "reason": step.why,
        "purpose": step.purpose,
        "temporary": step.temporary,
        "cold": None if step.cold is None else step.cold.value,
        "after": list(step.after),
        "transfer_bytes": step.transfer_bytes,
        "expected_s": step.expected_s,
        "began": None if step.began_ms is None else iso(step.began_ms),
        "held_s": step.held_s,
        "ended": None if step.ended_ms is None else iso(step.ended_ms),
        "downtime_ms": step.downtime_ms,
        "id": step.migration,
    }


def kept(step: Step) -> dict[str, Any]:
    """Return a move as it is kept; ``read`` reads it again."""
    return asdict(step)


def read(value: Mapping[str, Any]) -> Step:
    """Return a move that was kept."""
    cold = Cold(value["cold"]) if value.get("cold") else None  # not kept by earlier versions
    return Step(**{**value, "state": StepState(value["state"]), "after": tuple(value["after"]), "cold": cold})
