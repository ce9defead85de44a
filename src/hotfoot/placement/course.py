"""How a plan is carried out: which moves may start, what an end means, when to plan anew, when it is over. Pure.

Invariants: a move starts only when all it waits for are done, never while the limits do not allow it or the links could
not use one more stream by the time that it is ready, and never while another move of the same instance runs or one
before it has failed; it sends only within the limits, and once the links can use it; once stopping, none starts but the
rest of a convoy that has begun, since a rule would stay broken; none starts whose convoy has failed in a part; a move
that has ended never changes again; an instance is tried at most ``MOST_TRIES`` times without success, and never twice
to the same host; one that somebody else stopped, or whose place is not known, is left alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from hotfoot.errors import ExitStatus
from hotfoot.placement.plan import Plan
from hotfoot.placement.snapshot import Cold, Limits
from hotfoot.placement.streams import Links, Load, Seen, can_use_one_more
from hotfoot.placement.wish import Wish

MOST_TRIES = 2
"""Of one instance, to different hosts: what fails twice has a reason that a third host does not mend."""
PREPARED_S = 1.0
"""From the moment that a stream may be opened to its first byte, as long as none was seen."""
JUDGED_S = 5.0
"""From the begin of a move to its first byte, as long as none was seen: amply, since what is ready early waits."""
_OTHER_HOST_MAY_DO = (ExitStatus.ERROR, ExitStatus.REFUSED, ExitStatus.FAILED_ON_SOURCE)


class StepState(StrEnum):
    """What has become of a move."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    LEFT_OUT = "left out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One move of a plan that is carried out. Times in ms since 1970 UTC."""

    n: int
    """From 1, over all rounds of planning."""
    round: int
    uuid: str
    name: str
    source: str
    destination: str
    transfer_bytes: int
    expected_s: float
    overhead_s: float = 0.0
    """What of it is for all but the migration itself: judging, claiming, proving."""
    after: tuple[int, ...] = ()
    purpose: str = ""
    temporary: bool = False
    convoy: int | None = None
    """Moves of one round with the same number are bound to each other by a rule: all are made, or none."""
    cold: Cold | None = None
    """What its cold migration means for the instance; None: it is moved live."""
    only_cold: bool = False
    """Failed since no host can take it live, for what it is made of."""
    late: bool = False
    """Left out since it would not have ended before the deadline."""
    state: StepState = StepState.WAITING
    status: int | None = None
    """The exit status of its migration, once that has ended."""
    why: str | None = None
    """Why it failed, or was left out."""
    migration: str | None = None
    """The id of its record in the journal."""
    began_ms: int | None = None
    held_s: float = 0.0
    """How long it was ready, and waited until the links could use it."""
    ended_ms: int | None = None
    downtime_ms: int | None = None

    @property
    def took_s(self) -> float | None:
        """From its begin to its end, without what it waited for the links; None: it has not begun, or not ended."""
        if not self.began_ms or not self.ended_ms:
            return None
        return (self.ended_ms - self.began_ms) / 1000 - self.held_s

    @property
    def over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state not in (StepState.WAITING, StepState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the migration of a move ended."""

    status: int
    """Its exit status."""
    why: str | None
    at_ms: int
    migration: str | None = None
    downtime_ms: int | None = None
    ours: bool = False
    """Whether this plan had it aborted."""
    only_cold: bool = False
    """Whether no host can take it live, for what it is made of."""


