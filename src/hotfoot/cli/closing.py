"""How a migration, or the plan of one, is told at its end. Values in, words out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from hotfoot.cli import nova_view
from hotfoot.errors import ExitStatus
from hotfoot.sizes import human_bytes, human_duration, human_rate

if TYPE_CHECKING:
    from hotfoot.migration.prepare import Preparation
    from hotfoot.migration.result import Attached, MigrationResult


def print_result(result: MigrationResult) -> None:
    """Print the closing block; what went wrong goes to standard error."""
    if result.status is ExitStatus.COMPLETED:
        typer.secho(f"{result.instance} moved from {result.source} to {result.destination}.", bold=True)
        for label, value in _figures(result):
            typer.echo(f"  {label:<10}{value}")
        for sentence in filter(None, (result.reason, *result.remarks)):
            typer.secho(f"  {sentence}", err=True, fg=typer.colors.YELLOW)
        return
    to = f" to {result.destination}" if result.destination else ""
    what = {
        ExitStatus.REFUSED: "cannot move",
        ExitStatus.FAILED_ON_SOURCE: f"did not move{to}",
        ExitStatus.UNKNOWN_STATE: f"may not have moved{to}",
    }.get(result.status, "was not moved")
    colour = typer.colors.YELLOW if result.status is ExitStatus.ABORTED else typer.colors.RED
    typer.secho(f"{result.instance} {what}.", err=True, fg=colour, bold=True)
    for sentence in filter(None, (result.reason, *result.remarks)):
        typer.echo(f"  {sentence}", err=True)


def _figures(result: MigrationResult) -> list[tuple[str, str]]:
    totals = result.totals
    rows = []
    if result.total_ms is not None:
        rows.append(("total", human_duration(result.total_ms)))
    none = "it was stopped for it" if result.mode == "cold" else "the hypervisor kept no account of it"
    if result.policy == "nova" and result.mode != "cold":
        none = "not known: Nova tells none, and libvirt on its hosts is not declared"
    rows.append(("downtime", _ms(totals.downtime_ms, none)))
    rows.append(("outage", _outage(result)))
    sent = [f"{result.mode} migration"]
    if totals.transferred_bytes is not None:
        sent.append(f"{human_bytes(totals.transferred_bytes)} sent")
    if totals.iterations:
        sent.append(f"{totals.iterations} iteration{'' if totals.iterations == 1 else 's'}")
    if totals.throughput_bytes_per_s:
        sent.append(human_rate(totals.throughput_bytes_per_s))
    rows.append(("copied", ", ".join(sent)))
    for label, kind in (("volumes", "volume"), ("ports", "port")):
        if there := [_attached(one) for one in result.attached if one.kind == kind]:
            rows.append((label, "; ".join(there)))
    return rows


def _attached(one: Attached) -> str:
    if one.before == one.after:
        return f"{one.id[:8]} {one.before}, as before"
    return f"{one.id[:8]} {one.after or 'gone'}, before {one.before or 'not there'}"


def _outage(result: MigrationResult) -> str:
    outage = result.outage
    if outage is None:
        return "not watched"
    if outage.outage_ms is None:
        return f"not known: {outage.address} never answered from here"
    at = f" at {outage.outage_at.astimezone():%H:%M:%S.%f}"[:-3] if outage.outage_at else ""
    lost = f"{outage.probes_lost} of {outage.probes_sent} probes lost"
    blind = f"; not looked for {outage.unwatched_ms} ms" if outage.unwatched_ms > outage.outage_ms else ""
    return f"{human_duration(outage.outage_ms)}{at} ({outage.method}, {lost}{blind})"


def _ms(value: int | None, otherwise: str) -> str:
    return otherwise if value is None else human_duration(value)


def print_plan(preparation: Preparation) -> None:
    """Print what would happen, and everything that stands in the way."""
    verdict, instance = preparation.verdict, preparation.verdict.instance
    where = f" to {verdict.destination}" if verdict.destination else ""
    would = "would move" if verdict.order else "cannot move"
    typer.secho(f"{instance.name} ({instance.uuid}) {would} from {instance.host}{where}.", bold=True)
    rows = []
    if verdict.order:
        free = human_bytes(preparation.memory_free_bytes)
        rows.append(("mode", f"{verdict.mode} migration"))
        there = f"; {free} are free on {verdict.destination}" if verdict.destination else ""
        rows.append(("memory", f"{human_bytes(instance.memory_bytes)}{there}"))
        rows += [("", words) for words in verdict.order.in_words()]
        if told := preparation.forecast:
            rows.append(("forecast", told.in_words()))
        elif preparation.no_forecast:
            rows.append(("forecast", f"none: {preparation.no_forecast}"))
        seat = preparation.seat
        rows.append(("watched", f"{seat.address} by {seat.method}" if seat else "no: no address of it answers here"))
        rows += [("not to", f"{name}: {why}") for name, why in preparation.passed_over]
        rows += nova_view.belongings(instance) if instance.nova else []
    rows += [("note", remark) for remark in verdict.remarks]
    for label, value in rows:
        typer.echo(f"  {label:<10}{value}")
    for obstacle in verdict.obstacles:
        typer.secho(f"  {'obstacle':<10}{obstacle}", fg=typer.colors.RED)
    if verdict.order:
        typer.echo("Nothing stands in the way.")


def plan_json(preparation: Preparation) -> dict[str, object]:
    """Return the plan of ``--dry-run --json``."""
    verdict, seat = preparation.verdict, preparation.seat
    return {
        "dry_run": True,
        "instance": verdict.instance.name,
        "uuid": verdict.instance.uuid,
        "source": verdict.instance.host,
        "destination": verdict.destination or None,
        "mode": verdict.mode.value if verdict.order else None,
        "memory_bytes": verdict.instance.memory_bytes,
        "steps": list(verdict.order.in_words()) if verdict.order else [],
        "copied_disks": list(verdict.order.copied_disks) if verdict.order else [],
        "watched_address": seat.address if seat else None,
        "obstacles": list(verdict.obstacles),
        "remarks": list(verdict.remarks),
        "passed_over": dict(preparation.passed_over),
        "forecast": preparation.forecast.as_json() if preparation.forecast else None,
    }
