"""For how long a survey looks at an instance, and by what."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from hotfoot.cloud.protocol import Cloud, MemoryTouched
from hotfoot.errors import HotfootError
from hotfoot.inventory import Instance, InstanceState
from hotfoot.migration.forecast import Measured
from hotfoot.migration.options import MigrationOptions, Mode, Order
from hotfoot.migration.page_watch import PageWatch
from hotfoot.migration.survey import FIRST_PERIOD_S, LONG_PERIODS_S, Survey

MIB = 1 << 20
PAGE = 4096
MEMORY, USED = 512 * MIB, 200 * MIB
SENDS = 40 * MIB
INSTANCE = Instance(
    uuid="u1", name="vm1", host="n1", state=InstanceState.RUNNING, persistent=True, vcpus=1, memory_bytes=MEMORY
)


class SurveyedCloudDouble:
    """A guest that writes so many MiB/s without an end, on a host whose pages can be looked at or not."""

    def __init__(self, writes_mib: float, *, looks: bool = True, samples: bool = True) -> None:
        self.writes_mib, self.looks, self.samples = writes_mib, looks, samples
        self.asked: list[tuple[str, int]] = []

    async def watch_pages(self, _: Instance, period_s: int) -> PageWatch | None:
        self.asked.append(("pages", period_s))
        if not self.looks:
            return None
        written = round(self.writes_mib * MIB * period_s / PAGE)
        pages = MEMORY // PAGE
        return PageWatch(
            page_bytes=PAGE, pages=pages, looked_at=pages, used=USED // PAGE, at_s=(0.0, float(period_s)),
            histories={"0": pages - written, "1": written},
        )  # fmt: skip

    async def dirty_mib_per_s(self, _: Instance, period_s: int) -> int | None:
        self.asked.append(("samples", period_s))
        return round(self.writes_mib) if self.samples else None

    async def memory_touched_bytes(self, _: Instance) -> MemoryTouched:
        return MemoryTouched(guest_bytes=MEMORY)


async def probe(_source: str, _destination: str, _address: str | None) -> int:
    return SENDS


async def surveyed(cloud: SurveyedCloudDouble, instance: Instance = INSTANCE, *, look: bool = True) -> Measured:
    order = Order(
        uuid="u1", name="vm1", source="n1", destination="n2", mode=Mode.LIVE, persistent=True,
        options=MigrationOptions(),
    )  # fmt: skip
    survey = Survey(cast(Cloud, cloud), probe, look_at_pages=look)
    survey.begin(instance)
    return await survey.finish(instance, order)


async def test_a_guest_at_rest_is_looked_at_once() -> None:
    cloud = SurveyedCloudDouble(0)
    measured = await surveyed(cloud)
    assert cloud.asked == [("pages", FIRST_PERIOD_S)]
    assert measured.dirty.expected.within(10) == 0


async def test_what_is_used_is_what_was_seen_to_hold_something() -> None:
    memory = (await surveyed(SurveyedCloudDouble(0))).memory_used
    assert memory.expected == USED
    assert memory.low < USED < memory.high < 1.1 * USED


async def test_a_busy_guest_is_looked_at_again_for_a_part_of_its_first_pass() -> None:
    cloud = SurveyedCloudDouble(10)
    measured = await surveyed(cloud)
    assert cloud.asked == [("pages", FIRST_PERIOD_S), ("pages", LONG_PERIODS_S[0])]
    assert measured.dirty.expected.rate_bytes_per_s == pytest.approx(10 * MIB, rel=0.01)


async def test_one_that_writes_nearly_what_can_be_sent_for_as_long_as_the_pass_takes() -> None:
    cloud = SurveyedCloudDouble(30)
    await surveyed(cloud)
    assert cloud.asked == [("pages", FIRST_PERIOD_S), ("pages", USED // SENDS)]


async def test_where_the_pages_cannot_be_looked_at_libvirt_is_asked() -> None:
    cloud = SurveyedCloudDouble(30, looks=False)
    measured = await surveyed(cloud)
    assert cloud.asked[0] == ("pages", FIRST_PERIOD_S)
    assert [what for what, _ in cloud.asked[1:]] == ["samples"] * 3
    assert measured.dirty.expected.within(1) == pytest.approx(30 * MIB, rel=0.1)
    assert measured.memory_used.high == MEMORY


async def test_where_nobody_is_to_look_at_pages_libvirt_alone_is_asked() -> None:
    cloud = SurveyedCloudDouble(30)
    measured = await surveyed(cloud, look=False)
    assert {what for what, _ in cloud.asked} == {"samples"}
    assert measured.dirty.expected.within(1) == pytest.approx(30 * MIB, rel=0.1)


async def test_without_either_there_is_no_forecast() -> None:
    with pytest.raises(HotfootError, match="dirty rate of vm1 could not be measured on n1"):
        await surveyed(SurveyedCloudDouble(0, looks=False, samples=False))


async def test_an_instance_that_stands_still_writes_nothing() -> None:
    cloud = SurveyedCloudDouble(0)
    measured = await surveyed(cloud, replace(INSTANCE, state=InstanceState.PAUSED))
    assert cloud.asked == []
    assert measured.dirty.high.within(10) == 0
