"""What a plan leaves behind, and why; what planning sees beside what the hosts say."""

from __future__ import annotations

from dataclasses import replace

from hotfoot.inventory import Host, Instance, InstanceState, Inventory
from hotfoot.nova_words import NovaServer
from hotfoot.placement.course import Course, Step, StepState
from hotfoot.placement.plan import Plan, Score
from hotfoot.placement.snapshot import Cold, Limits, Snapshot
from hotfoot.placement.snapshot import Host as PlacedHost
from hotfoot.placement.snapshot import Instance as PlacedInstance
from hotfoot.placement.wish import Balance, Drain, Restore, Wish
from hotfoot.plans.ending import left_behind, left_off
from hotfoot.plans.planner import Around, within
from hotfoot.plans.whereabouts import whereabouts

DRAIN = Wish(objective=Drain(hosts=frozenset({"n1"})))


def instance(name: str, host: str, state: InstanceState = InstanceState.RUNNING) -> Instance:
    return Instance(
        uuid=f"id-{name}", name=name, host=host, state=state, persistent=True, vcpus=1, memory_bytes=1 << 27
    )


def seen(*instances: Instance, silent: str | None = None) -> Inventory:
    names = ("n1", "n2", "n3")
    problem = f"{silent} does not answer."
    hosts = (Host(name=name, address=name, problem=problem if name == silent else None) for name in names)
    return Inventory(hosts=tuple(hosts), instances=instances)


def failed(n: int, name: str, destination: str, why: str, status: int = 4) -> Step:
    return Step(
        n=n, round=n, uuid=f"id-{name}", name=name, source="n1", destination=destination, transfer_bytes=1,
        expected_s=1.0, state=StepState.FAILED, status=status, why=why,
    )  # fmt: skip


def stays(**reasons: str) -> Plan:
    told = {f"id-{name}": why for name, why in reasons.items()}
    return Plan(moves=(), before=Score(terms=()), after=Score(terms=()), stays=told)


def test_a_drained_host_is_empty_only_when_it_says_so_itself() -> None:
    assert left_behind(DRAIN, Course(), None, seen(instance("vm1", "n2")), stopped=False) == {}
    silent = left_behind(DRAIN, Course(), None, seen(silent="n1"), stopped=False)
    assert silent == {"n1": "n1 does not answer."}
    assert left_behind(DRAIN, Course(), None, seen(silent="n3"), stopped=False) == {}
    gone = Wish(objective=Drain(hosts=frozenset({"n7"})))
    assert left_behind(gone, Course(), None, seen(), stopped=False) == {"n7": "n7 is not in the cluster file."}


def test_what_is_still_there_is_named_with_the_reason_of_the_last_try_or_of_planning() -> None:
    course = Course(
        steps=(
            failed(1, "vm1", "n2", "no disk there"),
            failed(2, "vm1", "n3", "no CPU there"),
            failed(3, "vm2", "n2", "no disk there"),
        )
    )
    there = seen(*(instance(f"vm{number}", "n1") for number in (1, 2, 3, 4)))
    found = left_behind(DRAIN, course, stays(vm2="vm2 fits nowhere else", vm3="vm3 is pinned"), there, stopped=False)
    assert found == {
        "vm1": "no CPU there",
        "vm2": "vm2 fits nowhere else (tried: no disk there)",
        "vm3": "vm3 is pinned",
        "vm4": "it was not there yet when it was last planned",
    }
    stopped = left_behind(DRAIN, course, None, there, stopped=True)
    assert stopped["vm4"] == "stopped before it was moved"
    assert stopped["vm2"] == "no disk there"


def test_what_is_shut_off_does_not_run_there_and_is_told() -> None:
    there = seen(instance("vm1", "n1", InstanceState.SHUT_OFF), instance("vm2", "n2", InstanceState.SHUT_OFF))
    assert left_behind(DRAIN, Course(), None, there, stopped=False) == {}
    assert left_off(DRAIN, there) == "Shut off, and still defined there: vm1 on n1."
    assert left_off(DRAIN, seen()) is None


