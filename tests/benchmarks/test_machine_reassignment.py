from __future__ import annotations

import gzip
import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks.machine_reassignment.__main__ import instances
from benchmarks.machine_reassignment.anneal import anneal
from benchmarks.machine_reassignment.judge import cost, faults
from benchmarks.machine_reassignment.problem import Ints, Problem
from benchmarks.machine_reassignment.read import BadInput, read
from benchmarks.machine_reassignment.solve import Effort, solve
from benchmarks.machine_reassignment.tables import state, tables
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
MODEL = """2
0 10
1 5
3
0 0 10 9 6 8 0 1 2
0 1 10 10 6 8 1 0 3
7 1 8 6 5 5 2 3 0
3
2 0
1 1 0
0 0
4
0 4 2 7
0 2 1 5
1 3 4 1
2 3 3 2
1
0 1 1 10
1 10 1
"""
START = "0 1 0 0\n"


def small(folder: Path, model: str = MODEL, start: str = START) -> Problem:
    (folder / "model_x.txt").write_text(model)
    (folder / "assignment_x.txt.gz").write_bytes(gzip.compress(start.encode()))
    return read(folder / "model_x.txt", folder / "assignment_x.txt.gz")


def at(*machines: int) -> Ints:
    return np.array(machines, dtype=np.int64)


def test_costs_are_those_of_the_definition(tmp_path: Path) -> None:
    problem = small(tmp_path)
    # Load: 4 * 10 and 1 * 5 on machine 0. Balance: 10 * (8 - 6) on the empty machine 2.
    assert cost(problem, problem.start) == 65
    # Load: 1 * 10. Balance: 20. Moves: the process 2, its service 10, between the machines 2.
    assert cost(problem, at(0, 1, 0, 2)) == 44


@pytest.mark.parametrize(
    ("places", "found"),
    [
        ((0, 1, 0, 2), []),
        ((0, 1, 2, 0), ["Service 1 is in neighbourhood 1 without service 0, on which it depends."]),
        ((1, 2, 0, 0), ["Service 0 is in 1 locations instead of 2."]),
        # 5 of the processes that are there, and 5 of those that left and are still taken while they move.
        ((1, 0, 0, 2), ["Machine 0 is used beyond its capacity of resource 1: 10 of 9."]),
        (
            (0, 0, 1, 1),
            [
                "Machine 0 is used beyond its capacity of resource 1: 10 of 9.",
                "Machine 0 has more than one process of service 0.",
                "Service 0 is in 1 locations instead of 2.",
            ],
        ),
        ((0, 1, 0, 3), ["It names 4 machines for 4 processes, or one that is not there."]),
    ],
)
def test_each_broken_constraint_is_told(tmp_path: Path, places: tuple[int, ...], found: list[str]) -> None:
    assert faults(small(tmp_path), at(*places)) == found


@pytest.mark.parametrize(
    ("model", "start", "wrong"),
    [
        (MODEL + "5\n", START, "model_x.txt: 1 numbers are left over after number 66, where it should end."),
        (MODEL[:-7], START, "model_x.txt: it ends within weights of moves: number 64 is missing."),
        (
            MODEL.replace("0 10", "0 ten", 1),
            START,
            "model_x.txt: it holds something else than whole numbers and blanks.",
        ),
        (
            MODEL.replace("0 10", "2 10", 1),
            START,
            "model_x.txt: whether a resource is transient is told by 0 or 1, not 2.",
        ),
        (MODEL.replace("0 4 2 7", "9 4 2 7"), START, "model_x.txt: a process is of service 9, of 3 counted from 0."),
        (MODEL.replace("1 1 0\n", "1 1 5\n"), START, "(service that one depends on) is 5, not within 0 and 2."),
        (MODEL.replace("4 2 7", "-4 2 7"), START, "(processes) is -4, not within 0 and 1099511627776."),
        (
            MODEL.replace("1 10 1\n", f"{1 << 40} {1 << 40} 1\n").replace("2 1 5", f"2 1 {1 << 40}"),
            START,
            "numbers are so great that costs might exceed 64 bits.",
        ),
        (MODEL, "0 1 0", "assignment_x.txt.gz: it ends within machines of processes: number 4 is missing."),
        (MODEL, "0 1 0 3", "number 4 (machines of processes) is 3, not within 0 and 2."),
    ],
)
def test_what_is_wrong_with_a_file_is_told_in_one_sentence(tmp_path: Path, model: str, start: str, wrong: str) -> None:
    with pytest.raises(BadInput) as error:
        small(tmp_path, model, start)
    assert str(error.value).endswith(wrong)
    assert "\n" not in str(error.value)


def test_a_damaged_archive_and_a_missing_assignment_are_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no model_X"):
        instances(tmp_path)
    small(tmp_path)
    (tmp_path / "assignment_x.txt.gz").write_bytes(gzip.compress(START.encode())[:-9])
    with pytest.raises(BadInput, match="cannot be read"):
        read(tmp_path / "model_x.txt", tmp_path / "assignment_x.txt.gz")
    (tmp_path / "assignment_x.txt.gz").unlink()
    with pytest.raises(BadInput, match=r"no assignment_x\.txt or"):
        instances(tmp_path)


