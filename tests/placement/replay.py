"""Carries a plan out on paper, in many ways, and says what goes wrong: written without the modules that order moves."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hotfoot.placement.snapshot import Rule, RuleKind, Snapshot
from hotfoot.placement.wish import Drain, Wish


@dataclass(frozen=True)
class Leg:
    """One move: of which instance, from where to where, and after which other legs (numbers from 0)."""

    instance: str
    source: str
    destination: str
    after: frozenset[int]
    temporary: bool = False


def faults(snapshot: Snapshot, wish: Wish, legs: Sequence[Leg], *, ways: int = 8) -> list[str]:
    """Return what goes wrong when the legs are made in their order, and in some random ones that keep ``after``."""
    found = [*_allowed(snapshot, wish, legs)]
    found += _Replay(snapshot, legs).run(None)
    for seed in range(ways):
        found += _Replay(snapshot, legs).run(random.Random(seed))
    return list(dict.fromkeys(found))


def _allowed(snapshot: Snapshot, wish: Wish, legs: Sequence[Leg]) -> Iterable[str]:
    hosts = {host.name: host for host in snapshot.hosts}
    instances = {instance.id: instance for instance in snapshot.instances}
    drained = wish.objective.hosts if isinstance(wish.objective, Drain) else frozenset()
    at = {instance.id: instance.host for instance in snapshot.instances}
    returns = {leg.instance: at[leg.instance] for leg in legs}
    for leg in legs:
        one, there = instances[leg.instance], hosts[leg.destination]
        if not wish.moves(one) or leg.instance in wish.fixed or not hosts[leg.source].up:
            yield f"{one.name} must stay on {leg.source}"
        if leg.destination != returns[leg.instance]:
            if not there.up or there.maintenance or there.name in drained or there.name in one.impossible:
                yield f"{one.name} may not go to {there.name}"
            if wish.to is not None and there.name not in wish.to:
                yield f"{there.name} was not named as a destination"
        if leg.source == leg.destination or at[leg.instance] != leg.source:
            yield f"{one.name} is on {at[leg.instance]} and cannot go from {leg.source} to {leg.destination}"
        at[leg.instance] = leg.destination
    last = {leg.instance: leg for leg in legs}
    if parked := [leg.instance for leg in last.values() if leg.temporary]:
        yield f"{parked[0]} is left in a temporary place"
    if wish.most_moves is not None and len(legs) > wish.most_moves:
        yield f"{len(legs)} moves instead of {wish.most_moves}"


class _Replay:
    def __init__(self, snapshot: Snapshot, legs: Sequence[Leg]) -> None:
        self.legs = legs
        self.hosts = {host.name: host for host in snapshot.hosts}
        self.sizes = {instance.id: instance.sizes for instance in snapshot.instances}
        self.on: dict[str, list[str]] = {instance.id: [instance.host] for instance in snapshot.instances}
        self.rules = [rule for rule in snapshot.rules if rule.hard]
        self.whole = {rule.name: self.breach(rule) for rule in self.rules}
        self.found: list[str] = []

    def run(self, chance: random.Random | None) -> list[str]:
        waiting, running, over = list(range(len(self.legs))), list[int](), set[int]()
        while waiting or running:
            ready = [number for number in waiting if self.legs[number].after <= over]
            if chance is None:
                ready = [number for number in ready if number == waiting[0] and not running]
            if ready and (not running or chance is None or chance.random() < 0.7):
                number = ready[0] if chance is None else chance.choice(ready)
                waiting.remove(number)
                running.append(number)
                self.begin(self.legs[number])
            elif running:
                number = running[0] if chance is None else chance.choice(running)
                running.remove(number)
                over.add(number)
                self.end(self.legs[number], final=not waiting and not running)
            else:
                return [*self.found, f"leg {waiting[0]} can never begin"]
        return self.found

    def begin(self, leg: Leg) -> None:
        if self.on[leg.instance] != [leg.source]:
            self.found.append(f"{leg.instance} begins on {leg.source}, but is on {self.on[leg.instance]}")
        self.on[leg.instance] = [leg.source, leg.destination]
        host = self.hosts[leg.destination]
        used = Counter(dict(host.used_by_others))
        for one, places in self.on.items():
            used.update(Counter(self.sizes[one]) if host.name in places else {})
        for resource, size in self.sizes[leg.instance].items():
            capacity = host.resources[resource].capacity if resource in host.resources else 0
            if size and used[resource] > capacity * host.safety + 1e-6:
                self.found.append(f"{host.name} is filled with {used[resource]} of {resource} by {leg.instance}")
        for rule in self.rules:
            apart = rule.kind is RuleKind.APART and leg.instance in rule.instances and not self.whole[rule.name]
            if apart and any(host.name in self.on[one] for one in rule.instances if one != leg.instance):
                self.found.append(f"{leg.instance} meets another on {host.name} against {rule.name}")

    def end(self, leg: Leg, *, final: bool) -> None:
        self.on[leg.instance] = [leg.destination]
        for rule in self.rules:
            if rule.kind in (RuleKind.TOGETHER, RuleKind.NEAR) and not final:
                continue  # a convoy breaks them until it has arrived
            if self.breach(rule) > self.whole[rule.name]:
                self.found.append(f"{rule.name} is broken after {leg.instance} went to {leg.destination}")

    def breach(self, rule: Rule) -> int:
        # An instance under way counts where it runs: on its source.
        where: Mapping[str, str] = {one: self.on[one][0] for one in (*rule.instances, *rule.near)}
        hosts = [where[one] for one in set(rule.instances)]
        zone = {name: host.zone for name, host in self.hosts.items()}
        match rule.kind:
            case RuleKind.TOGETHER:
                return len(set(hosts)) - 1 if hosts else 0
            case RuleKind.APART:
                return sum(times - 1 for times in Counter(hosts).values())
            case RuleKind.ONLY_ON:
                return sum(host not in rule.hosts for host in hosts)
            case RuleKind.NOT_ON:
                return sum(host in rule.hosts for host in hosts)
            case RuleKind.SPREAD:
                return max(0, rule.zones - len({zone[host] for host in hosts if zone[host] is not None}))
            case RuleKind.NEAR:
                near = {zone[where[one]] for one in rule.near if zone[where[one]] is not None}
                return sum(zone[host] not in near for host in hosts)
