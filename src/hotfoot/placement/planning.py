"""From a snapshot and a wish to a plan: where instances should be, in which order they get there, and when.

Invariant: the placement to which the moves lead has a score that is no higher than the start's, and never one in which
a move was made for another that is not made. When no order leads to what the solver wants, it is asked again without
the places that cannot be reached, as long as there is time; the best of what can be reached is planned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hotfoot.placement.order import Ordered, order
from hotfoot.placement.passage import Passage, Shift, Step, breach
from hotfoot.placement.plan import Move, Plan, Score, Target
from hotfoot.placement.room import room_of
from hotfoot.placement.score import levels_of, score
from hotfoot.placement.snapshot import Snapshot
from hotfoot.placement.solve import solve
from hotfoot.placement.times import Job, Timetable, timetable
from hotfoot.placement.waits import waits
from hotfoot.placement.wish import Balance, Consolidate, Drain, Repair, Restore, Wish

ROUNDS = 6
"""How often the solver is asked at most."""
_UNREACHABLE = "no order of moves brings it there"
_NO_WAY = "no order of moves leads to what would be better"
_NO_GAIN = "what can be reached by moves is no better than what is there"


@dataclass(frozen=True, slots=True)
class _Way:
    """A target, and how far the moves lead towards it."""

    target: Target
    ordered: Ordered
    hosts: Mapping[str, str]
    """Where the moves lead: instance id to host."""
    after: Score

    @property
    def cost(self) -> tuple[float, int]:
        return self.after.total, sum(len(step) for step in self.ordered.steps)


def plan(snapshot: Snapshot, wish: Wish, clock: Callable[[], float]) -> Plan:
    """Return the plan; ``clock`` gives seconds, by which ``wish.seconds`` is judged.

    Raises HotfootError when the wish names what the snapshot has not.
    """
    end_s = clock() + wish.seconds
    first = best = _way(snapshot, snapshot, wish, clock)
    way, asked = first, snapshot
    for _ in range(1, ROUNDS):
        if not way.ordered.left or (left_s := end_s - clock()) <= 0:
            break
        asked = _without(asked, _given_up(asked, way))
        way = _way(snapshot, asked, wish.model_copy(update={"seconds": left_s}), clock)
        best = min(best, way, key=lambda one: one.cost)
    before = first.target.before
    if best.ordered.steps and not _gains(before, best.after, wish):
        return Plan(moves=(), before=before, after=before, stays=_stays(best), remark=_NO_GAIN)
    moves, times = _moves(snapshot, wish, best)
    bound = first.target.bound
    total = best.after.total
    return Plan(
        moves=moves,
        before=before,
        after=best.after,
        bound=bound,
        gap=None if bound is None else max(0.0, total - bound) / max(abs(total), 1e-9),
        seconds=times.seconds,
        least_seconds=times.least_seconds,
        transfer_bytes=sum(move.transfer_bytes for move in moves),
        stays=_stays(best),
        remark=best.target.remark or (None if moves else _NO_WAY),
    )


def _way(snapshot: Snapshot, asked: Snapshot, wish: Wish, clock: Callable[[], float]) -> _Way:
    target = solve(asked, wish, clock)
    ordered = order(snapshot, wish, target.hosts)
    hosts = {instance.id: instance.host for instance in snapshot.instances}
    hosts |= {shift.instance: shift.destination for step in ordered.steps for shift in step}
    return _Way(target, ordered, hosts, _score(snapshot, wish, hosts) if ordered.left else target.after)


def _score(snapshot: Snapshot, wish: Wish, hosts: Mapping[str, str]) -> Score:
    room = room_of(snapshot, wish)
    number = {name: at for at, name in enumerate(room.host_names)}
    levels = levels_of(snapshot, room, wish.objective) if isinstance(wish.objective, Balance) else None
    return score(room, wish, levels, np.array([number[hosts[one]] for one in room.ids], dtype=np.int64))


def _given_up(snapshot: Snapshot, way: _Way) -> Mapping[str, str]:
    """Return which places to do without: of the moves that block each other, that of the fewest bytes."""
    group: dict[str, str] = {}

    def first(host: str) -> str:
        while group.setdefault(host, host) != host:
            host = group[host]
        return host

    left = [one for one in snapshot.instances if one.id in way.ordered.left]
    for one in left:
        group[first(one.host)] = first(way.target.hosts[one.id])
    cheapest = {first(one.host): one.id for one in sorted(left, key=lambda one: (-one.bytes_to_move, one.id))}
    return {one: way.target.hosts[one] for one in cheapest.values()}


def _without(snapshot: Snapshot, places: Mapping[str, str]) -> Snapshot:
    """Return the snapshot in which these instances cannot be on these hosts."""
    instances = [
        one.model_copy(update={"impossible": {**one.impossible, places[one.id]: _UNREACHABLE}})
        if one.id in places
        else one
        for one in snapshot.instances
    ]
    return snapshot.model_copy(update={"instances": tuple(instances)})


def _gains(before: Score, after: Score, wish: Wish) -> bool:
    if isinstance(wish.objective, Balance):
        return before.total - after.total >= wish.objective.least_gain * before.total
    return after.total < before.total


def _stays(way: _Way) -> Mapping[str, str]:
    return {**way.target.reasons, **way.ordered.left}


def _moves(snapshot: Snapshot, wish: Wish, way: _Way) -> tuple[tuple[Move, ...], Timetable]:
    """Return the moves in order of start, numbered from 1, and when they are made."""
    passage = Passage(snapshot, wish)
    shifts = [shift for step in way.ordered.steps for shift in step]
    after = waits(passage, way.ordered.steps)
    times = timetable(
        [_job(passage, shift, waits_for) for shift, waits_for in zip(shifts, after, strict=True)],
        {host.name: host.link_bytes_per_s for host in snapshot.hosts},
        snapshot.limits,
    )
    in_order = sorted(range(len(shifts)), key=lambda one: (times.spans[one].begins_s, one))
    number = {one: at for at, one in enumerate(in_order, 1)}
    purpose = _Purpose(snapshot, wish, way.hosts)
    convoys = {one: of for of, step in _numbered(way.ordered.steps) if len(step) > 1 for one in step}
    moves = []
    for one in in_order:
        shift, span, instance = shifts[one], times.spans[one], passage.instances[shifts[one].instance]
        moves.append(
            Move(
                number=number[one],
                instance=instance.id,
                name=instance.name,
                source=shift.source,
                destination=shift.destination,
                transfer_bytes=instance.bytes_to_move,
                downtime_ms=instance.downtime_ms,
                begins_s=span.begins_s,
                seconds=span.seconds,
                after=tuple(sorted(number[earlier] for earlier in after[one])),
                reason=purpose.of(shift),
                temporary=shift.temporary,
                convoy=convoys.get(one),
                cold=wish.how(instance),
            )
        )
    return tuple(moves), times


def _numbered(steps: Sequence[Step]) -> Iterator[tuple[int, range]]:
    """Yield the number of each step, from 1, and those of its shifts, from 0 through all steps."""
    first = 0
    for number, step in enumerate(steps, 1):
        yield number, range(first, first + len(step))
        first += len(step)


def _job(passage: Passage, shift: Shift, after: frozenset[int]) -> Job:
    instance = passage.instances[shift.instance]
    return Job(
        source=shift.source,
        destination=shift.destination,
        transfer_bytes=instance.bytes_to_move,
        least_seconds=instance.least_seconds,
        after=after,
    )


class _Purpose:
    """What each move is for, in a few words."""

    def __init__(self, snapshot: Snapshot, wish: Wish, hosts: Mapping[str, str]) -> None:
        self._objective = wish.objective
        self._start = {instance.id: instance.host for instance in snapshot.instances}
        self._maintenance = {host.name for host in snapshot.hosts if host.maintenance}
        self._occupied = set(hosts.values())
        zone = {host.name: host.zone for host in snapshot.hosts}
        self._mended: Sequence[tuple[str, frozenset[str]]] = [
            (rule.name, frozenset((*rule.instances, *rule.near)))
            for rule in snapshot.rules
            if breach(rule, self._start.__getitem__, zone.get) > breach(rule, hosts.__getitem__, zone.get)
        ]

    def of(self, shift: Shift) -> str:
        """Return what one move is for."""
        start = self._start[shift.instance]
        match self._objective:
            case _ if shift.temporary:
                return "makes way for a while"
            case Drain() if start in self._objective.hosts:
                return f"empties {start}"
            case Restore() if self._objective.homes.get(shift.instance) == shift.destination:
                return "brings it home"
            case Consolidate() if start not in self._occupied:
                return f"empties {start}"
            case Repair():
                mended = next((name for name, instances in self._mended if shift.instance in instances), None)
                if mended:
                    return f"mends {mended}"
            case Balance():
                return f"empties {start}, in maintenance" if start in self._maintenance else "evens out"
        return f"makes room on {start}"
