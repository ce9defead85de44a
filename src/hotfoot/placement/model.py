"""A cluster as a CP-SAT model: how many of each group end on each host, and what must hold. No I/O.

Part of a cluster can be modelled: some instances are free, on some hosts; all others stay where they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from ortools.sat.python import cp_model

from hotfoot.placement.groups import Group, groups_of
from hotfoot.placement.room import Flags, Floats, Ints, Room
from hotfoot.placement.rules import Bond
from hotfoot.placement.snapshot import RuleKind
from hotfoot.placement.wish import Wish

Expression: TypeAlias = cp_model.LinearExpr | int
total = cp_model.LinearExpr.sum
weighted = cp_model.LinearExpr.weighted_sum


class PlacementModel:
    """The hard part of the model; objectives are put on it by ``goals.py``.

    Keeps: no capacity and no safety capacity is exceeded by a newcomer, no hard rule is broken more often than at the
    start, and at most ``most_moves`` instances are away from where they started.
    """

    def __init__(self, room: Room, wish: Wish, amounts: Floats, at: Ints, free: Flags, hosts: Flags) -> None:
        self.model = cp_model.CpModel()
        self.room, self.wish, self.at, self.free = room, wish, at, free & hosts[at] & room.movable
        self.hosts: list[int] = np.flatnonzero(hosts).tolist()
        self.groups: Sequence[Group] = groups_of(room, wish, amounts, at, self.free, hosts)
        self.counts: list[dict[int, cp_model.IntVar]] = []
        self.leavers: list[tuple[int, cp_model.IntVar]] = []
        """What each of them sends, and how many of them leave where they started."""
        self._could_leave: list[Ints] = []
        """Of each of the leavers, the instances that are meant."""
        self.fixed_moves = int(np.count_nonzero((at != room.start) & ~self.free))
        self.fixed_bytes = int(room.transfer_bytes[(at != room.start) & ~self.free].sum())
        self._group_of: dict[int, int] = {}
        self._breaches: dict[str, Expression] = {}
        for number, group in enumerate(self.groups):
            self._count(number, group)
        self._bear()
        for bond in room.bonds:
            if bond.hard and bond.kind not in (RuleKind.ONLY_ON, RuleKind.NOT_ON) and self.free[bond.touched].any():
                self.model.add(self.breaches(bond) <= bond.breaches(room.start))
        if wish.most_moves is not None:
            self.model.add(total([leave for _, leave in self.leavers]) <= wish.most_moves - self.fixed_moves)
        self.hint(at)

    @property
    def size(self) -> int:
        """How many whole numbers are to be chosen."""
        return sum(len(counts) for counts in self.counts)

    def on(self, host: int) -> list[tuple[Group, cp_model.IntVar]]:
        """Return each group that may end on a host, with how many of it do."""
        return [(group, counts[host]) for group, counts in zip(self.groups, self.counts, strict=True) if host in counts]

    def place(self, instance: int) -> Mapping[int, Expression]:
        """Return where an instance that is told apart may end: host number to 0 or 1."""
        if not self.free[instance]:
            return {int(self.at[instance]): 1}
        return self.counts[self._group_of[instance]]

    def hint(self, at: Ints) -> None:
        """Begin the search with this placement."""
        self.model.clear_hints()  # type: ignore[no-untyped-call]
        for group, counts in zip(self.groups, self.counts, strict=True):
            where, many = np.unique(at[group.members], return_counts=True)
            there = dict(zip(where.tolist(), many.tolist(), strict=True))
            for host, count in counts.items():
                self.model.add_hint(count, there.get(host, 0))
        for (_, leave), natives in zip(self.leavers, self._could_leave, strict=True):
            self.model.add_hint(leave, int(np.count_nonzero(at[natives] != self.room.start[natives])))

    def placement(self, solver: cp_model.CpSolver) -> Ints:
        """Return the placement that the solver found."""
        at = self.at.copy()
        for group, counts in zip(self.groups, self.counts, strict=True):
            group.placed(at, {host: solver.value(count) for host, count in counts.items()}, self.room.transfer_bytes)
        return at

    def breaches(self, bond: Bond) -> Expression:
        """Return how often a rule is broken; never less, and as little as that where it is minimised or bounded."""
        if bond.name not in self._breaches:
            self._breaches[bond.name] = self._breach(bond)
        return self._breaches[bond.name]

    def _count(self, number: int, group: Group) -> None:
        counts = {}
        for host, most in group.most_on.items():
            counts[host] = self.model.new_int_var(0, min(most, len(group.members)), f"n{number}_{host}")
        self.model.add(total(list(counts.values())) == len(group.members))
        self.counts.append(counts)
        self._group_of |= dict.fromkeys(group.members.tolist(), number)
        native = 0
        for host, natives in group.natives.items():
            native += len(natives)
            costs, many = np.unique(self.room.transfer_bytes[natives], return_counts=True)
            leave = [self.model.new_int_var(0, count, "") for count in many.tolist()]
            self.model.add(total(leave) >= len(natives) - counts[host])
            self.leavers += list(zip(costs.tolist(), leave, strict=True))
            self._could_leave += [natives[self.room.transfer_bytes[natives] == cost] for cost in costs.tolist()]
        strangers = group.members[~np.isin(self.room.start[group.members], list(group.natives))]
        self.fixed_moves += len(strangers)
        self.fixed_bytes += int(self.room.transfer_bytes[strangers].sum())

    def _bear(self) -> None:
        room = self.room
        kept = ~self.free
        fixed = room.others.copy()
        np.add.at(fixed, self.at[kept], room.sizes[kept])
        came = np.zeros_like(fixed)
        newcomers = kept & (self.at != room.start)
        np.add.at(came, self.at[newcomers], room.sizes[newcomers])
        at_start = room.used_at_start
        for host in self.hosts:
            there = self.on(host)
            for resource in range(len(room.resources)):
                taking = [(int(group.size[resource]), group, count) for group, count in there if group.size[resource]]
                newer = [(group, count) for _, group, count in taking if self._may_grow(group, host)]
                if not newer:
                    continue
                sizes = [size for size, _, _ in taking]
                # Smaller numbers for the same thing: sizes in MiB rather than in bytes.
                unit = int(np.gcd.reduce(np.array(sizes)))
                used = weighted([count for _, _, count in taking], [size // unit for size in sizes])
                left = int(room.safe[host, resource] - fixed[host, resource])
                if sum(size * group.most_on[host] for size, group, _ in taking) <= left:
                    continue
                if at_start[host, resource] <= room.safe[host, resource] or came[host, resource]:
                    self.model.add(used <= left // unit)
                    continue
                above = self.model.new_bool_var("")
                self.model.add(used <= left // unit).only_enforce_if(~above)
                for group, count in newer:
                    self.model.add(count <= len(group.natives.get(host, ()))).only_enforce_if(above)

    def _may_grow(self, group: Group, host: int) -> bool:
        return group.most_on[host] > len(group.natives.get(host, ()))

    def _breach(self, bond: Bond) -> Expression:
        members = [self.place(one) for one in bond.members.tolist()]
        match bond.kind:
            case RuleKind.ONLY_ON | RuleKind.NOT_ON:
                wanted = bond.kind is RuleKind.ONLY_ON
                return total(
                    [there for place in members for host, there in place.items() if bond.hosts[host] != wanted]
                )
            case RuleKind.TOGETHER:
                return total([self._any(on_host) for on_host in _by_host(members).values()]) - 1
            case RuleKind.APART:
                return total([self._beyond_first(on_host) for on_host in _by_host(members).values()])
            case RuleKind.SPREAD:
                zones = [self._none_of(on_zone) for on_zone in _by_zone(members, bond.zones).values()]
                lacking = self.model.new_int_var(0, bond.zones_wanted, "")
                self.model.add(lacking >= bond.zones_wanted - len(zones) + total(zones))
                return lacking
            case RuleKind.NEAR:
                return self._lonely(members, bond)

    def _any(self, there: Sequence[Expression]) -> Expression:
        """Return what is 1 when any of them is; can only be 0 when none is."""
        some = self.model.new_bool_var("")
        for one in there:
            self.model.add(one <= some)
        return some

    def _none_of(self, there: Sequence[Expression]) -> Expression:
        """Return what is 1 when none of them is; can only be 0 when one is."""
        none = self.model.new_bool_var("")
        self.model.add(total(list(there)) >= 1 - none)
        return none

    def _beyond_first(self, there: Sequence[Expression]) -> Expression:
        if len(there) < 2:
            return 0
        beyond = self.model.new_int_var(0, len(there) - 1, "")
        self.model.add(beyond >= total(list(there)) - 1)
        return beyond

    def _lonely(self, members: Sequence[Mapping[int, Expression]], bond: Bond) -> Expression:
        near = _by_zone([self.place(one) for one in bond.near.tolist()], bond.zones)
        empty = {zone: self._none_of(there) for zone, there in near.items()}
        lonely: list[Expression] = []
        for place in members:
            alone = self.model.new_bool_var("")
            by_zone = _by_zone([place], bond.zones)
            for zone, there in by_zone.items():
                self.model.add(total(list(there)) + empty.get(zone, 1) - 1 <= alone)
            nowhere = [there for host, there in place.items() if bond.zones[host] < 0]
            self.model.add(total(nowhere) <= alone)
            lonely.append(alone)
        return total(lonely)


def _by_host(places: Sequence[Mapping[int, Expression]]) -> dict[int, list[Expression]]:
    found: dict[int, list[Expression]] = {}
    for place in places:
        for host, there in place.items():
            found.setdefault(host, []).append(there)
    return found


def _by_zone(places: Sequence[Mapping[int, Expression]], zones: Ints) -> dict[int, list[Expression]]:
    found: dict[int, list[Expression]] = {}
    for place in places:
        for host, there in place.items():
            if zones[host] >= 0:
                found.setdefault(int(zones[host]), []).append(there)
    return found
