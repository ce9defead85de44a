"""A double of a cloud: claims, jobs and sightings as a test sets them. The real one is tried in tests/lab."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from hotfoot.cloud.protocol import Cloud
from hotfoot.inventory import Instance, InstanceState
from hotfoot.migration.options import Order
from hotfoot.migration.proof import Sighting
from hotfoot.migration.result import Attached, JobTotals
from hotfoot.migration.sample import JobSample, Phase

INSTANCE = Instance(
    uuid="bc7b3e9f-c8f4-5853-941d-be5ab5116dee", name="vm1", host="n1", state=InstanceState.RUNNING, persistent=True,
    vcpus=1, memory_bytes=1 << 28,
)  # fmt: skip


@dataclass
class CloudDouble:
    """Three hosts; the claim is where the instance is."""

    text: str | None = None
    samples_left: int = 0
    """How many more looks find a migration under way; one that is aborted ends at once."""
    at: str = "n1"
    silent: tuple[str, ...] = ()
    aborted: bool = False
    written: list[str | None] = field(default_factory=list)
    awaited: list[tuple[int, asyncio.Event]] = field(default_factory=list)

    @property
    def cloud(self) -> Cloud:
        """This double where a cloud is wanted; whatever it lacks fails the test."""
        return cast(Cloud, self)

    async def claim(self, host: str, uuid: str) -> str | None:
        await asyncio.sleep(0)
        return self.text if host == self.at else None

    async def set_claim(self, host: str, uuid: str, claim: str | None) -> None:
        await asyncio.sleep(0)
        self.written.append(claim)
        self.text = claim
        for count, event in self.awaited:
            if len(self.written) >= count:
                event.set()

    async def until_written(self, count: int) -> None:
        event = asyncio.Event()
        self.awaited.append((count, event))
        await event.wait()

    async def job(self, host: str, uuid: str) -> JobSample | None:
        if not self.samples_left:
            return None
        self.samples_left -= 1
        return JobSample(at_s=0.0, phase=Phase.COPYING_MEMORY, iteration=self.samples_left, elapsed_ms=1500)

    async def abort(self, host: str, uuid: str) -> bool:
        self.aborted, self.samples_left = True, 0
        return True

    async def sightings(self, uuid: str) -> Sequence[Sighting]:
        return [
            Sighting(host=host, problem="silent")
            if host in self.silent
            else Sighting(host=host, state=InstanceState.RUNNING if host == self.at else None, persistent=True)
            for host in ("n1", "n2", "n3")
        ]

    def attached(self, uuid: str) -> tuple[Attached, ...]:
        return ()

    async def totals(self, order: Order) -> JobTotals:
        return JobTotals(downtime_ms=80, elapsed_ms=2000)
