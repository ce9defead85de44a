"""A soak carried out: moves made by the very command, faults struck in them, and everything looked at."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hotfoot.cluster import load
from hotfoot.errors import ExitStatus
from hotfoot.lab import faults, network, store
from hotfoot.lab.command import LabError, run
from hotfoot.lab.instances import running_hosts, verify, verify_all
from hotfoot.lab.namespaces import host_argv
from hotfoot.lab.soak import Fault, Faults, Step, When, step
from hotfoot.lab.soak_verdict import Done, Seen, Soaked, judge
from hotfoot.lab.spec import Lab, LabInstance

_HOTFOOT = str(Path(sys.executable).with_name("hotfoot"))
_SLOW = "60mbit"
"""Makes the passes of an instance of 256 MiB last seconds, so that a fault strikes in the one it is meant for."""
_POLICY = "balanced"
"""Named, so that a seed means the same under every cluster file; it never switches to post-copy."""
_MOVE_TIMEOUT_S = 300
_SETTLE_S = 30
"""How long a libvirtd that was killed may take to come back, and half an instance to go away."""
_LOOK_S = 0.1
_OTHER_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked of a soak."""

    moves: int
    seed: int
    faults: Faults
    first: int = 1
    """The number of its first step: one step of an earlier soak is repeated by its number."""
    keep_going: bool = False


