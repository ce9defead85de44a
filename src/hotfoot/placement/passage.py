"""What may happen on the way from one placement to another: room and hard rules, step by step.

A step is one instance that moves, or a convoy: instances that a hard rule binds to each other (together, near), whose
moves follow each other, since no order of single moves could keep the rule between the first and the last of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hotfoot.placement.snapshot import MEMORY, VCPUS, Host, Instance, Rule, RuleKind, Snapshot
from hotfoot.placement.wish import Drain, Wish
from hotfoot.sizes import human_bytes

BINDING = frozenset({RuleKind.TOGETHER, RuleKind.NEAR})
"""Kinds of rules that a convoy may suspend until its last instance has arrived."""


@dataclass(frozen=True, slots=True)
class Shift:
    """One instance (id) that goes to a host."""

    instance: str
    source: str
    destination: str
    temporary: bool = False


Step = tuple[Shift, ...]
"""Shifts that only make sense together; nearly always a single one."""


class Passage:
    """A placement under way.

    Invariant: whatever ``obstacle`` lets pass keeps every host within its safety capacity in each resource that
    arrives, with the instances counted on both hosts while they move; and leaves no hard rule more broken than it was
    at the start.
    """

    def __init__(self, snapshot: Snapshot, wish: Wish) -> None:
        self.hosts: Mapping[str, Host] = {host.name: host for host in snapshot.hosts}
        self.instances: Mapping[str, Instance] = {instance.id: instance for instance in snapshot.instances}
        self.where: dict[str, str] = {instance.id: instance.host for instance in snapshot.instances}
        self.room: dict[str, dict[str, int]] = {
            host.name: {
                name: host.safe_capacity(name) - host.used_by_others.get(name, 0)
                for name in {*host.resources, *host.used_by_others}
            }
            for host in snapshot.hosts
        }
        for instance in snapshot.instances:
            self._take(instance, instance.host, 1)
        self.rules_of: dict[str, list[Rule]] = defaultdict(list)
        self._at_start: dict[str, int] = {}
        for rule in snapshot.rules:
            if rule.hard:
                self._at_start[rule.name] = breach(rule, self.where.__getitem__, self.zone)
                for one in dict.fromkeys((*rule.instances, *rule.near)):
                    self.rules_of[one].append(rule)
        self._barred = wish.objective.hosts if isinstance(wish.objective, Drain) else frozenset[str]()
        self._only = wish.to
        self._fixed = wish.fixed
        self.wish = wish

    def zone(self, host: str) -> str | None:
        """Return the zone of a host."""
        return self.hosts[host].zone

    def _take(self, instance: Instance, host: str, times: int) -> None:
        room = self.room[host]
        for name, size in instance.sizes.items():
            room[name] = room.get(name, 0) - times * size

    def go(self, step: Step) -> None:
        """Make a step."""
        for shift in step:
            instance = self.instances[shift.instance]
            self._take(instance, shift.source, -1)
            self._take(instance, shift.destination, 1)
            self.where[shift.instance] = shift.destination

    def back(self, step: Step) -> None:
        """Take a step back."""
        self.go(tuple(Shift(shift.instance, shift.destination, shift.source) for shift in step))

    def may_go(self, instance: str, host: str) -> bool:
        """Whether an instance may be put on a host for a while, its room and the rules aside."""
        moved, there = self.instances[instance], self.hosts[host]
        return (
            self.wish.moves(moved)
            and instance not in self._fixed
            and self.hosts[self.where[instance]].up
            and there.up
            and not there.maintenance
            and host not in self._barred
            and (self._only is None or host in self._only)
            and host not in moved.impossible
        )

    def fits(self, step: Step) -> bool:
        """Whether there is room for a step."""
        return next(self._lacking(step), None) is None

    def _lacking(self, step: Step) -> Iterator[tuple[str, str, int]]:
        """Yield host, resource and size that a step has no room for. Room that its own shifts would leave is none."""
        wanted: dict[tuple[str, str], int] = {}
        for shift in step:
            for name, size in self.instances[shift.instance].sizes.items():
                place = shift.destination, name
                wanted[place] = wanted.get(place, 0) + size
        for (host, name), size in wanted.items():
            if 0 < size > self.room[host].get(name, 0):
                yield host, name, size

    def broken_by(self, step: Step) -> Rule | None:
        """Return a hard rule that would be more broken after a step than at the start; None when there is none."""
        after = {shift.instance: shift.destination for shift in step}

        def placed(instance: str) -> str:
            return after.get(instance) or self.where[instance]

        rules = {rule.name: rule for shift in step for rule in self.rules_of.get(shift.instance, ())}
        for rule in rules.values():
            most = self._at_start[rule.name]
            if breach(rule, placed, self.zone) > most or (len(step) > 1 and self._broken_within(step, rule) > most):
                return rule
        return None

    def _broken_within(self, step: Step, rule: Rule) -> int:
        """Return how much a convoy may break a rule on its way, whichever of it arrives first."""
        ways = {shift.instance: {shift.source, shift.destination} for shift in step}
        members = dict.fromkeys(rule.instances)
        if rule.kind is RuleKind.APART:
            places = [host for one in members for host in ways.get(one, {self.where[one]})]
            return len(places) - len(set(places))
        if rule.kind is RuleKind.SPREAD:
            held = [{self.zone(host) for host in ways.get(one, {self.where[one]})} for one in members]
            return max(0, rule.zones - len(set().union(*(zones for zones in held if len(zones) == 1)) - {None}))
        return 0

    def obstacle(self, step: Step) -> str | None:
        """Return why a step cannot be made now, in words; None when it can."""
        for host, name, size in self._lacking(step):
            free = max(0, self.room[host].get(name, 0))
            return f"{host} has {amount(name, free)} free of the {amount(name, size)} that are needed"
        rule = self.broken_by(step)
        return f"rule {rule.name} forbids it for now" if rule else None

    def open(self, step: Step) -> bool:
        """Whether a step can be made now."""
        return self.fits(step) and self.broken_by(step) is None


def breach(rule: Rule, placed: Callable[[str], str], zone: Callable[[str], str | None]) -> int:
    """Return how much a rule is broken, in instances (or zones) too many or too few; 0 when it is kept."""
    hosts = [placed(one) for one in dict.fromkeys(rule.instances)]
    match rule.kind:
        case RuleKind.TOGETHER:
            return max(0, len(set(hosts)) - 1)
        case RuleKind.APART:
            return len(hosts) - len(set(hosts))
        case RuleKind.ONLY_ON:
            return sum(host not in rule.hosts for host in hosts)
        case RuleKind.NOT_ON:
            return sum(host in rule.hosts for host in hosts)
        case RuleKind.SPREAD:
            return max(0, rule.zones - len({zone(host) for host in hosts} - {None}))
        case RuleKind.NEAR:
            near = {zone(placed(one)) for one in rule.near} - {None}
            return sum(zone(host) not in near for host in hosts)


def amount(resource: str, size: int) -> str:
    """Return a size of a resource in words: ``64 GiB``, ``4 vCPUs``, ``2 gpus``."""
    if resource.endswith("_bytes"):
        kind = "" if resource == MEMORY else f" of {resource.removesuffix('_bytes')}"
        return human_bytes(size).replace(".0 ", " ") + kind
    return f"{size} vCPU{'' if size == 1 else 's'}" if resource == VCPUS else f"{size} {resource}"


def hosts_by_room(passage: Passage, names: Iterable[str]) -> Sequence[str]:
    """Return hosts with the most free memory first, ties by name."""
    return sorted(names, key=lambda name: (-passage.room[name].get(MEMORY, 0), name))
