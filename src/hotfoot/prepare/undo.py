"""A run taken back: the hosts are asked what of it they have, and give it back phase by phase, the last first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal

from hotfoot.cluster import Cluster
from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.prepare.declared import take_back
from hotfoot.prepare.errand import errand
from hotfoot.prepare.journal import Journal
from hotfoot.reach.ssh import SshAccess
from hotfoot.readiness.change import CONTROLLER

_ACT_S = 7200.0
"""The longest that one act may take to be taken back: files of a renumbered user."""
_BUILT_UPON = frozenset({"mount", "command", "unit", "move-data", "secret"})
"""Acts which later ones need: where one cannot be taken back (instances use a mount), what it stands on is kept."""


@dataclass(frozen=True, slots=True)
class Undone:
    """One act taken back on a host (or the controller), or left as it is with the reason in ``problem``."""

    host: str
    title: str
    state: Literal["undone", "left"]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class UndoReport:
    """What became of taking a run back; ``problems`` are hosts that could not be asked or did not finish, by name."""

    run: str
    acts: tuple[Undone, ...]
    problems: dict[str, str]

    @property
    def complete(self) -> bool:
        """Whether all hosts are as before the run."""
        return not self.problems and not self.left

    @property
    def left(self) -> tuple[Undone, ...]:
        """What could not be taken back."""
        return tuple(act for act in self.acts if act.state == "left")

    @property
    def status(self) -> ExitStatus:
        """The exit status of a command that did it."""
        return ExitStatus.COMPLETED if self.complete else ExitStatus.ERROR


@dataclass(frozen=True, slots=True)
class HostRun:
    """A run as a host knows it: ``stages`` are those of which something can be taken back, in order of doing."""

    host: str
    run: str
    started_s: float
    closed: bool
    stages: tuple[int, ...]
    titles: tuple[str, ...]


async def undo(
    access: SshAccess,
    cluster: Cluster,
    run: str,
    *,
    on_progress: Callable[[Undone], None] = lambda _: None,
    force: bool = False,
    stop_processes: bool = False,
    stop: asyncio.Event | None = None,
    journal: Journal | None = None,
) -> UndoReport:
    """Take a run back on every host that knows it; may be repeated, and goes on where it was interrupted.

    What somebody else changed since is left as it is and told, unless ``force``. Where a mount or a service cannot be
    given up (instances use it), or a host falls silent, the phases before that are kept on all hosts.
    ``stop_processes`` allows stopping services whose user gets its old number back. Raises HotfootError (USAGE) for a
    run that neither a host nor the journal knows.
    """
    journal = journal or Journal()
    known, silent = await runs_on_hosts(access, cluster)
    took_part = {step.host for step in journal.steps(run) if step.state in ("begun", "done", "failed")}
    # A host that does not answer matters where it took part, and where no journal tells that it did not.
    problems = {host: why for host, why in silent.items() if host in took_part or not journal.steps(run)}
    listed = {host.name for host in cluster.hosts}
    problems |= dict.fromkeys(took_part - listed - {CONTROLLER}, "it is no longer in the cluster file")
    mine = [each for each in known if each.run == run]
    if not mine and not took_part:
        raise HotfootError(_unknown(run, known, problems), ExitStatus.USAGE)
    doing = _Undoing(access, cluster, run, on_progress, force, stop_processes, stop or asyncio.Event(), problems)
    for stage in sorted({stage for each in mine for stage in each.stages}, reverse=True):
        if doing.stop.is_set():
            break
        await doing.stage(stage, [each.host for each in mine if stage in each.stages])
        if doing.held:
            break
    if doing.held:
        for each in mine:
            problems.setdefault(each.host, "what was done before that is kept; repeat once it can be taken back")
    elif doing.stop.is_set():
        for each in mine:
            problems.setdefault(each.host, "it was stopped before all was taken back; repeat to go on")
    else:
        await doing.finish([each.host for each in mine if not each.closed])
        doing.here(journal)
    report = UndoReport(run, tuple(doing.acts), problems)
    if any(row.id == run for row in journal.runs()):
        journal.end(run, "undone" if report.complete else "partly undone")
    return report


async def runs_on_hosts(access: SshAccess, cluster: Cluster) -> tuple[tuple[HostRun, ...], dict[str, str]]:
    """Ask all hosts which runs they know, the oldest first; and why some did not answer, by host."""

    async def ask(host: str) -> list[HostRun] | str:
        try:
            answers = await _answers(access, cluster, host, {"op": "runs"})
        except HotfootError as error:
            return str(error)
        return [
            HostRun(
                host=host,
                run=each["run"],
                started_s=each["started"],
                closed=each["closed"],
                stages=tuple(each["stages"]),
                titles=tuple(each["titles"]),
            )
            for each in answers
        ]

    names = [host.name for host in cluster.hosts]
    told = await asyncio.gather(*(ask(name) for name in names))
    found = [run for answer in told if not isinstance(answer, str) for run in answer]
    silent = {name: answer for name, answer in zip(names, told, strict=True) if isinstance(answer, str)}
    return tuple(sorted(found, key=lambda each: (each.started_s, each.host))), silent


class _Undoing:
    def __init__(
        self,
        access: SshAccess,
        cluster: Cluster,
        run: str,
        on_progress: Callable[[Undone], None],
        force: bool,
        stop_processes: bool,
        stop: asyncio.Event,
        problems: dict[str, str],
    ) -> None:
        self.acts: list[Undone] = []
        self.held = False
        """Whether something is left that what was done before it must not be taken from under."""
        self.stop = stop
        self._access = access
        self._cluster = cluster
        self._run = run
        self._on_progress = on_progress
        self._options = {"force": force, "stop_processes": stop_processes}
        self._problems = problems

    async def stage(self, stage: int, hosts: Sequence[str]) -> None:
        """Take back one phase on all hosts that have something of it."""
        await asyncio.gather(*(self._ask(host, {"op": "undo", "stage": stage}) for host in hosts))

    async def finish(self, hosts: Sequence[str]) -> None:
        """Have services read the files of before again, and the run closed."""
        await asyncio.gather(*(self._ask(host, {"op": "finish"}) for host in hosts))

    def here(self, journal: Journal) -> None:
        """Take back what was declared in the cluster file: last, since hosts are found by it."""
        for each in take_back(journal, self._run, force=bool(self._options["force"])):
            act = Undone(CONTROLLER, each.title, "left" if each.problem else "undone", each.problem)
            self.acts.append(act)
            self._on_progress(act)

    async def _ask(self, host: str, request: dict[str, Any]) -> None:
        if host in self._problems:
            return
        answers = errand(
            self._access,
            self._cluster.host(host),
            request | {"run": self._run} | self._options,
            patience_s=lambda _: _ACT_S,
            stop=self.stop,
        )
        try:
            async with aclosing(answers):
                async for answer in answers:
                    act = Undone(host, answer["title"], answer["state"], str(answer["problem"]).rstrip("."))
                    self.acts.append(act)
                    self.held |= act.state == "left" and not _BUILT_UPON.isdisjoint(answer.get("acts", ()))
                    self._on_progress(act)
        except HotfootError as error:
            self._problems[host] = str(error).removeprefix(f"{host}: ").rstrip(".")
            self.held = True


async def _answers(access: SshAccess, cluster: Cluster, host: str, request: dict[str, Any]) -> list[dict[str, Any]]:
    async with aclosing(errand(access, cluster.host(host), request)) as answers:
        return [answer async for answer in answers]


def _unknown(run: str, known: Sequence[HostRun], silent: dict[str, str]) -> str:
    names = list(dict.fromkeys(each.run for each in known if not each.closed))
    told = f"the hosts know {', '.join(names[-5:])}" if names else "the hosts know none that could be taken back"
    more = f"; {', '.join(silent)} did not answer" if silent else ""
    return f"no host knows the run {run}; {told}{more}"