@dataclass(frozen=True, slots=True)
class _Said:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What stands on the last line of its output; None where that is no JSON."""
        with contextlib.suppress(ValueError, IndexError):
            return json.loads(self.out.strip().splitlines()[-1])
        return None


@dataclass(frozen=True, slots=True)
class _Struck:
    in_time: bool
    abort_said: bool | None = None


def name_of(cluster_file: Path) -> str:
    """Return the lab whose cluster file this is.

    Raises LabError (refused) for any other: a soak kills and cuts on purpose, which only a lab may bear.
    """
    for name in store.names():
        if store.cluster_file_of(name).resolve() == cluster_file.resolve():
            return name
    raise LabError(
        f"{cluster_file} is no lab's cluster file: `hotfoot soak` breaks things on purpose, and only in a lab; "
        "name one with --name.",
        ExitStatus.REFUSED,
    )


def checked(lab_name: str) -> Lab:
    """Return a lab that can be soaked: its cluster file names its hosts only, and all its instances are whole.

    Raises LabError (refused) where that is not so.
    """
    lab = store.load(lab_name)
    declared = {host.address for host in load(store.cluster_file_of(lab_name), Path.cwd()).hosts}
    if foreign := declared - {host.address for host in lab.hosts}:
        raise LabError(
            f"The cluster file of lab {lab_name} names {', '.join(sorted(foreign))}, which is no host of the lab: "
            "a soak breaks things on purpose, and only in a lab.",
            ExitStatus.REFUSED,
        )
    if down := {host.name for host in lab.hosts} - {host.name for host in running_hosts(lab)}:
        raise LabError(
            f"{' and '.join(sorted(down))} of lab {lab_name} is down; `hotfoot lab fault start-host` starts it.",
            ExitStatus.REFUSED,
        )
    for found in verify_all(lab, []):
        if not found.whole:
            raise LabError(
                f"{found.instance} of lab {lab_name} is not whole before the first move: {'; '.join(found.faults)}.",
                ExitStatus.REFUSED,
            )
    return lab


def soak(lab: Lab, wanted: Wanted, stop: Callable[[], bool], say: Callable[[Done], None]) -> Soaked:
    """Carry the moves out, one after the other; ``say`` hears of each. Ends after a move once ``stop`` returns True.

    The first move with which something is wrong ends it, unless it is to keep going; an instance that is lost is then
    left out. Links are whole and fast afterwards, also when it is interrupted.
    """
    done: list[Done] = []
    lost: set[str] = set()
    stopped = False
    for number in range(wanted.first, wanted.first + wanted.moves):
        planned = step(wanted.seed, number, [each.name for each in lab.instances], len(lab.hosts), wanted.faults)
        if planned.instance in lost:
            if len(lost) == len(lab.instances):
                break
            continue
        done.append(made := _Move(lab, planned).make())
        say(made)
        if made.lost or made.doubled:
            lost.add(planned.instance)
        if made.problems and not wanted.keep_going:
            break
        if stopped := stop():
            break
    left = [each for each in lab.instances if each.name not in lost]
    afterwards = tuple(
        f"{found.instance}: {'; '.join(found.faults)}."
        for found in (verify(lab, each) for each in left)
        if not found.whole
    )
    return Soaked(
        lab=lab.name,
        seed=wanted.seed,
        faults=wanted.faults,
        asked=wanted.moves,
        stopped=stopped,
        done=tuple(done),
        afterwards=afterwards,
    )


class _Move:
    """One move of a soak: ``make`` once."""

    def __init__(self, lab: Lab, planned: Step) -> None:
        self._lab = lab
        self._step = planned
        self._instance: LabInstance = lab.instance(planned.instance)
        self._uuid = str(self._instance.uuid)
        self._names = [host.name for host in lab.hosts]

    def make(self) -> Done:
        """Move the instance, strike, and look at everything."""
        places, silent = self._places()
        if len(places) != 1 or silent:
            raise LabError(f"{self._step.instance} is on {' and '.join(places) or 'no host'} before step"
                           f" {self._step.number}.")  # fmt: skip
        source = places[0]
        destination = self._step.destination(self._names, source)
        began_s = time.monotonic()
        with self._link_of(destination):
            process = self._start("migrate", self._uuid, destination, "--no-forecast", "--policy", _POLICY, "--json")
            try:
                struck = self._strike(process, source, destination)
                network.shape(self._lab, self._lab.host(destination), self._lab.link_rate)
                said = self._finish(process, _MOVE_TIMEOUT_S)
            except BaseException:
                process.terminate()  # the instance stays where it is
                process.communicate()
                raise
        record = self._record(process.pid)
        places, silent = self._places()
        found = verify(self._lab, self._instance)
        killed = said.status == -signal.SIGKILL
        seen = Seen(
            source=source,
            destination=destination,
            struck=struck.in_time,
            status=None if killed and struck.in_time and self._step.fault is Fault.KILL_HOTFOOT else said.status,
            report=said.json if isinstance(said.json, Mapping) else None,
            complaint=(said.err.strip().splitlines() or [""])[-1],
            traceback="Traceback (most recent call last)" in said.err,
            record=record,
            abort_said=struck.abort_said,
            places=places,
            silent=silent,
            damage=tuple(fault for fault in found.faults if not fault.startswith("active on ")),
            took_s=time.monotonic() - began_s,
        )
        return judge(self._step, seen)

    @contextlib.contextmanager
    def _link_of(self, destination: str) -> Iterator[None]:
        """Hold the destination's link slow where the fault needs long passes; fast again at the end."""
        host = self._lab.host(destination)
        slow = self._step.when in (When.FIRST_PASS, When.LATER_PASS)
        try:
            if slow:
                network.shape(self._lab, host, _SLOW)
            yield
        finally:
            network.shape(self._lab, host, self._lab.link_rate)

    def _strike(self, process: subprocess.Popen[str], source: str, destination: str) -> _Struck:
        """Wait for the moment, and break what is to break; not in time where the move has ended before."""
        wait_for = "Iteration:        2" if self._step.when is When.LATER_PASS else "Memory processed"
        if self._step.fault is Fault.NONE:
            return _Struck(False)
        while process.poll() is None and not self._job_says(source, wait_for):
            time.sleep(_LOOK_S)
        end_s = time.monotonic() + self._step.delay_ms / 1000
        while process.poll() is None and time.monotonic() < end_s:
            time.sleep(_LOOK_S / 10)
        if process.poll() is not None:
            return _Struck(False)
        said = self._break(process, source, destination)
        return _Struck(True, said)

    def _break(self, process: subprocess.Popen[str], source: str, destination: str) -> bool | None:
        """Break it; returns what `hotfoot abort` told, where that was the fault."""
        lab = self._lab
        match self._step.fault:
            case Fault.ABORT:
                told = self._run("abort", self._uuid, "--from", source, "--json").json
                return bool(told["aborted"]) if isinstance(told, Mapping) else None
            case Fault.CUT_SOURCE_LINK:
                self._cut(source)
            case Fault.CUT_DESTINATION_LINK:
                self._cut(destination)
            case Fault.KILL_SOURCE_LIBVIRTD:
                faults.kill_libvirtd(lab, lab.host(source))
            case Fault.KILL_DESTINATION_LIBVIRTD:
                faults.kill_libvirtd(lab, lab.host(destination))
            case Fault.KILL_DESTINATION_QEMU:
                faults.kill_qemu(lab, self._instance.name, destination)
            case Fault.KILL_HOTFOOT:
                process.send_signal(signal.SIGKILL)
            case Fault.NONE:
                pass
        return None

    def _cut(self, host_name: str) -> None:
        host = self._lab.host(host_name)
        faults.cut_link(self._lab, host)
        try:
            time.sleep(self._step.cut_ms / 1000)
        finally:
            faults.mend_link(self._lab, host)

    def _job_says(self, source: str, words: str) -> bool:
        with contextlib.suppress(LabError):
            argv = [*host_argv(self._lab, self._lab.host(source)), "timeout", "10", "virsh", "domjobinfo", self._uuid]
            return words in run(argv)
        return False  # libvirt has no such job yet, or is not there

    def _record(self, pid: int) -> Mapping[str, Any] | None:
        """Return what the journal has of the move that this process made; waits until it has ended without Hotfoot."""
        end_s = time.monotonic() + _OTHER_TIMEOUT_S
        while True:
            told = self._run("history", "--instance", self._uuid, "--limit", "1", "--json").json
            newest = told[0] if isinstance(told, list) and told else None
            record = newest if isinstance(newest, Mapping) and newest.get("pid") == pid else None
            if record is None or record.get("outcome") is not None or time.monotonic() > end_s:
                return record

    def _places(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the hosts on which the instance is active, and those that do not answer, once that has settled."""
        end_s = time.monotonic() + _SETTLE_S
        while True:
            with ThreadPoolExecutor() as pool:
                said = dict(zip(self._names, pool.map(self._active, self._names), strict=True))
            places = tuple(name for name in self._names if said[name])
            silent = tuple(name for name in self._names if said[name] is None)
            if (len(places) == 1 and not silent) or time.monotonic() > end_s:
                return places, silent
            time.sleep(_LOOK_S)

    def _active(self, host_name: str) -> bool | None:
        """Return whether the instance is active on a host; None where its libvirt does not answer."""
        with contextlib.suppress(LabError):
            argv = [*host_argv(self._lab, self._lab.host(host_name)), "timeout", "10", "virsh", "-q", "list", "--uuid"]
            return self._uuid in run(argv).split()
        return None

    def _start(self, *words: str) -> subprocess.Popen[str]:
        env = {**os.environ, "HOTFOOT_CLUSTER": str(store.cluster_file_of(self._lab.name)), "NO_COLOR": "1"}
        pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
        return subprocess.Popen([_HOTFOOT, *words], stdin=nothing, stdout=pipe, stderr=pipe, text=True, env=env)

    def _run(self, *words: str) -> _Said:
        return self._finish(self._start(*words), _OTHER_TIMEOUT_S)

    def _finish(self, process: subprocess.Popen[str], timeout_s: float) -> _Said:
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            err = f"{err}\nIt did not end within {timeout_s:.0f} s, and was killed."
        return _Said(process.returncode, out, err)
