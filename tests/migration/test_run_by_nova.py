"""A migration that Nova makes, on a double of a cloud; the real one is tried in tests/lab."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import cast

import pytest

from hotfoot.cloud.protocol import Cloud, MoveEnded
from hotfoot.errors import ExitStatus
from hotfoot.inventory import Instance, InstanceState
from hotfoot.migration import run as running
from hotfoot.migration.action import ActionKind
from hotfoot.migration.options import MigrationOptions, Mode, Order
from hotfoot.migration.policy import Policy
from hotfoot.migration.preflight import Verdict
from hotfoot.migration.proof import Sighting
from hotfoot.migration.result import Attached, JobTotals, MigrationResult, Outcome
from hotfoot.migration.sample import JobSample, Phase

INSTANCE = Instance(
    uuid="u", name="web1", host="n1", state=InstanceState.RUNNING, persistent=True, vcpus=1, memory_bytes=1 << 28,
)  # fmt: skip
ORDER = Order(
    uuid="u", name="web1", source="n1", destination="", mode=Mode.LIVE, persistent=True, by_nova=True,
    options=MigrationOptions(policy=Policy(name="nova", deadline_ms=1000)),
)  # fmt: skip
VOLUME = Attached(kind="volume", id="v1", before="/dev/vdb", after="/dev/vdb")


@dataclass
class CloudDouble:
    """Moves web1 to n3, which it chose; with ``stuck`` only an abort ends it."""

    elapsed_ms: int = 10
    stuck: bool = False
    at: str = "n1"
    disk_bytes: int = 0
    finishing: bool = False
    """Whether from the second look on, with which it ends, there are no figures: Nova has something left to do."""
    aborted: asyncio.Event = field(default_factory=asyncio.Event)
    seen: asyncio.Event = field(default_factory=asyncio.Event)
    looked: bool = False

    async def migrate(self, order: Order, on_iteration: Callable[[], None], say: Callable[[str], None]) -> None:
        await self.seen.wait()
        if self.stuck:
            await self.aborted.wait()
            raise MoveEnded("Aborted.", aborted=True, destination="n3")
        self.at = "n3"

    async def job(self, host: str, uuid: str) -> JobSample | None:
        await asyncio.sleep(0)
        if self.looked or not self.finishing:
            self.seen.set()
        if self.looked and self.finishing:
            return JobSample(at_s=1.0, phase=Phase.FINISHING)
        self.looked = True
        return JobSample(
            at_s=0.0, phase=Phase.COPYING_MEMORY, iteration=9, memory_total_bytes=9, memory_remaining_bytes=9,
            elapsed_ms=self.elapsed_ms, disk_total_bytes=self.disk_bytes, disk_processed_bytes=self.disk_bytes,
        )  # fmt: skip

    async def abort(self, host: str, uuid: str) -> bool:
        self.aborted.set()
        return True

    async def totals(self, order: Order) -> JobTotals:
        return JobTotals(downtime_ms=7 if order.destination == "n3" else None)

    def attached(self, uuid: str) -> tuple[Attached, ...]:
        return (VOLUME,)

    async def sightings(self, uuid: str) -> tuple[Sighting, ...]:
        return (Sighting(host=self.at, state=InstanceState.RUNNING, persistent=True, remark="A word of Nova."),)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOK_S", "PROOF_AGAIN_S"):
        monkeypatch.setattr(running, name, 0.001)


def _run(double: CloudDouble, order: Order = ORDER) -> running.Run:
    verdict = Verdict(instance=INSTANCE, destination="", mode=Mode.LIVE, obstacles=(), remarks=(), order=order)
    return running.Run(cast(Cloud, double), verdict, order, None, lambda _sample: None, lambda _act: None, print)


async def _moved(double: CloudDouble) -> MigrationResult:
    return await _run(double).execute()


async def test_where_nova_chose_the_result_names_the_host_that_is_proven() -> None:
    result = await _moved(CloudDouble())
    assert (result.outcome, result.destination, result.totals.downtime_ms) == (Outcome.COMPLETED, "n3", 7)
    assert result.remarks == ("A word of Nova.",)
    assert result.as_json()["attached"] == [{"kind": "volume", "id": "v1", "before": "/dev/vdb", "after": "/dev/vdb"}]
    assert result.mode == "live"


async def test_nova_steers_but_a_deadline_is_kept() -> None:
    result = await _moved(CloudDouble(elapsed_ms=1001, stuck=True))
    assert result.status is ExitStatus.FAILED_ON_SOURCE
    assert [action.kind for action in result.actions] == [ActionKind.GIVE_UP]
    assert "Given up: it has not ended within its deadline of 1" in (result.reason or "")
    assert result.destination == "n3"


async def test_whether_disks_were_copied_is_told_as_it_turned_out() -> None:
    assert (await _moved(CloudDouble(disk_bytes=5))).mode == "block"
    finished = await _moved(CloudDouble(disk_bytes=5, finishing=True))
    assert (finished.mode, finished.totals.disk_sent_bytes) == ("block", 5)


def test_a_cold_migration_cannot_be_stopped() -> None:
    run = _run(CloudDouble(), replace(ORDER, mode=Mode.COLD))
    assert "cannot be stopped half-way" in (run.request_abort() or "")
