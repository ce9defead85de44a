"""A plan as text that can be kept, shown to others, and carried out later: JSON, with what was asked for. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.placement.plan import Plan
from hotfoot.placement.snapshot import Limits
from hotfoot.placement.snapshot_text import read_json, validated
from hotfoot.placement.wish import Drain, Wish

_DOCUMENTED = "`hotfoot plan drain HOST --json` and its like print one"


class PlanAsked(BaseModel):
    """What a plan was made for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    wish: Wish
    limits: Limits
    """How many migrations at once its times are for."""
    at: str | None = None
    """When the snapshot was taken; ISO 8601, UTC."""


@dataclass(frozen=True, slots=True)
class MadePlan:
    """A plan that was made earlier."""

    plan: Plan
    asked: PlanAsked

    @property
    def drained(self) -> tuple[str, ...]:
        """The hosts that it empties."""
        objective = self.asked.wish.objective
        return tuple(sorted(objective.hosts)) if isinstance(objective, Drain) else ()

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that it touches."""
        touched = (host for move in self.plan.moves for host in (move.source, move.destination))
        return tuple(dict.fromkeys((*self.drained, *touched)))

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``read_plan`` reads."""
        return {**self.plan.as_json(), "asked": self.asked.model_dump(mode="json")}


def read_plan(text: str, name: str) -> MadePlan:
    """Return the plan; ``name`` is the file's, for the sentence. Raises HotfootError (usage)."""
    told = read_json(text, name, _DOCUMENTED)
    if not isinstance(told, dict) or not {"asked", "moves"} <= told.keys():
        raise HotfootError(f"{name} holds no plan; {_DOCUMENTED}.", ExitStatus.USAGE)
    plan = {key: _without_total(value) for key, value in told.items() if key in Plan.model_fields}
    made = validated(Plan, plan, name, _DOCUMENTED)
    numbers = [move.number for move in made.moves]
    if numbers != list(range(1, len(numbers) + 1)) or any(n >= m.number for m in made.moves for n in m.after):
        raise HotfootError(
            f"{name}: moves must be numbered from 1, and wait for earlier ones only; {_DOCUMENTED}.", ExitStatus.USAGE
        )
    return MadePlan(made, validated(PlanAsked, told["asked"], name, _DOCUMENTED))


def _without_total(value: Any) -> Any:
    """A score tells its total beside its terms, of which it is the sum."""
    return {key: each for key, each in value.items() if key != "total"} if isinstance(value, dict) else value
