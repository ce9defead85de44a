"""Plans in the journal, on SQLite and on PostgreSQL: held against others, stopped from elsewhere, taken up again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from tests.journal.records import DEAD, STRANGER, record

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.journal import schema
from hotfoot.journal.entries import now_ms
from hotfoot.journal.living import myself
from hotfoot.journal.out_of_placement import hosts_out, told_hosts_out
from hotfoot.journal.place import Place
from hotfoot.journal.plan_record import Asked, PlanRecord, PlanState, read
from hotfoot.journal.plans import Plans, TakenOver
from hotfoot.journal.store import Store, Wanted
from hotfoot.placement.course import Step, StepState
from hotfoot.placement.snapshot import Cold


@pytest.fixture
def plans(store: Store) -> Plans:
    return Plans(store)


def plan(*hosts: str, verb: str = "drain", **changes: Any) -> PlanRecord:
    """A plan of this process that is about to begin."""
    named = changes.pop("named", hosts[:1])
    return replace(
        PlanRecord(
            id="",
            cluster="rack1",
            verb=verb,
            wish={"objective": {"kind": "drain", "hosts": list(named)}},
            asked={"hosts": list(named), "policy": None},
            hosts=hosts,
            state=PlanState.RUNNING,
            owner=myself(),
            made_ms=now_ms(),
        ),
        **changes,
    )


def step(n: int, name: str, source: str, destination: str, state: StepState = StepState.WAITING) -> Step:
    return Step(
        n=n, round=1, uuid=f"id-{name}", name=name, source=source, destination=destination, transfer_bytes=1 << 26,
        expected_s=2.0, after=tuple(range(1, n)), state=state,
    )  # fmt: skip


def ended(plans: Plans, record: PlanRecord, status: int = 0) -> PlanRecord:
    record = replace(record, state=PlanState.ENDED, ended_ms=now_ms(), status=status, stays={"vm9": "no room"})
    plans.put(record)
    return record


def test_a_plan_comes_back_as_it_was_kept_and_its_moves_as_they_are_now(plans: Plans) -> None:
    steps = (step(1, "vm1", "n1", "n2"), step(2, "vm2", "n1", "n3"))
    opened = plans.open(plan("n1", "n2", "n3"), steps)
    running = replace(steps[0], state=StepState.RUNNING, began_ms=1000)
    plans.save(opened.id, [running])
    found = plans.find("rack1", None)
    assert replace(found, heartbeat_ms=0) == replace(opened, heartbeat_ms=0)
    assert plans.find("rack1", opened.id[:15]) == found
    assert plans.steps(opened.id) == (running, steps[1])
    assert plans.runs(found)
    done = ended(plans, opened, status=4)
    assert plans.find("rack1", None).stays == done.stays
    assert plans.find("rack1", None).status == 4
    assert not plans.runs(plans.find("rack1", None))


@pytest.mark.parametrize("name", [None, "2031"])
def test_a_plan_that_is_not_there_is_a_mistake_of_the_call(plans: Plans, name: str | None) -> None:
    plans.open(plan("n1", cluster="rack2"), ())
    with pytest.raises(HotfootError, match="no plan") as told:
        plans.find("rack1", name)
    assert told.value.status is ExitStatus.USAGE


def test_a_host_is_touched_by_one_open_plan_of_its_cluster(plans: Plans) -> None:
    first = plans.open(plan("n1", "n2"), ())
    with pytest.raises(HotfootError, match=first.id) as told:
        plans.open(plan("n3", "n2"), (), out=["n3"])
    assert told.value.status is ExitStatus.REFUSED
    assert plans.held("rack1").keys() == {"n1", "n2"}
    assert plans.held("rack1", but=first.id) == {}
    other = plans.open(plan("n2", cluster="rack2"), ())
    assert other.id != first.id
    third = plans.open(plan("n3", "n4"), ())
    assert plans.hold(third, ["n5", "n1"]) == "n1"
    grown = plans.hold(third, ["n5"])
    assert isinstance(grown, PlanRecord)
    assert grown.hosts == ("n3", "n4", "n5")
    ended(plans, first)
    assert plans.open(plan("n1", "n2"), ()).id


def test_the_second_is_told_whether_the_first_still_runs(plans: Plans) -> None:
    plans.open(plan("n1"), ())
    with pytest.raises(HotfootError, match="plan show"):
        plans.open(plan("n1"), ())
    plans.open(plan("n2", owner=DEAD), ())
    with pytest.raises(HotfootError, match="has ended; `hotfoot plan resume"):
        plans.open(plan("n2"), ())


def test_of_many_at_once_one_gets_the_host(place: Place) -> None:
    def attempt(number: int) -> bool:
        store = Store(place)
        try:
            Plans(store).open(plan("n1", f"m{number}"), ())
        except HotfootError:
            return False
        finally:
            store.close()
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(attempt, range(6))) == 1


def test_a_plan_is_stopped_from_elsewhere(plans: Plans) -> None:
    opened = plans.open(plan("n1"), ())
    assert plans.beat(opened.id, opened.owner) is None
    assert plans.want(opened.id, Asked.PAUSE)
    assert plans.beat(opened.id, opened.owner) is Asked.PAUSE
    ended(plans, opened)
    assert not plans.want(opened.id, Asked.CANCEL)


def test_a_dead_owner_s_plan_is_taken_up_once_and_the_first_one_hears_of_it(plans: Plans) -> None:
    opened = plans.open(plan("n1", owner=DEAD), [step(1, "vm1", "n1", "n2", StepState.RUNNING)])
    assert not plans.runs(opened)
    plans.want(opened.id, Asked.CANCEL)
    adopted = plans.adopt(opened, myself())
    assert adopted is not None
    assert plans.runs(adopted)
    assert plans.find("rack1", None).wanted is None
    assert plans.adopt(opened, STRANGER) is None
    with pytest.raises(TakenOver):
        plans.beat(opened.id, DEAD)
    assert plans.beat(opened.id, myself()) is None


def test_an_owner_on_another_machine_lives_as_long_as_it_writes(plans: Plans) -> None:
    opened = plans.open(plan("n1", owner=STRANGER), ())
    assert plans.runs(opened)
    assert not plans.runs(replace(opened, heartbeat_ms=opened.heartbeat_ms - 60_000))


async def test_hosts_are_out_of_placement_until_they_are_put_back(plans: Plans, place: Place) -> None:
    assert hosts_out(place, "rack1") == {}
    opened = plans.open(plan("n1", "n2"), (), out=["n1"])
    ended(plans, opened)
    again = ended(plans, plans.open(plan("n1"), (), out=["n1"]))
    out = hosts_out(place, "rack1")
    assert out.keys() == {"n1"}
    assert opened.id in str(out["n1"])
    assert again.id not in str(out["n1"])
    assert hosts_out(place, "rack2") == {}
    plans.open(plan("n1", verb="restore"), (), back=["n1"])
    assert hosts_out(place, "rack1") == {}
    assert plans.put_back("rack1", ["n1"]) == ()
    assert await told_hosts_out(place, "rack1", None) == {}


async def test_a_journal_that_cannot_tell_which_hosts_are_out_stops_nothing() -> None:
    said: list[str] = []
    assert await told_hosts_out(Place(file=Path("/proc/version")), "rack1", said.append) == {}
    assert len(said) == 1
    assert "out of placement is not known" in said[0]


def test_what_was_drained_is_known_until_it_is_restored(plans: Plans) -> None:
    done = StepState.DONE
    moves = [
        step(1, "vm1", "n1", "n2", done),
        step(2, "vm1", "n2", "n3", done),
        step(3, "vm2", "n2", "n3", done),
        step(4, "vm4", "n1", "n2", StepState.FAILED),
    ]
    ended(plans, plans.open(plan("n1", made_ms=1), moves))
    assert [done.name for done in plans.newest_done("rack1", 2)] == ["vm2", "vm1"]
    assert plans.drained("rack1", ["n1"]) == {"id-vm1": ("n1", "n3")}
    assert plans.drained("rack1", ["n2"]) == {}
    ended(plans, plans.open(plan("n3", made_ms=2), [step(1, "vm1", "n3", "n4", done)]))
    assert plans.drained("rack1", ["n1"]) == {"id-vm1": ("n1", "n4")}
    assert plans.drained("rack1", ["n1", "n3"]) == {"id-vm1": ("n1", "n4")}
    ended(plans, plans.open(plan("n1", verb="restore", made_ms=3), ()), status=4)
    assert plans.drained("rack1", ["n1"]) == {"id-vm1": ("n1", "n4")}
    ended(plans, plans.open(plan("n1", verb="restore", made_ms=4), ()))
    assert plans.drained("rack1", ["n1"]) == {}


def test_a_restore_settles_all_but_what_it_left_where_it_was(plans: Plans) -> None:
    moves = [step(1, "vm1", "n1", "n2", StepState.DONE), step(2, "vm2", "n1", "n2", StepState.DONE)]
    ended(plans, plans.open(plan("n1", made_ms=1), moves))
    wish = {"objective": {"kind": "restore", "homes": {"id-vm1": "n1", "id-vm2": "n1"}}}
    back = [step(1, "vm1", "n2", "n1", StepState.DONE)]
    ended(plans, plans.open(replace(plan("n1", verb="restore", made_ms=2), wish=wish), back))
    assert plans.drained("rack1", ["n1"]) == {"id-vm2": ("n1", "n2")}


def test_a_move_that_was_kept_is_read_as_it_was(plans: Plans) -> None:
    kept = [replace(step(1, "vm1", "n1", "n2"), cold=Cold.OFF), step(2, "vm2", "n1", "n2")]
    assert plans.steps(plans.open(plan("n1"), kept).id) == tuple(kept)
    assert read({key: value for key, value in asdict(kept[1]).items() if key != "cold"}) == kept[1], "of before"


def test_pruning_forgets_ended_plans_but_those_that_a_restore_needs(plans: Plans, store: Store) -> None:
    ended(plans, plans.open(plan("n1", made_ms=1), [step(1, "vm1", "n1", "n2", StepState.DONE)], out=["n1"]))
    still = plans.open(plan("n5", made_ms=2), ())
    store.prune("rack1", now_ms())
    assert plans.drained("rack1", ["n1"])
    plans.put_back("rack1", ["n1"])
    store.prune("rack1", now_ms(), dry_run=True)
    assert plans.drained("rack1", ["n1"])
    store.prune("rack1", now_ms())
    assert plans.drained("rack1", ["n1"]) == {}
    assert plans.find("rack1", None) == still
    assert store.records(Wanted(cluster="rack1")) == ()


def test_a_journal_from_before_plans_is_changed_and_keeps_its_records(store: Store) -> None:
    store.entries.open(record())
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent))
    with store.transaction() as database:
        config.attributes["connection"] = database
        command.downgrade(config, "0001")
    newer = Store(store.place)
    assert [each.instance for each in newer.records()] == ["vm1"]
    assert Plans(newer).open(plan("n1"), ()).id
    newer.close()
