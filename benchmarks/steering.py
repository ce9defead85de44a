"""``make bench-steering``: ways to steer a migration, on the same workloads, in the simulator of QEMU's migration.

Hotfoot's policies beside Nova (its own functions), KubeVirt and oVirt (re-stated). Prints a table for guests that
converge by themselves under QEMU's own limit and one for those that do not, keeps both in
benchmarks/results/steering.json, and ends with 0 when every goal is met, 1 when one is missed, 2 when Nova could
not be installed, or too few workloads were asked for.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

# Run as a file, so that Python looks beside it; the benchmark's modules are `benchmarks.*`.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.contenders import (
    OVIRT_MINIMAL,
    OVIRT_POST_COPY,
    QEMU_LADDER,
    KubeVirtStall,
    KubeVirtTimeouts,
    OVirt,
    Schedule,
)
from benchmarks.keeping import keep
from benchmarks.nova_environment import python_with_nova
from benchmarks.steering_figures import MOST_OF_BEST, MOST_OF_NOVA, NOVA, SAME_DOWNTIME
from benchmarks.workloads import Workload, as_json, draw

from hotfoot.migration.action import ActionKind
from hotfoot.migration.policy import BUILT_IN, QEMU_DOWNTIME_MS
from hotfoot.migration.simulator import SimulatedEnd, simulate
from hotfoot.migration.steering import Means, Steering

NOVA_POST_COPY = "Nova, post-copy at its timeout"
PATIENT_MS = 1_800_000
"""A guest that QEMU's own limit has not moved within half an hour does not converge by itself."""
_RESULT = "steering"


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How one migration ended."""

    finished: bool
    total_ms: float
    downtime_ms: float
    sent_bytes: float
    iterations: int


def _end(end: SimulatedEnd) -> End:
    return End(
        finished=end.finished,
        total_ms=end.total_ms,
        downtime_ms=end.downtime_ms,
        sent_bytes=end.sent_bytes,
        iterations=end.iterations,
    )


def _hotfoot(name: str, *, post_copy: bool) -> Callable[[Workload], End]:
    policy = BUILT_IN[name]
    first = post_copy and ActionKind.POST_COPY in policy.steps
    throttle = None if first else policy.throttle
    means = Means(post_copy=post_copy, throttle=throttle is not None)

    def run(workload: Workload) -> End:
        steering = Steering(policy, means)
        return _end(
            simulate(
                workload.guest,
                workload.link,
                steering.step,
                first_downtime_ms=policy.first_downtime_ms,
                throttle=throttle,
            )
        )

    return run


def _ovirt(schedule: Schedule) -> Callable[[Workload], End]:
    def run(workload: Workload) -> End:
        steer = OVirt(schedule).step
        limit_ms = schedule.first_downtime_ms
        return _end(simulate(workload.guest, workload.link, steer, first_downtime_ms=limit_ms, throttle=QEMU_LADDER))

    return run


def _kubevirt(*, stall: bool, post_copy: bool) -> Callable[[Workload], End]:
    def run(workload: Workload) -> End:
        memory = workload.guest.memory_bytes
        steer = (
            KubeVirtStall(memory, post_copy=post_copy).step
            if stall
            else KubeVirtTimeouts(memory, post_copy=post_copy).step
        )
        return _end(simulate(workload.guest, workload.link, steer, first_downtime_ms=QEMU_DOWNTIME_MS))

    return run


CONTENDERS: Mapping[str, Callable[[Workload], End]] = {
    "hotfoot gentle": _hotfoot("gentle", post_copy=False),
    "hotfoot balanced": _hotfoot("balanced", post_copy=False),
    "hotfoot must-finish": _hotfoot("must-finish", post_copy=True),
    "hotfoot must-finish, no post-copy": _hotfoot("must-finish", post_copy=False),
    "KubeVirt timeouts": _kubevirt(stall=False, post_copy=False),
    "KubeVirt timeouts, post-copy": _kubevirt(stall=False, post_copy=True),
    "KubeVirt stall detection": _kubevirt(stall=True, post_copy=False),
    "KubeVirt stall detection, post-copy": _kubevirt(stall=True, post_copy=True),
    OVIRT_MINIMAL.name: _ovirt(OVIRT_MINIMAL),
    OVIRT_POST_COPY.name: _ovirt(OVIRT_POST_COPY),
}


def nova_ends(workloads: Sequence[Workload]) -> dict[str, list[End]]:
    """Run Nova's functions in their own environment."""
    python = python_with_nova()
    script = str(Path(__file__).with_name("nova_in_simulator.py"))
    told = json.dumps([as_json(workload) for workload in workloads])
    done = subprocess.run([str(python), script], input=told, capture_output=True, text=True, check=True)
    return {name: [End(**end) for end in ends] for name, ends in json.loads(done.stdout).items()}


def by_itself(workload: Workload) -> bool:
    """Whether QEMU's own limit and rule are enough for this guest on this link, within half an hour."""
    return simulate(workload.guest, workload.link, first_downtime_ms=QEMU_DOWNTIME_MS).total_ms < PATIENT_MS


