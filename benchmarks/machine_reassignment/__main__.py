"""``python -m benchmarks.machine_reassignment``: a new assignment for each instance of a folder.

Writes ``new_X.txt`` for each ``model_X.txt`` or ``model_X.txt.gz`` with ``assignment_X.txt`` or ``.txt.gz`` beside it:
the machine of each process, separated by blanks, as in the challenge. Prints what each costs, beside the best of the
final of 2012 where that is known, keeps the figures in benchmarks/results/machine-reassignment.json, and ends with 0
when every goal is met, 1 when one is missed, 2 when something could not be read or written, 130 when it was stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.machine_reassignment.judge import cost, faults
from benchmarks.machine_reassignment.read import BadInput, read
from benchmarks.machine_reassignment.solve import Effort, solve

MOST_ABOVE = 0.01
"""A goal is met within so much above the best known."""
GOALS = {
    "a1_1": 44_306_501,
    "a1_2": 777_530_860,
    "a1_3": 583_005_719,
    "a1_5": 727_578_311,
    "b_1": 3_339_186_879,
    "b_2": 1_015_553_800,
    "b_3": 156_835_787,
    "b_4": 4_677_823_040,
    "b_5": 923_092_380,
}
"""a1: the optimum (of a1_2 the lower bound). b: the best of all teams in the final of the challenge, 300 s."""
KNOWN = GOALS | {"a1_4": 248_524_578}
"""The best of the final also where there is no goal."""
_RESULT = Path(__file__).resolve().parent.parent / "results" / "machine-reassignment.json"
_RESERVE = 0.01
"""The share of the time that is kept for looking at the result and writing it, and at least a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What came of one instance."""

    name: str
    machines: int
    processes: int
    first_cost: int
    cost: int
    known: int | None
    above: float | None
    """The share by which the cost is above the best known."""
    met: bool | None
    """None: there is no goal for it."""
    moved: int
    tries: int
    seconds: float
    """From before reading to after writing."""


def instances(folder: Path) -> list[tuple[str, Path, Path]]:
    """Return name, model and assignment of each instance of a folder. Raises ``BadInput``."""
    models = sorted([*folder.glob("model_*.txt"), *folder.glob("model_*.txt.gz")])
    if not models:
        raise BadInput(f"{folder}: there is no model_X.txt or model_X.txt.gz in it.")
    found: dict[str, tuple[str, Path, Path]] = {}
    for model in models:
        name = model.name.removeprefix("model_").removesuffix(".gz").removesuffix(".txt")
        beside = [folder / f"assignment_{name}.txt", folder / f"assignment_{name}.txt.gz"]
        assignment = next((path for path in beside if path.is_file()), None)
        if assignment is None:
            raise BadInput(f"{model}: there is no {beside[0].name} or {beside[1].name} beside it.")
        found.setdefault(name, (name, model, assignment))
    return list(found.values())


def reassign(name: str, model: Path, assignment: Path, out: Path, seconds: float, tries: int | None, seed: int) -> Row:
    """Read one instance, look for so long, write ``new_NAME.txt``. Raises ``BadInput``."""
    began_s = time.monotonic()
    problem = read(model, assignment)
    wrong = faults(problem, problem.start)
    if wrong:
        raise BadInput(f"{assignment}: it is not feasible, as a first assignment has to be: {wrong[0]}")
    until_s = began_s + seconds - max(1.0, seconds * _RESERVE)
    found = solve(problem, Effort(began_s=began_s, until_s=until_s, tries=tries, seed=seed), time.monotonic)
    at = found.at
    (out / f"new_{name}.txt").write_text(" ".join(map(str, at.tolist())) + "\n")
    reached, known = cost(problem, at), KNOWN.get(name)
    above = reached / known - 1 if known else None
    return Row(
        name=name,
        machines=len(problem.capacity),
        processes=len(problem.start),
        first_cost=cost(problem, problem.start),
        cost=reached,
        known=known,
        above=above,
        met=above <= MOST_ABOVE if above is not None and name in GOALS else None,
        moved=int((at != problem.start).sum()),
        tries=found.tries,
        seconds=time.monotonic() - began_s,
    )


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.machine_reassignment", description="Machine reassignment (ROADEF/EURO 2012)."
    )
    parser.add_argument("--instances", type=Path, required=True, help="folder with model_X.txt[.gz] and assignment_X")
    parser.add_argument("--out", type=Path, required=True, help="folder for new_X.txt")
    parser.add_argument("--seconds", type=float, default=300.0, help="for each instance, on 2 cores [default: 300]")
    parser.add_argument("--tries", type=int, help="of each thread; ends before --seconds [default: as time allows]")
    parser.add_argument("--seed", type=int, default=1, help="[default: 1]")
    parser.add_argument("--only", nargs="+", metavar="X", help="only these instances")
    parser.add_argument("--results", type=Path, default=_RESULT, help="file for the figures [default: beside this]")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    try:
        sys.exit(_run(parser.parse_args()))
    except (BadInput, OSError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _run(options: argparse.Namespace) -> int:
    """Return the exit status. One instance that cannot be read does not keep the others."""
    options.out.mkdir(parents=True, exist_ok=True)
    there = instances(options.instances)
    missing = set(options.only or ()) - {name for name, _, _ in there}
    if missing:
        raise BadInput(f"{options.instances}: there is no instance {min(missing)} in it.")
    rows: list[Row] = []
    unread = 0
    for name, model, assignment in there:
        if options.only and name not in options.only:
            continue
        try:
            row = reassign(name, model, assignment, options.out, options.seconds, options.tries, options.seed)
        except BadInput as error:
            print(error, file=sys.stderr)
            unread += 1
            continue
        rows.append(row)
        if not options.json:
            print(_in_words(row, first=len(rows) == 1), flush=True)
    found = {"seconds": options.seconds, "seed": options.seed, "rows": [asdict(row) for row in rows]}
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.results.write_text(json.dumps(found, indent=1) + "\n")
    if options.json:
        print(json.dumps(found, indent=1))
    if unread:
        return 2
    return 1 if any(row.met is False for row in rows) else 0


def _in_words(row: Row, *, first: bool) -> str:
    heading = (
        f"{'INSTANCE':8} {'MACHINES':>8} {'PROCESSES':>9} {'FIRST COST':>14} {'COST':>14} {'ABOVE BEST':>10} "
        f"{'SECONDS':>7}\n"
    )
    above = "?" if row.above is None else f"{row.above:.3%}"
    verdict = {None: "", True: "  pass", False: f"  MISS (goal {MOST_ABOVE:.0%})"}[row.met]
    return (
        f"{heading if first else ''}{row.name:8} {row.machines:>8} {row.processes:>9} {row.first_cost:>14,} "
        f"{row.cost:>14,} {above:>10} {row.seconds:>7.1f}{verdict}"
    )


if __name__ == "__main__":
    main()
