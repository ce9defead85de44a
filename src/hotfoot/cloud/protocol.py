"""Where instances live, whatever runs them: what a migration asks of a cloud."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.inventory import Instance, Inventory
from hotfoot.migration.facts import HostFiles, PairFacts
from hotfoot.migration.options import Order
from hotfoot.migration.page_watch import PageWatch
from hotfoot.migration.proof import Sighting
from hotfoot.migration.result import Attached, JobTotals
from hotfoot.migration.sample import JobSample

NO_WAY_BACK = (
    "The migration is in post-copy: the instance runs on its destination, with a part of its memory still on the"
    " source; stopping it now would destroy the instance. Let it finish."
)


class MoveEnded(HotfootError):
    """A migration did not complete: the operator's sentence; ``aborted`` when somebody stopped it.

    ``destination``: where the cloud wanted to move it, where that was left to it; ``only_cold``: no host can take it
    live, for what it is made of.
    """

    def __init__(
        self, message: str, *, aborted: bool = False, destination: str | None = None, only_cold: bool = False
    ) -> None:
        super().__init__(message, ExitStatus.ABORTED if aborted else ExitStatus.FAILED_ON_SOURCE)
        self.aborted = aborted
        self.destination = destination
        self.only_cold = only_cold


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryTouched:
    """How much memory an instance has touched; both None where nothing tells."""

    guest_bytes: int | None = None
    """The guest's memory alone."""
    process_bytes: int | None = None
    """The whole process that runs it, with what the hypervisor needs for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a running instance uses now."""

    cpus: float | None = None
    """Cores that it keeps busy, with what the hypervisor does for it; None where that was not measured."""
    resident_bytes: int | None = None
    """Memory of its process; None where nothing tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a host has for instances beside room."""

    networks: frozenset[str] | None = None
    """Active libvirt networks; None when it could not say."""
    pool_folders: frozenset[str] | None = None
    """Target folders of active storage pools; None when it could not say."""
    misfits: tuple[str | None, ...] = ()
    """For each kind of machine that was asked about, why it cannot run here; None: it can, or that is not known."""


