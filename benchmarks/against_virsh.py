"""``make bench``: the same busy instance moved by plain ``virsh migrate`` and by ``hotfoot migrate``, side by side.

Prints a table, keeps all figures in benchmarks/results/against-virsh.json, and ends with 0 when every goal is met,
1 when one is missed, 2 when nothing could be measured.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

# Run as a file, so that Python looks beside it; the benchmark's modules are `benchmarks.*`.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.bench_lab import HOTFOOT, INSTANCE, BenchLab, bench_lab
from benchmarks.completed_job import Listener
from benchmarks.figures import Move, Pair, StartUps
from benchmarks.keeping import keep
from benchmarks.machine_description import machine_description
from benchmarks.report import ENOUGH_PAIRS, Measurement
from benchmarks.stopping import stop_as_by_ctrl_c
from benchmarks.timed_command import timed

from hotfoot.errors import HotfootError
from hotfoot.migration.prober import OutageWatch

_RESULT = "against-virsh"
_BEFORE_S, _AFTER_S = 0.5, 0.5
"""The watch begins before and ends after the command, for both alike."""
_REST_S = 1.0
_START_UPS = 5
_HELPS = 10


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def _move(lab: BenchLab, by: str, source: str, destination: str) -> Move:
    hotfoot = [HOTFOOT, "migrate", INSTANCE, destination, "--json"]
    argv = lab.moved_by_virsh(source, destination) if by == "virsh" else hotfoot
    watch = OutageWatch(lab.watched)
    try:
        with Listener(lab.on(source), INSTANCE) as listener:
            watch.start()
            time.sleep(_BEFORE_S)
            done = timed(argv, lab.environment)
            time.sleep(_AFTER_S)
            job = listener.heard()
    finally:
        outage = watch.stop()
    if outage.outage_ms is None:
        raise HotfootError(f"{INSTANCE} at {lab.watched} never answered: its outage cannot be measured.")
    time.sleep(_REST_S)
    return Move(
        source=source,
        destination=destination,
        total_ms=job.total_ms,
        downtime_ms=job.downtime_ms,
        iterations=job.iterations,
        outage_ms=outage.outage_ms,
        unwatched_ms=outage.unwatched_ms,
        command_ms=done.elapsed_ms,
        cpu_s=done.cpu_s,
        children_cpu_s=done.children_cpu_s,
        resident_bytes=done.resident_bytes,
    )


def _pair(lab: BenchLab, *, virsh_first: bool) -> Pair:
    """Move the instance there by one command and back by the other."""
    here, there = lab.addresses
    first, second = ("virsh", "hotfoot") if virsh_first else ("hotfoot", "virsh")
    moves = {first: _move(lab, first, here, there), second: _move(lab, second, there, here)}
    return Pair(virsh_first=virsh_first, virsh=moves["virsh"], hotfoot=moves["hotfoot"])


def _start_ups(lab: BenchLab) -> StartUps:
    here, there = lab.addresses
    virsh = lab.virsh_argv(here, "version")
    dry_run = [HOTFOOT, "migrate", INSTANCE, there, "--dry-run", "--json"]
    rounds = [
        tuple(timed(argv, lab.environment).elapsed_ms for argv in (virsh, [HOTFOOT, "hosts", "--json"], dry_run))
        for _ in range(_START_UPS)
    ]
    virsh_ms, hotfoot_ms, dry_run_ms = zip(*rounds, strict=True)
    return StartUps(
        virsh_ms=virsh_ms,
        hotfoot_ms=hotfoot_ms,
        dry_run_ms=dry_run_ms,
        help_ms=tuple(timed([HOTFOOT, "--help"], lab.environment).elapsed_ms for _ in range(_HELPS)),
    )


def _measure(pair_count: int) -> Measurement:
    with bench_lab() as lab:
        here = next(iter(lab.addresses))
        version = timed([*lab.on(here), "virsh", "version"], lab.environment).out
        machine = machine_description(lab.accelerator, lab.storage, version)
        _say(f"virsh runs {lab.virsh_runs}; one pair to warm up, not counted")
        _pair(lab, virsh_first=True)
        _say("start-up of both commands")
        start_ups = _start_ups(lab)
        pairs = []
        for n in range(pair_count):
            pairs.append(pair := _pair(lab, virsh_first=n % 2 == 0))
            _say(
                f"pair {n + 1} of {pair_count}: total {pair.virsh.total_ms} and {pair.hotfoot.total_ms} ms, "
                f"outage {pair.virsh.outage_ms} and {pair.hotfoot.outage_ms} ms (virsh and hotfoot)"
            )
        return Measurement(
            machine=machine,
            virsh_runs=lab.virsh_runs,
            pairs=tuple(pairs),
            start_ups=start_ups,
            whole=lab.is_whole(),
        )


def _even(text: str) -> int:
    count = int(text) if text.isdigit() else 0
    if count < 2 or count % 2:
        raise argparse.ArgumentTypeError(f"{text!r}: give an even number, so that both move equally often each way")
    return count


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description="A busy instance moved by virsh and by hotfoot, side by side.")
    parser.add_argument("--pairs", type=_even, default=ENOUGH_PAIRS, help="how many pairs of moves [default: 10]")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    options = parser.parse_args()
    stop_as_by_ctrl_c()
    try:
        found = _measure(options.pairs)
    except HotfootError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("bench: stopped; the lab is gone.", file=sys.stderr)
        sys.exit(130)
    text = keep(_RESULT, found.as_json())
    print(text if options.json else found.as_text())
    sys.exit(0 if all(goal.met for goal in found.goals) else 1)


if __name__ == "__main__":
    main()
