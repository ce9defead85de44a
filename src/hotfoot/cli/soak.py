"""``hotfoot soak``: instances of a lab moved about at random, with faults, each looked at after every move."""

from __future__ import annotations

import json
import secrets
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from hotfoot.cli.options import JsonOption
from hotfoot.cli.tables import print_table
from hotfoot.errors import ExitStatus

if TYPE_CHECKING:
    from hotfoot.lab.soak_verdict import Counts, Done, Soaked

_SEEDS = 1_000_000


def soak(
    moves: Annotated[int, typer.Option(min=1, max=100_000, help="How many moves.")],
    name: Annotated[
        str | None, typer.Option("--name", help="The lab's name [default: that of the cluster file, else lab].")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Moves and faults are drawn from it [default: another each time].")
    ] = None,
    faults: Annotated[
        str, typer.Option(metavar="none|some|all", help="How many moves have a fault; some: one in three.")
    ] = "some",
    first: Annotated[int, typer.Option(min=1, help="Number of the first step, to repeat one.")] = 1,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Go on after a move with which something is wrong.")
    ] = False,
    cluster: Annotated[
        Path | None,
        typer.Option("--cluster", envvar="HOTFOOT_CLUSTER", help="A lab's cluster file, instead of --name."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Move a lab's instances about at random, break things meanwhile, and look at everything after each move."""
    from hotfoot.lab import soak as plans
    from hotfoot.lab import soak_run, spec

    spec.check_choice(faults, plans.Faults, "share of faults")
    lab = soak_run.checked(name or (soak_run.name_of(cluster) if cluster else "lab"))
    wanted = soak_run.Wanted(
        moves=moves,
        seed=secrets.randbelow(_SEEDS) if seed is None else seed,
        faults=faults,  # type: ignore[arg-type]
        first=first,
        keep_going=keep_going,
    )
    typer.echo(f"soak: lab {lab.name}, seed {wanted.seed}, faults {faults}; Ctrl-C ends it after a move.", err=True)
    # Held back from the commands that make the moves too, which Ctrl-C would reach as well; looked for between moves.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    signal.signal(signal.SIGTERM, _leave)
    try:
        soaked = soak_run.soak(
            lab, wanted, lambda: signal.SIGINT in signal.sigpending(), lambda done: _say(done, wanted.first + moves - 1)
        )
    except KeyboardInterrupt:
        typer.echo("soak: left in the middle of a move, which was stopped; links are whole.", err=True)
        raise typer.Exit(ExitStatus.INTERRUPTED) from None
    if as_json:
        typer.echo(json.dumps(soaked.as_json()))
    else:
        _print(soaked)
    _print_problems(soaked)
    if not soaked.whole:
        raise typer.Exit(ExitStatus.ERROR)
    if soaked.stopped:
        raise typer.Exit(ExitStatus.ABORTED)


def _leave(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _say(done: Done, last: int) -> None:
    step, seen = done.step, done.seen
    moment = f", {step.when}" if step.when else ""
    late = "" if seen.struck or step.when is None else ", too late"
    typer.echo(
        f"soak: {step.number} of {last}: {step.instance} {seen.source} → {seen.destination}, "
        f"{step.fault.in_words}{moment}{late}: {done.end}, {seen.took_s:.0f} s",
        err=True,
    )


def _print(soaked: Soaked) -> None:
    from hotfoot.lab.soak import Fault
    from hotfoot.lab.soak_verdict import by_fault, count, figures
    from hotfoot.sizes import human_duration

    def row(label: str, counts: Counts) -> list[str]:
        figures = (counts.moves, counts.struck, counts.completed, counts.failed_as_expected, counts.failed_otherwise)
        return [label, *map(str, (*figures, counts.lost, counts.doubled, counts.wrong_reports))]

    rows = [row(Fault(fault).in_words, counts) for fault, counts in by_fault(soaked.done).items()]
    print_table(
        ["FAULT", "MOVES", "STRUCK", "COMPLETED", "FAILED, EXPECTED", "OTHERWISE", "LOST", "DOUBLED", "WRONG REPORT"],
        [*rows, row("all", count(soaked.done))],
    )
    known = {key: "-" if ms is None else human_duration(ms) for key, ms in figures(soaked.done).items()}
    typer.echo(
        f"\ndowntime {known['downtime_ms_median']} in the median, {known['downtime_ms_p99']} at the 99th percentile; "
        f"outage {known['outage_ms_median']} and {known['outage_ms_p99']}"
    )
    typer.echo(f"{len(soaked.done)} of {soaked.asked} moves, seed {soaked.seed}, faults {soaked.faults}")


def _print_problems(soaked: Soaked) -> None:
    for done in soaked.done:
        if done.problems:
            typer.secho(
                f"seed {soaked.seed}, step {done.step.number} ({done.step.instance} from {done.seen.source} to "
                f"{done.seen.destination}, {done.step.fault.in_words}): {' '.join(done.problems)}\n"
                f"  again: {soaked.repeated_by(done)}",
                err=True,
                fg=typer.colors.RED,
            )
    for sentence in soaked.afterwards:
        typer.secho(f"When all was over: {sentence}", err=True, fg=typer.colors.RED)
