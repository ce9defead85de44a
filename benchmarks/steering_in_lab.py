"""``make bench-steering-lab``: ways to steer a migration, on the same guests, by real QEMU over a shaped link.

Hotfoot's policies beside Nova (its own functions), KubeVirt and oVirt (re-stated), as ``make bench-steering`` has them
in the simulator. Each moves the same instance of a lab under the same load. Prints a table for each guest, keeps all in
benchmarks/results/steering-in-lab.json, and ends with 0 when every goal is met, 1 when one is missed, 2 when nothing
could be measured.

Nova waits 1,600 s for the smallest guest: no move is waited for longer than ``--patience``. One that still runs then is
aborted, its time is taken to be the patience, and the table says so: the true one is longer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

# Run as a file, so that Python looks beside it; the benchmark's modules are `benchmarks.*`.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.bench_lab import hotfoot, raised_lab
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
from benchmarks.machine_description import machine_description
from benchmarks.nova_environment import python_with_nova
from benchmarks.steering_figures import GUESTS, NOVA, End, Guest, as_text, goals, rows
from benchmarks.stopping import stop_as_by_ctrl_c

from hotfoot.cli.session import with_libvirt
from hotfoot.cloud.libvirt_cloud import LibvirtCloud
from hotfoot.cluster import Cluster
from hotfoot.errors import HotfootError
from hotfoot.migration.action import Action, ActionKind
from hotfoot.migration.options import MigrationOptions
from hotfoot.migration.policy import BUILT_IN, Policy, Throttle
from hotfoot.migration.prepare import Request, prepare
from hotfoot.migration.run import Run, Steers, steering_of
from hotfoot.migration.sample import JobSample

MEMORY_MIB, LINK, CARRIES_MIB = 256, "200mbit", 23.8
_RESULT = "steering-in-lab"
_INSTANCE = "vm1"
_UP = ("--hosts", "2", "--instances", "1", "--memory", str(MEMORY_MIB), "--link-rate", LINK)
_ROUNDS_WHERE_IT_CONVERGES = 5
_REST_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to steer: whose, with what limit it begins, what QEMU is allowed, and what decides."""

    name: str
    first: Policy
    """Its first downtime limit, and whether post-copy is prepared, count; nothing else of it does."""
    throttle: Throttle | None
    steers: Callable[[], Steers] | None
    """None: Hotfoot's own, for that policy."""


class _Theirs:
    """A contender that is not told of refusals: none of them asks."""

    def __init__(self, step: Callable[[JobSample], tuple[Action, ...]]) -> None:
        self.step = step

    def refused(self, action: Action) -> None:
        """Take no notice."""


class _NovaBeside:
    """Nova's functions, in a process of their own."""

    def __init__(self, python: Path, timeout_action: ActionKind) -> None:
        script = str(Path(__file__).with_name("nova_beside.py"))
        argv = [str(python), "-W", "ignore", script, str(MEMORY_MIB * 2**20), timeout_action.value]
        self._beside = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def step(self, sample: JobSample) -> tuple[Action, ...]:
        """Return what Nova would do at this sample."""
        assert self._beside.stdin
        assert self._beside.stdout
        self._beside.stdin.write(json.dumps({"elapsed_ms": sample.elapsed_ms}) + "\n")
        self._beside.stdin.flush()
        told = json.loads(self._beside.stdout.readline())
        return tuple(
            Action(kind=ActionKind(kind), at_ms=sample.elapsed_ms, value=value, reason="Nova's") for kind, value in told
        )

    def refused(self, action: Action) -> None:
        """Take no notice: Nova does not either."""

    def close(self) -> None:
        """End the process."""
        self._beside.communicate()


class _Patient:
    """Gives up when the benchmark's patience ends, whoever steers."""

    def __init__(self, steers: Steers, patience_ms: int) -> None:
        self._steers, self._patience_ms = steers, patience_ms
        self.ended = False

    def step(self, sample: JobSample) -> tuple[Action, ...]:
        """Return what the other one does, until the end."""
        if sample.elapsed_ms < self._patience_ms:
            return self._steers.step(sample)
        if self.ended:
            return ()
        self.ended = True
        return (Action(kind=ActionKind.GIVE_UP, at_ms=sample.elapsed_ms, reason="the benchmark's patience ended"),)

    def refused(self, action: Action) -> None:
        """Pass it on."""
        self._steers.refused(action)


def _limits(name: str, downtime_ms: int, *, post_copy: bool = False) -> Policy:
    return Policy(name=name, max_downtime_ms=downtime_ms, steps=(ActionKind.POST_COPY,) if post_copy else ())


def _ovirt(schedule: Schedule, *, post_copy: bool) -> Way:
    first = _limits(schedule.name, schedule.first_downtime_ms, post_copy=post_copy)
    return Way(name=schedule.name, first=first, throttle=QEMU_LADDER, steers=lambda: _Theirs(OVirt(schedule).step))


def _kubevirt(name: str, step: Callable[[], Callable[[JobSample], tuple[Action, ...]]], *, post_copy: bool) -> Way:
    first = _limits(name, 300, post_copy=post_copy)
    return Way(name=name, first=first, throttle=None, steers=lambda: _Theirs(step()))


