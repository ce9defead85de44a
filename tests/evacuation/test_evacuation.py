"""Evacuations planned and carried out on a double of hosts, with a real journal."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.evacuation.definitions import ON_RBD, definition, xml_of
from tests.evacuation.ground_double import GroundDouble
from tests.journal.records import DEAD
from tests.plans.test_run import Onlooker

from hotfoot.cluster import Rule
from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.evacuation import start
from hotfoot.evacuation.life import HostAddresses
from hotfoot.evacuation.site import VERB, DeadSite
from hotfoot.journal.out_of_placement import hosts_out
from hotfoot.journal.place import Place
from hotfoot.journal.plan_record import PlanRecord, PlanState
from hotfoot.journal.store import Store
from hotfoot.migration.options import MigrationOptions
from hotfoot.migration.prepare import Request
from hotfoot.placement.course import Course, Step
from hotfoot.placement.declared import Declared
from hotfoot.placement.snapshot import Limits
from hotfoot.placement.wish import Drain, Wish
from hotfoot.plans.run import PlanRun
from hotfoot.plans.site import Site

WISH = Wish(objective=Drain(hosts=frozenset({"n1"})))
IMAGE = "/srv/vms/a.qcow2"


@dataclass
class Outpost:
    """Hosts of which n1 is dead, their journal, and one evacuation."""

    hosts: GroundDouble
    place: Place
    site: DeadSite
    onlooker: Onlooker = field(default_factory=Onlooker)

    def knows(self, **more: str) -> None:
        """Keep the definitions of instances that ran on n1."""
        kept = [definition(name, xml or None) for name, xml in more.items()]
        self.site.definitions.keep("rack1", {"n1": kept, "n2": (), "n3": ()}, 1, whole=True)

    async def open(self) -> tuple[PlanRecord, Course]:
        found = await self.site.first_evacuation(WISH)
        return await self.site.open(VERB, WISH, {"hosts": ["n1"]}, found.planned, ("n1",))

    async def run(self, opened: PlanRecord, course: Course) -> tuple[PlanRecord, tuple[Step, ...]]:
        run = PlanRun(self.site.means(), opened, course, self.onlooker, once=False)
        return await run.execute(), run.course.steps

    async def evacuate(self) -> tuple[PlanRecord, tuple[Step, ...]]:
        return await self.run(*await self.open())

    def where(self) -> dict[str, str]:
        return {one.definition.name: one.host for one in self.site.definitions.kept("rack1")}


@pytest.fixture
def outpost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outpost]:
    monkeypatch.setattr(start, "SETTLE_S", 0.0)
    monkeypatch.setattr(start, "_LOCKS_EVERY_S", 0.0)
    hosts = GroundDouble({"z": "n2"})
    hosts.defined["z"] = "n2"
    place = Place(file=tmp_path / "journal.sqlite3")
    with closing(Store(place)) as store:
        site = Site(
            cloud=hosts.cloud,
            place=place,
            cluster="rack1",
            hosts=("n1", "n2", "n3"),
            storage=(),
            limits=Limits(per_source=2, per_destination=2),
            request_of=lambda step: Request(
                instance=step.uuid, destination=step.destination, from_host=step.source, options=MigrationOptions()
            ),
            store=store,
        )
        yield Outpost(
            hosts, place, DeadSite.of(site, hosts.ground, (HostAddresses(name="n1", addresses=(), ports=()),))
        )


async def test_every_instance_is_started_once_and_defined_and_the_host_is_out_of_placement(outpost: Outpost) -> None:
    outpost.knows(a="", b="")
    record, steps = await outpost.evacuate()
    assert (record.status, record.stays) == (0, {})
    assert {name for name, _ in outpost.hosts.started} == {"a", "b"}
    assert len(outpost.hosts.started) == 2
    assert outpost.hosts.defined == outpost.hosts.at == outpost.where() | {"z": "n2"}
    assert {step.source for step in steps} == {"n1"}
    assert "evacuate" in hosts_out(outpost.place, "rack1")["n1"].why


async def test_what_starts_with_its_host_does_so_afterwards_too(outpost: Outpost) -> None:
    kept = [replace(definition("a"), autostart=True), definition("b")]
    outpost.site.definitions.keep("rack1", {"n1": kept}, 1, whole=True)
    await outpost.evacuate()
    assert outpost.hosts.autostarts == {"a"}


async def test_rules_hold_and_what_fits_nowhere_is_named_while_the_rest_is_started(outpost: Outpost) -> None:
    rules = (
        Rule(name="a-z", kind="apart", instances=("a", "z")),
        Rule(name="b-yz", kind="apart", instances=("b", "y", "z")),
    )
    outpost.hosts.at["y"] = "n3"
    outpost.site = replace(outpost.site, declared=Declared(rules=rules))
    big = xml_of("big").replace("<memory unit='GiB'>1<", "<memory unit='GiB'>64<")
    on_n1 = ON_RBD + "<disk type='file' device='disk'><source file='/local'/><target dev='vdb'/></disk>"
    outpost.knows(a="", b="", big=big, local=xml_of("local", on_n1))
    record, _ = await outpost.evacuate()
    assert record.status == 4
    assert outpost.hosts.started == [("a", "n3")]
    assert {*record.stays} == {"b", "big", "local"}
    assert "b-yz" in record.stays["b"]
    assert "64 GiB" in record.stays["big"]
    assert "/local" in record.stays["local"]


async def test_where_a_start_fails_another_host_is_tried(outpost: Outpost) -> None:
    outpost.knows(a="")
    outpost.hosts.refuses = {("a", "n2")}
    record, steps = await outpost.evacuate()
    assert record.status == 0
    assert outpost.hosts.at["a"] == "n3"
    assert [step.state for step in steps][-1] == "done"


async def test_an_instance_whose_image_is_locked_waits_until_it_is_free(outpost: Outpost) -> None:
    on_file = f"<disk type='file' device='disk'><source file='{IMAGE}'/><target dev='vda'/></disk>"
    outpost.knows(a=xml_of("a", on_file))
    outpost.hosts.files = {IMAGE, "/srv/vms"}
    outpost.hosts.locked = {IMAGE: 3}
    record, _ = await outpost.evacuate()
    assert record.status == 0
    assert any("still locked" in sentence for sentence in outpost.onlooker.said)
    assert outpost.hosts.locked[IMAGE] < 0


async def test_an_instance_whose_image_stays_locked_is_not_started(
    outpost: Outpost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "LOCKS_PATIENCE_S", 0.0)
    on_file = f"<disk type='file' device='disk'><source file='{IMAGE}'/><target dev='vda'/></disk>"
    outpost.knows(a=xml_of("a", on_file))
    outpost.hosts.files = {IMAGE, "/srv/vms"}
    outpost.hosts.locked = {IMAGE: 1_000_000}
    record, _ = await outpost.evacuate()
    assert (record.status, outpost.hosts.started) == (4, [])
    assert "locked" in record.stays["a"]


async def test_killed_between_the_start_and_the_definition_nothing_is_started_twice(outpost: Outpost) -> None:
    outpost.knows(a="", b="")
    opened, course = await outpost.open()
    step = course.steps[0]
    outpost.hosts.at[step.name] = step.destination  # QEMU runs, and then Hotfoot was killed
    with closing(sqlite3.connect(outpost.place.file or "")) as database:
        database.execute("UPDATE plans SET owner_pid = ?, owner_start = ?", (DEAD.pid, DEAD.start))
        database.commit()
    found = outpost.site.plans.find("rack1", opened.id)
    record, steps = await outpost.run(*await outpost.site.take_up(found))
    assert (record.state, record.status) == (PlanState.ENDED, 0)
    assert [name for name, _ in outpost.hosts.started] == [({"a", "b"} - {step.name}).pop()]
    assert outpost.hosts.defined == outpost.hosts.at
    assert outpost.where() == {name: outpost.hosts.at[name] for name in ("a", "b")}
    assert len([each for each in steps if each.state == "done"]) == 2


async def test_a_host_that_is_back_is_not_evacuated(outpost: Outpost) -> None:
    outpost.knows(a="")
    outpost.hosts.back = True
    with pytest.raises(HotfootError, match="n1 answers"):
        await outpost.open()


async def test_nothing_is_started_once_the_dead_host_gives_a_sign_of_life(outpost: Outpost) -> None:
    outpost.knows(a="")
    opened, course = await outpost.open()
    alive = HostAddresses(name="n1", addresses=("127.0.0.1",), ports=(1,))  # refused there, which is an answer too
    outpost.site = replace(outpost.site, dead=(alive,))
    record, _ = await outpost.run(opened, course)
    assert (record.status, outpost.hosts.started) == (4, [])
    assert "still answers" in record.stays["a"]


async def test_what_runs_elsewhere_by_then_is_left_alone(outpost: Outpost) -> None:
    outpost.knows(a="")
    opened, course = await outpost.open()
    other = {"n2": "n3", "n3": "n2"}[course.steps[0].destination]
    outpost.hosts.at["a"] = other
    record, _ = await outpost.run(opened, course)
    assert outpost.hosts.started == []
    assert record.stays == {}


async def test_a_journal_without_definitions_is_no_empty_host(outpost: Outpost) -> None:
    with pytest.raises(HotfootError, match="`hotfoot definitions` keeps them") as refused:
        await outpost.site.first_evacuation(WISH)
    assert refused.value.status is ExitStatus.REFUSED


async def test_a_second_evacuation_of_the_host_is_refused_while_the_first_runs(outpost: Outpost) -> None:
    outpost.knows(a="")
    opened, _ = await outpost.open()
    with pytest.raises(HotfootError, match=opened.id) as refused:
        await outpost.site.first_evacuation(WISH)
    assert refused.value.status is ExitStatus.REFUSED
