"""What one move of a soak came to, and all of them together. Pure: what was seen in, verdict and counts out.

The hypervisors and the witness inside the instance are the truth; what Hotfoot reported is held against them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hotfoot.errors import ExitStatus
from hotfoot.journal.ranks import percentile
from hotfoot.lab.soak import Fault, Step

_ENDS: dict[ExitStatus | None, str] = {
    ExitStatus.COMPLETED: "completed",
    ExitStatus.FAILED_ON_SOURCE: "failed",
    ExitStatus.ABORTED: "aborted",
}
"""The outcome that belongs to each status with which a move that was begun may end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen after a move: of the command, of the journal, of every host, of the instance."""

    source: str
    destination: str
    struck: bool
    """Whether the fault came while the move was under way."""
    status: int | None
    """Exit status of `hotfoot migrate`; None where it was killed."""
    report: Mapping[str, Any] | None
    """What `hotfoot migrate --json` told; None where it told nothing."""
    complaint: str
    """The last line on its standard error."""
    traceback: bool
    """Whether a traceback was there."""
    record: Mapping[str, Any] | None
    """The instance's newest entry of `hotfoot history --json`; None where there is none since the move began."""
    abort_said: bool | None
    """What `hotfoot abort` told: whether it stopped the migration; None where it was not asked."""
    places: tuple[str, ...]
    """The hosts on which the instance is active, as each host's libvirt says."""
    silent: tuple[str, ...]
    """The hosts whose libvirt did not answer."""
    damage: tuple[str, ...]
    """What the witness found wrong in memory and disk, and whether the instance was restarted."""
    took_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One finished move: what was planned, what was seen, and what is wrong with it."""

    step: Step
    seen: Seen
    completed: bool
    as_expected: bool
    """Whether it did not complete, for a reason that the soak gave it, or that its policy has."""
    lost: bool
    doubled: bool
    wrong_reports: tuple[str, ...]
    problems: tuple[str, ...]
    """All that is wrong, in sentences; nothing is wrong where there are none."""

    @property
    def end(self) -> str:
        """How it ended, in a word."""
        if self.lost or self.doubled:
            return "lost" if self.lost else "doubled"
        return "completed" if self.completed else "aborted" if self._outcome == "aborted" else "failed"

    @property
    def _outcome(self) -> str | None:
        return (self.seen.record or {}).get("outcome")

    def figure(self, key: str) -> int | None:
        """Return a figure of the migrate record; None where it is not known."""
        value = (self.seen.record or {}).get(key)
        return round(value) if isinstance(value, int | float) else None

    def as_json(self) -> dict[str, object]:
        """Return the entry of `steps[]` in `hotfoot soak --json`."""
        step, seen = self.step, self.seen
        return {
            "step": step.number,
            "instance": step.instance,
            "source": seen.source,
            "destination": seen.destination,
            "fault": step.fault.value,
            "when": step.when.value if step.when else None,
            "delay_ms": step.delay_ms,
            "cut_ms": step.cut_ms,
            "struck": seen.struck,
            "end": self.end,
            "status": seen.status,
            "reason": (seen.record or {}).get("reason"),
            "id": (seen.record or {}).get("id"),
            "total_ms": self.figure("total_ms"),
            "downtime_ms": self.figure("downtime_ms"),
            "outage_ms": self.figure("outage_ms"),
            "took_s": round(seen.took_s, 1),
            "problems": list(self.problems),
        }


def judge(step: Step, seen: Seen) -> Done:
    """Hold what was reported against what is.

    Invariant: a move is right only when every host answered, exactly one of source and destination has the instance,
    its memory and disk are whole, and the command's status, its report and the journal's record all say that place.
    """
    lost, doubled = not seen.places and not seen.silent, len(seen.places) > 1
    problems = [f"The libvirt of {host} does not answer any more." for host in seen.silent]
    if lost:
        problems.append(f"{step.instance} is active on no host.")
    if doubled:
        problems.append(f"{step.instance} is active on {' and '.join(seen.places)} at once.")
    if len(seen.places) == 1 and seen.places[0] not in (seen.source, seen.destination):
        problems.append(f"{step.instance} is on {seen.places[0]}, neither source nor destination.")
    problems += [f"{step.instance}: {fault}." for fault in seen.damage]
    completed = seen.places == (seen.destination,)
    wrong = _wrong_reports(step, seen)
    reason = str((seen.record or {}).get("reason") or "")
    expected = not completed and (seen.struck or reason.startswith("Given up: "))
    if seen.places == (seen.source,) and not expected:
        problems.append(f"It did not complete, without a fault: {reason or seen.complaint or 'no reason was given'}")
    return Done(
        step=step,
        seen=seen,
        completed=completed,
        as_expected=expected and seen.places == (seen.source,),
        lost=lost or bool(seen.damage),
        doubled=doubled,
        wrong_reports=wrong,
        problems=(*problems, *wrong),
    )


def _wrong_reports(step: Step, seen: Seen) -> tuple[str, ...]:
    """Say what Hotfoot reported otherwise than it is."""
    wrong = []
    place = " and ".join(seen.places) or "nowhere"
    if seen.traceback:
        wrong.append("A traceback was shown.")
    if seen.status is not None:
        wrong += _against_status(step, seen, place)
    record = seen.record
    if record is None:
        return (*wrong, "The journal has no record of the move.")
    outcome = record.get("outcome")
    if outcome is None:
        return (*wrong, "The journal's record stays open.")
    if (outcome == "completed") != (seen.places == (seen.destination,)):
        wrong.append(f"The journal says {outcome}, and the instance is on {place}.")
    if outcome != _ENDS.get(_status(record.get("status"))):
        wrong.append(f"The journal says {outcome}, with status {record.get('status')}.")
    if outcome != "completed" and not record.get("reason"):
        wrong.append(f"The journal gives no reason for {outcome}.")
    if record.get("found_afterwards") and seen.status is not None:
        wrong.append("The journal says that its Hotfoot was killed, and it was not.")
    if seen.abort_said and seen.places != (seen.source,):
        wrong.append(f"`hotfoot abort` said that it stopped the migration, and the instance is on {place}.")
    return tuple(wrong)


def _against_status(step: Step, seen: Seen, place: str) -> list[str]:
    wrong = []
    end = _ENDS.get(_status(seen.status))
    where = {"completed": (seen.destination,), "failed": (seen.source,), "aborted": (seen.source,)}
    if end is None:
        wrong.append(f"`hotfoot migrate` ended with {seen.status}: {seen.complaint or 'no message'}")
    elif seen.places != where[end]:
        wrong.append(f"`hotfoot migrate` ended with {seen.status} ({end}), and the instance is on {place}.")
    if end == "aborted" and not (seen.struck and step.fault is Fault.ABORT):
        wrong.append("`hotfoot migrate` says aborted, and nobody stopped it.")
    if seen.abort_said and end == "failed":
        wrong.append("`hotfoot migrate` says failed, and `hotfoot abort` had stopped it.")
    if seen.report is None:
        return [*wrong, "`hotfoot migrate --json` told nothing."]
    for key, known in (("source", seen.source), ("destination", seen.destination)):
        if seen.report.get(key) != known:
            wrong.append(f"The report's {key} is {seen.report.get(key)}, not {known}.")
    told = seen.report.get("outcome")
    if end is not None and told != end:
        wrong.append(f"The report says {told}, and the exit status is {seen.status}.")
    for key in ("id", "outcome"):
        if seen.record is not None and seen.record.get(key) != seen.report.get(key):
            wrong.append(f"The report's {key} is {seen.report.get(key)}, the journal's {seen.record.get(key)}.")
    return wrong


def _status(value: object) -> ExitStatus | None:
    return ExitStatus(value) if isinstance(value, int) and value in tuple(ExitStatus) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """A number of moves, counted."""

    moves: int
    struck: int
    completed: int
    failed_as_expected: int
    failed_otherwise: int
    lost: int
    doubled: int
    wrong_reports: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Soaked:
    """A whole soak."""

    lab: str
    seed: int
    faults: str
    asked: int
    stopped: bool
    """Whether somebody ended it early."""
    done: tuple[Done, ...]
    afterwards: tuple[str, ...]
    """What was wrong with instances when all was over."""

    @property
    def whole(self) -> bool:
        """Whether nothing at all was wrong."""
        return not self.afterwards and not any(done.problems for done in self.done)

    def repeated_by(self, done: Done) -> str:
        """Return the command that repeats one step, from where its instance is by then."""
        plan = f"--seed {self.seed} --faults {self.faults} --first {done.step.number} --moves 1"
        return f"hotfoot soak --name {self.lab} {plan}"

    def as_json(self) -> dict[str, object]:
        """Return the object of `hotfoot soak --json`."""
        totals = count(self.done)
        return {
            "lab": self.lab,
            "seed": self.seed,
            "faults": self.faults,
            "asked": self.asked,
            "stopped": self.stopped,
            "whole": self.whole,
            **_as_dict(totals),
            **figures(self.done),
            "by_fault": {fault: _as_dict(each) for fault, each in by_fault(self.done).items()},
            "afterwards": list(self.afterwards),
            "steps": [done.as_json() for done in self.done],
        }


def count(done: Sequence[Done]) -> Counts:
    """Count moves by how they ended; a lost or doubled one is neither completed nor failed."""
    good = [each for each in done if not each.lost and not each.doubled]
    return Counts(
        moves=len(done),
        struck=sum(each.seen.struck for each in done),
        completed=sum(each.completed for each in good),
        failed_as_expected=sum(each.as_expected for each in good),
        failed_otherwise=sum(not each.completed and not each.as_expected for each in good),
        lost=sum(each.lost for each in done),
        doubled=sum(each.doubled for each in done),
        wrong_reports=sum(bool(each.wrong_reports) for each in done),
    )


def by_fault(done: Sequence[Done]) -> dict[str, Counts]:
    """Count the moves of each fault that was drawn, in the order of ``Fault``."""
    groups = {fault.value: [each for each in done if each.step.fault is fault] for fault in Fault}
    return {fault: count(group) for fault, group in groups.items() if group}


def figures(done: Sequence[Done]) -> dict[str, int | None]:
    """Return median and 99th percentile (nearest rank) of downtime and outage, in ms, of moves that completed."""
    found: dict[str, int | None] = {}
    for key in ("downtime_ms", "outage_ms"):
        values = [value for each in done if each.completed and (value := each.figure(key)) is not None]
        found[f"{key}_median"] = percentile(values, 50)
        found[f"{key}_p99"] = percentile(values, 99)
    return found


def _as_dict(counts: Counts) -> dict[str, int]:
    return {name: getattr(counts, name) for name in Counts.__slots__}
