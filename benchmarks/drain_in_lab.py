"""``make bench-drain``: one host of a lab emptied of 12 busy instances, by ``hotfoot drain`` and by hand.

By hand is plain ``virsh migrate``: one after the other, and all at once, to the other two hosts in turn. All links are
shaped alike. Libvirt's own figures of each move are heard on the source, whoever moved it; after each drain memory and
disks are verified, and the instances are brought home. Prints a table for each link rate, keeps all in
benchmarks/results/drain.json, and ends with 0 when every goal is met, 1 when one is missed, 2 when nothing could be
measured.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# Run as a file, so that Python looks beside it; the benchmark's modules are `benchmarks.*`.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.bench_lab import HOTFOOT as COMMAND
from benchmarks.bench_lab import hotfoot, raised_lab
from benchmarks.drain_figures import ALL_AT_ONCE, HOTFOOT, ONE_BY_ONE, Drain, as_text, goals
from benchmarks.heard_moves import MoveListener
from benchmarks.keeping import keep
from benchmarks.machine_description import machine_description
from benchmarks.stopping import stop_as_by_ctrl_c

from hotfoot.errors import HotfootError
from hotfoot.lab import namespaces, store

_RESULT = "drain"
_LINKS = {"200mbit": 25e6, "1gbit": 125e6}
"""Bytes per second."""
_OPEN_LINK = "10gbit"
_SOURCE, *_OTHERS = _HOSTS = ("n1", "n2", "n3")
_INSTANCES = tuple(f"vm{number}" for number in range(1, 13))
_UP = ("--hosts", "3", "--instances", "0")
_LOAD = ("--memory", "320", "--rate", "1", "--area", "200")
"""Of each instance; six of them are about what a lab host has room for."""
_HOME_AT_ONCE = 3
_MOST_S = 900
"""That one drain may take."""
_LISTENING_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lab:
    name: str
    cluster_file: Path
    addresses: Mapping[str, str]

    def on(self, host: str) -> list[str]:
        lab = store.load(self.name)
        return namespaces.host_argv(lab, lab.host(host))

    def shape(self, rate: str) -> None:
        for host in _HOSTS:
            hotfoot("lab", "shape", host, rate, "--name", self.name)

    def by_hand(self, goes: Mapping[str, tuple[str, str]], at_once: int) -> None:
        """Move instances by virsh; ``goes``: from where to where each."""

        def move(one: tuple[str, tuple[str, str]]) -> None:
            instance, (source, destination) = one
            words = ["migrate", "--live", "--p2p", "--persistent", "--undefinesource", instance]
            to = f"qemu+tls://{self.addresses[destination]}/system"
            argv = [*self.on(source), "virsh", "-c", "qemu:///system", *words, to]
            done = subprocess.run(argv, capture_output=True, text=True, timeout=_MOST_S, check=False)
            if done.returncode != 0:
                raise HotfootError(f"virsh could not move {instance} to {destination}: {done.stderr.strip()}")

        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(move, goes.items()))

    def by_hotfoot(self, *words: str) -> None:
        """Run a verb for whole hosts, with a journal of the lab's own."""
        journal = f"sqlite:///{self.cluster_file.parent}/journal.sqlite3"
        environment = {**os.environ, "HOTFOOT_CLUSTER": str(self.cluster_file), "HOTFOOT_JOURNAL": journal}
        done = subprocess.run(
            [COMMAND, *words, "--yes", "--json"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=_MOST_S,
            check=False,
        )
        if done.returncode != 0:
            raise HotfootError(f"`hotfoot {' '.join(words)}` ended with {done.returncode}.")

    def places(self) -> dict[str, str]:
        """Return on which host each instance runs."""
        found: dict[str, str] = {}
        for host in _HOSTS:
            argv = [*self.on(host), "virsh", "-c", "qemu:///system", "list", "--name"]
            running = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
            found |= dict.fromkeys(running, host)
        return found


def _drain(lab: _Lab, way: str, link: str) -> Drain:
    goes = dict(zip(_INSTANCES, zip(itertools.repeat(_SOURCE), itertools.cycle(_OTHERS), strict=False), strict=False))
    with MoveListener(lab.on(_SOURCE), _MOST_S) as listener:
        time.sleep(_LISTENING_S)
        began_s = time.monotonic()
        if way == HOTFOOT:
            lab.by_hotfoot("drain", _SOURCE)
        else:
            lab.by_hand(goes, len(goes) if way == ALL_AT_ONCE else 1)
        command_s = time.monotonic() - began_s
        time.sleep(_LISTENING_S)
        moves = listener.heard()
    if sorted(one.instance for one in moves) != sorted(_INSTANCES):
        raise HotfootError(f"{way}: libvirt told of {len(moves)} moves instead of {len(_INSTANCES)}.")
    return Drain(way=way, link=link, link_bytes_per_s=_LINKS[link], command_s=command_s, moves=moves)


def _home(lab: _Lab) -> None:
    lab.shape(_OPEN_LINK)
    goes = {instance: (host, _SOURCE) for instance, host in lab.places().items() if host != _SOURCE}
    lab.by_hand(goes, _HOME_AT_ONCE)
    lab.by_hotfoot("restore", _SOURCE)


def _measure(lab: _Lab, links: list[str]) -> Iterator[Drain]:
    for instance in _INSTANCES:
        hotfoot("lab", "instance", "add", instance, "--name", lab.name, "--host", _SOURCE, *_LOAD)
    for link in links:
        for way in (HOTFOOT, ONE_BY_ONE, ALL_AT_ONCE):
            lab.shape(link)
            drain = _drain(lab, way, link)
            hotfoot("lab", "verify", "--name", lab.name)
            print(f"bench: {link}: {way}: {drain.span_s:.1f} s", file=sys.stderr, flush=True)
            yield drain
            _home(lab)


def _kept(drains: list[Drain], told: Mapping[str, Any]) -> str:
    """Write what was found so far, and return it."""
    found = {
        "machine": machine_description(told["accelerator"], told["storage"], ""),
        "goals": [asdict(goal) for goal in goals(drains)],
        "drains": [asdict(drain) for drain in drains],
    }
    return keep(_RESULT, found)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description="A host emptied by hotfoot drain and by hand.")
    parser.add_argument("--links", nargs="+", choices=tuple(_LINKS), default=list(_LINKS), help="[default: all]")
    parser.add_argument("--name", default="drain", help="the lab's name [default: drain]")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    stop_as_by_ctrl_c()
    drains: list[Drain] = []
    text = ""
    try:
        with raised_lab(_UP, options.name) as told:
            addresses = {host["name"]: host["address"] for host in told["hosts"]}
            lab = _Lab(name=options.name, cluster_file=Path(told["cluster_file"]), addresses=addresses)
            for drain in _measure(lab, options.links):
                drains.append(drain)
                text = _kept(drains, told)
    except (HotfootError, subprocess.SubprocessError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("bench: stopped.", file=sys.stderr)
    if not drains:
        sys.exit(2)
    print(text if options.json else as_text(drains))
    found = goals(drains)
    complete = len(found) == 3 * len(options.links)
    sys.exit(0 if complete and all(goal.met for goal in found) else 1)


if __name__ == "__main__":
    main()
