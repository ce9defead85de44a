"""What the run of a plan works with, and who sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from hotfoot.inventory import Inventory
from hotfoot.journal.carrying import Carrying
from hotfoot.journal.plans import Plans
from hotfoot.migration.sample import JobSample
from hotfoot.placement.course import Course, Step
from hotfoot.placement.wish import Wish
from hotfoot.plans.planner import Around, Planned


class Onlooker(Protocol):
    """Who sees a plan being carried out."""

    def say(self, sentence: str) -> None:
        """Hear a sentence for the operator."""

    def look(self, step: Step, sample: JobSample) -> None:
        """See how far a running move is."""

    def course(self, course: Course) -> None:
        """See that a move has begun or ended, or that more are planned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a run works with."""

    plans: Plans
    carrying: Callable[[Step, Callable[[str], None]], Carrying]
    """Makes one migration of a step; the second is what it says to the operator."""
    around: Callable[[str], Awaitable[Around]]
    """What the journal says that a plan (its id) must respect. Raises HotfootError where it cannot tell."""
    plan: Callable[[Wish, Around], Awaitable[Planned]]
    """Looks, and plans."""
    look: Callable[[], Awaitable[Inventory]]
    record_of: Callable[[Step], str | None]
    """Finds the record in the journal (its id) of a move that another process began; blocks."""
