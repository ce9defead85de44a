"""What the run of a plan works with, and who sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from hotfoot.inventory import Inventory
from hotfoot.journal.plans import Plans
from hotfoot.migration.result import MigrationResult
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


class Carrier(Protocol):
    """One move as it is carried out, once. Every end is a result, also a refusal."""

    @property
    def under_way(self) -> bool:
        """Whether it has been started, or picked up, so that only ``request_abort`` stops it."""

    def request_abort(self) -> str | None:
        """Stop what is under way as soon as it can be; returns why it cannot be stopped, if so."""

    async def carry_out(
        self, on_sample: Callable[[JobSample], None], may_send: Callable[[], Awaitable[None]]
    ) -> MigrationResult:
        """Make the move, from judging it to its proof; ``may_send`` is awaited once, before memory is sent."""

    async def follow(self, on_sample: Callable[[JobSample], None], begun: Callable[[], None]) -> MigrationResult | None:
        """Follow what goes on without its Hotfoot, calling ``begun`` first; None when there is none any more."""

    async def give_up(self, reason: str) -> MigrationResult:
        """Give back what was taken, as somebody stopped it before the start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a run works with."""

    plans: Plans
    carrying: Callable[[Step, Callable[[str], None]], Carrier]
    """Makes what carries out a step; the second is what it says to the operator."""
    around: Callable[[str], Awaitable[Around]]
    """What the journal says that a plan (its id) must respect. Raises HotfootError where it cannot tell."""
    plan: Callable[[Wish, Around], Awaitable[Planned]]
    """Looks, and plans."""
    look: Callable[[], Awaitable[Inventory]]
    record_of: Callable[[Step], str | None]
    """Finds the record in the journal (its id) of a move that another process began; blocks."""
