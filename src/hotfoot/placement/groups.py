"""Instances that are as good as one another, so that a model counts them instead of telling them apart. Pure.

Most instances of a cloud come in few sizes and may run on the same hosts: 2,000 of them on 240 hosts are seven groups,
and a model of them has 1,700 whole numbers instead of half a million choices between two.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hotfoot.placement.room import Flags, Floats, Ints, Room
from hotfoot.placement.snapshot import RuleKind
from hotfoot.placement.wish import Repair, Wish


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Free instances of the same sizes and amounts, with the same hosts to go to; or one that rules tell apart."""

    members: Ints
    """Their numbers, ascending."""
    size: Ints
    """[R]: of each."""
    amount: Floats
    """[K]: of each; empty where nothing is balanced."""
    most_on: Mapping[int, int]
    """Host number to how many may end there: all, or only those that start there."""
    natives: Mapping[int, Ints]
    """Host number to the members that start there, the cheapest to move first."""
    now_on: Mapping[int, int]
    """Host number to how many are there in the placement that is to be improved."""

    def placed(self, at: Ints, counts: Mapping[int, int], transfer_bytes: Ints) -> None:
        """Write into ``at`` who goes where, given how many end on each host.

        On each host natives stay before others come, those that are dear to move first: no other choice sends less.
        """
        rest = set(self.members.tolist())
        for host, natives in self.natives.items():
            stay = natives[max(0, len(natives) - counts.get(host, 0)) :]
            at[stay] = host
            rest -= set(stay.tolist())
        waiting = sorted(rest, key=lambda one: (int(transfer_bytes[one]), one))
        for host in sorted(counts):
            lacking = max(0, counts[host] - len(self.natives.get(host, ())))
            for one in waiting[:lacking]:
                at[one] = host
            del waiting[:lacking]


def told_apart(room: Room, wish: Wish) -> Flags:
    """[I]: instances that a rule, or a home of their own, makes unlike all others."""
    apart: Flags = room.home >= 0
    for bond in room.bonds:
        by_host_alone = bond.kind in (RuleKind.ONLY_ON, RuleKind.NOT_ON)
        if not (bond.hard and by_host_alone) or isinstance(wish.objective, Repair):
            apart[bond.touched] = True
    return apart


def groups_of(room: Room, wish: Wish, amounts: Floats, at: Ints, free: Flags, hosts: Flags) -> Sequence[Group]:
    """Return the groups of the free instances ([I]), to be placed on some hosts ([H]) where all of them are now."""
    apart = told_apart(room, wish)
    kept: dict[tuple[object, ...], list[int]] = defaultdict(list)
    chosen = np.flatnonzero(free)
    masks = np.packbits(room.open_to[chosen] & hosts, axis=1)
    for place, one in enumerate(chosen.tolist()):
        key: tuple[object, ...] = (room.sizes[one].tobytes(), amounts[one].tobytes(), masks[place].tobytes())
        kept[(*key, one) if apart[one] else key].append(one)
    return [_group(room, amounts, at, np.array(members, dtype=np.int64), hosts) for members in kept.values()]


def _group(room: Room, amounts: Floats, at: Ints, members: Ints, hosts: Flags) -> Group:
    natives: dict[int, Ints] = {}
    for host in np.unique(room.start[members]).tolist():
        if hosts[host]:
            there = members[room.start[members] == host]
            natives[host] = there[np.argsort(room.transfer_bytes[there], kind="stable")]
    first = int(members[0])
    most_on = {host: len(there) for host, there in natives.items()}
    most_on |= dict.fromkeys(np.flatnonzero(room.open_to[first] & hosts).tolist(), len(members))
    now, counts = np.unique(at[members], return_counts=True)
    return Group(
        members=members,
        size=room.sizes[first],
        amount=amounts[first],
        most_on=dict(sorted(most_on.items())),
        natives=natives,
        now_on=dict(zip(now.tolist(), counts.tolist(), strict=True)),
    )
