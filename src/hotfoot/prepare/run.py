"""A plan carried out: phase by phase, all hosts of a phase at once, every step journalled here and on the host."""

from __future__ import annotations

import asyncio
import base64
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from hotfoot.cluster import Cluster
from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.prepare.authority import Authority
from hotfoot.prepare.declared import declare
from hotfoot.prepare.errand import START_S, errand
from hotfoot.prepare.journal import Journal, StepRow
from hotfoot.reach.secret_file import secret_value
from hotfoot.reach.ssh import SshAccess
from hotfoot.readiness.change import (
    CONTROLLER,
    AlignIds,
    CloseFirewall,
    Command,
    DefineSecret,
    Install,
    MakeCertificate,
    MoveData,
    Phase,
    PutKeyring,
)
from hotfoot.readiness.plan import Plan, PlannedChange

State = Literal["begun", "done", "unchanged", "failed", "skipped"]

_PUBLIC_KEY = re.compile(r"\{\{public-key:([^{}]+)\}\}")
_INSTALL_S, _IDS_S, _DATA_S, _OTHER_S = 4500.0, 7200.0, 172_800.0, 420.0
_MOST_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class StepReport:
    """How one step of the plan stands; ``problem`` is a sentence, empty unless it failed or was skipped."""

    n: int
    host: str
    phase: Phase
    title: str
    codes: tuple[str, ...]
    state: State
    problem: str = ""


@dataclass(frozen=True, slots=True)
class RunReport:
    """How a plan ended: ``completed``, ``failed`` (a step failed, what came after was skipped) or ``stopped``."""

    run: str
    outcome: Literal["completed", "failed", "stopped"]
    steps: tuple[StepReport, ...]

    @property
    def changed(self) -> bool:
        """Whether anything is other than before."""
        return any(step.state in ("done", "failed") for step in self.steps)

    @property
    def status(self) -> ExitStatus:
        """The exit status of a command that did it."""
        how = {"completed": ExitStatus.COMPLETED, "failed": ExitStatus.ERROR, "stopped": ExitStatus.ABORTED}
        return how[self.outcome]

    def sentences(self) -> tuple[str, ...]:
        """Say what failed, then what was done where, and how to go on or back."""
        told = [f"{step.host}: {step.title}: {step.problem}." for step in self.steps if step.state == "failed"]
        for host in dict.fromkeys(step.host for step in self.steps):
            count = Counter(step.state for step in self.steps if step.host == host)
            kinds = [f"{count[state]} {state}" for state in ("done", "unchanged", "failed", "skipped") if count[state]]
            told.append(f"{host}: {', '.join(kinds)}.")
        if self.outcome != "completed" and self.changed:
            told.append(
                f"Repeat `hotfoot prepare` once that is mended; `hotfoot prepare --undo {self.run}` takes back what "
                "was done."
            )
        return tuple(told)


async def carry_out(
    access: SshAccess,
    cluster: Cluster,
    plan: Plan,
    *,
    run_id: str,
    on_progress: Callable[[StepReport], None] = lambda _: None,
    stop_processes: bool = False,
    stop: asyncio.Event | None = None,
    pki: Path | None = None,
    cluster_file: Path | None = None,
    journal: Journal | None = None,
) -> RunReport:
    """Carry out a plan; ``run_id`` is from ``Journal.new_run``, and may be that of a run which goes on.

    All hosts finish a phase before any begins the next. On a host that fails a step its later steps are skipped; the
    others end their phase, and then the run ends. ``stop`` ends it after the steps under way. ``stop_processes``
    allows stopping services whose user is to be renumbered. ``pki`` is the folder of the cluster's authority (by
    default ``libvirt.pki`` of the cluster file), which only certificates need; ``cluster_file`` is what changes of the
    cluster file itself are made in.

    Invariant: wherever a run breaks off (a host fails, the link is cut, this process is killed), every step is done,
    not done, or written down on its host as begun: the plan can be carried out again, and the run taken back.
    Raises HotfootError when nothing was begun: no journal, no authority that can issue what the plan needs, or no
    secret in a file that should hold one.
    """
    journal = journal or Journal()
    authority = _authority(cluster, plan, pki)
    secrets = {
        n: secret_value(step)
        for n, each in enumerate(plan.changes)
        if isinstance(step := each.step, DefineSecret | PutKeyring)
    }
    round_ = journal.resume(run_id, cluster.name)
    doing = _Doing(
        access,
        cluster,
        run_id,
        round_,
        stop_processes,
        stop or asyncio.Event(),
        authority,
        secrets,
        journal,
        on_progress,
        cluster_file,
    )
    doing.plan(plan.changes)
    try:
        for phase in dict.fromkeys(change.phase for change in plan.changes):
            await doing.phase(phase)
            if doing.broken or doing.stop.is_set():
                break
    except BaseException:
        journal.end(run_id, "stopped")
        raise
    report = doing.report()
    journal.end(run_id, report.outcome)
    return report


