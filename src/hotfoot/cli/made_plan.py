"""A plan that is only made: for a snapshot or the cluster as it is, shown or printed. Nothing is moved."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hotfoot.errors import ExitStatus, HotfootError

if TYPE_CHECKING:
    from hotfoot.placement.plan import Plan
    from hotfoot.placement.snapshot import Snapshot
    from hotfoot.placement.wish import Wish


def show_plan(known: Snapshot, wish: Wish, *, as_json: bool, deadline_ms: int | None = None) -> None:
    """Plan, and show the plan. Raises HotfootError (usage) when the wish names what the snapshot has not."""
    from time import monotonic

    from hotfoot.placement.planning import plan

    made = plan(known, wish, monotonic)
    if as_json:
        typer.echo(json.dumps(plan_json(made, known, wish, deadline_ms)))
    else:
        from hotfoot.cli.moves_view import print_deadline, print_moves

        print_moves(made, known)
        print_deadline(made, known, deadline_ms)


def plan_json(made: Plan, known: Snapshot, wish: Wish, deadline_ms: int | None = None) -> dict[str, object]:
    """Return a plan as `hotfoot plan run` takes it."""
    from hotfoot.journal.record import iso
    from hotfoot.placement.plan_text import MadePlan, PlanAsked

    told = MadePlan(made, PlanAsked(wish=wish, limits=known.limits, at=known.taken_at)).as_json()
    return told if deadline_ms is None else {**told, "deadline": iso(deadline_ms)}


def snapshot_of(
    file: Path | None, cluster: Path | None, cloud_name: str | None = None, *, measured: bool = False
) -> Snapshot:
    """Return the snapshot of a file, or of the cluster as it is; ``measured``: load counts. Raises HotfootError."""
    if file is not None:
        return saved_snapshot(file)
    from hotfoot.cli.snapshot import live_snapshot

    return live_snapshot(cluster, cloud_name, measured=measured)


def saved_snapshot(file: Path) -> Snapshot:
    """Return the snapshot of a file; ``-`` is standard input. Raises HotfootError (usage)."""
    from hotfoot.placement.snapshot_text import read_snapshot

    return read_snapshot(text_of(file, "snapshot"), "standard input" if str(file) == "-" else str(file))


def text_of(file: Path, what: str) -> str:
    """Return the text of a file, or of standard input for ``-``. Raises HotfootError (usage)."""
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except OSError as error:
        raise HotfootError(f"The {what} {file} cannot be read: {error.strerror}.", ExitStatus.USAGE) from None
    except UnicodeDecodeError:
        raise HotfootError(f"The {what} {file} is not text in UTF-8.", ExitStatus.USAGE) from None
