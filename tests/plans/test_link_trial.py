"""When the links are tried before a plan: once the hosts have told the rest, and with what comes through."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

import pytest
from tests.plans.test_run import DRAIN, Fleet, fleet

from hotfoot.errors import HotfootError
from hotfoot.inventory import Instance

__all__ = ["fleet"]


async def test_links_are_opened_while_hosts_are_asked_and_tried_afterwards(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []

    async def touched(_host: str, _instances: Sequence[Instance]) -> Mapping[str, int]:
        await asyncio.sleep(0.02)
        happened.append("told")
        return {}

    async def trial(_source: str, _destination: str, when: Callable[[], Awaitable[object]]) -> int:
        happened.append("opened")
        await when()
        happened.append("sent")
        return 7_000_000

    monkeypatch.setattr(fleet.cluster, "touched", touched)
    planned = await replace(fleet.site, trial=trial).first_plan(DRAIN, ("n1",))
    assert happened == [*["opened"] * 3, *["told"] * 3, *["sent"] * 3]
    assert planned.links == dict.fromkeys(("n1", "n2", "n3"), 7_000_000)


async def test_hosts_that_cannot_be_asked_keep_no_trial_waiting(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    over = asyncio.Event()

    async def jobs() -> Mapping[tuple[str, str, str], object]:
        raise HotfootError("no")

    async def trial(_source: str, _destination: str, when: Callable[[], Awaitable[object]]) -> int:
        await when()
        over.set()
        raise HotfootError("nothing came through")

    monkeypatch.setattr(fleet.cluster, "jobs", jobs)
    with pytest.raises(HotfootError, match="no"):
        await replace(fleet.site, trial=trial).first_plan(DRAIN, ("n1",))
    await asyncio.wait_for(over.wait(), 5)