def _authority(cluster: Cluster, plan: Plan, pki: Path | None) -> Authority | None:
    if not any(isinstance(change.step, MakeCertificate) for change in plan.changes):
        return None
    folder = pki or cluster.libvirt.pki
    if folder is None:
        raise HotfootError(
            "certificates need a folder for the cluster's authority; name one in the cluster file (libvirt: {pki: pki})"
        )
    return Authority(folder, cluster.name)


class _Doing:
    """A plan under way: where each step stands, and what hosts gave (public keys)."""

    def __init__(
        self,
        access: SshAccess,
        cluster: Cluster,
        run: str,
        round_: int,
        stop_processes: bool,
        stop: asyncio.Event,
        authority: Authority | None,
        secrets: Mapping[int, bytes],
        journal: Journal,
        on_progress: Callable[[StepReport], None],
        cluster_file: Path | None,
    ) -> None:
        self.stop = stop
        self._access = access
        self._cluster = cluster
        self._run = run
        self._round = round_
        self._stop_processes = stop_processes
        self._authority = authority
        self._secrets = secrets
        self._journal = journal
        self._on_progress = on_progress
        self._cluster_file = cluster_file
        self._changes: Sequence[PlannedChange] = ()
        self._reports: dict[int, StepReport] = {}
        self._public_keys: dict[str, str] = {}
        self._tried: set[int] = set()
        self._room = asyncio.Semaphore(_MOST_AT_ONCE)

    def plan(self, changes: Sequence[PlannedChange]) -> None:
        """Take the steps; all are skipped until they are begun."""
        self._changes = changes
        for n, change in enumerate(changes):
            self._reports[n] = StepReport(n, change.host, change.phase, change.title, change.codes, "skipped")

    @property
    def broken(self) -> bool:
        """Whether a step has failed."""
        return any(report.state == "failed" for report in self._reports.values())

    def report(self) -> RunReport:
        """Tell how all steps ended."""
        steps = tuple(self._reports[n] for n in sorted(self._reports))
        skipped = any(step.state in ("skipped", "begun") for step in steps)
        return RunReport(self._run, "failed" if self.broken else "stopped" if skipped else "completed", steps)

    async def phase(self, phase: Phase) -> None:
        """Have all hosts carry out their steps of a phase."""
        by_host: dict[str, list[int]] = {}
        for n, change in enumerate(self._changes):
            if change.phase is phase:
                by_host.setdefault(change.host, []).append(n)
        async with asyncio.TaskGroup() as group:
            for host, numbers in by_host.items():
                group.create_task(self._host(host, numbers, phase))

    async def _host(self, host: str, numbers: Sequence[int], phase: Phase) -> None:
        try:
            if host == CONTROLLER:
                self._here(numbers)
                return
            async with self._room:
                await self._steps(host, numbers, phase)
        except HotfootError as error:
            # Of what was under way when the host fell silent nobody knows how it ended: it did not end well.
            under_way = [n for n in numbers if self._reports[n].state == "begun"]
            left = [n for n in numbers if self._reports[n].state == "skipped"]
            for n in (under_way or left)[:1]:
                self._note(n, "failed", str(error).rstrip("."))

    def _here(self, numbers: Sequence[int]) -> None:
        """Change the cluster file; raises HotfootError."""
        for n in numbers:
            if self._cluster_file is None:
                raise HotfootError("it is not said which cluster file to write")
            self._note(n, "begun")
            declare(self._journal, self._run, self._cluster_file, self._changes[n])
            self._note(n, "done")

    async def _steps(self, host: str, numbers: Sequence[int], phase: Phase) -> None:
        orders, unmet = await self._orders(host, numbers)
        request = {
            "op": "apply",
            "run": self._run,
            "stage": self._round * 100 + int(phase),
            "controller": self._cluster.name,
            "stop_processes": self._stop_processes,
            "orders": orders,
        }
        if orders:
            answers = errand(
                self._access, self._cluster.host(host), request, patience_s=self._patience_s, stop=self.stop
            )
            async with aclosing(answers):
                async for answer in answers:
                    self._heard(host, answer)
        for n in self._tried.intersection(numbers):
            await self._confirm(host, n)
        all_well = all(self._reports[order["n"]].state in ("done", "unchanged") for order in orders)
        if unmet is not None and all_well and not self.stop.is_set():
            self._note(unmet, "failed", "it needs the SSH key of a host on which none was made")

    async def _confirm(self, host: str, n: int) -> None:
        """Have a host keep the firewall that it tries, over a connection that its new rules let in."""
        step = self._changes[n].step
        assert isinstance(step, CloseFirewall)
        request = {"op": "confirm", "run": self._run, "table": step.table, "mark": step.mark}
        try:
            async with aclosing(errand(self._access, self._cluster.host(host), request, anew=True)) as answers:
                async for _ in answers:
                    pass
        except HotfootError as error:
            why = str(error).rstrip(".")
            self._note(
                n, "failed", f"{why}; unless confirmed, the host takes the rules back after {step.confirm_s:g} s"
            )

    async def _orders(self, host: str, numbers: Sequence[int]) -> tuple[list[dict[str, Any]], int | None]:
        """Return what to send, and the first step that cannot be: it needs what another host did not give."""
        pems = await self._certificates(host, numbers)
        orders: list[dict[str, Any]] = []
        for n in numbers:
            change = self._changes[n]
            text = change.new_text
            if text is not None:
                if any(name not in self._public_keys for name in _PUBLIC_KEY.findall(text)):
                    return orders, n
                text = _PUBLIC_KEY.sub(lambda match: self._public_keys[match[1]], text)
            orders.append(
                {
                    "n": n,
                    "title": change.title,
                    "step": change.step.model_dump(mode="json"),
                    "new_text": text,
                    "old_sha256": change.old_sha256,
                    "pem": pems.get(n),
                    "secret": base64.b64encode(self._secrets[n]).decode() if n in self._secrets else None,
                }
            )
        return orders, None

    async def _certificates(self, host: str, numbers: Sequence[int]) -> dict[int, dict[str, str]]:
        """Issue what the host does not have already, as good as new; by number of the step."""
        steps = {n: step for n in numbers if isinstance(step := self._changes[n].step, MakeCertificate)}
        if not steps or self._authority is None:
            return {}
        request = {"op": "certificates", "places": sorted({step.place for step in steps.values()})}
        told: dict[str, dict[str, Any]] = {}
        async with aclosing(errand(self._access, self._cluster.host(host), request)) as answers:
            async for answer in answers:
                told[answer["place"]] = answer
        pems = {}
        for n, step in steps.items():
            found = told[step.place]
            if found["keys_fit"] and not self._authority.shortcoming(
                found["authority"], found["certificates"], step.names
            ):
                continue
            pair = await asyncio.to_thread(self._authority.issue, step.names)
            pems[n] = {"authority": self._authority.pem, "certificate": pair.public, "key": pair.private}
        return pems

    def _heard(self, host: str, answer: dict[str, Any]) -> None:
        if key := answer.get("gives", {}).get("public-key"):
            self._public_keys[host] = key
        if answer.get("gives", {}).get("confirm"):
            self._tried.add(int(answer["n"]))
        self._note(int(answer["n"]), answer["state"], str(answer.get("problem", "")).rstrip("."))

    def _note(self, n: int, state: State, problem: str = "") -> None:
        report = self._reports[n] = replace(self._reports[n], state=state, problem=problem)
        self._journal.note(
            self._run,
            StepRow(
                self._round * 100 + int(report.phase), n, report.host, report.phase.name, report.title, report.codes,
                state, problem,
            ),
        )  # fmt: skip
        self._on_progress(report)

    def _patience_s(self, answer: dict[str, Any]) -> float:
        """How long a step that was begun may take on the host, which itself ends what takes longer."""
        if answer.get("state") != "begun":
            return START_S
        match self._changes[int(answer["n"])].step:
            case Install():
                return _INSTALL_S
            case AlignIds():
                return _IDS_S
            case MoveData():
                return _DATA_S
            case Command(timeout_s=timeout_s, patience_s=patience_s):
                return 4 * timeout_s + patience_s + START_S
            case _:
                return _OTHER_S
