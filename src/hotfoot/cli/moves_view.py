"""A plan of moves as people read it: when each begins, what it is for, what the plan leads to, and what stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from hotfoot.cli.tables import print_table

if TYPE_CHECKING:
    from hotfoot.placement.plan import Move, Plan, Score
    from hotfoot.placement.snapshot import Cold, Snapshot

_USELESS_GAP = 0.9
"""A bound that leaves so much of the score open tells nothing."""
_MOST_NAMED = 6


def print_moves(plan: Plan, snapshot: Snapshot) -> None:
    """Print the moves, the score term by term, and the reasons of what stays."""
    from hotfoot.sizes import human_bytes

    timed = snapshot.tells_links
    if plan.moves:
        print_table(
            ("MOVE", "INSTANCE", "FROM", "TO", "SENDS", "BEGINS", "TAKES", "AFTER", "FOR"),
            [_row(move, timed=timed) for move in plan.moves],
        )
        typer.echo()
        _print_score(plan.before, plan.after)
        typer.echo()
        count = len(plan.moves)
        typer.secho(f"{count} move{'' if count == 1 else 's'}, {human_bytes(plan.transfer_bytes)} to send.", bold=True)
        typer.echo(_end(plan, timed=timed))
        typer.echo(_quality(plan))
        _print_stopped(plan)
        if plan.remark:
            typer.echo(f"{plan.remark[:1].upper()}{plan.remark[1:]}.")
    else:
        why = (plan.remark or "all is as it is wanted").rstrip(".")
        typer.secho(f"Nothing {'can be moved' if plan.stays else 'is worth moving'}: {why}.", bold=True)
    if plan.stays:
        typer.echo("What should move, and stays:")
        for reason in plan.stays.values():
            typer.secho(f"  {reason}", fg=typer.colors.YELLOW)


def _print_stopped(plan: Plan) -> None:
    """Say which instances the plan stops: it is no small thing for those who use them."""
    from hotfoot.placement.snapshot import Cold

    stopped = dict.fromkeys(move.name for move in plan.moves if move.cold is Cold.STOPPED)
    if stopped:
        names, they = ", ".join(stopped), "it is" if len(stopped) == 1 else "they are"
        typer.secho(f"Stopped while {they} moved, and started again there: {names}.", fg=typer.colors.YELLOW)


def print_deadline(plan: Plan, snapshot: Snapshot, deadline_ms: int | None) -> None:
    """Say what would not end before the deadline, and so would not begin."""
    from time import time

    from hotfoot.placement.deadline import late_moves, told

    if deadline_ms is None or not plan.moves:
        return
    now_ms = round(1000 * time())
    if not snapshot.tells_links:
        typer.echo(f"After the deadline, {told(deadline_ms, now_ms)}, no move would be begun.")
        return
    late = late_moves(plan, (deadline_ms - now_ms) / 1000)
    if late:
        named = ", ".join(move.name for move in late[:_MOST_NAMED])
        more = f" and {len(late) - _MOST_NAMED} more" if len(late) > _MOST_NAMED else ""
        count = f"{len(late)} move{'' if len(late) == 1 else 's'}"
        typer.secho(
            f"The deadline {told(deadline_ms, now_ms)} comes before that end: {count} would not be begun"
            f" ({named}{more}).",
            fg=typer.colors.YELLOW,
        )
    else:
        typer.echo(f"That is before the deadline, {told(deadline_ms, now_ms)}.")


def _row(move: Move, *, timed: bool) -> tuple[str, ...]:
    from hotfoot.sizes import human_bytes, human_duration

    return (
        str(move.number),
        move.name,
        move.source,
        move.destination,
        human_bytes(move.transfer_bytes),
        human_duration(1000 * move.begins_s) if timed else "?",
        human_duration(1000 * move.seconds) if timed else "?",
        ", ".join(str(number) for number in move.after),
        how(move.reason, move.cold),
    )


def how(purpose: str, cold: Cold | None) -> str:
    """Return what a move is for, and what it means for an instance that is not moved live."""
    return purpose if cold is None else f"{purpose}, cold ({'stops it' if cold == 'stopped' else 'it is shut off'})"


def _print_score(before: Score, after: Score) -> None:
    then = {term.name: term for term in after.terms}
    rows = [
        (term.name, _figure(term.value), _figure(then[term.name].value))
        for term in before.terms
        if term.value or then[term.name].value
    ]
    print_table(("SCORE", "BEFORE", "AFTER"), [*rows, ("total", _figure(before.total), _figure(after.total))])


def _figure(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".") if value < 1000 else f"{value:.0f}"


def _end(plan: Plan, *, timed: bool) -> str:
    from hotfoot.sizes import human_duration

    if not timed:
        return "When it ends is not known: the speed of no link is."
    least = human_duration(1000 * plan.least_seconds)
    return f"Expected end: {human_duration(1000 * plan.seconds)} after the start; no order is faster than {least}."


def _quality(plan: Plan) -> str:
    if plan.gap is None or plan.gap > _USELESS_GAP:
        return "How far it is from the best placement is not known."
    if plan.gap == 0:
        return "No placement is better: proved."
    return f"No placement is better by more than {max(plan.gap, 0.001):.1%} of the score: proved."
