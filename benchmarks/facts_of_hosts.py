"""``make bench-facts``: the facts of many hosts, against `ssh host true` and `ansible -m setup` on the same hosts.

Each round asks all hosts at once, by each of the three in turn, the order turned round from one to the next. Prints
a table, keeps the figures in benchmarks/results/facts-of-hosts.json, and ends with 0 when every goal is met, 1 when
one is missed, 2 when nothing could be measured.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

# Run as a file, so that Python looks beside it; the benchmark's modules are `benchmarks.*`.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.bench_lab import raised_lab
from benchmarks.figures import Goal, spread
from benchmarks.keeping import keep
from benchmarks.machine_description import machine_description

from hotfoot.cluster import Cluster, load
from hotfoot.errors import HotfootError
from hotfoot.reach.facts import facts_of
from hotfoot.reach.ssh import SshAccess, prepare
from hotfoot.readiness.judge import TOPICS
from hotfoot.readiness.wanted import wanted

MOST_OF_TRUE = 2.0
LEAST_OF_ANSIBLE = 5.0
_RESULT = "facts-of-hosts"
_ANSIBLE = "ansible-core"
_OF_MACHINE = ("date", "cpu", "cores", "load_average", "kernel", "python", "hotfoot")


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def _true(access: SshAccess) -> None:
    async def all_hosts() -> None:
        done = await asyncio.gather(*(access.run(host, ["true"]) for host in access.cluster.hosts))
        if any(each.status for each in done):
            raise HotfootError("`true` failed on a host.")

    asyncio.run(all_hosts())


def _facts(access: SshAccess) -> None:
    cluster = access.cluster
    facts = asyncio.run(facts_of(access, cluster, wanted(cluster, TOPICS)))
    for silent in facts.silent:
        raise HotfootError(silent.reason)
    for host in facts.hosts:
        if host.failures:
            raise HotfootError(f"Host {host.host} told only a part of its facts: {host.failures}.")


@contextmanager
def _ansible(access: SshAccess, venv: Path | None) -> Iterator[Callable[[], None]]:
    """Give what gathers Ansible's facts of all hosts at once, over the same SSH configuration.

    As whoever types it has it, and as the other ways: each round logs in anew, and keeps the connection for all that it
    does then. In Ansible's favour it is told where Python is.
    """
    rounds = itertools.count(1)
    with tempfile.TemporaryDirectory() as folder:
        if venv is None:
            venv = Path(folder) / "venv"
            _say(f"installing {_ANSIBLE} into a virtual environment that is removed at the end")
            subprocess.run([sys.executable, "-m", "venv", venv], check=True)
            subprocess.run([venv / "bin" / "pip", "install", "-qq", _ANSIBLE], check=True)
        inventory = Path(folder) / "inventory"
        names = "\n".join(host.name for host in access.cluster.hosts)
        inventory.write_text(
            f"[all]\n{names}\n[all:vars]\nansible_python_interpreter=/usr/bin/python3\n"
            f"ansible_ssh_common_args=-F {access.config}\n"
        )
        count = str(len(access.cluster.hosts))
        argv = [
            str(venv / "bin" / "ansible"),
            "all",
            "-i",
            str(inventory),
            "-m",
            "setup",
            "--forks",
            count,
            "--tree",
            folder,
        ]
        # A home of its own: its sockets and temporary files go with the folder.
        environment = {**os.environ, "ANSIBLE_HOME": f"{folder}/home", "ANSIBLE_NOCOLOR": "1"}
        environment["ANSIBLE_SSH_ARGS"] = "-C -o ControlMaster=auto -o ControlPersist=5s"  # its own, but for 60 s

        def gather() -> None:
            anew = {**environment, "ANSIBLE_SSH_CONTROL_PATH_DIR": f"{folder}/{next(rounds)}"}
            done = subprocess.run(argv, env=anew, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise HotfootError(f"ansible ended with {done.returncode}: {(done.stderr or done.stdout)[-300:]}")

        yield gather


def _measure(ways: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    for way in ways.values():
        way()  # once to warm up: libvirtd on its socket, Python's files in memory
    taken_s: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        names = list(ways)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            began_s = time.monotonic()
            ways[name]()
            taken_s[name].append(time.monotonic() - began_s)
        _say(f"round {number + 1} of {rounds}: " + ", ".join(f"{name} {taken_s[name][-1]:.2f} s" for name in ways))
    return taken_s


def _goals(taken_s: Mapping[str, Sequence[float]]) -> list[Goal]:
    def ratios(over: str, under: str) -> float:
        return spread([one / other for one, other in zip(taken_s[over], taken_s[under], strict=True)]).median

    measured = ratios("facts", "true")
    what = "facts of all hosts to `ssh host true` (median ratio)"
    goals = [Goal(what=what, limit=MOST_OF_TRUE, measured=measured, met=measured <= MOST_OF_TRUE)]
    if "ansible" in taken_s:
        measured = ratios("ansible", "facts")
        what = "`ansible -m setup` to facts of all hosts (median ratio, at least)"
        goals.append(Goal(what=what, limit=LEAST_OF_ANSIBLE, measured=measured, met=measured >= LEAST_OF_ANSIBLE))
    return goals


@contextmanager
def _cluster(file: Path | None, hosts: int) -> Iterator[Cluster]:
    if file is not None:
        yield load(file, Path.cwd())
        return
    with raised_lab(["--light", "--hosts", str(hosts), "--transport", "tls"]) as told:
        yield load(Path(told["cluster_file"]), Path.cwd())


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description="Facts of many hosts, against ssh and Ansible.")
    parser.add_argument("--hosts", type=int, default=10, help="how many light lab hosts [default: 10]")
    parser.add_argument("--rounds", type=int, default=7, help="how often each is measured [default: 7]")
    parser.add_argument("--cluster", type=Path, help="measure on the hosts of this cluster file instead of a new lab")
    parser.add_argument("--ansible-venv", type=Path, help=f"a virtual environment that has {_ANSIBLE} [default: made]")
    parser.add_argument("--no-ansible", action="store_true", help="leave Ansible out")
    options = parser.parse_args()
    try:
        with _cluster(options.cluster, options.hosts) as cluster:
            access = prepare(cluster)
            ways = {"true": lambda: _true(access), "facts": lambda: _facts(access)}
            if options.no_ansible:
                taken_s = _measure(ways, options.rounds)
            else:
                with _ansible(access, options.ansible_venv) as gather:
                    taken_s = _measure({**ways, "ansible": gather}, options.rounds)
            count = len(cluster.hosts)
    except (HotfootError, subprocess.CalledProcessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("bench: stopped; the lab is gone.", file=sys.stderr)
        sys.exit(130)
    goals = _goals(taken_s)
    machine = machine_description("none", "none", "")
    found = {
        "machine": {key: machine[key] for key in _OF_MACHINE},
        "hosts": count,
        "taken_s": taken_s,
        "goals": [asdict(goal) for goal in goals],
    }
    keep(_RESULT, found)
    print(f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_average']}; {count} hosts")
    for name, seconds in taken_s.items():
        least, median, most = (f"{figure:.2f}" for figure in (min(seconds), spread(seconds).median, max(seconds)))
        print(f"{name:8} least / median / most  {least} / {median} / {most} s")
    for goal in goals:
        print(f"{'pass' if goal.met else 'MISS'}  {goal.what}  {goal.measured:.3g}  goal {goal.limit:g}")
    sys.exit(0 if all(goal.met for goal in goals) else 1)


if __name__ == "__main__":
    main()
