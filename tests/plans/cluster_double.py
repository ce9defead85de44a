"""A double of a whole cluster: hosts with room, instances that move as told. The real one is tried in tests/lab."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from hotfoot.cloud.protocol import MemoryTouched, MoveEnded, Offer, Usage
from hotfoot.inventory import Host, Instance, InstanceState, Inventory
from hotfoot.migration.facts import HostFiles, PairFacts
from hotfoot.migration.options import Order
from hotfoot.migration.proof import Sighting
from hotfoot.migration.result import Attached, JobTotals
from hotfoot.migration.sample import JobSample, Phase
from hotfoot.plans.planner import WholeCloud

GIB = 1 << 30


@dataclass
class ClusterDouble:
    """Hosts n1 to n3 with 8 GiB each; instances of 1 GiB, by name, on their hosts. A uuid is ``id-`` and the name."""

    at: dict[str, str]
    fails: set[tuple[str, str]] = field(default_factory=set)
    """Instance and host: a migration that ends on its source."""
    uses: dict[str, float] = field(default_factory=dict)
    """Cores that instances keep busy, by name."""
    slow: bool = False
    """Migrations go on until ``let_go`` is called, or they are aborted."""
    left_bytes: int = 0
    """What running migrations have yet to send."""
    moved: list[tuple[str, str, str]] = field(default_factory=list)
    """What was tried, in order: instance, source, destination."""
    most_at_once: int = 0
    claims: dict[str, str] = field(default_factory=dict)
    running: dict[str, Order] = field(default_factory=dict)
    _ends: dict[str, asyncio.Future[bool]] = field(default_factory=dict)
    _begun: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def cloud(self) -> WholeCloud:
        """This double where a cloud is wanted; whatever it lacks fails the test."""
        return cast(WholeCloud, self)

    async def until_begun(self, count: int) -> None:
        """Wait until so many migrations run."""
        while len(self.running) < count:
            self._begun.clear()
            await self._begun.wait()

    def let_go(self) -> None:
        """Let all migrations end, now and from now on."""
        self.slow = False
        for end in self._ends.values():
            if not end.done():
                end.set_result(True)

    def _instance(self, name: str) -> Instance:
        return Instance(
            uuid=f"id-{name}", name=name, host=self.at[name], state=InstanceState.RUNNING, persistent=True, vcpus=1,
            memory_bytes=GIB,
        )  # fmt: skip

    async def look(self, wanted: str | None = None, closely: Collection[str] | None = None) -> Inventory:
        await asyncio.sleep(0)
        hosts = (
            Host(name=name, address=name, cpus=4, memory_total_bytes=8 * GIB, memory_available_bytes=8 * GIB)
            for name in ("n1", "n2", "n3")
        )
        return Inventory(hosts=tuple(hosts), instances=tuple(self._instance(name) for name in self.at))

    async def examine(self, instance: Instance, destination: str) -> PairFacts:
        return PairFacts(destination=destination, job_under_way=instance.uuid in self.running)

    async def addresses(self, instance: Instance) -> tuple[str, ...]:
        return ()

    async def memory_touched_bytes(self, instance: Instance) -> MemoryTouched:
        return MemoryTouched()

    async def link_bytes_per_s(self, source: str, destination: str) -> int | None:
        return None

    async def disk_bytes(self, instance: Instance, targets: tuple[str, ...]) -> tuple[int, int]:
        return 0, 0

    async def usage(self, host: str, period_s: float) -> Mapping[str, Usage]:
        told = {f"id-{name}": cpus for name, cpus in self.uses.items() if self.at[name] == host}
        return {uuid: Usage(cpus=cpus if period_s else None) for uuid, cpus in told.items()}

    async def touched(self, host: str, instances: Sequence[Instance]) -> Mapping[str, int]:
        return {}

    async def machines(self, host: str) -> Mapping[str, str]:
        return {}

    async def offer(self, host: str, machines: Sequence[tuple[Instance, str]]) -> Offer:
        return Offer()

    async def sights(self, host: str, paths: Sequence[str], devices: Sequence[str]) -> HostFiles:
        return HostFiles()

    async def claim(self, host: str, uuid: str) -> str | None:
        return self.claims.get(uuid) if self._here(host, uuid) else None

    async def set_claim(self, host: str, uuid: str, claim: str | None) -> None:
        if claim is None:
            self.claims.pop(uuid, None)
        elif self._here(host, uuid):
            self.claims[uuid] = claim

    async def job(self, host: str, uuid: str) -> JobSample | None:
        order = self.running.get(uuid)
        if order is None or order.source != host:
            return None
        return JobSample(
            at_s=0.0, phase=Phase.COPYING_MEMORY, iteration=1, memory_total_bytes=GIB,
            memory_remaining_bytes=self.left_bytes,
        )  # fmt: skip

    async def jobs(self) -> Mapping[tuple[str, str, str], JobSample]:
        sample = JobSample(at_s=0.0, phase=Phase.COPYING_MEMORY)
        return {(order.source, uuid, order.name): sample for uuid, order in self.running.items()}

    def look_ahead(self, order: Order) -> None:
        pass

    async def migrate(self, order: Order, on_iteration: Callable[[], None], say: Callable[[str], None]) -> None:
        self.begin(order)
        await self.follow(order)

    def begin(self, order: Order) -> None:
        """Begin a migration, by whomever."""
        assert order.uuid not in self.running, "two migrations of one instance"
        assert self.at[order.name] == order.source
        self.moved.append((order.name, order.source, order.destination))
        self.running[order.uuid] = order
        self.most_at_once = max(self.most_at_once, len(self.running))
        self._ends[order.uuid] = asyncio.get_running_loop().create_future()
        self._begun.set()

    async def follow(self, order: Order) -> None:
        """Wait for the end of a migration that has begun."""
        end = self._ends[order.uuid]
        if not self.slow and not end.done():
            end.set_result(True)
        whole = await end
        del self.running[order.uuid]
        if not whole:
            raise MoveEnded("The job was aborted.", aborted=True)
        if (order.name, order.destination) in self.fails:
            raise MoveEnded(f"QEMU on {order.destination} ended.")
        self.at[order.name] = order.destination

    async def abort(self, host: str, uuid: str) -> bool:
        end = self._ends.get(uuid)
        if end is None or end.done():
            return False
        end.set_result(False)
        return True

    async def sightings(self, uuid: str) -> tuple[Sighting, ...]:
        return tuple(
            Sighting(host=host, state=InstanceState.RUNNING if self._here(host, uuid) else None, persistent=True)
            for host in ("n1", "n2", "n3")
        )

    def attached(self, uuid: str) -> tuple[Attached, ...]:
        return ()

    async def totals(self, order: Order) -> JobTotals:
        return JobTotals(downtime_ms=80)

    def _here(self, host: str, uuid: str) -> bool:
        return self.at.get(uuid.removeprefix("id-")) == host