def solved(problem: Problem, seed: int, tries: int = 400_000) -> Ints:
    return solve(problem, Effort(began_s=0.0, until_s=1.0, tries=tries, seed=seed), lambda: 0.0).at


def test_the_best_of_a_small_instance_is_found(tmp_path: Path) -> None:
    problem = small(tmp_path)
    every = (at(*places) for places in itertools.product(range(3), repeat=4))
    best = min(cost(problem, one) for one in every if not faults(problem, one))
    found = solved(problem, 1)
    assert faults(problem, found) == []
    assert cost(problem, found) == best < cost(problem, problem.start)


def drawn(seed: int, machines: int, processes: int) -> Problem:
    """Return a problem whose start keeps every constraint, often without any room to spare."""
    random = np.random.default_rng(seed)
    resources, services = int(random.integers(1, 6)), int(random.integers(1, processes + 1))
    start = random.integers(0, machines, processes)
    service = random.integers(0, services, processes)
    kept = np.unique(np.stack([service, start]), axis=1, return_index=True)[1]
    start, service, processes = start[kept], service[kept], len(kept)
    requirement = random.integers(0, 100, (processes, resources))
    usage = np.zeros((machines, resources), dtype=np.int64)
    np.add.at(usage, start, requirement)
    capacity = usage + random.integers(0, 120, usage.shape)
    location, area = random.integers(0, machines, machines), random.integers(0, 2, machines)
    areas = [set(area[start[service == one]].tolist()) for one in range(services)]
    places = np.array([len(set(location[start[service == one]].tolist())) for one in range(services)])
    pairs = itertools.product(range(services), repeat=2)
    return Problem(
        transient=random.random(resources) < 0.4,
        load_weight=random.integers(0, 11, resources),
        neighbourhood=area,
        location=location,
        capacity=capacity,
        safety=(capacity * random.uniform(0.3, 1.0)).astype(np.int64),
        machine_move_cost=random.integers(0, 3, (machines, machines)),
        spread=np.where(random.random(services) < 0.5, places, 0),
        needs=tuple((one, other) for one, other in pairs if areas[one] <= areas[other] and random.random() < 0.3),
        service=service,
        requirement=requirement,
        process_move_cost=random.integers(0, 5, processes),
        balance=np.column_stack([random.integers(0, resources, (2, 2)), random.integers(0, 4, (2, 2))]),
        process_move_weight=1,
        service_move_weight=10,
        machine_move_weight=100,
        start=start,
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 40))
def test_an_answer_is_feasible_never_worse_and_the_same_for_a_seed(seed: int, machines: int, processes: int) -> None:
    problem = drawn(seed, machines, processes)
    assert faults(problem, problem.start) == []
    found = solved(problem, seed, 200_000)
    assert faults(problem, found) == []
    assert cost(problem, found) <= cost(problem, problem.start)
    assert (solved(problem, seed, 200_000) == found).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 8), st.integers(2, 40), st.floats(0.1, 1e4), st.floats(0.1, 1e4))
def test_the_sums_stay_those_of_the_assignment(
    seed: int, machines: int, processes: int, temperature: float, price: float
) -> None:
    problem = drawn(seed, machines, processes)
    now = state(problem, problem.start, seed)
    change = anneal(tables(problem), now, 20_000, temperature, price)
    assert change == cost(problem, now.at) - cost(problem, problem.start)
    anew = state(problem, now.at, seed)
    for name in set(now._fields) - {"random"}:
        assert (getattr(now, name) == getattr(anew, name)).all(), name
    beyond = [fault for fault in faults(problem, now.at) if "beyond its capacity" in fault]
    assert faults(problem, now.at) == beyond
    assert bool(beyond) == bool(now.beyond.any())


def test_the_command_writes_what_it_found_and_names_what_it_cannot_read(tmp_path: Path) -> None:
    problem = small(tmp_path)
    (tmp_path / "model_bad.txt").write_text("2 0")
    (tmp_path / "assignment_bad.txt").write_text("0")
    command = [sys.executable, "-m", "benchmarks.machine_reassignment", "--instances", str(tmp_path)]
    command += ["--out", str(tmp_path / "new"), "--results", str(tmp_path / "figures.json")]
    ended = subprocess.run([*command, "--tries", "200000"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.strip().endswith("model_bad.txt: it ends within resources: number 3 is missing.")
    new = at(*map(int, (tmp_path / "new" / "new_x.txt").read_text().split()))
    assert faults(problem, new) == []
    (row,) = json.loads((tmp_path / "figures.json").read_text())["rows"]
    assert (row["name"], row["first_cost"], row["cost"]) == ("x", 65, cost(problem, new))