def rows(ends: Mapping[str, Sequence[End]], chosen: Sequence[int]) -> list[dict[str, object]]:
    """Return one row per contender, of the chosen workloads.

    The share finished; median and 90th percentile of the time, a time after which it gave up being one too; of the
    finished ones median and most of the downtime; bytes sent, over the least that anybody sent for that workload.
    """
    found: list[dict[str, object]] = []
    for name, all_ends in ends.items():
        mine = [all_ends[index] for index in chosen]
        finished = [end for end in mine if end.finished]
        least = [min(others[index].sent_bytes for others in ends.values()) for index in chosen]
        times = sorted(end.total_ms / 1000 for end in mine)
        downtimes = [end.downtime_ms for end in finished] or [0.0]
        found.append(
            {
                "name": name,
                "finished": len(finished) / len(mine),
                "total_s": statistics.median(times),
                "total_s_90": times[int(0.9 * (len(times) - 1))],
                "downtime_ms": statistics.median(downtimes),
                "most_downtime_ms": max(downtimes),
                "bytes_ratio": statistics.median(
                    end.sent_bytes / one for end, one in zip(mine, least, strict=True) if one
                ),
            }
        )
    return found


def _table(title: str, found: Sequence[Mapping[str, object]]) -> str:
    lines = [
        title,
        f"  {'':<37}{'finished':>9}{'time, s':>10}{'90 %':>8}{'downtime, ms':>14}{'most':>7}{'bytes':>7}",
    ]
    lines += [
        f"  {row['name']!s:<37}{row['finished']:>9.0%}{row['total_s']:>10.1f}{row['total_s_90']:>8.0f}"
        f"{row['downtime_ms']:>14.0f}{row['most_downtime_ms']:>7.0f}{row['bytes_ratio']:>7.2f}"
        for row in found
    ]
    return "\n".join(lines)


def _goals(
    ends: Mapping[str, Sequence[End]], selfs: Sequence[int], others: Sequence[int]
) -> list[tuple[str, float, float, bool]]:
    goals = []
    pairs = [("hotfoot balanced", NOVA), ("hotfoot must-finish", NOVA), ("hotfoot must-finish", NOVA_POST_COPY)]
    for mine, theirs in pairs:
        ratio = statistics.median(ends[mine][i].total_ms / ends[theirs][i].total_ms for i in others)
        goals.append((f"not converging: time of {mine} to {theirs} (median)", ratio, MOST_OF_NOVA))
        both = [i for i in others if ends[mine][i].finished and ends[theirs][i].finished]
        if both:
            down = statistics.median(ends[mine][i].downtime_ms / ends[theirs][i].downtime_ms for i in both)
            goals.append((f"the same: downtime where both finish ({len(both)})", down, SAME_DOWNTIME))
        share = sum(ends[theirs][i].finished for i in others) - sum(ends[mine][i].finished for i in others)
        goals.append((f"the same: finished by {theirs} and not by {mine}, in balance", float(share), 0.0))
    for mine in ("hotfoot balanced", "hotfoot must-finish"):
        worst = statistics.median(
            ends[mine][i].total_ms / min(all_ends[i].total_ms for all_ends in ends.values() if all_ends[i].finished)
            for i in selfs
        )
        goals.append((f"converging: time of {mine} to the best of all (median)", worst, MOST_OF_BEST))
    return [(what, measured, limit, measured <= limit) for what, measured, limit in goals]


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description="Ways to steer a migration, in the simulator.")
    parser.add_argument("--workloads", type=int, default=120, help="how many [default: 120]")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    workloads = draw(options.workloads)
    try:
        ends: dict[str, list[End]] = nova_ends(workloads)
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"Nova could not be run: {error} {getattr(error, 'stderr', '') or ''}", file=sys.stderr)
        sys.exit(2)
    ends |= {name: [run(workload) for workload in workloads] for name, run in CONTENDERS.items()}
    selfs = [index for index, workload in enumerate(workloads) if by_itself(workload)]
    others = [index for index in range(len(workloads)) if index not in set(selfs)]
    if not selfs or not others:
        print("These are too few workloads to hold both kinds of guests; take 40 or more.", file=sys.stderr)
        sys.exit(2)
    goals = _goals(ends, selfs, others)
    found = {
        "workloads": len(workloads),
        "converging": rows(ends, selfs),
        "not_converging": rows(ends, others),
        "goals": [
            {"what": what, "measured": measured, "limit": limit, "met": met} for what, measured, limit, met in goals
        ],
        "ends": {name: [asdict(end) for end in all_ends] for name, all_ends in ends.items()},
    }
    text = keep(_RESULT, found)
    if options.json:
        print(text)
    else:
        print(_table(f"{len(others)} guests that do not converge by themselves", rows(ends, others)))
        print(_table(f"{len(selfs)} guests that do", rows(ends, selfs)))
        for what, measured, limit, met in goals:
            print(f"{'pass' if met else 'MISS'}  {what}  {measured:.3g}  goal {limit:g}")
    sys.exit(0 if all(met for *_, met in goals) else 1)


if __name__ == "__main__":
    main()
