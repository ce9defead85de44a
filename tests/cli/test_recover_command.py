"""``hotfoot recover`` on a double of a cloud: what is done without being asked for, and what never is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from hotfoot.cli.recover import Recovery
from hotfoot.cloud.libvirt_cloud import LibvirtCloud
from hotfoot.cluster import load
from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.inventory import Host, Instance, InstanceState, Inventory
from hotfoot.migration import rejoin
from hotfoot.migration.options import Order
from hotfoot.migration.proof import PostCopy, Sighting
from hotfoot.migration.resume import Version
from hotfoot.migration.sample import JobSample

UNSEEN, CRASHES = (12, 5, 0), (11, 3, 0)
VM1 = Instance(
    uuid="bc7b3e9f-c8f4-5853-941d-be5ab5116dee", name="vm1", host="n2", state=InstanceState.RUNNING, persistent=True,
    vcpus=1, memory_bytes=1 << 28,
)  # fmt: skip
BROKEN = (
    Sighting(host="n1", state=InstanceState.IN_TRANSIT, persistent=True, post_copy=PostCopy.BROKEN),
    Sighting(host="n2", state=InstanceState.RUNNING, persistent=True, post_copy=PostCopy.BROKEN),
)
WHOLE = (
    Sighting(host="n1", state=InstanceState.SHUT_OFF, persistent=True),
    Sighting(host="n2", state=InstanceState.RUNNING, persistent=True),
)


@dataclass
class CloudDouble:
    """Two hosts with the halves of vm1; a resume makes it whole."""

    sides: Sequence[Sighting] = BROKEN
    done: list[str] = field(default_factory=list)

    async def sightings(self, uuid: str) -> Sequence[Sighting]:
        await asyncio.sleep(0)
        return self.sides

    async def job(self, host: str, uuid: str) -> JobSample | None:
        return None

    async def pause_post_copy(self, host: str, uuid: str) -> None:
        self.done.append(f"pause on {host}")

    async def resume_post_copy(self, order: Order) -> None:
        self.done.append(f"resume {order.source} to {order.destination}")
        self.sides = WHOLE

    async def forget(self, host: str, uuid: str) -> None:
        self.done.append(f"forget on {host}")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rejoin, "AGAIN_S", 0.0)
    monkeypatch.setattr(rejoin, "LITTLE_PATIENCE_S", 0.0)
    monkeypatch.setenv("HOTFOOT_JOURNAL", f"sqlite:///{tmp_path}/journal.sqlite3")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hotfoot.yaml").write_text(
        "libvirt: {transport: tcp}\nhosts: [{name: n1, address: 127.0.0.1}, {name: n2, address: 127.0.0.2}]\n"
    )
    return tmp_path


async def started(folder: Path, double: CloudDouble, version: Version, *, ask: bool = False) -> Recovery:
    hosts = tuple(Host(name=name, address="127.0.0.1", libvirt_version=version) for name in ("n1", "n2"))
    declared = load(None, folder)
    inventory = Inventory(hosts=hosts, instances=(VM1,))
    found = Recovery(declared, cast(LibvirtCloud, double), inventory, VM1, ask=ask, as_json=True)
    await found.look()
    return found


async def test_where_a_resume_is_known_to_crash_nothing_is_paused_or_resumed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    double = CloudDouble()
    found = await started(folder, double, CRASHES)
    with pytest.raises(HotfootError, match="is not paused: only a resume would bring it back") as refused:
        await found.pause(anyway=True)
    assert refused.value.status is ExitStatus.REFUSED
    await found.rejoin(anyway=True)
    assert found.tell(dry_run=False) is ExitStatus.UNKNOWN_STATE
    assert double.done == []
    told = json.loads(capsys.readouterr().out)
    assert (told["situation"], told["done"], told["resume"]) == ("broken", ["waited"], "crashes")


async def test_where_nobody_knows_it_takes_the_word_for_it(folder: Path) -> None:
    double = CloudDouble()
    found = await started(folder, double, UNSEEN)
    with pytest.raises(HotfootError, match="is not paused"):
        await found.pause(anyway=False)
    await found.rejoin(anyway=False)
    assert double.done == []
    await found.pause(anyway=True)
    assert double.done == ["pause on n1"]


async def test_a_resume_that_was_asked_for_makes_it_whole_and_tidies_up(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    double = CloudDouble()
    found = await started(folder, double, UNSEEN)
    await found.rejoin(anyway=True)
    assert found.tell(dry_run=False) is ExitStatus.COMPLETED
    assert double.done == ["pause on n1", "resume n1 to n2", "forget on n1"]
    told = json.loads(capsys.readouterr().out)
    assert (told["situation"], told["done"]) == ("whole", ["waited", "resumed", "definition removed"])


async def test_nobody_who_cannot_be_asked_is_taken_to_agree(folder: Path) -> None:
    double = CloudDouble()
    found = await started(folder, double, UNSEEN, ask=True)
    with pytest.raises(HotfootError, match="Nobody can be asked here: give --yes"):
        await found.pause(anyway=True)
    assert double.done == []


async def test_without_both_halves_there_is_nothing_to_pause(folder: Path) -> None:
    found = await started(folder, CloudDouble((Sighting(host="n1", problem="Cut."), BROKEN[1])), UNSEEN)
    with pytest.raises(HotfootError, match="There is nothing to pause"):
        await found.pause(anyway=True)
