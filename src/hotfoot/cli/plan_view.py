"""A plan of changes as people read it: by phase, alike changes of several hosts once, with what they write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from hotfoot.readiness.plan import Obstacle, Plan, PlannedChange

_MOST_HOSTS = 12


def print_plan(plan: Plan) -> None:
    """Print all changes in the order in which they are made, and what is left to a person."""
    from hotfoot.prepare.export_shell import words
    from hotfoot.readiness.change import CONTROLLER

    for phase in dict.fromkeys(change.phase for change in plan.changes):
        typer.secho(words(phase), bold=True)
        alike: dict[tuple[str, str], list[PlannedChange]] = {}
        for change in plan.changes:
            if change.phase is phase:
                alike.setdefault((change.title, change.diff), []).append(change)
        for (title, diff), changes in alike.items():
            codes = dict.fromkeys(code for change in changes for code in change.codes)
            typer.echo(f"  {_hosts([change.host for change in changes])}: {title}", nl=False)
            typer.secho(f"  ({', '.join(codes)})", dim=True)
            _print_diff(diff)
        typer.echo()
    print_obstacles(plan.obstacles)
    hosts = {change.host for change in plan.changes} - {CONTROLLER}
    places = [_count(len(hosts), "host")] if hosts else []
    if len(hosts) < len({change.host for change in plan.changes}):
        places.append(CONTROLLER)
    typer.echo(f"{_count(len(plan.changes), 'change')} on {' and '.join(places)}.")


def print_obstacles(obstacles: Sequence[Obstacle]) -> None:
    """Print what cannot be planned."""
    for obstacle in obstacles:
        typer.secho(f"{obstacle.host}: {obstacle.code} is left to a person: {obstacle.why}", fg="yellow")


def _hosts(names: Sequence[str]) -> str:
    more = len(names) - _MOST_HOSTS
    return ", ".join(names[:_MOST_HOSTS]) + (f" and {more} more" if more > 0 else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _print_diff(diff: str) -> None:
    for line in diff.splitlines():
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
        typer.secho(f"      {line}", fg=None if line.startswith(("+++", "---")) else colour)


def change_json(change: PlannedChange) -> dict[str, Any]:
    """Return one change; what it writes is in ``diff``, with marks in place of secrets."""
    return {
        "host": change.host,
        "phase": change.phase.name.lower().replace("_", "-"),
        "do": change.step.do,
        "title": change.title,
        "codes": list(change.codes),
        "diff": change.diff,
    }