def nova(name: str, host: str, status: str, state: InstanceState) -> Instance:
    return replace(instance(name, host, state), nova=NovaServer(status=status, project_id="p"))


def test_what_is_shut_off_counts_where_cold_moves_are_allowed() -> None:
    off, cold = InstanceState.SHUT_OFF, {"cold": True}
    there = seen(nova("vm1", "n1", "SHUTOFF", off))
    assert left_off(DRAIN, there) == ("Shut off, and still defined there: vm1 on n1; --cold moves what is shut off.")
    assert left_behind(DRAIN.model_copy(update=cold), Course(), None, there, stopped=False).keys() == {"vm1"}
    assert left_off(DRAIN.model_copy(update=cold), there) is None
    back = Wish(objective=Restore(homes={"id-vm1": "n2"}))
    assert left_behind(back, Course(), None, there, stopped=False) == {}
    assert "Shut off, and not brought back: vm1 on n1" in (left_off(back, there) or "")
    assert left_behind(back.model_copy(update=cold), Course(), None, there, stopped=False).keys() == {"vm1"}


def test_where_a_server_is_nova_says_unless_it_is_between_two_hosts() -> None:
    off, running = InstanceState.SHUT_OFF, InstanceState.RUNNING
    for status, state, where in (
        ("ACTIVE", running, "n2"), ("SHUTOFF", off, "n2"), ("VERIFY_RESIZE", running, None), ("RESIZE", off, None),
        ("ERROR", off, None), ("ERROR", running, "n2"),
    ):  # fmt: skip
        assert whereabouts(seen(nova("vm1", "n2", status, state)), "id-vm1") == where, status
    assert whereabouts(seen(instance("vm1", "n2", off)), "id-vm1") is None


def test_what_has_shown_that_it_goes_only_cold_is_planned_so() -> None:
    known = PlacedInstance(name="a", id="a", host="n1", sizes={})
    seen_now = Snapshot(hosts=(PlacedHost(name="n1", resources={}),), instances=(known,))
    (one,) = within(seen_now, Limits(), Around(only_cold={"a": "It has a NUMA topology."})).instances
    assert (one.movable, one.cold, one.unmovable_because) == (False, Cold.STOPPED, "It has a NUMA topology")


def test_a_restore_leaves_behind_what_is_not_home_or_gone() -> None:
    wish = Wish(objective=Restore(homes={"id-vm1": "n1", "id-vm2": "n1", "id-vm3": "n1"}))
    now = seen(instance("vm1", "n1"), instance("vm2", "n2"))
    assert left_behind(wish, Course(), stays(vm2="no room"), now, stopped=False).keys() == {"vm2", "id-vm3"}


def test_a_balance_leaves_behind_what_failed_and_was_not_moved_later() -> None:
    wish = Wish(objective=Balance())
    first = failed(1, "vm1", "n2", "no disk there")
    assert left_behind(wish, Course(steps=(first,)), None, seen(), stopped=False) == {"vm1": "no disk there"}
    later = replace(first, n=2, destination="n3", state=StepState.DONE)
    assert left_behind(wish, Course(steps=(first, later)), None, seen(), stopped=False) == {}


def test_nothing_is_planned_to_hosts_out_of_placement_nor_where_it_has_failed() -> None:
    snapshot = Snapshot(
        hosts=tuple(PlacedHost(name=name, resources={}) for name in ("n1", "n2", "n3")),
        instances=tuple(
            PlacedInstance(name=name, id=name, host="n1", sizes={}, impossible={"n1": "x"}) for name in "ab"
        ),
    )
    around = Around(
        out=frozenset({"n2"}), held=frozenset({"n3"}), impossible={"a": {"n3": "it failed"}}, overhead_s=1.5
    )
    found = within(snapshot, Limits(per_source=3), around)
    assert [host.maintenance for host in found.hosts] == [False, True, True]
    assert found.instances[0].impossible == {"n1": "x", "n3": "it failed"}
    assert found.instances[1].impossible == {"n1": "x"}
    assert [one.least_seconds for one in found.instances] == [1.5, 1.5]
    assert found.limits.per_source == 3
