"""A migration that is stopped from another process, on a double of a cloud; the real one is tried in tests/lab."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import pytest
from tests.cloud.nova_words import server

from hotfoot.cloud.openstack_values import instance_of
from hotfoot.cloud.protocol import Cloud
from hotfoot.inventory import Instance, InstanceState
from hotfoot.migration import abort as aborting
from hotfoot.migration.proof import Sighting
from hotfoot.migration.sample import JobSample, Phase

WEB1 = instance_of(server(), {})
PLAIN = Instance(
    uuid="u", name="web1", host="n1", state=InstanceState.RUNNING, persistent=True, vcpus=1, memory_bytes=1 << 28,
)  # fmt: skip
IN_ERROR = "Nova shows web1 in ERROR, though it runs unharmed on n1."


@dataclass
class CloudDouble:
    """Its migration ends when it is told to; ``remarks`` of the instance on n1 come look by look, the last stays."""

    remarks: list[str | None]
    moving: bool = True
    looks: int = 0

    async def job(self, host: str, uuid: str) -> JobSample | None:
        return JobSample(at_s=0.0, phase=Phase.COPYING_MEMORY) if self.moving else None

    async def abort(self, host: str, uuid: str) -> bool:
        self.moving = False
        return True

    async def sightings(self, uuid: str) -> tuple[Sighting, ...]:
        self.looks += 1
        remark = self.remarks.pop(0) if len(self.remarks) > 1 else self.remarks[0]
        return (Sighting(host="n1", state=InstanceState.RUNNING, remark=remark),)


async def test_what_nova_makes_of_it_a_moment_later_is_told_too() -> None:
    assert await aborting.abort(cast(Cloud, CloudDouble([None, None, IN_ERROR])), WEB1) == (IN_ERROR,)


async def test_where_nova_leaves_it_as_it_was_nothing_is_remarked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aborting, "LAST_WORD_S", 0.3)
    assert await aborting.abort(cast(Cloud, CloudDouble([None])), WEB1) == ()


async def test_libvirt_is_taken_at_its_first_word() -> None:
    double = CloudDouble([None])
    assert await aborting.abort(cast(Cloud, double), PLAIN) == ()
    assert double.looks == 1


async def test_nothing_is_stopped_where_nothing_moves() -> None:
    assert await aborting.abort(cast(Cloud, CloudDouble([None], moving=False)), WEB1) is None
