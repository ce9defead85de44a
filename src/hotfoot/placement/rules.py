"""How much a placement breaks each rule. Pure.

A breach is counted in instances, and in zones for a spread:

========= ==========================================================
together  hosts that the instances are on, less one
apart     on each host, the instances beyond the first
only-on   instances that are elsewhere
not-on    instances that are there
spread    zones that are lacking; a host without a zone is in none
near      instances in a zone, or in none, where none of ``near`` is
========= ==========================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hotfoot.placement.snapshot import RuleKind, Snapshot

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bond:
    """One rule with numbers in place of names."""

    name: str
    kind: RuleKind
    members: Ints
    """Numbers of its instances, each once, ascending."""
    hosts: Flags
    """[H]: the hosts that it names."""
    near: Ints
    zones_wanted: int
    hard: bool
    weight: float
    zones: Ints
    """[H]: number of each host's zone, -1: none."""

    @property
    def touched(self) -> Ints:
        """The instances whose place matters to it."""
        return np.union1d(self.members, self.near)

    @property
    def most_breaches(self) -> int:
        """No placement has more."""
        return max(len(self.members), self.zones_wanted)

    def breaches(self, at: Ints) -> int:
        """Return how often this placement, of I host numbers, breaks it."""
        where = at[self.members]
        match self.kind:
            case RuleKind.TOGETHER:
                return max(0, len(np.unique(where)) - 1)
            case RuleKind.APART:
                return len(where) - len(np.unique(where))
            case RuleKind.ONLY_ON:
                return int(np.count_nonzero(~self.hosts[where]))
            case RuleKind.NOT_ON:
                return int(np.count_nonzero(self.hosts[where]))
            case RuleKind.SPREAD:
                zones = np.unique(self.zones[where])
                return max(0, self.zones_wanted - int(np.count_nonzero(zones >= 0)))
            case RuleKind.NEAR:
                there = np.unique(self.zones[at[self.near]])
                return int(np.count_nonzero(~np.isin(self.zones[where], there[there >= 0])))

    def breaches_with(self, at: Ints, instance: int) -> Ints:
        """[H]: the breaches if this one of its instances were on each host, and all others where they are."""
        count = len(self.hosts)
        if instance not in self.touched:
            return np.full(count, self.breaches(at), dtype=np.int64)
        where = at[self.members[self.members != instance]]
        match self.kind:
            case RuleKind.TOGETHER:
                there = np.zeros(count, dtype=bool)
                there[where] = True
                return int(np.count_nonzero(there)) - there.astype(np.int64)
            case RuleKind.APART:
                there = np.zeros(count, dtype=bool)
                there[where] = True
                return len(where) - int(np.count_nonzero(there)) + there.astype(np.int64)
            case RuleKind.ONLY_ON:
                return int(np.count_nonzero(~self.hosts[where])) + (~self.hosts).astype(np.int64)
            case RuleKind.NOT_ON:
                return int(np.count_nonzero(self.hosts[where])) + self.hosts.astype(np.int64)
            case RuleKind.SPREAD:
                held = np.unique(self.zones[where])
                more = (self.zones >= 0) & ~np.isin(self.zones, held)
                return np.maximum(0, self.zones_wanted - int(np.count_nonzero(held >= 0)) - more.astype(np.int64))
            case RuleKind.NEAR:
                return self._near_with(at, instance, self.zones[where])

    def _near_with(self, at: Ints, instance: int, zones_of_others: Ints) -> Ints:
        held = np.unique(self.zones[at[self.near[self.near != instance]]])
        held = held[held >= 0]
        lonely = zones_of_others[~np.isin(zones_of_others, held)]
        breaches = np.full(len(self.hosts), len(lonely), dtype=np.int64)
        brings = instance in self.near
        if brings:
            breaches -= np.where(self.zones >= 0, np.count_nonzero(lonely[:, None] == self.zones[None, :], axis=0), 0)
        if instance in self.members:
            breaches += ~((self.zones >= 0) if brings else np.isin(self.zones, held))
        return breaches


def bonds_of(
    snapshot: Snapshot, host_number: Mapping[str, int], number: Mapping[str, int], zones: Ints
) -> tuple[Bond, ...]:
    """Return the snapshot's rules by numbers, in its order; ``zones`` is [H]."""
    bonds = []
    for rule in snapshot.rules:
        hosts = np.zeros(len(host_number), dtype=bool)
        hosts[[host_number[name] for name in sorted(rule.hosts)]] = True
        bonds.append(
            Bond(
                name=rule.name,
                kind=rule.kind,
                members=np.array(sorted({number[one] for one in rule.instances}), dtype=np.int64),
                hosts=hosts,
                near=np.array(sorted({number[one] for one in rule.near}), dtype=np.int64),
                zones_wanted=rule.zones if rule.kind is RuleKind.SPREAD else 1,
                hard=rule.hard,
                weight=rule.weight,
                zones=zones,
            )
        )
    return tuple(bonds)
