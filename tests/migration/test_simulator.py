"""The simulator: QEMU's rules, one by one, and real runs of QEMU beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hotfoot.migration.action import Action, ActionKind
from hotfoot.migration.policy import Throttle
from hotfoot.migration.sample import JobSample
from hotfoot.migration.simulator import Guest, Link, SimulatedEnd, Writes, simulate

MIB = 2**20
LINK = Link(bytes_per_s=((0, 25e6),), setup_ms=100, device_ms=20)


def guest(*work: Writes, used_mib: int = 100) -> Guest:
    return Guest(memory_bytes=256 * MIB, used_bytes=used_mib * MIB, work=((0, work),))


def circle(mib_per_s: float, area_mib: float) -> Writes:
    return Writes(bytes_per_s=mib_per_s * MIB, area_bytes=area_mib * MIB, circle=True)


def at(iteration: int, kind: ActionKind, value: int | None = None) -> Callable[[JobSample], tuple[Action, ...]]:
    done: list[int] = []

    def steer(sample: JobSample) -> tuple[Action, ...]:
        if sample.iteration < iteration or done:
            return ()
        done.append(iteration)
        return (Action(kind=kind, at_ms=sample.elapsed_ms, value=value, reason="test"),)

    return steer


def test_an_idle_guest_is_sent_once() -> None:
    end = simulate(guest(), LINK)
    assert end.finished
    assert end.iterations == 1
    assert end.sent_bytes == pytest.approx(100 * MIB, rel=1e-6)
    assert end.total_ms == pytest.approx(100 + 1000 * 100 * MIB / 25e6 + 20, rel=1e-3)
    assert end.downtime_ms == pytest.approx(320, rel=0.01), "the rest is what the limit allows"


def test_pages_written_twice_count_once() -> None:
    writes = Writes(bytes_per_s=100 * MIB, area_bytes=10 * MIB)
    assert writes.dirty_bytes(0, 10_000, 1) == pytest.approx(10 * MIB)
    assert writes.dirty_bytes(0, 50, 1) < 5 * MIB
    assert circle(100, 10).dirty_bytes(0, 50, 1) == 5 * MIB


def test_a_page_that_was_still_to_be_sent_counts_once() -> None:
    end = simulate(guest(circle(60, 40), used_mib=40), LINK, at(9, ActionKind.GIVE_UP))
    assert max(sample.memory_remaining_bytes for sample in end.samples if sample.iteration > 1) <= 40.001 * MIB


def test_what_is_dirtied_faster_than_sent_never_ends() -> None:
    assert not simulate(guest(circle(60, 90)), LINK, at(20, ActionKind.GIVE_UP)).finished


def test_a_limit_that_holds_the_working_set_ends_it() -> None:
    end = simulate(guest(circle(60, 90)), LINK, at(3, ActionKind.DOWNTIME_LIMIT, 4000))
    assert end.finished
    assert end.downtime_ms == pytest.approx(1000 * 90 * MIB / 25e6 + 20, rel=0.02)


def test_the_throttle_climbs_every_second_long_pass_and_ends_it() -> None:
    end = simulate(guest(circle(60, 90)), LINK, throttle=Throttle(first=20, rung=20, top=80))
    percents = {sample.iteration: sample.throttle_percent for sample in end.samples}
    assert end.finished
    assert [percents[number] for number in (2, 3, 4, 5)] == [0, 20, 20, 40]


def test_post_copy_stands_still_for_the_devices_only_and_sends_the_rest_once() -> None:
    end = simulate(guest(circle(60, 90)), LINK, at(3, ActionKind.POST_COPY))
    assert end.finished
    assert end.post_copy
    assert end.downtime_ms < 25
    two_passes_but_what_the_limit_leaves = (100 + 90 - 2 * 7.15) * MIB
    assert end.sent_bytes == pytest.approx(two_passes_but_what_the_limit_leaves + 90 * MIB, rel=0.01)


def test_a_link_that_slows_down_makes_it_longer() -> None:
    slower = Link(bytes_per_s=((0, 25e6), (1000, 5e6)))
    assert simulate(guest(), slower).total_ms > 3 * simulate(guest(), LINK).total_ms


def test_a_burst_is_dirty_only_while_it_lasts() -> None:
    burst = Guest(memory_bytes=256 * MIB, used_bytes=100 * MIB, work=((0, (circle(60, 90),)), (9000, ())))
    end = simulate(burst, LINK)
    assert end.finished
    assert end.total_ms > 9000


RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.json"))
FULL_SPEED_BYTES_PER_S = 150 * MIB
"""What the guest could write if it did nothing else, as found from the two throttled runs."""
TOLERANCE = 0.15
"""Of total time and bytes, against runs of real QEMU on a machine that was busy with other things."""


def simulated(real: dict[str, Any]) -> SimulatedEnd:
    """Simulate what was recorded: the link as it was measured after the first pass, the same actions at their times."""
    second, last = real["boundaries"][1], real["boundaries"][-1]
    sent, ms = last["sent_bytes"] - second["sent_bytes"], last["elapsed_ms"] - second["elapsed_ms"]
    bytes_per_s = 1000 * sent / ms
    acts = [Action(**{**act, "kind": ActionKind(act["kind"])}) for act in real["actions"]]

    def steer(sample: JobSample) -> tuple[Action, ...]:
        due = tuple(act for act in acts if act.at_ms <= sample.elapsed_ms)
        del acts[: len(due)]
        return due

    rate, area = real["rate_bytes_per_s"], real["area_bytes"]
    work = Writes(bytes_per_s=rate, area_bytes=area, circle=True, duty=rate / FULL_SPEED_BYTES_PER_S)
    used = second["sent_bytes"] + 0.3 * bytes_per_s
    setup_ms = second["elapsed_ms"] - 1000 * second["sent_bytes"] / bytes_per_s
    return simulate(
        Guest(memory_bytes=real["memory_bytes"], used_bytes=round(used), work=((0, (work,)),)),
        Link(bytes_per_s=((0, bytes_per_s),), setup_ms=setup_ms),
        steer,
        throttle=Throttle(**real["throttle"]) if real["throttle"] else None,
    )


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_real_runs_come_out_as_they_were(path: Path) -> None:
    real = json.loads(path.read_text())
    end = simulated(real)
    assert end.finished == real["finished"]
    assert end.total_ms == pytest.approx(real["elapsed_ms"], rel=TOLERANCE)
    assert end.sent_bytes == pytest.approx(real["sent_bytes"], rel=TOLERANCE)
    assert end.iterations == pytest.approx(real["iterations"], abs=max(4, 0.3 * real["iterations"]))


def test_there_are_recorded_runs_of_every_kind() -> None:
    kinds = [json.loads(path.read_text()) for path in RECORDED]
    assert {kind["finished"] for kind in kinds} == {True, False}
    assert any(kind["throttle"] for kind in kinds)
