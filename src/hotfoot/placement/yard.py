"""A placement on its way to a target: who is not there yet, and what can be done about it. Pure.

Arrivals at hosts that have room for all who are to come are harmless: they stand in nobody's way, but for rules. Of the
others one has to be chosen, and it may be the wrong one. Where nothing can be done, an instance goes aside: to a
temporary place, and later on to where it should be, or back if it should not have moved at all.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from hotfoot.placement.passage import BINDING, Passage, Shift, Step, hosts_by_room
from hotfoot.placement.snapshot import RuleKind

PLACES = 4
"""Temporary places tried for one instance, those with the most room."""
CANDIDATES, BYSTANDERS = 32, 16
"""Instances tried for a temporary place at one point, of those that are to move and of others: the smallest."""


class Yard:
    """A passage with the target of those that are to move.

    Invariant: every step that it yields is one that the passage lets pass.
    """

    def __init__(self, passage: Passage, goal: Mapping[str, str], most_moves: int | None) -> None:
        self._passage = passage
        self._wanted = frozenset(goal)
        self._goal = dict(goal)
        self._origin = dict(passage.where)
        self._most_moves = most_moves
        self._sizes = {one.id: one.bytes_to_move for one in passage.instances.values()}
        self.tries = 0
        """Steps that were judged so far: a measure of work that is the same on every machine."""

    def pending(self) -> dict[str, str]:
        """Return who is not yet where it should be, and where that is."""
        where = self._passage.where
        return {one: host for one, host in self._goal.items() if where[one] != host}

    def left(self) -> tuple[int, int]:
        """Return how many are not where they should be, and their bytes."""
        pending = self.pending()
        return len(pending), sum(self._bytes(one) for one in pending)

    def state(self) -> frozenset[tuple[str, str]]:
        """Return where all are that have moved or are to."""
        return frozenset((one, self._passage.where[one]) for one in self._goal)

    def parked(self, steps: Sequence[Step]) -> bool:
        """Whether an instance is in a temporary place after these steps."""
        return not self.pending().keys().isdisjoint(shift.instance for step in steps for shift in step)

    def go(self, steps: Iterable[Step]) -> None:
        """Make steps."""
        for step in steps:
            self._passage.go(step)
            for shift in step:
                self._goal.setdefault(shift.instance, self._origin[shift.instance])

    def undo(self, steps: Sequence[Step]) -> None:
        """Take steps back, the last first."""
        for step in reversed(steps):
            self._passage.back(step)

    def greedy(self, after: Step | None = None) -> list[Step]:
        """Make all steps that can be made without a temporary place, and return them.

        ``after``: only what this step, which has just been made, may have made possible.
        """
        steps = self.harmless()
        freed = None if after is None else self._freed([after, *steps])
        while pending := self.pending():
            step = next(self.contested(pending, freed), None)
            if step is None:
                break
            self.go([step])
            new = [step, *self.harmless()]
            steps += new
            freed = None if freed is None else freed | self._freed(new)
        return steps

    def _freed(self, steps: Sequence[Step]) -> set[str]:
        """Return the hosts that steps made room on, and the instances that share a rule with those moved."""
        shifts = [shift for step in steps for shift in step]
        rules = [rule for shift in shifts for rule in self._passage.rules_of.get(shift.instance, ())]
        return {shift.source for shift in shifts} | {one for rule in rules for one in (*rule.instances, *rule.near)}

    def harmless(self) -> list[Step]:
        """Make all arrivals at hosts that have room for all who are to come, as long as there are any."""
        passage, pending, made = self._passage, self.pending(), list[Step]()
        coming: dict[str, dict[str, None]] = defaultdict(dict)
        demand: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for one, host in pending.items():
            coming[host][one] = None
            for name, size in passage.instances[one].sizes.items():
                demand[host][name] += size

        def roomy(host: str) -> bool:
            room = passage.room[host]
            return all(size <= 0 or size <= room.get(name, 0) for name, size in demand[host].items())

        waiting = deque(pending)
        while waiting:
            one = waiting.popleft()
            if one not in pending or not roomy(pending[one]):
                continue
            step = self._step(one, pending)
            if step is None or not all(roomy(shift.destination) for shift in step):
                continue
            self.go([step])
            made.append(step)
            for shift in step:
                host = pending.pop(shift.instance)
                coming[host].pop(shift.instance)
                for name, size in passage.instances[shift.instance].sizes.items():
                    demand[host][name] -= size
            for shift in step:
                waiting.extend(coming[shift.source])
                for rule in passage.rules_of.get(shift.instance, ()):
                    waiting.extend(other for other in (*rule.instances, *rule.near) if other in pending)
        return made

    def _step(self, one: str, pending: Mapping[str, str]) -> Step | None:
        """Return the step that brings an instance to its target now, with those that must go with it."""
        passage = self._passage
        self.tries += 1
        convoy = {one}
        while True:
            members = (one,) if len(convoy) == 1 else [each for each in pending if each in convoy]
            step = tuple(Shift(each, passage.where[each], pending[each]) for each in members)
            rule = passage.broken_by(step)
            if rule is None:
                return step if passage.fits(step) else None
            bound = {each for each in (*rule.instances, *rule.near) if each in pending} - convoy
            if rule.kind not in BINDING or not bound:
                return None
            convoy |= bound

    def contested(self, pending: Mapping[str, str], freed: Collection[str] | None = None) -> Iterator[Step]:
        """Yield the steps that can be made now, first those that leave where most are to come, returns last."""
        passage = self._passage
        coming: dict[str, int] = defaultdict(int)
        for host in pending.values():
            coming[host] += 1
        some = [one for one, host in pending.items() if freed is None or host in freed or one in freed]
        for one in sorted(
            some, key=lambda each: (each not in self._wanted, -coming[passage.where[each]], -self._bytes(each), each)
        ):
            step = self._step(one, pending)
            if step is not None:
                yield step

    def _bytes(self, one: str) -> int:
        return self._sizes[one]

    def asides(self, made: int, *, anywhere: bool = False) -> Iterator[tuple[Step, int]]:
        """Yield steps to temporary places after so many moves, with the bytes that each costs.

        Those go aside that are where others cannot come, with all that must be together with them: first those that
        are to move themselves, the smallest first, then others.

        ``anywhere``: also those on other hosts, where they may stand in the way of a temporary place.
        """
        passage, pending = self._passage, self.pending()
        wanted = {host for one, host in pending.items() if not self._open((Shift(one, passage.where[one], host),))}
        there = [
            one
            for one, host in passage.where.items()
            if (anywhere or host in wanted) and passage.wish.moves(passage.instances[one])
        ]
        self.tries += len(there) // 8  # a look at one is that much cheaper than a step
        goers: list[tuple[int, tuple[str, ...]]] = []
        bystanders: list[tuple[bool, int, tuple[str, ...]]] = []
        for group in {self._together(one) for one in there}:
            cost = sum(self._bytes(one) * (1 if one in pending else 2) for one in group)
            if pending.keys() >= set(group):
                goers.append((cost, group))
            else:
                bystanders.append((passage.where[group[0]] not in wanted, cost, group))
        movers = sorted(goers)[:CANDIDATES] + [(cost, group) for _, cost, group in sorted(bystanders)[:BYSTANDERS]]
        places = sorted(hosts_by_room(passage, passage.hosts), key=lambda name: name in wanted)
        for cost, group in movers:
            more = sum(1 if one in pending else 2 for one in group)
            if self._most_moves is None or made + len(pending) + more <= self._most_moves:
                goals = {pending.get(one) for one in group}
                for step in islice(self._aside(group, [name for name in places if name not in goals]), PLACES):
                    yield step, cost

    def _together(self, one: str) -> tuple[str, ...]:
        """Return an instance with those on its host that a hard rule keeps together with it."""
        if one not in self._passage.rules_of:
            return (one,)
        where, group, new = self._passage.where, {one}, [one]
        while new:
            rules = self._passage.rules_of.get(new.pop(), ())
            bound = {each for rule in rules if rule.kind is RuleKind.TOGETHER for each in rule.instances} - group
            near = {each for each in bound if where[each] == where[one]}
            group |= near
            new += sorted(near)
        return tuple(sorted(group))

    def _aside(self, group: Sequence[str], places: Iterable[str]) -> Iterator[Step]:
        passage = self._passage
        here = passage.where[group[0]]
        for name in places:
            if name != here and all(passage.may_go(one, name) for one in group):
                step = tuple(Shift(one, here, name, temporary=True) for one in group)
                if self._open(step):
                    yield step

    def _open(self, step: Step) -> bool:
        self.tries += 1
        return self._passage.open(step)