class Cloud(Protocol):
    """One cloud. Every call ends in bounded time; a silent host is a value, not an exception."""

    async def look(self, wanted: str | None = None, closely: Collection[str] | None = None) -> Inventory:
        """Return all hosts and instances, each host asked at the same time.

        Where one instance is ``wanted`` (its name, its UUID, or how that begins), a cloud may leave out others, as long
        as it returns all that this can mean, and those of their groups. Where only some hosts are looked at
        ``closely``, a cloud may tell of the others no more than their names, and whether they are up.
        """

    async def examine(self, instance: Instance, destination: str) -> PairFacts:
        """Look at everything that a move of the instance to the destination depends on, on both hosts."""

    async def addresses(self, instance: Instance) -> tuple[str, ...]:
        """Return the instance's addresses as far as the cloud knows them, likeliest first."""

    async def watch_pages(self, instance: Instance, period_s: int) -> PageWatch | None:
        """Look for some seconds which pages the instance writes; None where its pages cannot be looked at."""

    async def dirty_mib_per_s(self, instance: Instance, period_s: int) -> int | None:
        """Measure for whole seconds how fast the instance dirties its memory; None where that cannot be measured."""

    async def memory_touched_bytes(self, instance: Instance) -> MemoryTouched:
        """Return how much of its memory the instance has ever touched, as far as it can be told."""

    async def link_bytes_per_s(self, source: str, destination: str) -> int | None:
        """Return the nominal speed of the source's link towards the destination; None where nothing tells."""

    async def disk_bytes(self, instance: Instance, targets: tuple[str, ...]) -> tuple[int, int]:
        """Return what of these disks is written on the source, and what they could hold; raises HotfootError."""

    def look_ahead(self, order: Order) -> None:
        """Learn that this move is about to begin, so that what it looks at first can be looked at meanwhile.

        Nothing is changed by it, and the move may not come after all.
        """

    async def migrate(self, order: Order, on_iteration: Callable[[], None], say: Callable[[str], None]) -> None:
        """Move the instance; return when the hypervisor says that it is done.

        Both are called in the event loop: ``on_iteration`` at the start of every iteration, ``say`` with what the
        operator has to read meanwhile. Raises MoveEnded.
        """

    async def totals(self, order: Order) -> JobTotals:
        """Return the hypervisor's account of the migration that has just completed."""

    def attached(self, uuid: str) -> tuple[Attached, ...]:
        """Return volumes and ports of an instance that has just been moved, where the cloud knows of such."""

    async def job(self, host: str, uuid: str) -> JobSample | None:
        """Return one look at the migration of an instance from this host; None when there is none to see."""

    async def jobs(self) -> Mapping[tuple[str, str, str], JobSample]:
        """Return all outgoing migrations now: (host, uuid, name) -> sample."""

    async def limit_downtime(self, host: str, uuid: str, downtime_ms: int) -> None:
        """Set the downtime limit of the migration under way. Raises HotfootError where that is refused."""

    async def start_post_copy(self, host: str, uuid: str) -> None:
        """Let the instance run on the destination, and fetch what is left. Raises HotfootError where that is refused.

        A host that does not answer may have heard: that is no error, and the migration counts as in post-copy.
        """

    async def abort(self, host: str, uuid: str) -> bool:
        """Stop the migration of an instance from this host; False when there was none.

        Raises HotfootError, once it is in post-copy with NO_WAY_BACK and REFUSED.
        """

    async def pause_post_copy(self, host: str, uuid: str) -> None:
        """Pause a migration in post-copy, told to its source: only a resume brings it back then.

        Raises HotfootError where that is refused.
        """

    async def resume_post_copy(self, order: Order) -> None:
        """Resume a post-copy migration that broke, and return once all has arrived. Raises HotfootError."""

    async def end_dead_stream(self, order: Order) -> bool | None:
        """End the memory stream that its destination has not taken for long, so that the guest need not wait for it.

        None where there is none such, or nobody can tell; False where the source cannot end it. Never to be called in
        post-copy.
        """

    async def sightings(self, uuid: str) -> tuple[Sighting, ...]:
        """Ask every host about one UUID, connecting anew where a connection was lost."""

    async def forget(self, host: str, uuid: str) -> None:
        """Remove a host's definition of an instance that is shut off there; its disks and NVRAM stay.

        Raises HotfootError where that is refused, as it is for an instance that is active there.
        """

    async def claim(self, host: str, uuid: str) -> str | None:
        """Return the claim that is written on a running instance of this host; None when there is none.

        Raises HotfootError where the host cannot say.
        """

    async def set_claim(self, host: str, uuid: str, claim: str | None) -> None:
        """Write a claim on a running instance, in place of the one that is there, or take it away.

        It stays with the running instance, also when that moves, and is never part of its definition on disk.
        Raises HotfootError.
        """

    async def close(self) -> None:
        """Let go of all connections, without waiting for hosts that do not answer."""


class Survey(Protocol):
    """What a look at a whole cluster asks of a cloud beside ``look`` and ``jobs``: few questions to each host."""

    async def look(self) -> Inventory:
        """Return all hosts and instances, each host asked at the same time."""

    async def jobs(self) -> Mapping[tuple[str, str, str], JobSample]:
        """Return all outgoing migrations now: (host, uuid, name) -> sample."""

    async def usage(self, host: str, period_s: float) -> Mapping[str, Usage]:
        """Measure for so long what each instance on a host uses, by uuid; empty where that cannot be measured.

        In no time at all, memory is all that can be told.
        """

    async def touched(self, host: str, instances: Sequence[Instance]) -> Mapping[str, int]:
        """Return how many bytes of its own memory each of these on a host has touched, by uuid, where that is known."""

    async def machines(self, host: str) -> Mapping[str, str]:
        """Return for each running instance on a host (uuid) the definition that would go to a destination."""

    async def offer(self, host: str, machines: Sequence[tuple[Instance, str]]) -> Offer:
        """Return what a host has, and whether it can run machines like these (an instance and its definition)."""

    async def sights(self, host: str, paths: Sequence[str], devices: Sequence[str]) -> HostFiles:
        """Look at paths and network devices on a host."""

    async def link_bytes_per_s(self, source: str, destination: str) -> int | None:
        """Return the nominal speed of the source's link towards the destination; None where nothing tells."""

    async def disk_bytes(self, instance: Instance, targets: tuple[str, ...]) -> tuple[int, int]:
        """Return what of these disks is written on the source, and what they could hold; raises HotfootError."""
