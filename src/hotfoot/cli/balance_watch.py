"""``hotfoot balance --watch`` on the terminal: a line for each look, the plans as they are carried out, and Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from datetime import datetime
from typing import TYPE_CHECKING

import typer

from hotfoot.errors import ExitStatus, HotfootError

if TYPE_CHECKING:
    from hotfoot.cli.verb import Face
    from hotfoot.cluster import Balance
    from hotfoot.journal.plan_record import PlanRecord
    from hotfoot.placement.wish import Wish
    from hotfoot.plans.planner import Planned
    from hotfoot.plans.site import Site
    from hotfoot.plans.watch import Round

_ENDS_IT = (ExitStatus.ABORTED, ExitStatus.UNKNOWN_STATE)
"""Of a plan: somebody stopped it, or a person has to look first."""


async def keep_balanced(
    site: Site, face: Face, section: Balance, wish: Wish, *, as_json: bool, dry_run: bool
) -> ExitStatus:
    """Look and act until Ctrl-C, or until a plan was cancelled or left an instance whose place is not known."""
    from hotfoot.placement.calm import Patience
    from hotfoot.placement.wish import Balance
    from hotfoot.plans.watch import Balancer

    if not dry_run and not face.agreed(
        "Instances are to be moved from now on", "to have it so", "Move instances from now on, without a question?"
    ):
        return ExitStatus.ABORTED
    assert isinstance(wish.objective, Balance)
    stop = _Stop()

    async def act(why: str, asked: Wish, planned: Planned) -> PlanRecord | None:
        if stop.wanted.is_set():
            return None
        if not as_json:
            from hotfoot.cli.moves_view import print_moves

            print(f"{_clock()} {why}.", flush=True)
            print_moves(planned.plan, planned.snapshot)
        if dry_run:
            return None
        try:
            run = await face.carry_out(site, asked, planned)
        finally:
            stop.listen()  # while a plan ran, its own handlers heard
        if not as_json:
            from hotfoot.cli.plan_live import print_end

            print_end(run.record, run.course)
        return run.record

    for record in () if dry_run else await asyncio.to_thread(site.orphaned, "balance"):
        typer.echo(f"The plan {record.id} was left by a Hotfoot that has ended: it is taken up.", err=True)
        status = await _take_up(site, record, as_json=as_json)
        stop.listen()
        if status in _ENDS_IT:
            return ExitStatus(status)
    patience = Patience(objective=wish.objective, rounds=section.rounds, quiet=section.quiet)
    balancer = Balancer(site, patience, section.cooldown_ms, wish, act)
    silent: tuple[str, ...] = ()
    while True:
        stop.listen()
        began_s = asyncio.get_running_loop().time()
        status = None
        try:
            seen = await balancer.round()
        except HotfootError as error:
            if error.status is ExitStatus.USAGE:  # it would be the same in every look
                raise
            typer.secho(f"{_clock()} {error}", err=True, fg=typer.colors.YELLOW)
        else:
            for sentence in set(seen.silent) - set(silent):
                typer.secho(sentence, err=True, fg=typer.colors.YELLOW)
            silent = seen.silent
            _print(seen, as_json=as_json)
            status = seen.record.status if seen.record else None
        if status in _ENDS_IT:
            return ExitStatus(status)
        left_s = began_s + section.every_ms / 1000 - asyncio.get_running_loop().time()
        if await stop.within(max(0.0, left_s)):
            return ExitStatus.COMPLETED


async def _take_up(site: Site, record: PlanRecord, *, as_json: bool) -> int | None:
    from hotfoot.cli.plan_live import PlanView, carry_out, print_end
    from hotfoot.plans.run import PlanRun

    async def make(view: PlanView) -> PlanRun:
        adopted, course = await site.take_up(record)
        return PlanRun(site.means(), adopted, course, view, once=True)

    run = await carry_out(record.title, make)
    if not as_json:
        print_end(run.record, run.course)
    return run.record.status


class _Stop:
    """Ctrl-C and termination signals between plans: the first ends the watch after the look, the second leaves."""

    def __init__(self) -> None:
        self.wanted = asyncio.Event()

    def listen(self) -> None:
        """Hear signals from now on."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._hear)

    async def within(self, seconds: float) -> bool:
        """Wait so long at most; returns whether it is to end."""
        try:
            async with asyncio.timeout(seconds):
                await self.wanted.wait()
        except TimeoutError:
            pass
        return self.wanted.is_set()

    def _hear(self) -> None:
        if self.wanted.is_set():
            sys.stdout.flush()
            os._exit(ExitStatus.INTERRUPTED)
        typer.echo("No more looks; nothing is being moved.", err=True)
        self.wanted.set()


def _print(seen: Round, *, as_json: bool) -> None:
    from hotfoot.journal.record import iso

    if as_json:
        moves = [] if seen.plan is None else [move.model_dump(mode="json") for move in seen.plan.moves]
        told = {"at": iso(seen.at_ms), "why": seen.why, "moves": moves}
        plan = seen.record and {"id": seen.record.id, "status": seen.record.status, "stays": dict(seen.record.stays)}
        print(json.dumps({**told, "plan": plan}), flush=True)
    elif seen.plan is None:
        print(f"{_clock(seen.at_ms)} Nothing is moved: {seen.why}.", flush=True)


def _clock(at_ms: int | None = None) -> str:
    at = datetime.now() if at_ms is None else datetime.fromtimestamp(at_ms / 1000)
    return f"{at:%H:%M:%S}"
