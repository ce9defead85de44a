"""In which order instances get to where they should be: steps that can each be made when the ones before are over.

Invariants: no step overfills a host, counted on source and destination at once, or breaks a hard rule that was whole
(passage.py judges both); an instance that is put somewhere for a while goes on to where it should be; and the same
input gives the same order. Where not all can be reached, what is left says so with its reason, and nothing is left in a
temporary place.

Most targets need no temporary place. For the others the order with the fewest bytes sent is searched for (uniform cost
search) where few are to move; where there are many, a cheap way out of each deadlock is taken, one after the other.
Both within a budget of steps judged: no clock, so that a slow machine finds the same order.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count, islice

from hotfoot.placement.passage import Passage, Shift, Step
from hotfoot.placement.snapshot import Snapshot
from hotfoot.placement.wish import Wish
from hotfoot.placement.yard import Yard

SEARCHED_MOVES = 30
"""Up to here the order with the fewest bytes is searched for."""
SEARCH_TRIES = 30_000
UNLOCK_TRIES = 80_000
"""Steps judged at most; each takes some microseconds."""
MOST_ASIDES, WIDTH = 3, 10
"""Of one way out; and asides tried at each point where there are several."""
EVERY_ORDER_MOVES = 9
"""Up to here every order is tried, with asides of anyone; above, arrivals that stand in nobody's way are made first."""


@dataclass(frozen=True, slots=True)
class Ordered:
    """Steps one after the other, and which instances (ids) do not get to their target, each with the reason."""

    steps: tuple[Step, ...]
    left: Mapping[str, str] = field(default_factory=dict)


def order(snapshot: Snapshot, wish: Wish, target: Mapping[str, str]) -> Ordered:
    """Return the steps from the snapshot's placement to ``target`` (instance id to host), as far as they lead."""
    passage = Passage(snapshot, wish)
    goal = {one: target[one] for one in sorted(target) if target[one] != passage.where[one]}
    yard = Yard(passage, goal, wish.most_moves)
    steps = yard.greedy()
    if yard.pending():
        yard.undo(steps)
        steps = list(min(_ways(yard, len(goal)), key=lambda one: (one.left, one.cost)).steps)
        yard.go(steps)
    return Ordered(tuple(steps), {one: _reason(passage, one, host) for one, host in yard.pending().items()})


def _reason(passage: Passage, instance: str, host: str) -> str:
    here = passage.where[instance]
    why = passage.obstacle((Shift(instance, here, host),))
    name = passage.instances[instance].name
    because = f" ({why})" if why else ""
    return f"{name} stays on {here}: no order of moves brings it to {host}{because}, and no temporary place helps"


@dataclass(frozen=True, slots=True)
class _Way:
    steps: tuple[Step, ...]
    cost: tuple[int, int]
    """Bytes sent beside those that the target needs, and moves."""
    left: tuple[int, int]
    """Instances that are not where they should be, and their bytes."""


def _ways(yard: Yard, moves: int) -> Iterator[_Way]:
    """Yield ways, each from the start, until one leads to the target; the placement is the start again afterwards."""
    if moves <= SEARCHED_MOVES:
        found = _search(yard, eager=True)
        yield found
        if moves <= EVERY_ORDER_MOVES and (found.left[0] or found.cost != (0, 0)):
            found = _search(yard, eager=False)
            yield found
        if not found.left[0]:
            return
    yield _unlock(yard)


def _unlock(yard: Yard) -> _Way:
    """Make what can be made, and of each deadlock that is met a cheap way out, with as few asides as possible."""
    steps, cost, end = yard.greedy(), (0, 0), yard.tries + UNLOCK_TRIES
    while yard.pending() and yard.tries < end:
        for asides in range(1, MOST_ASIDES + 1):
            out = _way_out(yard, steps, asides, end)
            if out:
                break
        else:
            break
        new, more = out
        yard.go(new)
        steps += new
        cost = (cost[0] + more, cost[1] + sum(shift.temporary for step in new for shift in step))
    way = _Way(tuple(steps), cost, yard.left())
    yard.undo(steps)
    return way


def _way_out(yard: Yard, steps: list[Step], asides: int, end: int) -> tuple[list[Step], int] | None:
    """Return the steps, with so many asides, after which fewer are left and nobody is parked; and what they cost."""
    before = yard.left()[0]
    made = sum(len(step) for step in steps)

    def look(tried: list[Step], spent: int, more: int) -> tuple[list[Step], int] | None:
        if not more:
            return (tried, spent) if yard.left()[0] < before and not yard.parked(tried) else None
        width = None if asides == 1 else WIDTH
        for aside, cost in islice(yard.asides(made + sum(len(step) for step in tried)), width):
            if yard.tries >= end:
                return None
            yard.go([aside])
            new = [aside, *yard.greedy(aside)]
            found = look([*tried, *new], spent + cost, more - 1)
            yard.undo(new)
            if found:
                return found
        return None

    return look([], 0, asides)


def _search(yard: Yard, *, eager: bool) -> _Way:
    """Look for the order with the fewest bytes.

    ``eager``: arrivals that stand in nobody's way are made at once, which leaves far fewer orders.
    """
    tie, end = count(), yard.tries + SEARCH_TRIES
    best = _Way((), (0, 0), yard.left())
    heap = [((0, 0), best.left, next(tie), tuple(yard.harmless()) if eager else ())]
    yard.undo(heap[0][-1])
    seen = set()
    while heap and best.left[0] and yard.tries < end:
        cost, _, _, steps = heapq.heappop(heap)
        yard.go(steps)
        if (state := yard.state()) not in seen:
            seen.add(state)
            if not yard.parked(steps):
                best = min(best, _Way(steps, cost, yard.left()), key=lambda one: (one.left, one.cost))
            for step, more in _choices(yard, sum(len(step) for step in steps), anywhere=not eager):
                yard.go([step])
                after = (step, *yard.harmless()) if eager else (step,)
                left = yard.left()
                yard.undo(after)
                spent = (cost[0] + more, cost[1] + step[0].temporary)
                heapq.heappush(heap, (spent, left, next(tie), (*steps, *after)))
        yard.undo(steps)
    return best


def _choices(yard: Yard, made: int, *, anywhere: bool) -> Iterator[tuple[Step, int]]:
    """Yield what can be done after so many moves, with the bytes that it costs beside those of the target."""
    for step in yard.contested(yard.pending()):
        yield step, 0
    yield from yard.asides(made, anywhere=anywhere)
