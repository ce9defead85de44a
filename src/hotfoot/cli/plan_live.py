"""A plan being carried out, on the terminal: its running moves live, what has ended, and what Ctrl-C does."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import typer

from hotfoot.cli.live import LiveView
from hotfoot.errors import ExitStatus
from hotfoot.sizes import human_duration, human_seconds

if TYPE_CHECKING:
    from hotfoot.journal.plan_record import PlanRecord
    from hotfoot.migration.progress import Progress
    from hotfoot.migration.sample import JobSample
    from hotfoot.placement.course import Course, Step
    from hotfoot.plans.run import PlanRun


class PlanView:
    """Implements ``plans.means.Onlooker`` on a live view."""

    def __init__(self, view: LiveView, title: str) -> None:
        self._view = view
        self._title = title
        self._course: Course | None = None
        self._told: set[int] = set()
        self._running: dict[int, Progress] = {}

    def say(self, sentence: str) -> None:
        """Print a sentence that stays."""
        self._view.say(sentence)

    def look(self, step: Step, sample: JobSample) -> None:
        """Show how far a running move is."""
        from hotfoot.migration.progress import Progress

        self._running[step.n] = self._running.get(step.n, Progress()).advance(sample)
        self._show()

    def course(self, course: Course) -> None:
        """Tell what has ended since the last time."""
        from hotfoot.placement.course import StepState

        self._course = course
        running = {step.n for step in course.in_state(StepState.RUNNING)}
        self._running = {n: progress for n, progress in self._running.items() if n in running}
        for step in course.steps:
            if step.over and step.n not in self._told:
                self._told.add(step.n)
                self.say(_ended(step, _done_word(self._title)))
        self._show()

    def known(self, course: Course) -> None:
        """Take note of a course whose ended moves have been told already."""
        self._told = {step.n for step in course.steps if step.over}
        self._course = course

    def _show(self) -> None:
        if self._course is not None:
            steps = {step.n: step for step in self._course.steps}
            self._view.update(
                {_title(steps[n]): progress for n, progress in sorted(self._running.items())},
                heading(self._title, self._course, self._running),
            )


def heading(title: str, course: Course, running: Mapping[int, Progress]) -> str:
    """Return ``drain n1: 2 of 6 moved, 1 running, about 12 s to go``; no end while one of them has none in sight."""
    from hotfoot.journal.entries import now_ms
    from hotfoot.placement.course import StepState
    from hotfoot.placement.pace import left_s

    done, under_way, waiting, failed = (
        len(course.in_state(state))
        for state in (StepState.DONE, StepState.RUNNING, StepState.WAITING, StepState.FAILED)
    )
    words = [f"{title}: {done} of {done + under_way + waiting} {_done_word(title)}"]
    if failed:
        words.append(f"{failed} failed")
    if under_way:
        words.append(f"{under_way} running")
    seen = {n: progress.left_ms / 1000 for n, progress in running.items() if progress.left_ms is not None}
    to_go_s = None if any(progress.obstacle for progress in running.values()) else left_s(course, now_ms(), seen)
    if course.stopping:
        words.append("stopping")
    elif to_go_s is not None and (under_way or waiting):
        words.append(f"about {human_seconds(max(1.0, to_go_s))} to go")
    return ", ".join(words)


def _title(step: Step) -> str:
    return f"{step.name}  {step.source} → {step.destination}"


def _done_word(title: str) -> str:
    """What has become of an instance whose move is done, by the verb that a plan's title begins with."""
    return "started" if title.startswith("evacuate") else "moved"


def _ended(step: Step, done: str) -> str:
    from hotfoot.placement.course import StepState

    words = [_title(step), step.state.value]
    if step.state is StepState.DONE:
        words = [_title(step), done]
        if step.took_s is not None and step.why is None:
            words[1] += f" in {human_duration(round(1000 * step.took_s))}"
        if step.downtime_ms is not None:
            words[1] += f", downtime {human_duration(step.downtime_ms)}"
    return ": ".join([*words, step.why] if step.why else words)


async def carry_out(
    title: str, make: Callable[[PlanView], Awaitable[PlanRun]], prepare: Callable[[PlanRun], None] = lambda _run: None
) -> PlanRun:
    """Carry a plan out with a live view: Ctrl-C once cancels it, twice aborts what runs, three times leaves.

    ``make`` keeps the plan and returns the run; ``prepare`` is called before it begins.
    """
    with LiveView() as view:
        seen = PlanView(view, title)
        interrupts = _Interrupts(view)
        run = await make(seen)
        seen.known(run.course)
        interrupts.take(run)
        prepare(run)
        await run.execute()
    return run


class _Interrupts:
    """Counts Ctrl-C and termination signals from the moment that the plan is kept."""

    def __init__(self, view: LiveView) -> None:
        self._view = view
        self._run: PlanRun | None = None
        self._count = 0
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupt)

    def take(self, run: PlanRun) -> None:
        """Stop this run from now on, also when the signal came before it."""
        from hotfoot.journal.plan_record import Asked

        self._run = run
        if self._count:
            run.want(Asked.CANCEL)

    def _interrupt(self) -> None:
        from hotfoot.journal.plan_record import Asked

        self._count += 1
        if self._count > 2:
            self._view.__exit__(None, None, None)
            record: PlanRecord | None = self._run.record if self._run else None
            again = (
                f"`hotfoot plan resume {record.id}` goes on with the plan" if record else "look at `hotfoot plan show`"
            )
            typer.echo(f"Left at once: moves may still run (`hotfoot watch` shows them); {again}.", err=True)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(ExitStatus.INTERRUPTED)
        if self._count == 1:
            self._view.say("Cancelling: no more moves begin, the running ones end. Ctrl-C again aborts them.")
            if self._run:
                self._run.want(Asked.CANCEL)
        else:
            self._view.say(
                "Aborting the running moves; each instance stays on its source. Ctrl-C again leaves at once."
            )
            if self._run:
                self._run.want(Asked.ABORT)


def print_end(record: PlanRecord, course: Course) -> None:
    """Print how a plan ended: what was moved, and what is left behind with the reason."""
    from hotfoot.journal.plan_record import PlanState
    from hotfoot.placement.course import StepState

    done = course.in_state(StepState.DONE)
    what = ("instance", "started") if record.verb == "evacuate" else ("move", "made")
    moved = f"{len(done)} {what[0]}{'' if len(done) == 1 else 's'} {what[1]}"
    how = "is paused" if record.state is PlanState.PAUSED else _HOW.get(record.status or 0, "ended")
    colour = None if record.status == 0 else typer.colors.YELLOW
    typer.secho(f"{record.title} {how}: {moved} (plan {record.id}).", bold=True, fg=colour)
    for name, why in sorted(record.stays.items()):
        typer.secho(f"  {name}: {why}", err=True, fg=typer.colors.YELLOW)
    if record.remark:
        typer.echo(f"  {record.remark}")
    if record.state is PlanState.PAUSED:
        typer.echo(f"  `hotfoot plan resume {record.id}` goes on.")


_HOW = {
    int(ExitStatus.COMPLETED): "is done",
    int(ExitStatus.FAILED_ON_SOURCE): "is not complete",
    int(ExitStatus.ABORTED): "was cancelled",
    int(ExitStatus.UNKNOWN_STATE): "ended with an instance whose place is not known",
}
