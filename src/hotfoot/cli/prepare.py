"""``hotfoot prepare``: what check found is mended, shown first, journalled, and can be taken back."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hotfoot.cli.check import HostOption, TopicOption, chosen_topics, look, say, status_of
from hotfoot.cli.options import ClusterOption, JsonOption
from hotfoot.cli.session import stoppable, with_hosts
from hotfoot.errors import ExitStatus, HotfootError

if TYPE_CHECKING:
    import asyncio

    from hotfoot.cluster import Cluster
    from hotfoot.prepare.run import RunReport, StepReport
    from hotfoot.reach.ssh import SshAccess
    from hotfoot.readiness.finding import Topic
    from hotfoot.readiness.outlook import Outlook

_MOST_ROUNDS = 3
"""Some changes can be planned only once others are made, such as those below a mount."""
_PASSES_S, _AGAIN_S = 20.0, 1.0
"""How long, and how often, it is looked whether what may pass by itself has passed."""


def prepare(
    topic: TopicOption = None,
    host: HostOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the changes, make none.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    stop_processes: Annotated[
        bool, typer.Option("--stop-processes", help="Stop services whose user gets another number, start them again.")
    ] = False,
    export: Annotated[
        str | None, typer.Option("--export", metavar="ansible|shell", help="Print the changes for those instead.")
    ] = None,
    undo: Annotated[str | None, typer.Option("--undo", metavar="RUN", help="Take back a run on all hosts.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="With --undo: also where somebody else changed a file since.")
    ] = False,
    runs: Annotated[bool, typer.Option("--runs", help="List the runs so far.")] = False,
    cluster: ClusterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Mend what check finds: show the changes, ask, make them, and check again."""
    from hotfoot.cli import undo as undoing

    if runs:
        undoing.list_runs(cluster, as_json=as_json)
        return
    if undo is not None:
        status = undoing.undo(
            cluster, undo, force=force, dry_run=dry_run, stop_processes=stop_processes, as_json=as_json
        )
        raise typer.Exit(int(status))
    if export not in (None, "ansible", "shell"):
        raise HotfootError(f"{export!r} is no form of export: use ansible or shell.", ExitStatus.USAGE)
    command = _Prepare(cluster, chosen_topics(topic), host, as_json=as_json)
    if export is not None:
        command.export(export)
        return
    if dry_run:
        command.show()
        return
    raise typer.Exit(int(command.run(ask=not yes, stop_processes=stop_processes)))


def _agreed() -> bool:
    try:
        return typer.confirm("Make these changes?")
    except typer.Abort:
        typer.echo()
        return False


