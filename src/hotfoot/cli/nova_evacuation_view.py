"""An evacuation by Nova as people read it: what is started where, what is not and why, and what to do afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from hotfoot.evacuation.nova_site import NovaEvacuation
    from hotfoot.plans.run import PlanRun


def show(evacuation: NovaEvacuation) -> None:
    """Print what Nova would start where, what not, and why."""
    from hotfoot.cli.tables import print_table
    from hotfoot.sizes import human_bytes

    plan, instances = evacuation.planned.plan, evacuation.instances
    if plan.moves:
        print_table(
            ("START", "INSTANCE", "WAS ON", "ON", "MEMORY", "STATUS"),
            [
                (
                    str(move.number),
                    move.name,
                    move.source,
                    move.destination,
                    human_bytes(instances[move.instance].memory_bytes),
                    _status(evacuation, move.instance),
                )
                for move in plan.moves
            ],
        )
    else:
        typer.secho("Nothing can be started." if plan.stays else "Nova has no instance there.", bold=True)
    if plan.stays:
        typer.echo("What was there, and is not started:")
        for reason in plan.stays.values():
            typer.secho(f"  {reason}", fg=typer.colors.YELLOW)


def as_json(evacuation: NovaEvacuation) -> dict[str, object]:
    """Return what Nova would start where, what not, and why, for ``--json``."""
    plan = evacuation.planned.plan
    starts = [
        {
            "instance": move.name,
            "uuid": move.instance,
            "source": move.source,
            "destination": move.destination,
            "status": _status(evacuation, move.instance),
        }
        for move in plan.moves
    ]
    return {"starts": starts, "stays": dict(plan.stays)}


def afterwards(hosts: tuple[str, ...], run: PlanRun) -> list[str]:
    """Say what to do when the hosts come back."""
    from hotfoot.placement.course import StepState

    if not run.course.in_state(StepState.DONE):
        return []
    names, are = " and ".join(hosts), "is" if len(hosts) == 1 else "are"
    return [
        f"{names} {are} disabled and forced down in Nova; once back, with nova-compute started anew (it removes what"
        f" was evacuated), `hotfoot restore {' '.join(hosts)}` takes that back."
    ]


def _status(evacuation: NovaEvacuation, uuid: str) -> str:
    nova = evacuation.instances[uuid].nova
    return nova.status if nova else ""
