"""A source that tells nothing any more, on a double of a cloud; the real one is a cell of the fault matrix."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import pytest

from hotfoot.cloud.protocol import Cloud, MoveEnded
from hotfoot.errors import ExitStatus
from hotfoot.inventory import Instance, InstanceState
from hotfoot.migration import rejoin
from hotfoot.migration import run as running
from hotfoot.migration.options import MigrationOptions, Mode, Order
from hotfoot.migration.preflight import Verdict
from hotfoot.migration.proof import PostCopy, Sighting
from hotfoot.migration.result import Attached, MigrationResult, Outcome
from hotfoot.migration.sample import JobSample, Phase

INSTANCE = Instance(
    uuid="u", name="vm1", host="n1", state=InstanceState.RUNNING, persistent=True, vcpus=1, memory_bytes=1 << 28,
)  # fmt: skip
ORDER = Order(
    uuid="u", name="vm1", source="n1", destination="n2", mode=Mode.LIVE, persistent=True, options=MigrationOptions(),
)  # fmt: skip


@dataclass
class CloudDouble:
    """Tells of a migration once; it ends on the source as soon as its stream is ended, or after many questions."""

    phase: Phase = Phase.SWITCHING_OVER
    ends_stream: bool | None = True
    repeats: bool = False
    """Whether it goes on telling, and the same each time."""
    taken_for_aborted: bool = False
    asked_to_end: int = 0
    looks: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def migrate(self, order: Order, on_iteration: Callable[[], None], say: Callable[[str], None]) -> None:
        await self.over.wait()
        raise MoveEnded("The stream broke off.", aborted=self.taken_for_aborted)

    async def job(self, host: str, uuid: str) -> JobSample | None:
        await asyncio.sleep(0)
        self.looks += 1
        if self.looks > 20:
            self.over.set()
        told = JobSample(at_s=0.0, phase=self.phase, iteration=2, elapsed_ms=self.looks)
        return told if self.looks == 1 or self.repeats else None

    async def end_dead_stream(self, order: Order) -> bool | None:
        self.asked_to_end += 1
        if self.ends_stream:
            self.over.set()
        return self.ends_stream

    def attached(self, uuid: str) -> tuple[Attached, ...]:
        return ()

    async def sightings(self, uuid: str) -> tuple[Sighting, ...]:
        return (Sighting(host="n1", state=InstanceState.RUNNING, persistent=True), Sighting(host="n2"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOK_S", "MUTE_S", "MUTE_AGAIN_S", "PROOF_AGAIN_S"):
        monkeypatch.setattr(running, name, 0.001)


async def moved(double: CloudDouble) -> tuple[MigrationResult, list[str]]:
    said: list[str] = []
    verdict = Verdict(instance=INSTANCE, destination="n2", mode=Mode.LIVE, obstacles=(), remarks=(), order=ORDER)
    run = running.Run(
        cast(Cloud, double), verdict, ORDER, None, lambda _sample: None, lambda _action: None, said.append
    )
    return await run.execute(), said


async def test_a_dead_stream_is_ended_and_said() -> None:
    double = CloudDouble()
    result, said = await moved(double)
    assert (result.outcome, double.asked_to_end) == (Outcome.FAILED, 1)
    assert said == ["n2 takes nothing of the memory of vm1 any more, which stands still for it: the stream is ended."]
    assert "The dead memory stream to n2 was ended." in str(result.as_json()["reason"])


async def test_who_ends_a_dead_stream_is_not_somebody_else() -> None:
    """Seen as "stopped by someone else": to the destination it looks like that, as the source has ended the stream."""
    result, _ = await moved(CloudDouble(taken_for_aborted=True))
    assert (result.outcome, result.status) == (Outcome.FAILED, ExitStatus.FAILED_ON_SOURCE)
    assert "someone else" not in str(result.reason)
    assert "n2 took nothing of its memory any more" in str(result.reason)


async def test_a_source_that_tells_the_same_all_the_time_in_the_switch_over_has_a_dead_stream_too() -> None:
    """Seen where the last of it fitted into the kernel's buffer: QEMU waits for the other's word, and answers."""
    double = CloudDouble(repeats=True)
    result, _ = await moved(double)
    assert (result.outcome, double.asked_to_end) == (Outcome.FAILED, 1)


async def test_while_the_guest_runs_a_stream_is_left_alone_though_nothing_is_sent() -> None:
    double = CloudDouble(phase=Phase.COPYING_MEMORY, repeats=True)
    await moved(double)
    assert double.asked_to_end == 0


async def test_where_it_cannot_be_ended_that_is_said() -> None:
    result, said = await moved(CloudDouble(ends_stream=False))
    assert result.outcome is Outcome.FAILED
    assert "the kernel of n1 cannot end the stream" in said[0]


async def test_where_there_is_none_nothing_is_said() -> None:
    double = CloudDouble(ends_stream=None)
    assert (await moved(double))[1] == []
    assert double.asked_to_end > 1


async def test_in_post_copy_no_stream_is_ever_ended() -> None:
    double = CloudDouble(phase=Phase.POST_COPY)
    assert (await moved(double))[1] == []
    assert double.asked_to_end == 0


IT_RAN = Sighting(host="n2", state=InstanceState.RUNNING, post_copy=PostCopy.UNDER_WAY)
BEFORE_IT_RAN = Sighting(host="n2", state=InstanceState.IN_TRANSIT)


@dataclass
class LosingCloud(CloudDouble):
    """Never ends the call: the source's QEMU is gone, and the destination's waits for the rest of the memory."""

    phase: Phase = Phase.POST_COPY
    silent: bool = False
    there: Sighting = IT_RAN

    async def migrate(self, order: Order, on_iteration: Callable[[], None], say: Callable[[str], None]) -> None:
        await asyncio.Event().wait()

    async def sightings(self, uuid: str) -> tuple[Sighting, ...]:
        await asyncio.sleep(0)
        if self.silent:
            return (Sighting(host="n1", problem="Its link is cut."), self.there)
        return (Sighting(host="n1", state=InstanceState.SHUT_OFF, persistent=True), self.there)


async def test_a_half_that_is_lost_is_told_though_libvirt_waits_for_it_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rejoin, "SURE_S", 0.0)
    monkeypatch.setattr(rejoin, "AGAIN_S", 0.0)
    async with asyncio.timeout(20):
        result, _ = await moved(LosingCloud())
    assert result.status is ExitStatus.UNKNOWN_STATE
    reason = str(result.as_json()["reason"])
    assert "A half of the migration is gone for good" in reason
    assert "vm1 cannot be made whole" in reason


async def test_a_source_that_died_before_the_destination_ran_is_not_waited_for_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seen with QEMU killed in the moment of the switch: libvirt's call had not ended after 150 s."""
    monkeypatch.setattr(running, "PROOF_PATIENCE_S", 0.0)
    async with asyncio.timeout(20):
        result, _ = await moved(LosingCloud(there=BEFORE_IT_RAN))
    assert result.status is ExitStatus.UNKNOWN_STATE
    assert "No host has vm1 alive, and libvirt goes on waiting for it" in str(result.as_json()["reason"])


@pytest.mark.parametrize("there", [IT_RAN, BEFORE_IT_RAN], ids=["it ran", "it had not run"])
async def test_a_source_that_is_silent_is_not_taken_for_lost(there: Sighting) -> None:
    silent = LosingCloud(silent=True, there=there)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await moved(silent)
    assert silent.looks > 1