class Next(StrEnum):
    """What to do now."""

    WAIT = "wait"
    """Moves run, or may start."""
    PLAN = "plan"
    """All that was planned is over: look again, and plan for what is left."""
    END = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """All moves of a plan, in all rounds of planning, and what has become of them."""

    steps: tuple[Step, ...] = ()
    limits: Limits = field(default_factory=Limits)
    links: Links = field(default_factory=dict)
    stopping: bool = False
    """No more moves start, but the rest of a convoy that has begun: paused or cancelled."""
    deadline_ms: int | None = None
    """When all is to be over; ms since 1970 UTC."""

    def in_state(self, *states: StepState) -> tuple[Step, ...]:
        """Return the moves in these states, in their order."""
        return tuple(step for step in self.steps if step.state in states)

    def planned(self, plan: Plan, overhead_s: float = 0.0, links: Links | None = None) -> Course:
        """Return the course with the moves of one more round, of whose expected time so much is overhead.

        ``links``: as known when it was planned; of a host of which nothing is known now, what was known before stays.
        """
        last = max((step.n for step in self.steps), default=0)
        number = max((step.round for step in self.steps), default=0) + 1
        more = tuple(
            Step(
                n=last + move.number,
                round=number,
                uuid=move.instance,
                name=move.name,
                source=move.source,
                destination=move.destination,
                transfer_bytes=move.transfer_bytes,
                expected_s=move.seconds,
                overhead_s=overhead_s,
                after=tuple(last + each for each in move.after),
                purpose=move.reason,
                temporary=move.temporary,
                convoy=move.convoy,
                cold=move.cold,
            )
            for move in plan.moves
        )
        known = {host: rate for host, rate in (links or {}).items() if rate}
        return replace(self, steps=self.steps + more, links={**self.links, **known})

    def startable(self, seen: Seen | None = None) -> tuple[Step, ...]:
        """Return the moves that may start now, all of them together."""
        seen = seen or Seen()
        done = {step.n for step in self.in_state(StepState.DONE)}
        running = list(self.in_state(StepState.RUNNING))
        chosen = []
        for step in self.in_state(StepState.WAITING):
            if self.stopping and not self.convoy_begun(step):
                continue
            ahead_s = max(step.overhead_s, JUDGED_S) if seen.ahead_s is None else seen.ahead_s
            staying = [other for other in running if not self._ends_within(ahead_s, other, seen)]
            if any(other.uuid == step.uuid for other in running) or not self._within_limits(step, staying):
                continue
            if not done.issuperset(self.waits_for(step)):
                continue
            if can_use_one_more(self.fastest(step) or 0.0, ahead_s, self._loads(step, running, seen)):
                running.append(step)
                chosen.append(step)
        return tuple(chosen)

    def may_send(self, step: Step, sending: Collection[int], seen: Seen | None = None) -> bool:
        """Say whether the links can use the stream of a running move that is judged, and has yet to open it.

        ``sending``: the running moves (their numbers) that may already.
        """
        seen = seen or Seen()
        others = [other for other in self.in_state(StepState.RUNNING) if other.n in sending and other.n != step.n]
        if not self._within_limits(step, others):
            return False
        ahead_s = PREPARED_S if seen.ahead_s is None else seen.ahead_s
        return can_use_one_more(self.fastest(step) or 0.0, ahead_s, self._loads(step, others, seen))

    def waits_for(self, step: Step) -> set[int]:
        """Return what it waits for: what the plan says, and earlier moves of the same instance in the same plan."""
        own = {other.n for other in self.steps if (other.uuid, other.round) == (step.uuid, step.round)}
        return {*step.after, *(n for n in own if n < step.n)}

    def convoy(self, step: Step) -> tuple[Step, ...]:
        """Return the moves that a rule binds to each other, with this one: itself alone where none does."""
        if step.convoy is None:
            return (step,)
        return tuple(other for other in self.steps if (other.round, other.convoy) == (step.round, step.convoy))

    def convoy_begun(self, step: Step) -> bool:
        """Whether another move of its convoy runs, or is done."""
        return any(other.state in (StepState.RUNNING, StepState.DONE) for other in self.convoy(step) if other != step)

    def torn(self) -> frozenset[str]:
        """Return the instances (ids) of convoys of which some moves were made, and some will not be."""
        ends = {(step.round, step.convoy): {other.state for other in self.convoy(step)} for step in self.steps}
        return frozenset(
            step.uuid
            for step in self.steps
            if step.convoy is not None
            and StepState.DONE in ends[step.round, step.convoy]
            and not {StepState.FAILED, StepState.LEFT_OUT}.isdisjoint(ends[step.round, step.convoy])
        )

    def _within_limits(self, step: Step, others: Collection[Step]) -> bool:
        limits = self.limits
        counted = (
            (limits.at_once, len(others)),
            (limits.per_source, sum(other.source == step.source for other in others)),
            (limits.per_destination, sum(other.destination == step.destination for other in others)),
        )
        return all(most is None or count < most for most, count in counted)

    def _ends_within(self, seconds: float, step: Step, seen: Seen) -> bool:
        """Say whether a running move will have sent all by then: the one after it may be judged meanwhile."""
        left_bytes, rate = seen.left_bytes.get(step.n), self.fastest(step)
        return left_bytes is not None and rate is not None and left_bytes / rate <= seconds

    def fastest(self, step: Step) -> int | None:
        """Return the bytes per second of the narrowest link that a move goes over; None: not known."""
        return min(filter(None, (self.links.get(host) for host in (step.source, step.destination))), default=None)

    def _loads(self, step: Step, running: list[Step], seen: Seen) -> Iterator[Load]:
        """Yield what the links of a move carry already, as far as they are known; none where it sends nothing."""
        for rate, sharing in (
            (self.links.get(step.source), [other for other in running if other.source == step.source]),
            (self.links.get(step.destination), [other for other in running if other.destination == step.destination]),
        ):
            left = {other: seen.left_bytes.get(other.n, other.transfer_bytes) for other in sharing}
            if rate and step.transfer_bytes:
                yield Load(
                    rate=rate,
                    asked=sum(self.fastest(other) or 0 for other, bytes_ in left.items() if bytes_),
                    left_bytes=sum(left.values()),
                )

    def held(self, n: int, seconds: float) -> Course:
        """Return the course in which a running move has waited so long for the links, though it was ready."""
        return self._with(replace(self._step(n, StepState.RUNNING), held_s=round(seconds, 3)))

    def taken_back(self, n: int) -> Course:
        """Return the course in which a move that was ready, and has sent nothing yet, waits again."""
        return self._with(replace(self._step(n, StepState.RUNNING), state=StepState.WAITING, began_ms=None))

    def begun(self, n: int, at_ms: int) -> Course:
        """Return the course in which a move that waited runs."""
        return self._with(replace(self._step(n, StepState.WAITING), state=StepState.RUNNING, began_ms=at_ms))

    def ended(self, n: int, end: Ended) -> Course:
        """Return the course in which a running move has ended; those that waited in vain are left out."""
        if end.status == ExitStatus.COMPLETED:
            state = StepState.DONE
        elif end.status == ExitStatus.ABORTED and end.ours:
            state = StepState.LEFT_OUT
        else:
            state = StepState.FAILED
        over = replace(
            self._step(n, StepState.RUNNING),
            state=state,
            status=end.status,
            why=end.why,
            ended_ms=end.at_ms,
            migration=end.migration,
            downtime_ms=end.downtime_ms,
            only_cold=end.only_cold,
        )
        return self._with(over).without_vain()

    def found(self, n: int, at: str | None, at_ms: int, migration: str | None = None, *, again: bool = False) -> Course:
        """Return the course in which a move that was not over is: its instance is on host ``at`` (None: nowhere seen).

        For a plan that is taken up again, and looks where every instance really is; ``again``: what was not made waits,
        else it is left out, to be planned anew.
        """
        step = self._step(n, StepState.WAITING, StepState.RUNNING)
        if at == step.destination:
            done = replace(step, state=StepState.DONE, status=int(ExitStatus.COMPLETED), why="found done")
            return self._with(replace(done, ended_ms=at_ms, migration=migration))
        if again:
            return self._with(replace(step, state=StepState.WAITING, began_ms=None, held_s=0.0))
        return self._with(replace(step, state=StepState.LEFT_OUT, why="planned anew", ended_ms=at_ms))

    def left_out(self, why: str) -> Course:
        """Return the course in which no move waits any more."""
        steps = (
            replace(step, state=StepState.LEFT_OUT, why=why) if step.state is StepState.WAITING else step
            for step in self.steps
        )
        return replace(self, steps=tuple(steps))

    def without_vain(self) -> Course:
        """Return the course in which no move waits for one that will never be done, or is bound to one."""
        course = self
        for step in self.steps:  # what a move waits for has a lower number
            if step.state is StepState.WAITING:
                states = {other.n: other for other in course.steps}
                needed = [states[n] for n in sorted(self.waits_for(step))]
                vain = [other for other in needed if other.over and other.state is not StepState.DONE]
                bound = [other for other in course.convoy(step) if other.over and other.state is not StepState.DONE]
                if vain or bound:
                    first = (vain or bound)[0]
                    how = "waited for" if vain else "is bound by a rule to"
                    why = f"{how} {first.name}{' to be' if vain else ', which was not'} moved to {first.destination}"
                    course = course._with(replace(step, state=StepState.LEFT_OUT, why=why))
        return course

    def next(self, *, once: bool = False) -> Next:
        """Say what to do now; ``once``: what failed is not planned for again."""
        if self.in_state(StepState.RUNNING) or self.startable():
            return Next.WAIT
        return Next.END if self.stopping or once else Next.PLAN

    def impossible(self) -> Mapping[str, Mapping[str, str]]:
        """Return where instances have failed to go: id to host to reason."""
        found: dict[str, dict[str, str]] = defaultdict(dict)
        for step in self.in_state(StepState.FAILED):
            if not step.only_cold:
                found[step.uuid][step.destination] = step.why or "it failed"
        return found

    def only_cold(self) -> Mapping[str, str]:
        """Return the instances that have shown that they cannot be moved live: id to reason."""
        return {step.uuid: step.why or "it failed" for step in self.in_state(StepState.FAILED) if step.only_cold}

    def alone(self) -> Mapping[str, str]:
        """Return the instances that are not tried again: id to reason."""
        found: dict[str, str] = {}
        tries: dict[str, int] = defaultdict(int)
        for step in self.in_state(StepState.FAILED):
            tries[step.uuid] += 1
            if tries[step.uuid] >= MOST_TRIES or step.status not in _OTHER_HOST_MAY_DO:
                found[step.uuid] = step.why or "it failed"
        late = {step.uuid: step.why or "too late" for step in self.in_state(StepState.LEFT_OUT) if step.late}
        return {**late, **found}

    def still_wanted(self, wish: Wish) -> Wish:
        """Return what is left of a wish's bounds once the moves so far are done."""
        if wish.most_moves is None:
            return wish
        done = len(self.in_state(StepState.DONE))
        return wish.model_copy(update={"most_moves": max(0, wish.most_moves - done)})

    def unknown(self) -> tuple[Step, ...]:
        """Return the moves after which it is not known where the instance is."""
        return tuple(step for step in self.in_state(StepState.FAILED) if step.status == ExitStatus.UNKNOWN_STATE)

    def status(self, *, still: bool, stopped: bool) -> ExitStatus:
        """Return how it all ended; ``still``: something that should have been moved is where it was."""
        if self.unknown():
            return ExitStatus.UNKNOWN_STATE
        if stopped:
            return ExitStatus.ABORTED
        return ExitStatus.FAILED_ON_SOURCE if still else ExitStatus.COMPLETED

    def _step(self, n: int, *states: StepState) -> Step:
        step = next(step for step in self.steps if step.n == n)
        if step.state not in states:
            raise ValueError(f"move {n} is {step.state}")
        return step

    def _with(self, step: Step) -> Course:
        return replace(self, steps=tuple(step if other.n == step.n else other for other in self.steps))
