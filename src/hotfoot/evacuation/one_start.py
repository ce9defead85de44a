"""What every start of an evacuation is, whoever starts: it runs to its end, and nobody follows or breaks it off."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.migration.result import MigrationResult, Outcome
from hotfoot.migration.sample import JobSample
from hotfoot.placement.course import Step

_OUTCOMES = {ExitStatus.COMPLETED: Outcome.COMPLETED, ExitStatus.ABORTED: Outcome.ABORTED}


class OneStart(ABC):
    """Implements ``plans.means.Carrier`` for one instance; who starts it says how."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._under_way = False

    @property
    def under_way(self) -> bool:
        """Whether somebody was told to start it."""
        return self._under_way

    @abstractmethod
    def request_abort(self) -> str | None:
        """Return why a start is not broken off."""

    @abstractmethod
    async def _start(self) -> tuple[str, ...]:
        """Start it, and prove that it runs; returns remarks. Raises HotfootError."""

    async def carry_out(
        self, on_sample: Callable[[JobSample], None], may_send: Callable[[], Awaitable[None]]
    ) -> MigrationResult:
        """Start it, and prove that it runs; every end is a result. Nothing is sent, so nothing is waited for."""
        try:
            return self._ended(ExitStatus.COMPLETED, None, await self._start())
        except HotfootError as error:
            return self._ended(error.status, str(error))

    async def follow(self, on_sample: Callable[[JobSample], None], begun: Callable[[], None]) -> MigrationResult | None:
        """Return nothing: where it is tells how it ended."""
        return None

    async def give_up(self, reason: str) -> MigrationResult:
        """Return that it was not started."""
        return self._ended(ExitStatus.ABORTED, reason)

    def _ended(self, status: ExitStatus, reason: str | None, remarks: tuple[str, ...] = ()) -> MigrationResult:
        step = self._step
        return MigrationResult(
            instance=step.name,
            uuid=step.uuid,
            source=step.source,
            destination=step.destination,
            outcome=_OUTCOMES.get(status, Outcome.FAILED),
            status=status,
            reason=reason,
            remarks=remarks,
        )
