"""Whether a placement keeps all that must be kept, looked at afresh. Pure.

Written from the words of ``snapshot.py`` and ``wish.py`` alone, without the arrays and the rules that the solver uses:
a mistake there must not hide itself here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from hotfoot.placement.snapshot import Rule, RuleKind, Snapshot
from hotfoot.placement.wish import Drain, Wish


def faults(snapshot: Snapshot, wish: Wish, hosts: Mapping[str, str]) -> tuple[str, ...]:
    """Return one sentence for each thing that is wrong with a placement (instance id to host); empty: it is sound.

    The start is sound, whatever it looks like: what it breaks may stay broken, and must not get worse.
    """
    ids = {instance.id for instance in snapshot.instances}
    names = {host.name for host in snapshot.hosts}
    if ids != set(hosts):
        return (f"{len(ids ^ set(hosts))} instances are not in both snapshot and placement",)
    if strange := sorted(set(hosts.values()) - names):
        return (f"{strange[0]} is no host",)
    return (*_moves(snapshot, wish, hosts), *_capacities(snapshot, hosts), *_rules(snapshot, hosts))


def _moves(snapshot: Snapshot, wish: Wish, hosts: Mapping[str, str]) -> list[str]:
    of_name = {host.name: host for host in snapshot.hosts}
    drained = wish.objective.hosts if isinstance(wish.objective, Drain) else frozenset()
    wrong = []
    moved = [instance for instance in snapshot.instances if hosts[instance.id] != instance.host]
    for instance in moved:
        there = of_name[hosts[instance.id]]
        told = f"{instance.name} goes to {there.name}"
        if not wish.moves(instance) or instance.id in wish.fixed or not of_name[instance.host].up:
            wrong.append(f"{told}, but must stay")
        if there.name in instance.impossible:
            wrong.append(f"{told}, where it cannot run")
        if not there.up or there.maintenance or there.name in drained:
            wrong.append(f"{told}, which takes nothing")
        if wish.to is not None and there.name not in wish.to:
            wrong.append(f"{told}, which was not named as a destination")
    if wish.most_moves is not None and len(moved) > wish.most_moves:
        wrong.append(f"{len(moved)} moves, and at most {wish.most_moves} were allowed")
    return wrong


def _capacities(snapshot: Snapshot, hosts: Mapping[str, str]) -> list[str]:
    used: dict[str, Counter[str]] = defaultdict(Counter)
    came: dict[str, set[str]] = defaultdict(set)
    for instance in snapshot.instances:
        there = hosts[instance.id]
        for resource, size in instance.sizes.items():
            used[there][resource] += size
            if size and there != instance.host:
                came[there].add(resource)
    wrong = []
    for host in snapshot.hosts:
        for resource in sorted(came[host.name]):
            has = host.resources.get(resource)
            capacity = has.capacity if has else 0
            safe = capacity if host.safety >= 1 else int(capacity * host.safety + 1e-9)
            taken = used[host.name][resource] + host.used_by_others.get(resource, 0)
            if taken > safe:
                wrong.append(f"{host.name} takes newcomers and ends with {taken} of {resource}, above {safe}")
    return wrong


def _rules(snapshot: Snapshot, hosts: Mapping[str, str]) -> list[str]:
    zones = {host.name: host.zone for host in snapshot.hosts}
    start = {instance.id: instance.host for instance in snapshot.instances}
    wrong = []
    for rule in snapshot.rules:
        if not rule.hard:
            continue
        before, after = _breaches(rule, start, zones), _breaches(rule, hosts, zones)
        if after > before:
            wrong.append(f"the hard rule {rule.name} is broken {after} times, and {before} times before")
        if rule.kind in (RuleKind.ONLY_ON, RuleKind.NOT_ON):
            wrong += [
                f"{one} goes to {hosts[one]}, against {rule.name}"
                for one in dict.fromkeys(rule.instances)
                if hosts[one] != start[one] and (hosts[one] in rule.hosts) is (rule.kind is RuleKind.NOT_ON)
            ]
    return wrong


def _breaches(rule: Rule, hosts: Mapping[str, str], zones: Mapping[str, str | None]) -> int:
    members = set(rule.instances)
    where = [hosts[one] for one in members]
    match rule.kind:
        case RuleKind.TOGETHER:
            return max(0, len(set(where)) - 1)
        case RuleKind.APART:
            return sum(count - 1 for count in Counter(where).values())
        case RuleKind.ONLY_ON:
            return sum(host not in rule.hosts for host in where)
        case RuleKind.NOT_ON:
            return sum(host in rule.hosts for host in where)
        case RuleKind.SPREAD:
            return max(0, rule.zones - len({zones[host] for host in where} - {None}))
        case RuleKind.NEAR:
            held = {zones[hosts[one]] for one in rule.near} - {None}
            return sum(zones[host] not in held for host in where)
