"""A soak: what its seed decides, and how what was reported is held against what is. Needs no lab."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lab.command import hotfoot

from hotfoot.errors import HotfootError
from hotfoot.lab.soak import LONGEST_CUT_MS, Fault, Faults, Step, When, step
from hotfoot.lab.soak_verdict import Seen, Soaked, count, figures, judge

HOSTS = ("n1", "n2", "n3", "n4")
seeds = st.integers(0, 10**6)
numbers = st.integers(1, 10**5)
shares: st.SearchStrategy[Faults] = st.sampled_from(["none", "some", "all"])


@given(seeds, numbers, st.integers(1, 6), st.integers(2, 4), shares)
def test_a_step_is_drawn_from_seed_and_number_alone(
    seed: int, number: int, instances: int, hosts: int, faults: Faults
) -> None:
    names = [f"vm{n}" for n in range(instances)]
    drawn = step(seed, number, names, hosts, faults)
    assert drawn == step(seed, number, names, hosts, faults)
    assert drawn.instance in names
    for source in HOSTS[:hosts]:
        assert drawn.destination(HOSTS[:hosts], source) in set(HOSTS[:hosts]) - {source}


@given(seeds, numbers, shares)
def test_no_fault_is_drawn_that_could_end_the_instance_itself(seed: int, number: int, faults: Faults) -> None:
    drawn = step(seed, number, ["vm1"], 3, faults)
    assert (drawn.fault is Fault.NONE) == (drawn.when is None)
    assert drawn.fault is not Fault.KILL_DESTINATION_QEMU or drawn.when is When.FIRST_PASS
    assert drawn.cut_ms <= LONGEST_CUT_MS
    assert bool(drawn.cut_ms) == (drawn.fault in (Fault.CUT_SOURCE_LINK, Fault.CUT_DESTINATION_LINK))
    assert not drawn.delay_ms or drawn.when is When.ANY_MOMENT


def test_as_many_moves_have_a_fault_as_were_asked_for_and_all_faults_come() -> None:
    drawn = {share: [step(1, n, ["vm1"], 3, share) for n in range(1, 601)] for share in ("none", "some", "all")}
    broken = {share: sum(each.fault is not Fault.NONE for each in those) for share, those in drawn.items()}
    assert broken["none"] == 0
    assert 150 < broken["some"] < 250
    assert broken["all"] == 600
    assert {each.fault for each in drawn["all"]} == {*Fault} - {Fault.NONE}


@pytest.mark.parametrize(("instances", "hosts"), [((), 3), (("vm1",), 1)])
def test_a_lab_in_which_nothing_can_move_is_refused(instances: tuple[str, ...], hosts: int) -> None:
    with pytest.raises(HotfootError):
        step(1, 1, instances, hosts, "some")


def a_step(fault: Fault = Fault.NONE) -> Step:
    when = None if fault is Fault.NONE else When.FIRST_PASS
    return Step(number=3, instance="vm1", hop=1, fault=fault, when=when, delay_ms=0, cut_ms=0)


def seen(outcome: str = "completed", **others: Any) -> Seen:
    """What is seen after a move from n1 to n2 that ended so, all being right."""
    status = {"completed": 0, "failed": 4, "aborted": 5}[outcome]
    told = {"id": "m1", "source": "n1", "destination": "n2", "outcome": outcome, "downtime_ms": 80, "outage_ms": 95.4}
    told["reason"] = None if outcome == "completed" else "n2 went away. vm1 lives on n1, as before."
    right = Seen(
        source="n1",
        destination="n2",
        struck=False,
        status=status,
        report=told,
        complaint="",
        traceback=False,
        record={**told, "status": status, "found_afterwards": False},
        abort_said=None,
        places=("n2",) if outcome == "completed" else ("n1",),
        silent=(),
        damage=(),
        took_s=5.0,
    )
    return replace(right, **others)


def test_a_move_that_completes_and_says_so_is_right() -> None:
    done = judge(a_step(), seen())
    assert (done.end, done.problems, done.completed) == ("completed", (), True)


@pytest.mark.parametrize("fault", [Fault.KILL_SOURCE_LIBVIRTD, Fault.CUT_DESTINATION_LINK])
def test_a_move_that_fails_by_its_fault_is_expected(fault: Fault) -> None:
    done = judge(a_step(fault), seen("failed", struck=True))
    assert (done.end, done.problems, done.as_expected) == ("failed", (), True)


def test_a_move_that_its_policy_gave_up_is_expected_also_without_a_fault() -> None:
    right = seen("failed")
    done = judge(a_step(), replace(right, record={**(right.record or {}), "reason": "Given up: it does not converge."}))
    assert (done.problems, done.as_expected) == ((), True)


def test_a_move_that_was_killed_is_judged_by_the_journal_alone() -> None:
    right = seen(struck=True, status=None, report=None)
    afterwards = replace(right, record={**(right.record or {}), "found_afterwards": True})
    assert judge(a_step(Fault.KILL_HOTFOOT), afterwards).problems == ()
    stays_open = replace(afterwards, record={**(afterwards.record or {}), "outcome": None, "status": None})
    assert judge(a_step(Fault.KILL_HOTFOOT), stays_open).wrong_reports


def test_an_abort_is_right_whether_it_came_in_time_or_not() -> None:
    abort = a_step(Fault.ABORT)
    assert judge(abort, seen("aborted", struck=True, abort_said=True)).end == "aborted"
    assert judge(abort, seen("aborted", struck=True, abort_said=True)).problems == ()
    assert judge(abort, seen(struck=True, abort_said=False)).problems == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"places": ("n1",)},
        {"status": 4},
        {"status": 5},
        {"status": 6},
        {"record": None},
        {"report": None},
        {"traceback": True},
        {"abort_said": True, "struck": True},
        {"report": {**(seen().report or {}), "outcome": "failed"}},
        {"report": {**(seen().report or {}), "source": "n3"}},
        {"record": {**(seen().record or {}), "outcome": "failed"}},
        {"record": {**(seen().record or {}), "status": 4}},
        {"record": {**(seen().record or {}), "id": "m2"}},
        {"record": {**(seen().record or {}), "found_afterwards": True}},
    ],
)
def test_each_report_that_says_otherwise_than_it_is_counts_as_wrong(wrong: dict[str, Any]) -> None:
    done = judge(a_step(Fault.ABORT if "abort_said" in wrong else Fault.NONE), seen(**wrong))
    assert done.wrong_reports
    assert count([done]).wrong_reports == 1


@pytest.mark.parametrize("found", [{"places": ()}, {"damage": ("3 of 99 memory pages differ",)}])
def test_an_instance_that_is_nowhere_or_damaged_is_lost(found: dict[str, Any]) -> None:
    done = judge(a_step(), seen(**found))
    assert (done.end, done.lost) == ("lost", True)
    totals = count([done])
    assert (totals.lost, totals.completed, totals.failed_otherwise) == (1, 0, 0)


def test_an_instance_in_two_places_is_doubled() -> None:
    done = judge(a_step(), seen(places=("n1", "n2")))
    assert (done.end, count([done]).doubled) == ("doubled", 1)


@pytest.mark.parametrize("found", [{"silent": ("n3",)}, {"places": ("n3",)}])
def test_a_host_that_does_not_answer_or_was_not_meant_is_a_problem(found: dict[str, Any]) -> None:
    assert judge(a_step(), seen(**found)).problems


def test_a_failure_without_a_fault_is_a_problem_and_counted_apart() -> None:
    done = judge(a_step(), seen("failed"))
    assert done.problems
    assert (count([done]).failed_otherwise, count([done]).failed_as_expected) == (1, 0)


def test_a_soak_counts_every_move_once_and_says_how_to_repeat_one() -> None:
    moves = (
        judge(a_step(), seen()),
        judge(a_step(Fault.ABORT), seen("aborted", struck=True)),
        judge(a_step(), seen("failed")),
        judge(a_step(), seen(places=())),
    )
    soaked = Soaked(
        lab="soak", seed=7, faults="some", asked=9, stopped=False, done=moves, afterwards=()
    )  # fmt: skip
    told: dict[str, Any] = soaked.as_json()
    kinds = ("completed", "failed_as_expected", "failed_otherwise", "lost", "doubled")
    assert [told[kind] for kind in kinds] == [1, 1, 1, 1, 0]
    assert told["moves"] == 4 == sum(group["moves"] for group in told["by_fault"].values())
    assert told["whole"] is False
    assert soaked.repeated_by(moves[0]) == "hotfoot soak --name soak --seed 7 --faults some --first 3 --moves 1"
    assert figures(moves) == {
        "downtime_ms_median": 80, "downtime_ms_p99": 80, "outage_ms_median": 95, "outage_ms_p99": 95
    }  # fmt: skip


def test_a_cluster_that_is_no_lab_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "hotfoot.yaml"
    file.write_text("name: live\nhosts: [{name: n1, address: 192.0.2.1}]\n")
    said = hotfoot("soak", "--moves", "1", cluster=file)
    assert said.status == 3, said.err
    assert "is no lab's cluster file" in said.err


def test_a_lab_that_is_not_there_is_named() -> None:
    said = hotfoot("soak", "--moves", "1", "--name", "not-there")
    assert said.status == 2, said.err
    assert "no lab not-there" in said.err
