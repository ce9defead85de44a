"""What planning answers: moves in steps with times, the score before and after, the bound, and reasons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hotfoot.placement.snapshot import Cold


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Term(_Value):
    """One term of a score; docs/placement.md explains each by its name."""

    name: str
    value: float
    weight: float = 1.0
    """``value / weight`` is what the name counts: instances, hosts, GiB, shares."""


class Score(_Value):
    """How far a placement is from what is wanted; less is better."""

    terms: tuple[Term, ...]

    @property
    def total(self) -> float:
        """The sum of all terms."""
        return sum(term.value for term in self.terms)


class Target(_Value):
    """Where the solver wants instances, before any order is thought of."""

    hosts: Mapping[str, str]
    """Instance id to host, of every instance."""
    before: Score
    after: Score
    bound: float | None = None
    """No placement has a lower score; None: not known."""
    gap: Annotated[float, Field(ge=0)] | None = None
    """(after - bound) / max(abs(after), 1e-9); 0: proved to be the best."""
    solver: Literal["exact", "search", "none"]
    """none: all stays where it is; the remark says why."""
    reasons: Mapping[str, str] = {}
    """Why an instance that should have been moved stays: id to sentence."""
    remark: str | None = None
    """Why nothing is worth moving, or how the search ended."""


class Move(_Value):
    """One migration of a plan."""

    number: int
    """From 1, in order of start."""
    instance: str
    """Its id."""
    name: str
    source: str
    destination: str
    transfer_bytes: int
    downtime_ms: int
    begins_s: float
    """Expected, from the plan's start."""
    seconds: float
    """Expected."""
    after: tuple[int, ...] = ()
    """Numbers of the moves that must be over first, since they make room, or part what must be apart."""
    reason: str
    """What it is for, in a few words."""
    temporary: bool = False
    """It goes there to make room, and on later."""
    convoy: int | None = None
    """Moves with the same number are bound to each other by a rule, and make sense only together."""
    cold: Cold | None = None
    """What its cold migration means for the instance; None: it is moved live."""


class Plan(_Value):
    """An ordered set of moves, and what it leads to."""

    moves: tuple[Move, ...]
    before: Score
    after: Score
    """Of the placement to which the moves lead: not always the target."""
    bound: float | None = None
    gap: float | None = None
    seconds: float = 0.0
    """Expected, of all moves."""
    least_seconds: float = 0.0
    """The bytes through the narrowest link: no order is faster."""
    transfer_bytes: int = 0
    stays: Mapping[str, str] = {}
    """Instances (ids) that should have been moved and are not, each with the reason."""
    remark: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain values, with the scores' totals."""
        told = self.model_dump(mode="json")
        for key, score in (("before", self.before), ("after", self.after)):
            told[key]["total"] = score.total
        return told
