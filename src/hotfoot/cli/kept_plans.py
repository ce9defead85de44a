"""``hotfoot plan run``, ``show``, ``pause``, ``resume``, ``cancel``: plans that are kept, in a file or the journal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hotfoot.cli.options import CloudOption, ClusterOption, DeadlineOption, JsonOption, PolicyOption, asked_deadline
from hotfoot.cli.plan import app
from hotfoot.cli.plan_site import kept_site_of, named_hosts, plans_of, site_of
from hotfoot.cli.session import with_cloud
from hotfoot.cli.verb import AT_ONCE, DryRunOption, Face, Verb, YesOption

if TYPE_CHECKING:
    from hotfoot.cli.plan_live import PlanView
    from hotfoot.cloud.protocol import Cloud
    from hotfoot.cluster import Cluster
    from hotfoot.errors import ExitStatus
    from hotfoot.journal.plan_record import Asked, PlanRecord
    from hotfoot.journal.plans import Plans
    from hotfoot.placement.course import Step
    from hotfoot.plans.run import PlanRun

PlanArgument = Annotated[
    str | None, typer.Argument(metavar="[ID]", help="Id of a plan, or how it begins [default: the newest].")
]


@app.command()
def run(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="What `hotfoot plan ... --json` printed; - is standard input.")
    ],
    deadline: DeadlineOption = None,
    at_once: Annotated[
        int | None,
        typer.Option("--at-once", min=1, help="Most migrations at once from and to each host [default: the plan's]."),
    ] = None,
    policy: PolicyOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    cluster: ClusterOption = None,
    cloud_name: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Carry out a plan that was made earlier, as it is, or refuse it where it does not fit any more."""
    from hotfoot.cli.made_plan import text_of
    from hotfoot.placement.plan_text import read_plan

    ends_ms = asked_deadline(deadline)
    made = read_plan(text_of(file, "plan"), "standard input" if str(file) == "-" else str(file))
    limits = made.asked.limits
    most = at_once or min(limits.per_source or AT_ONCE, limits.per_destination or AT_ONCE)

    async def work(declared: Cluster, cloud: Cloud) -> ExitStatus:
        drained = await named_hosts(declared, cloud, list(made.drained))
        verb = Verb(
            made.asked.wish.objective.kind,
            drained,
            out=drained,
            once=True,
            at_once=most,
            policy=policy,
            deadline_ms=ends_ms,
        )
        face = Face(verb, dry_run=dry_run, yes=yes, as_json=as_json)
        async with site_of(declared, cloud, most, policy) as site:
            return await face.run_planned(site, made.asked.wish, await site.checked(made))

    raise typer.Exit(int(with_cloud(cluster, work, cloud_name)))


