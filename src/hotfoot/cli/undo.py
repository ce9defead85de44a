"""``hotfoot prepare --undo`` and ``--runs``: what was done to the hosts, and taking it back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hotfoot.cli.check import say
from hotfoot.cli.session import stoppable, with_hosts
from hotfoot.cli.tables import print_table
from hotfoot.errors import ExitStatus

if TYPE_CHECKING:
    import asyncio

    from hotfoot.cluster import Cluster
    from hotfoot.prepare.undo import HostRun, Undone, UndoReport
    from hotfoot.reach.ssh import SshAccess

_LONGEST_PROBLEM = 300


def undo(
    cluster: Path | None, run: str, *, force: bool, dry_run: bool, stop_processes: bool, as_json: bool
) -> ExitStatus:
    """Take a run back, or with ``dry_run`` say what that would take back."""
    from hotfoot.prepare.undo import undo as take_back

    if dry_run:
        return _show(cluster, run, as_json=as_json)

    def progress(act: Undone) -> None:
        if not as_json:
            colour = "green" if act.state == "undone" else "yellow"
            problem = f": {_brief(act.problem)}." if act.problem else ""
            typer.echo(f"{typer.style(f'{act.state:<6}', fg=colour)}  {act.host}: {act.title}{problem}")

    async def work(declared: Cluster, access: SshAccess) -> UndoReport:
        async def doing(stop: asyncio.Event) -> UndoReport:
            return await take_back(
                access, declared, run, on_progress=progress, force=force, stop_processes=stop_processes, stop=stop
            )

        return await stoppable(doing, f"`hotfoot prepare --undo {run}` goes on")

    say(f"asking the hosts about run {run}")
    report = with_hosts(cluster, work)
    if as_json:
        acts = [{"host": a.host, "title": a.title, "state": a.state, "problem": a.problem or None} for a in report.acts]
        outcome = "undone" if report.complete else "partly undone"
        typer.echo(json.dumps({"run": run, "outcome": outcome, "changes": acts, "problems": report.problems}))
        return report.status
    for host, problem in report.problems.items():
        typer.secho(f"{host}: {problem}.", err=True, fg="red")
    if not report.complete:
        more = " --force takes back also what somebody else changed since." if report.left and not force else ""
        typer.echo(f"Run {run} is not taken back everywhere; repeat the command once that is mended.{more}")
    elif report.acts:
        typer.echo(f"Run {run} is taken back: the hosts are as before it.")
    else:
        typer.echo(f"Run {run} was taken back before: nothing to do.")
    return report.status


def _brief(problem: str) -> str:
    """Return a problem on one line: a command that failed may be a script, and why it failed comes last."""
    line = " ".join(problem.split())
    return line if len(line) <= _LONGEST_PROBLEM else f"... {line[-_LONGEST_PROBLEM:]}"


def _show(cluster: Path | None, run: str, *, as_json: bool) -> ExitStatus:
    from hotfoot.prepare.journal import Journal
    from hotfoot.readiness.change import CONTROLLER

    known, silent = with_hosts(cluster, _ask)
    acts = [(each.host, title) for each in known if each.run == run for title in reversed(each.titles)]
    acts += [(CONTROLLER, each.title) for each in Journal().declarations(run)]
    if as_json:
        changes = [{"host": host, "title": title} for host, title in acts]
        typer.echo(json.dumps({"run": run, "outcome": "planned", "changes": changes, "problems": silent}))
        return ExitStatus.COMPLETED
    for host, title in acts:
        typer.echo(f"{host}: {title}")
    _tell_silent(silent)
    typer.echo("Nothing was changed: --dry-run." if acts else f"No host knows anything of run {run} to take back.")
    return ExitStatus.COMPLETED


def list_runs(cluster: Path | None, *, as_json: bool) -> None:
    """List this cluster's runs, from the journal here; what only the hosts know (a lost journal) from them."""
    from datetime import UTC, datetime

    from hotfoot.prepare.journal import Journal

    async def work(declared: Cluster, access: SshAccess) -> tuple[str, tuple[HostRun, ...], dict[str, str]]:
        return declared.name, *await _ask(declared, access)

    say("asking the hosts about their runs")
    name, known, silent = with_hosts(cluster, work)
    hosts: dict[str, list[str]] = {}
    started: dict[str, str] = {}
    for each in known:
        hosts.setdefault(each.run, []).append(each.host)
        started.setdefault(each.run, datetime.fromtimestamp(each.started_s, UTC).isoformat(timespec="seconds"))
    rows = [(row.id, row.started, row.outcome) for row in Journal().runs(name)]
    ids = {row[0] for row in rows}
    rows += [(run, at, "known to hosts only") for run, at in started.items() if run not in ids]
    rows.sort(key=lambda row: row[1], reverse=True)
    if as_json:
        found = [{"run": run, "started": at, "outcome": how, "hosts": hosts.get(run, [])} for run, at, how in rows]
        typer.echo(json.dumps({"runs": found, "unreachable": silent}))
        return
    print_table(
        ("RUN", "STARTED (UTC)", "OUTCOME", "HOSTS THAT KNOW IT"),
        [(run, at[:19].replace("T", " "), how, ", ".join(hosts.get(run, [])) or "none") for run, at, how in rows],
    )
    _tell_silent(silent)


async def _ask(declared: Cluster, access: SshAccess) -> tuple[tuple[HostRun, ...], dict[str, str]]:
    from hotfoot.prepare.undo import runs_on_hosts

    return await runs_on_hosts(access, declared)


def _tell_silent(silent: dict[str, str]) -> None:
    for host, problem in silent.items():
        typer.secho(f"{host}: {problem}", err=True, fg="yellow")
