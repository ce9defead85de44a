"""Waiting for two halves, and resuming them, on a double of a cloud; real ones are in tests/lab/test_recover.py."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest

from hotfoot.cloud.protocol import Cloud
from hotfoot.errors import HotfootError
from hotfoot.inventory import InstanceState
from hotfoot.migration import rejoin
from hotfoot.migration.options import MigrationOptions, Mode, Order
from hotfoot.migration.proof import PostCopy, Sighting
from hotfoot.migration.recovery import Situation
from hotfoot.migration.sample import JobSample, Phase

RUNNING, OFF, TRANSIT = InstanceState.RUNNING, InstanceState.SHUT_OFF, InstanceState.IN_TRANSIT
ENDS = ("n1", "n2")
ORDER = Order(
    uuid="u", name="vm1", source="n1", destination="n2", mode=Mode.LIVE, persistent=True,
    options=MigrationOptions(), post_copy=True,
)  # fmt: skip

Look = tuple[Sighting, ...]


def at(host: str, state: InstanceState | None, post_copy: PostCopy | None = None) -> Sighting:
    return Sighting(host=host, state=state, post_copy=post_copy, persistent=state is not None)


UNDER_WAY: Look = (at("n1", TRANSIT, PostCopy.UNDER_WAY), at("n2", RUNNING, PostCopy.UNDER_WAY))
BROKEN: Look = (at("n1", TRANSIT, PostCopy.BROKEN), at("n2", RUNNING, PostCopy.UNDER_WAY))
SILENT: Look = (Sighting(host="n1", problem="Its link is cut."), BROKEN[1])
LOST: Look = (at("n1", None), BROKEN[1])
WHOLE: Look = (at("n1", OFF), at("n2", RUNNING))


@dataclass
class CloudDouble:
    """Shows one look after the other, the last one for ever; each takes a second of its clock."""

    looks: Sequence[Look]
    left_bytes: list[int] = field(default_factory=list)
    resumes_with: HotfootError | None = None
    resumed: bool = False
    done: list[str] = field(default_factory=list)
    seen: int = 0

    @property
    def cloud(self) -> Cloud:
        """This double where a cloud is wanted; whatever it lacks fails the test."""
        return cast(Cloud, self)

    def clock(self) -> float:
        return float(self.seen)

    async def sightings(self, uuid: str) -> Look:
        await asyncio.sleep(0)
        self.seen += 1
        return WHOLE if self.resumed else self.looks[min(self.seen, len(self.looks)) - 1]

    async def job(self, host: str, uuid: str) -> JobSample | None:
        if not self.left_bytes:
            return None
        return JobSample(at_s=0.0, phase=Phase.POST_COPY, memory_remaining_bytes=self.left_bytes.pop())

    async def pause_post_copy(self, host: str, uuid: str) -> None:
        self.done.append(f"pause on {host}")

    async def resume_post_copy(self, order: Order) -> None:
        self.done.append(f"resume from {order.source}")
        if self.resumes_with:
            raise self.resumes_with
        self.resumed = True

    async def forget(self, host: str, uuid: str) -> None:
        self.done.append(f"forget on {host}")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejoin, "AGAIN_S", 0.0)


async def wait(double: CloudDouble, said: list[str]) -> Situation:
    found = await rejoin.wait(double.cloud, "u", "vm1", ENDS, said.append, clock=double.clock)
    if found.situation is Situation.WHOLE:
        assert (found.source, found.destination) == ENDS
    return found.situation


async def test_halves_that_come_together_are_waited_for_and_told_of() -> None:
    said: list[str] = []
    assert await wait(CloudDouble([SILENT, SILENT, BROKEN, BROKEN, WHOLE]), said) is Situation.WHOLE
    assert len(said) == 2
    assert said[0].startswith("n1, the source, does not answer: Its link is cut.")
    assert said[1].startswith("n1, the source, is paused (post-copy failed)")


async def test_what_comes_to_its_end_at_once_is_not_talked_about() -> None:
    said: list[str] = []
    assert await wait(CloudDouble([UNDER_WAY, WHOLE]), said) is Situation.WHOLE
    assert said == []


async def test_patience_ends_when_nothing_changes() -> None:
    double = CloudDouble([SILENT] * 40 + [BROKEN])
    assert await wait(double, []) is Situation.BROKEN
    assert double.seen == 40 + 1 + 126
    forever = CloudDouble([SILENT])
    assert await wait(forever, []) is Situation.SOURCE_SILENT
    assert forever.seen == 1 + 46


async def test_memory_that_arrives_is_a_change() -> None:
    double = CloudDouble([UNDER_WAY] * 200 + [WHOLE], left_bytes=list(range(200)))
    assert await wait(double, []) is Situation.WHOLE
    assert await wait(CloudDouble([UNDER_WAY] * 200 + [WHOLE]), []) is Situation.UNDER_WAY


async def test_a_half_that_is_gone_is_believed_only_after_a_while() -> None:
    assert await wait(CloudDouble([BROKEN, LOST, LOST, WHOLE]), []) is Situation.WHOLE
    said: list[str] = []
    assert await wait(CloudDouble([BROKEN, LOST]), said) is Situation.SOURCE_LOST
    assert "Lost for good" in said[-1]


async def test_a_resume_pauses_the_source_first_and_is_believed_only_when_the_instance_is_whole() -> None:
    double = CloudDouble([BROKEN])
    found = await rejoin.resume(double.cloud, ORDER, lambda _sentence: None)
    assert found.situation is Situation.WHOLE
    assert double.done == ["pause on n1", "resume from n1"]


async def test_a_resume_that_is_refused_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(rejoin, "SURE_S", 0.0)
    double = CloudDouble([BROKEN, LOST], resumes_with=HotfootError("QEMU is gone."))
    assert (await rejoin.resume(double.cloud, ORDER, said.append)).situation is Situation.SOURCE_LOST
    assert "The resume ended: QEMU is gone." in said


async def test_a_definition_left_on_the_source_goes_once_the_instance_is_whole() -> None:
    double = CloudDouble([(BROKEN[0], WHOLE[1])] * 3 + [WHOLE])
    assert await rejoin.tidy(double.cloud, ORDER)
    assert double.done == ["forget on n1"]
    assert not await rejoin.tidy(CloudDouble([(at("n1", OFF), at("n2", None))]).cloud, ORDER)
