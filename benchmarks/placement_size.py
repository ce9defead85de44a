"""``make bench-placement-size``: plans for 1,000 hosts with 20,000 instances, and for snapshots of real clusters.

The large cluster is drawn from a seed: three kinds of hosts, eight flavours, memory to be sent that differs from
instance to instance, rules that keep some apart, and hosts unequally full. With ``--snapshots DIR`` (a folder with
cluster-*.json.gz in the form of ByteDance's rescheduling data) each host of those is drained in turn, and the proof of
the fewest bytes is looked at. Prints the figures, keeps them in benchmarks/results/placement-size.json, and ends with 0
when every goal is met, 1 when one is missed.
"""

from __future__ import annotations

import argparse
import bisect
import gzip
import json
import random
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

# Run as a file, so that Python looks beside it; the benchmark's modules are `benchmarks.*`.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.figures import spread
from benchmarks.keeping import keep

from hotfoot.placement.snapshot import MEMORY, VCPUS, Host, Instance, Resource, Rule, RuleKind, Snapshot
from hotfoot.placement.solve import solve
from hotfoot.placement.verify import faults
from hotfoot.placement.wish import GIB, Balance, Drain, Objective, Wish

MOST_DRAIN_S = 2.0
MOST_BALANCE_S = 30.0
MOST_BYTES = 2e9
_MIB = 1 << 20
_RESULT = "placement-size"
_HOSTS = ((384, 64), (512, 96), (768, 128))
"""GiB and cores."""
_FLAVOURS = ((2, 1, 10), (4, 2, 20), (8, 2, 20), (8, 4, 20), (16, 4, 15), (32, 8, 10), (64, 16, 4), (128, 32, 1))
"""GiB, vCPUs, and how many of a hundred."""
_FULL = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What one plan took, and what it came to."""

    what: str
    seconds: float
    moves: int
    moved_gib: float
    before: float
    after: float
    left: int
    """Instances that are still on hosts to be drained; 0 for a balance."""
    gap: float | None
    solver: str
    faults: int


def large_cluster(hosts: int, instances: int, seed: int) -> Snapshot:
    """Return a cluster of so many; the same for the same seed."""
    draw = random.Random(seed)
    there = [_host(number) for number in range(hosts)]
    liked = list(accumulate(draw.random() ** 0.7 + 0.05 for _ in there))
    used = [[0, 0] for _ in there]
    placed: list[Instance] = []
    while len(placed) < instances:
        gib, vcpus, _ = draw.choices(_FLAVOURS, [share for _, _, share in _FLAVOURS])[0]
        number = bisect.bisect(liked, draw.random() * liked[-1] * 0.999999)
        host = there[number]
        after = (used[number][0] + gib * GIB, used[number][1] + vcpus)
        limits = (host.resources[MEMORY].capacity * _FULL, host.resources[VCPUS].capacity * _FULL)
        if after[0] > limits[0] or after[1] > limits[1]:
            continue
        used[number] = list(after)
        name = f"i{len(placed):05}"
        placed.append(
            Instance(
                name=name,
                id=name,
                host=host.name,
                sizes={MEMORY: gib * GIB, VCPUS: vcpus},
                transfer_bytes=int(gib * GIB * draw.uniform(0.3, 1.2)),
            )
        )
    rules = [
        Rule(
            name=f"apart{number}",
            kind=RuleKind.APART,
            instances=tuple(one.id for one in draw.sample(placed, min(len(placed), draw.randint(2, 4)))),
        )
        for number in range(instances // 70)
    ]
    return Snapshot(hosts=tuple(there), instances=tuple(placed), rules=tuple(rules))


def _host(number: int) -> Host:
    gib, cores = _HOSTS[number % len(_HOSTS)]
    resources = {MEMORY: Resource(total=gib * GIB, reserved=16 * GIB), VCPUS: Resource(total=cores, overcommit=4.0)}
    return Host(name=f"h{number:04}", resources=resources, safety=0.95, zone=f"z{number % 4}")


def real_clusters(folder: Path) -> Iterator[tuple[str, Snapshot]]:
    """Yield the clusters of a folder with their names. Memory and CPUs of whole hosts; NUMA nodes are not looked at."""
    for path in sorted(folder.glob("cluster-*.json.gz")):
        told = json.loads(gzip.decompress(path.read_bytes()))
        flavours = {of["vm_type"]: of for of in told["vm_type_list"]}
        for cluster in told["cluster_list"]:
            yield f"{path.name.removesuffix('.json.gz')} {cluster['cluster_name']}", _real(cluster, flavours)


def _real(cluster: dict[str, Any], flavours: dict[str, Any]) -> Snapshot:
    return Snapshot(
        hosts=tuple(
            Host(
                name=host["node_id"],
                resources={
                    MEMORY: Resource(total=int(host["node_mem_mb"] * _MIB)),
                    VCPUS: Resource(total=int(host["node_cpu"])),
                },
                up=host["status"] == "ACTIVE",
            )
            for host in cluster["host_info"]
        ),
        instances=tuple(
            Instance(
                name=one["instance_id"],
                id=one["instance_id"],
                host=one["host_id"],
                sizes={
                    MEMORY: int(flavours[one["instance_type"]]["request_mem_mb"] * _MIB),
                    VCPUS: int(flavours[one["instance_type"]]["request_cpu"]),
                },
                movable=one["allow_migration"],
            )
            for one in cluster["vm_instance"]
        ),
    )


def measured(snapshot: Snapshot, objective: Objective, seconds: float, what: str) -> Planned:
    """Solve once, and judge the result."""
    wish = Wish(objective=objective, seconds=seconds)
    began_s = time.perf_counter()
    target = solve(snapshot, wish, time.monotonic)
    took_s = time.perf_counter() - began_s
    moved = [one for one in snapshot.instances if target.hosts[one.id] != one.host]
    emptied = objective.hosts if isinstance(objective, Drain) else frozenset()
    return Planned(
        what=what,
        seconds=took_s,
        moves=len(moved),
        moved_gib=sum(one.bytes_to_move for one in moved) / GIB,
        before=target.before.total,
        after=target.after.total,
        left=sum(host in emptied for host in target.hosts.values()),
        gap=target.gap,
        solver=target.solver,
        faults=len(faults(snapshot, wish, target.hosts)),
    )


def _each_drained(snapshot: Snapshot, seconds: float) -> Iterator[Planned]:
    for host in snapshot.hosts:
        yield measured(snapshot, Drain(hosts=frozenset({host.name})), seconds, host.name)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description="Plans for large and for real clusters.")
    parser.add_argument("--hosts", type=int, default=1000, help="of the large cluster [default: 1000]")
    parser.add_argument("--instances", type=int, default=20_000, help="of the large cluster [default: 20000]")
    parser.add_argument("--seed", type=int, default=1, help="that it is drawn from [default: 1]")
    parser.add_argument("--drains", type=int, default=9, help="hosts of it drained, one after the other [default: 9]")
    parser.add_argument("--seconds", type=float, default=25.0, help="that a balance may look [default: 25]")
    parser.add_argument("--snapshots", type=Path, help="folder with real clusters (cluster-*.json.gz)")
    parser.add_argument("--real-seconds", type=float, default=30.0, help="for one host of those [default: 30]")
    parser.add_argument("--json", action="store_true", help="print JSON instead of sentences")
    options = parser.parse_args()
    crowd = large_cluster(options.hosts, options.instances, options.seed)
    step = max(1, options.hosts // max(1, options.drains))
    drains = [
        measured(crowd, Drain(hosts=frozenset({host.name})), 10.0, f"drain {host.name}")
        for host in crowd.hosts[::step][: options.drains]
    ]
    balance = measured(crowd, Balance(), options.seconds, "balance")
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    real = {
        name: [
            measured(one, Drain(hosts=frozenset({host.name})), options.real_seconds, host.name) for host in one.hosts
        ]
        for name, one in (real_clusters(options.snapshots) if options.snapshots else ())
    }
    goals = [
        ("slowest drain of one host, s", max(one.seconds for one in drains), MOST_DRAIN_S),
        ("balance, s", balance.seconds, MOST_BALANCE_S),
        ("peak resident memory, GB", peak_bytes / 1e9, MOST_BYTES / 1e9),
        ("unsound plans", sum(one.faults for one in chain(drains, [balance], *real.values())), 0),
    ]
    goals += [(f"{name}: hosts not drained, or not proved", len(_unproved(rows)), 0) for name, rows in real.items()]
    found = {
        "hosts": options.hosts,
        "instances": options.instances,
        "drains": [asdict(one) for one in drains],
        "balance": asdict(balance),
        "peak_bytes": peak_bytes,
        "real": {name: [asdict(one) for one in rows] for name, rows in real.items()},
        "goals": [{"what": what, "measured": value, "limit": limit} for what, value, limit in goals],
    }
    text = keep(_RESULT, found)
    print(text if options.json else _in_words(options.hosts, drains, balance, real, goals))
    sys.exit(0 if all(value <= limit for _, value, limit in goals) else 1)


def _unproved(rows: Sequence[Planned]) -> list[Planned]:
    return [one for one in rows if one.left or one.gap != 0]


def _share(gap: float | None) -> str:
    return "?" if gap is None else f"{gap:.1%}"


def _in_words(
    hosts: int,
    drains: Sequence[Planned],
    balance: Planned,
    real: dict[str, list[Planned]],
    goals: Sequence[tuple[str, float, float]],
) -> str:
    took = spread([one.seconds for one in drains])
    lines = [
        f"{hosts} hosts: drain of one in {took.least:.2f} / {took.median:.2f} / {took.most:.2f} s "
        f"(least / median / most of {len(drains)}), "
        f"{sum(one.gap == 0 for one in drains)} proved to be the fewest bytes",
        f"balance: score {balance.before:.1f} to {balance.after:.1f} by {balance.moves} moves of "
        f"{balance.moved_gib:.0f} GiB in {balance.seconds:.1f} s, gap {_share(balance.gap)}",
    ]
    for name, rows in real.items():
        lines += ["", f"{name}: each host drained", f"{'HOST':12} {'MOVES':>5} {'GIB':>6} {'GAP':>6} {'SECONDS':>7}"]
        lines += [
            f"{one.what:12} {one.moves:>5} {one.moved_gib:>6.0f} {_share(one.gap):>6} "
            f"{one.seconds:>7.2f}{f'  {one.left} left' if one.left else ''}"
            for one in rows
        ]
        seconds = spread([one.seconds for one in rows])
        lines.append(
            f"{len(rows) - len(_unproved(rows))} of {len(rows)} proved; {seconds.least:.2f} / {seconds.median:.2f} / "
            f"{seconds.most:.2f} s"
        )
    lines += [""]
    for what, value, limit in goals:
        lines.append(f"{'pass' if value <= limit else 'MISS'}  {what}  {value:.3g}  goal {limit:g}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
