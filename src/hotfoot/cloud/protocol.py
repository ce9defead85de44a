"""Where instances live, whatever runs them: what a migration asks of a cloud."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.inventory import Instance, Snapshot
from hotfoot.migration.facts import PairFacts
from hotfoot.migration.options import Order
from hotfoot.migration.proof import Sighting
from hotfoot.migration.result import JobTotals
from hotfoot.migration.sample import JobSample


class MoveEnded(HotfootError):
    """A migration did not complete: the operator's sentence; ``aborted`` when somebody stopped it."""

    def __init__(self, message: str, *, aborted: bool = False) -> None:
        super().__init__(message, ExitStatus.ABORTED if aborted else ExitStatus.FAILED_ON_SOURCE)
        self.aborted = aborted


class Cloud(Protocol):
    """One cloud. Every call ends in bounded time; a silent host is a value, not an exception."""

    async def look(self) -> Snapshot:
        """Return all hosts and instances, each host asked at the same time."""

    async def examine(self, instance: Instance, destination: str) -> PairFacts:
        """Look at everything that a move of the instance to the destination depends on, on both hosts."""

    async def addresses(self, instance: Instance) -> tuple[str, ...]:
        """Return the instance's addresses as far as the cloud knows them, likeliest first."""

    async def migrate(self, order: Order, on_iteration: Callable[[], None]) -> None:
        """Move the instance; return when the hypervisor says that it is done.

        ``on_iteration`` is called in the event loop at the start of every iteration. Raises MoveEnded.
        """

    async def totals(self, order: Order) -> JobTotals:
        """Return the hypervisor's account of the migration that has just completed."""

    async def job(self, host: str, uuid: str) -> JobSample | None:
        """Return one look at the migration of an instance from this host; None when there is none to see."""

    async def jobs(self) -> Mapping[tuple[str, str, str], JobSample]:
        """Return all outgoing migrations now: (host, uuid, name) -> sample."""

    async def abort(self, host: str, uuid: str) -> bool:
        """Stop the migration of an instance from this host; False when there was none."""

    async def sightings(self, uuid: str) -> tuple[Sighting, ...]:
        """Ask every host about one UUID, connecting anew where a connection was lost."""

    async def close(self) -> None:
        """Let go of all connections, without waiting for hosts that do not answer."""
