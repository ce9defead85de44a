"""Whether a plan that was made earlier can still be carried out as it is. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hotfoot.placement.course import Course, Step, StepState
from hotfoot.placement.passage import Passage, Shift
from hotfoot.placement.plan import Move
from hotfoot.placement.snapshot import Snapshot
from hotfoot.placement.waits import waits
from hotfoot.placement.wish import Wish


def recheck(snapshot: Snapshot, wish: Wish, moves: Sequence[Move]) -> tuple[Sequence[Move], Mapping[int, str]]:
    """Return the moves as they may be made now, and why one is not valid any more, by its number.

    Invariants: where all are valid, each move finds its instance where the plan says, room at its destination, and
    no hard rule that it would break, whichever of the moves that may run do run. They are the same moves with the same
    numbers, in an order in which none waits for a later one; they wait for what they waited for, and beside that for
    what makes room by now. What only waits for a move that is not valid, or is bound to one, has no reason of its own.
    """
    passage, convoys = Passage(snapshot, wish), _convoys(moves)
    wrong: dict[int, str] = {}
    vain: set[int] = set()
    for convoy in convoys:
        numbers = {move.number for move in convoy}
        if not vain.isdisjoint(number for move in convoy for number in move.after):
            vain |= numbers
            continue
        why = {move.number: problem for move in convoy if (problem := _problem(passage, move))}
        if not why and (obstacle := passage.obstacle(_step(convoy))):
            why = {convoy[0].number: obstacle}
        wrong |= why
        vain |= numbers if why else set()
        if not why:
            passage.go(_step(convoy))
    if wrong:
        return moves, wrong
    in_order = [move for convoy in convoys for move in convoy]
    needed = waits(Passage(snapshot, wish), [_step(convoy) for convoy in convoys])
    return [
        move.model_copy(update={"after": tuple(sorted({*move.after, *(in_order[at].number for at in waits_for)}))})
        for move, waits_for in zip(in_order, needed, strict=True)
    ], {}


def renumbered(moves: Sequence[Move]) -> tuple[Move, ...]:
    """Return the moves with numbers from 1 in their order."""
    now = {move.number: at for at, move in enumerate(moves, 1)}
    return tuple(
        move.model_copy(update={"number": now[move.number], "after": tuple(sorted(now[n] for n in move.after))})
        for move in moves
    )


def still_valid(snapshot: Snapshot, wish: Wish, course: Course) -> Course:
    """Return the course in which of the moves that wait those that are not valid any more are left out, each with why.

    For a plan that is not planned anew, when it is taken up again: what is left of it goes on.
    """
    while True:
        waiting = course.in_state(StepState.WAITING)
        left = {step.n for step in waiting}
        moves, wrong = recheck(snapshot, wish, [_move(step, left) for step in waiting])
        if not wrong:
            after = {move.number: move.after for move in moves}
            steps = (
                replace(step, after=tuple(sorted({*step.after, *after[step.n]}))) if step.n in after else step
                for step in course.steps
            )
            return replace(course, steps=tuple(steps))
        steps = (
            replace(step, state=StepState.LEFT_OUT, why=wrong[step.n]) if step.n in wrong else step
            for step in course.steps
        )
        course = replace(course, steps=tuple(steps)).without_vain()


def _move(step: Step, left: set[int]) -> Move:
    return Move(
        number=step.n,
        instance=step.uuid,
        name=step.name,
        source=step.source,
        destination=step.destination,
        transfer_bytes=step.transfer_bytes,
        downtime_ms=0,
        begins_s=0.0,
        seconds=step.expected_s,
        after=tuple(n for n in step.after if n in left),
        reason=step.purpose,
        temporary=step.temporary,
        convoy=None if step.convoy is None else step.round * 1_000_000 + step.convoy,
        cold=step.cold,
    )


def _convoys(moves: Sequence[Move]) -> list[list[Move]]:
    """Return the moves in order, those that a rule binds to each other together, where the first of them is."""
    found: dict[tuple[str, int], list[Move]] = {}
    for move in moves:
        key = ("move", move.number) if move.convoy is None else ("convoy", move.convoy)
        found.setdefault(key, []).append(move)
    return list(found.values())


def _step(moves: Sequence[Move]) -> tuple[Shift, ...]:
    return tuple(Shift(move.instance, move.source, move.destination, move.temporary) for move in moves)


def _problem(passage: Passage, move: Move) -> str | None:
    for name in (move.source, move.destination):
        if name not in passage.hosts:
            return f"{name} is no host of the cluster"
        if not passage.hosts[name].up:
            return f"{name} does not answer"
    instance, host = passage.instances.get(move.instance), passage.hosts[move.destination]
    if instance is None:
        return f"{move.name} is not there any more"
    if passage.where[move.instance] != move.source:
        return f"{move.name} is on {passage.where[move.instance]}"
    if not passage.wish.moves(instance):
        return f"it cannot move: {instance.unmovable_because}"
    if (passage.wish.how(instance) is None) != (move.cold is None):
        return "it can only be moved cold by now" if move.cold is None else "it can be moved live by now"
    if host.maintenance:
        return f"{host.name} is out of placement, or another plan touches it"
    if host.name in instance.impossible:
        return instance.impossible[host.name]
    return None if passage.may_go(move.instance, host.name) else f"the plan itself does not allow {host.name}"
