"""Which move of an order waits for which others, so that the rest may run side by side. Pure.

Invariant: however long each move takes, and whichever of those that may run do run, no host is ever overfilled, with
each instance counted on both hosts while it moves; no two that must be apart are on one host; and rules over several
instances see their moves in the order that was judged.

A host is safe when an arrival waits for as many departures before it as make room for it and all arrivals before it,
begun or not: what has really happened then is at most that much. All resources count on both hosts: of two moves that
run, either can be over first, so that room that is only given up at a move's end cannot be counted on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from hotfoot.placement.passage import Passage, Shift, Step
from hotfoot.placement.snapshot import Rule, RuleKind


def waits(passage: Passage, steps: Sequence[Step]) -> tuple[frozenset[int], ...]:
    """Return for each shift of the steps, counted from 0 in their order, which ones must be over before it begins.

    ``passage`` is at the start, and the steps are possible one after the other. What follows from others is left out.
    """
    shifts = [shift for step in steps for shift in step]
    found = _Waits(passage, shifts)
    needed: list[set[int]] = []
    first = 0
    for step in steps:
        own = range(first, first + len(step))
        together = {wait for number in own for wait in found.of(number)} - set(own)
        needed += [set(together) for _ in own]  # a convoy begins when all of it can
        first += len(step)
    return _without_implied(needed)


def _without_implied(needed: Sequence[set[int]]) -> tuple[frozenset[int], ...]:
    before: list[set[int]] = []
    direct = []
    for waits_for in needed:
        implied = {far for near in waits_for for far in before[near]}
        direct.append(frozenset(waits_for - implied))
        before.append(waits_for | implied)
    return tuple(direct)


class _Waits:
    def __init__(self, passage: Passage, shifts: Sequence[Shift]) -> None:
        self._passage = passage
        self._shifts = shifts
        self._arrivals: dict[str, list[int]] = defaultdict(list)
        self._departures: dict[str, list[int]] = defaultdict(list)
        self._of: dict[str, list[int]] = defaultdict(list)
        for number, shift in enumerate(shifts):
            self._arrivals[shift.destination].append(number)
            self._departures[shift.source].append(number)
            self._of[shift.instance].append(number)

    def of(self, number: int) -> Iterator[int]:
        """Yield what one shift must wait for."""
        shift = self._shifts[number]
        yield from (earlier for earlier in self._of[shift.instance] if earlier < number)
        yield from self._for_room(number, shift.destination)
        for rule in self._passage.rules_of.get(shift.instance, ()):
            if rule.kind is RuleKind.APART:
                yield from self._for_distance(number, shift, rule)
            elif rule.kind in (RuleKind.TOGETHER, RuleKind.SPREAD, RuleKind.NEAR):
                yield from self._in_turn(number, rule)

    def _for_room(self, number: int, host: str) -> Iterator[int]:
        moved = self._passage.instances[self._shifts[number].instance]
        for name, size in moved.sizes.items():
            if size <= 0:
                continue
            coming = sum(self._size(earlier, name) for earlier in self._arrivals[host] if earlier <= number)
            missing = coming - self._passage.room[host].get(name, 0)
            for earlier in self._departures[host]:
                if missing <= 0 or earlier >= number:
                    break
                if released := self._size(earlier, name):
                    missing -= released
                    yield earlier

    def _size(self, number: int, resource: str) -> int:
        return self._passage.instances[self._shifts[number].instance].sizes.get(resource, 0)

    def _for_distance(self, number: int, shift: Shift, rule: Rule) -> Iterator[int]:
        for other in rule.instances:
            for earlier in self._of.get(other, ()):
                if earlier < number and self._shifts[earlier].source == shift.destination:
                    yield earlier

    def _in_turn(self, number: int, rule: Rule) -> Iterator[int]:
        """Yield the earlier moves over which the rule counts, unless it is kept by those that stay."""
        place = self._zone if rule.kind in (RuleKind.SPREAD, RuleKind.NEAR) else str
        members = dict.fromkeys((*rule.instances, *rule.near))
        changing = [one for one in members if any(self._changes(move, place) for move in self._of.get(one, ()))]
        if not self._changes(number, place) or self._kept_by_others(rule, changing):
            return
        for one in changing:
            yield from (earlier for earlier in self._of[one] if earlier < number and self._changes(earlier, place))

    def _zone(self, host: str) -> str | None:
        return self._passage.zone(host)

    def _changes(self, number: int, place: Callable[[str], str | None]) -> bool:
        shift = self._shifts[number]
        return place(shift.source) != place(shift.destination)

    def _kept_by_others(self, rule: Rule, changing: Sequence[str]) -> bool:
        where = self._passage.where
        if rule.kind is RuleKind.SPREAD:
            return len({self._zone(where[one]) for one in rule.instances if one not in changing} - {None}) >= rule.zones
        if rule.kind is RuleKind.NEAR:
            near = {self._zone(where[one]) for one in rule.near if one not in changing} - {None}
            seen = {self._zone(where[one]) for one in rule.instances}
            seen |= {self._zone(self._shifts[n].destination) for one in rule.instances for n in self._of.get(one, ())}
            return seen <= near
        return False