def _ways(nova: Callable[[], Steers]) -> tuple[Way, ...]:
    memory = MEMORY_MIB * 2**20
    own = ((f"hotfoot {name}", BUILT_IN[name]) for name in ("gentle", "balanced", "must-finish"))
    return (
        *(Way(name=name, first=policy, throttle=policy.throttle, steers=None) for name, policy in own),
        Way(name=NOVA, first=_limits(NOVA, 300), throttle=None, steers=nova),
        _kubevirt("KubeVirt timeouts", lambda: KubeVirtTimeouts(memory).step, post_copy=False),
        _kubevirt("KubeVirt stall detection", lambda: KubeVirtStall(memory).step, post_copy=False),
        _kubevirt("KubeVirt stall, post-copy", lambda: KubeVirtStall(memory, post_copy=True).step, post_copy=True),
        _ovirt(OVIRT_MINIMAL, post_copy=False),
        _ovirt(OVIRT_POST_COPY, post_copy=True),
    )


async def _move(cloud: LibvirtCloud, way: Way, guest: Guest, patience_s: int) -> End:
    await asyncio.sleep(_REST_S)
    preparation = await prepare(cloud, Request(instance=_INSTANCE, options=MigrationOptions(policy=way.first)), None)
    order = preparation.verdict.order
    if order is None:
        raise HotfootError(" ".join(preparation.verdict.obstacles))
    if way.first.name not in BUILT_IN:
        order = replace(order, throttle=way.throttle)
    steers = way.steers() if way.steers else steering_of(order)
    patient = _Patient(steers, 1000 * patience_s)
    samples: list[JobSample] = []
    run = Run(cloud, preparation.verdict, order, None, samples.append, lambda _: None, _say, patient)
    try:
        result = await run.execute()
    finally:
        if isinstance(steers, _NovaBeside):
            steers.close()
    sent = result.totals.transferred_bytes
    return End(
        way=way.name,
        guest=guest.name,
        finished=result.outcome == "completed",
        waited_out=patient.ended and result.outcome != "completed",
        total_ms=result.total_ms or 0,
        downtime_ms=result.totals.downtime_ms,
        sent_bytes=sent if sent is not None else max((one.memory_processed_bytes for one in samples), default=None),
        iterations=result.totals.iterations or max((one.iteration for one in samples), default=None),
        actions=tuple(f"{action.kind} {action.value or ''}".strip() for action in result.actions),
        reason=result.reason,
    )


def _measure(
    name: str, told: Mapping[str, Any], guests: Sequence[Guest], rounds: int | None, patience_s: int
) -> Iterator[End]:
    """Move each guest in each way, by turns from the first and from the last, so that none has the better place.

    Without ``rounds`` one that converges moves five times in each way, since differences are small there, others once.
    """
    python = python_with_nova()
    ways = _ways(lambda: _NovaBeside(python, ActionKind.GIVE_UP))
    warm = False
    for guest in guests:
        load = ("--rate", str(round(guest.share * CARRIES_MIB)), "--area", str(guest.area_mib))
        hotfoot("lab", "instance", "load", _INSTANCE, "--name", name, *load)
        for number in range(rounds or (_ROUNDS_WHERE_IT_CONVERGES if guest.converges else 1)):
            for way in (*(() if warm else ways[:1]), *(reversed(ways) if number % 2 else ways)):

                async def work(cluster: Cluster, cloud: LibvirtCloud, way: Way = way, guest: Guest = guest) -> End:
                    return await _move(cloud, way, guest, patience_s)

                end = with_libvirt(Path(told["cluster_file"]), work)
                hotfoot("lab", "verify", _INSTANCE, "--name", name)
                _say(f"{guest.name}: {way.name}: {end.in_words}{'' if warm else ', to warm up'}")
                if warm:
                    yield end
                warm = True


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def _kept(ends: Sequence[End], told: Mapping[str, Any]) -> str:
    """Write what was found so far, and return it."""
    found = {
        "machine": machine_description(told["accelerator"], told["storage"], ""),
        "link": LINK,
        "guests": [asdict(guest) for guest in GUESTS],
        "rows": rows(ends),
        "goals": [
            {"what": what, "measured": measured, "limit": limit, "met": measured <= limit}
            for what, measured, limit in goals(ends)
        ],
        "ends": [asdict(end) for end in ends],
    }
    return keep(_RESULT, found)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description="Ways to steer a migration, by real QEMU.")
    names = [guest.name for guest in GUESTS]
    parser.add_argument("--guests", nargs="+", choices=names, default=names, metavar="GUEST", help="[default: all]")
    parser.add_argument("--rounds", type=int, help="moves of each guest in each way [default: 5 or 1, by the guest]")
    parser.add_argument(
        "--patience", type=int, default=180, metavar="S", help="wait no longer for a move [default: 180]"
    )
    parser.add_argument("--name", default="steer", help="the lab's name [default: steer]")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    stop_as_by_ctrl_c()
    ends: list[End] = []
    text = ""
    try:
        with raised_lab(_UP, options.name) as told:
            guests = [guest for guest in GUESTS if guest.name in options.guests]
            for end in _measure(options.name, told, guests, options.rounds, options.patience):
                ends.append(end)
                text = _kept(ends, told)
    except (HotfootError, subprocess.CalledProcessError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("bench: stopped.", file=sys.stderr)
    if not ends:
        sys.exit(2)
    print(text if options.json else as_text(ends))
    sys.exit(0 if all(measured <= limit for _, measured, limit in goals(ends)) else 1)


if __name__ == "__main__":
    main()