class _Prepare:
    """One ``hotfoot prepare``: rounds of looking, showing, asking and doing, under the name of one run."""

    def __init__(
        self, cluster: Path | None, topics: Sequence[Topic], hosts: Sequence[str] | None, *, as_json: bool
    ) -> None:
        self._cluster = cluster
        self._topics = topics
        self._hosts = hosts
        self._as_json = as_json
        self._declared: Cluster | None = None
        self._run: str | None = None
        self._reports: list[tuple[Outlook, RunReport]] = []

    @property
    def _file(self) -> Path:
        from hotfoot.cluster.file import DEFAULT_NAME

        return (self._cluster or Path(DEFAULT_NAME)).expanduser()

    def export(self, form: str) -> None:
        """Print the changes for those who make them by other means."""
        from hotfoot.prepare.export_ansible import ansible
        from hotfoot.prepare.export_shell import shell

        typer.echo((ansible if form == "ansible" else shell)(self._look().plan), nl=False)

    def show(self) -> None:
        """Show the changes and make none."""
        from hotfoot.cli.plan_view import print_obstacles, print_plan

        found = self._look()
        if self._as_json:
            self._print_json(found, "planned" if found.plan.changes else "nothing to do", [])
        elif found.plan.changes:
            print_plan(found.plan)
            typer.echo("Nothing was changed: --dry-run.")
        else:
            print_obstacles(found.plan.obstacles)
            self._tell_left(found)

    def run(self, *, ask: bool, stop_processes: bool) -> ExitStatus:
        """Make the changes, as long as they bring new ones to light; return what is left as exit status."""
        from hotfoot.cli.plan_view import print_plan

        found = self._look()
        if ask and found.plan.changes and (self._as_json or not sys.stdin.isatty()):
            raise HotfootError(
                f"{len(found.plan.changes)} changes are to be made, and nobody can be asked here: give --yes to make "
                "them, --dry-run to see them.",
                ExitStatus.USAGE,
            )
        tried: set[tuple[str, str]] = set()
        outcome = "nothing to do"
        while len(self._reports) < _MOST_ROUNDS and found.is_new(tried):
            if not self._as_json:
                if self._reports:
                    typer.secho("\nThe hosts are now ready for more:\n", bold=True)
                print_plan(found.plan)
            if ask and not _agreed():
                outcome = "declined"
                break
            tried.update(found.keys())
            report = self._carry_out(found, stop_processes=stop_processes)
            self._reports.append((found, report))
            outcome = report.outcome
            if outcome == "stopped":
                break
            found = self._look_at_what_is_left() if outcome == "completed" else self._look()
            if outcome != "completed":
                break
        problems = [sentence for _, report in self._reports for sentence in self._told(report)]
        if self._as_json:
            self._print_json(found, outcome, problems)
        elif outcome == "declined":
            typer.echo("Nothing was changed." if not self._reports else "No more was changed.")
        elif outcome in ("failed", "stopped"):
            typer.echo()
            for problem in problems:
                typer.secho(problem, err=True, fg="red")
        else:
            self._tell_left(found)
        return self._status(found)

    def _status(self, found: Outlook) -> ExitStatus:
        for _, report in self._reports:
            if report.status is not ExitStatus.COMPLETED:
                return report.status
        return status_of(found.findings)

    def _look_at_what_is_left(self) -> Outlook:
        found = self._look()
        if found.passing:
            say(f"waiting for what may pass by itself: {found.passing[0].what}")
        until_s = time.monotonic() + _PASSES_S
        while found.passing and time.monotonic() < until_s:
            time.sleep(_AGAIN_S)
            found = self._look()
        return found

    def _look(self) -> Outlook:
        from hotfoot.cluster.text import read_text
        from hotfoot.readiness.outlook import outlook

        async def work(cluster: Cluster, access: SshAccess) -> Outlook:
            for name in self._hosts or ():
                cluster.host(name)
            self._declared = cluster
            facts = await look(access, cluster, self._topics)
            return outlook(cluster, facts, self._topics, self._hosts, read_text(self._file))

        return with_hosts(self._cluster, work)

    def _carry_out(self, found: Outlook, *, stop_processes: bool) -> RunReport:
        from hotfoot.prepare.authority import folder_of
        from hotfoot.prepare.journal import Journal
        from hotfoot.prepare.run import carry_out

        journal = Journal()

        async def work(cluster: Cluster, access: SshAccess) -> RunReport:
            run = self._run = self._run or journal.new_run(cluster.name)

            async def doing(stop: asyncio.Event) -> RunReport:
                return await carry_out(
                    access,
                    cluster,
                    found.plan,
                    run_id=run,
                    on_progress=self._progress,
                    stop_processes=stop_processes,
                    stop=stop,
                    pki=folder_of(cluster, self._file),
                    cluster_file=self._file,
                    journal=journal,
                )

            try:
                return await stoppable(doing, f"`hotfoot prepare --undo {run}` takes back what was done")
            except HotfootError:  # nothing was begun, such as without an authority that can issue
                journal.end(run, "failed")
                raise

        return with_hosts(self._cluster, work)

    def _progress(self, step: StepReport) -> None:
        if step.state == "begun":
            say(f"{step.host}: {step.title}")
        elif not self._as_json:
            colour = {"done": "green", "failed": "red"}.get(step.state)
            typer.echo(f"{typer.style(f'{step.state:<9}', fg=colour)}  {step.host}: {step.title}")

    @staticmethod
    def _told(report: RunReport) -> tuple[str, ...]:
        return () if report.outcome == "completed" else report.sentences()

    def _tell_left(self, found: Outlook) -> None:
        from hotfoot.cli.findings import closing_sentence, print_group, print_wrapped
        from hotfoot.readiness.summary import grouped

        if not self._reports:
            typer.echo("Nothing to do." if not found.findings else "Nothing to do that could be done from here.")
        elif any(report.changed for _, report in self._reports):
            typer.echo(f"\nDone; `hotfoot prepare --undo {self._run}` takes it back.")
        for group in grouped(found.findings):
            typer.echo()
            print_group(group)
        if found.findings:
            typer.echo()
        print_wrapped("", closing_sentence(found.findings, self._hosts or self._all_hosts()), indent="")

    def _all_hosts(self) -> tuple[str, ...]:
        return tuple(host.name for host in self._declared.hosts) if self._declared else ()

    def _print_json(self, found: Outlook, outcome: str, problems: Sequence[str]) -> None:
        from hotfoot.cli.findings import finding_json
        from hotfoot.cli.plan_view import change_json

        changes: list[dict[str, Any]] = []
        for seen, report in self._reports:
            for change, step in zip(seen.plan.changes, report.steps, strict=True):
                changes.append(change_json(change) | {"state": step.state, "problem": step.problem or None})
        if not self._reports:
            changes = [change_json(change) for change in found.plan.changes]
        typer.echo(
            json.dumps(
                {
                    "run": self._run,
                    "outcome": outcome,
                    "changes": changes,
                    "obstacles": [obstacle.model_dump() for obstacle in found.plan.obstacles],
                    "problems": list(problems),
                    "findings": [finding_json(finding) for finding in found.findings],
                }
            )
        )