@app.command()
def show(
    plan: PlanArgument = None,
    cluster: ClusterOption = None,
    cloud_name: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a plan that was carried out, or is: its moves, and what has become of each."""
    with plans_of(cluster, cloud_name) as (plans, declared):
        record = plans.find(declared.name, plan)
        steps, state = plans.steps(record.id), _state(plans, record)
    if as_json:
        typer.echo(json.dumps({**record.as_json(steps), "state": state}))
        return
    _print(record, steps, state)


@app.command()
def pause(plan: PlanArgument = None, cluster: ClusterOption = None, cloud_name: CloudOption = None) -> None:
    """Let a plan start no more moves; its process ends after the running ones, and `plan resume` goes on."""
    from hotfoot.journal.plan_record import Asked

    _stop(plan, Asked.PAUSE, cluster, cloud_name)


@app.command()
def cancel(
    plan: PlanArgument = None,
    abort: Annotated[
        bool, typer.Option("--abort", help="Abort the moves that run: each instance stays on its source.")
    ] = False,
    cluster: ClusterOption = None,
    cloud_name: CloudOption = None,
) -> None:
    """End a plan after the running moves; hosts that it drains stay out of placement until `hotfoot restore`."""
    from hotfoot.journal.plan_record import Asked

    _stop(plan, Asked.ABORT if abort else Asked.CANCEL, cluster, cloud_name)


@app.command()
def resume(
    plan: PlanArgument = None,
    cluster: ClusterOption = None,
    cloud_name: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take up a plan that is paused, or whose Hotfoot was killed: look where every instance is, and go on."""
    from hotfoot.cli.plan_live import print_end

    with plans_of(cluster, cloud_name) as (plans, declared):
        record = plans.find(declared.name, plan)
    run = with_cloud(cluster, lambda declared, cloud: _take_up(declared, cloud, record), cloud_name)
    if as_json:
        typer.echo(json.dumps(run.record.as_json(run.course.steps)))
    else:
        print_end(run.record, run.course)
    raise typer.Exit(run.record.status or 0)


async def _take_up(declared: Cluster, cloud: Cloud, record: PlanRecord, wanted: Asked | None = None) -> PlanRun:
    from hotfoot.cli.plan_live import carry_out
    from hotfoot.plans.run import PlanRun

    async with kept_site_of(declared, cloud, record) as site:

        async def make(view: PlanView) -> PlanRun:
            adopted, course = await site.take_up(record)
            return PlanRun(site.means(), adopted, course, view, once=bool(record.asked.get("once")))

        def begin(run: PlanRun) -> None:
            if wanted:
                run.want(wanted)

        return await carry_out(record.title, make, begin)


def _stop(name: str | None, wanted: Asked, cluster: Path | None, cloud_name: str | None) -> None:
    """Tell the process that carries the plan out; where there is none, end or pause the plan here."""
    from hotfoot.cli.plan_live import print_end

    with plans_of(cluster, cloud_name) as (plans, declared):
        record = plans.find(declared.name, name)
        if plans.runs(record) and plans.want(record.id, wanted):
            typer.echo(f"{record.owner} was told; `hotfoot plan show {record.id}` shows when it has stopped.")
            return
    run = with_cloud(cluster, lambda declared, cloud: _take_up(declared, cloud, record, wanted), cloud_name)
    print_end(run.record, run.course)


def _state(plans: Plans, record: PlanRecord) -> str:
    from hotfoot.journal.plan_record import Asked, PlanState

    if record.state is not PlanState.RUNNING:
        return record.state.value
    if not plans.runs(record):
        return "orphaned"
    return {None: "running", Asked.PAUSE: "pausing"}.get(record.wanted, "cancelling")


def _print(record: PlanRecord, steps: tuple[Step, ...], state: str) -> None:
    from hotfoot.cli.moves_view import how
    from hotfoot.cli.tables import print_table
    from hotfoot.journal.record import iso
    from hotfoot.sizes import human_bytes, human_duration

    ended = f", ended {iso(record.ended_ms)}" if record.ended_ms else ""
    typer.secho(f"{record.title}: {state} (plan {record.id}, {record.owner}, {iso(record.made_ms)}{ended})", bold=True)
    if steps:
        print_table(
            ("MOVE", "INSTANCE", "FROM", "TO", "SENDS", "STATE", "TOOK", "DOWNTIME", "RECORD", "WHY"),
            [
                (
                    str(step.n),
                    step.name,
                    step.source,
                    step.destination,
                    human_bytes(step.transfer_bytes),
                    step.state.value,
                    "" if step.took_s is None else human_duration(round(1000 * step.took_s)),
                    "" if step.downtime_ms is None else human_duration(step.downtime_ms),
                    step.migration or "",
                    step.why or how(step.purpose, step.cold),
                )
                for step in steps
            ],
        )
    for name, why in sorted(record.stays.items()):
        typer.secho(f"  {name}: {why}", fg=typer.colors.YELLOW)
    if record.remark:
        typer.echo(f"  {record.remark}")
    if state == "orphaned":
        typer.echo(f"Its Hotfoot has ended; `hotfoot plan resume {record.id}` goes on, `hotfoot plan cancel` ends it.")
