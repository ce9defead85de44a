"""Why an instance that should go stays: the smallest reason, in words. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hotfoot.placement.floors import needed
from hotfoot.placement.room import Ints
from hotfoot.placement.snapshot import VCPUS, Cold, Host, Instance, RuleKind, Snapshot
from hotfoot.placement.task import Task
from hotfoot.placement.wish import Consolidate, Drain, Restore
from hotfoot.sizes import human_bytes

# Not str.format: the words of readiness may have braces.
_HOSTS, _BE = "<hosts>", "<be>"
_BY_COLD = {Cold.STOPPED: "; --cold stops it for the move", Cold.OFF: "; --cold moves it"}
"""For the wishes that may allow it."""


def reasons(snapshot: Snapshot, task: Task, at: Ints) -> Mapping[str, str]:
    """Return a sentence for each instance that the wish wants elsewhere than where this placement has it, by its id."""
    room, objective = task.room, task.wish.objective
    wanted = needed(room, task.wish, at) & ((at == room.start) | (room.home >= 0))
    if isinstance(objective, Drain):
        wanted |= room.drained[at]
    if isinstance(objective, Restore):
        wanted |= (room.home >= 0) & (at != room.home)
        wanted |= np.array([objective.homes.get(one, "") not in ("", *room.host_names) for one in room.ids], dtype=bool)
    spent = task.wish.most_moves is not None and int(np.count_nonzero(at != room.start)) >= task.wish.most_moves
    return {room.ids[one]: _why(snapshot, task, at, one, spent=spent) for one in np.flatnonzero(wanted).tolist()}


def _why(snapshot: Snapshot, task: Task, at: Ints, number: int, *, spent: bool) -> str:
    instance, objective = snapshot.instances[number], task.wish.objective
    host = snapshot.hosts[int(task.room.start[number])]
    home = objective.homes[instance.id] if isinstance(objective, Restore) and instance.id in objective.homes else None
    if not task.wish.moves(instance):
        how, hint = "", ""
        if instance.cold and isinstance(objective, Drain | Restore | Consolidate):
            how, hint = " live", _BY_COLD[instance.cold]
        why = instance.unmovable_because or "the snapshot says so, without a reason"
        return f"{instance.name} cannot be moved{how}: {why}{hint}"
    if instance.id in task.wish.fixed:
        return f"{instance.name} is to stay where it is for now"
    if not host.up:
        return f"{instance.name} is on {host.name}, which is down: it cannot be migrated, only evacuated"
    if home is not None and home not in task.room.host_names:
        return f"{instance.name} cannot go back: its home {home} is no host of the snapshot"
    goals = [home] if home is not None else [other.name for other in snapshot.hosts if other.name != host.name]
    causes = _Causes()
    for other in snapshot.hosts:
        if other.name in goals:
            _look(snapshot, task, at, number, other, causes)
    told = f"{instance.name} cannot go back to {home}" if home is not None else f"{instance.name} fits nowhere else"
    if causes.open_hosts:
        there = causes.open_hosts[0]
        if spent:
            return f"{instance.name} could go to {there}, but no more than {task.wish.most_moves} moves were allowed"
        return f"{instance.name} alone could go to {there}, but no way was found to place it with all others"
    return f"{told}: {'; '.join(causes.in_words(instance)) or 'there is no other host'}"


@dataclass(slots=True)
class _Causes:
    """Why hosts do not take an instance; each host counts once, for the first cause that holds there."""

    by_words: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Words with a place for the hosts, to their names."""
    lacking: dict[str, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    """Resource to what is free of it, and where."""
    forbidding: dict[str, int] = field(default_factory=dict)
    """Host to how many instances there rules keep apart from it."""
    open_hosts: list[str] = field(default_factory=list)

    def in_words(self, instance: Instance) -> Sequence[str]:
        """Return the causes, what it lacks first."""
        told = []
        for resource, free in self.lacking.items():
            most, where = max(free, key=lambda one: one[0])
            told.append(
                f"needs {_size(instance.sizes[resource], resource)}, most free is {_size(most, resource)} on {where}"
            )
            if count := self.forbidding.get(where):
                told.append(f"{count} {'instance forbids' if count == 1 else 'instances forbid'} it there")
        for words, hosts in self.by_words.items():
            names = hosts[0] if len(hosts) == 1 else f"{len(hosts)} hosts"
            told.append(words.replace(_HOSTS, names).replace(_BE, "is" if len(hosts) == 1 else "are"))
        return told


def _look(snapshot: Snapshot, task: Task, at: Ints, number: int, host: Host, causes: _Causes) -> None:
    """Note the first cause that keeps an instance from a host, or that there is none."""
    room, instance = task.room, snapshot.instances[number]
    where = room.host_names.index(host.name)
    for holds, words in (
        (not host.up, "<hosts> <be> down"),
        (host.maintenance, "<hosts> <be> in maintenance"),
        (bool(room.drained[where]), "<hosts> <be> to be emptied too"),
        (task.wish.to is not None and host.name not in task.wish.to, "<hosts> <be> not among the destinations named"),
        (host.name in instance.impossible, f"{instance.impossible.get(host.name, '').rstrip('.')} (<hosts>)"),
    ):
        if holds:
            causes.by_words[words].append(host.name)
            return
    apart = _kept_apart(task, at, number, where)
    free = room.safe[where] - room.used(at)[where] + (room.sizes[number] if at[number] == where else 0)
    for place, resource in enumerate(room.resources):
        if room.sizes[number, place] > max(0, int(free[place])):
            causes.lacking[resource].append((max(0, int(free[place])), host.name))
            causes.forbidding[host.name] = apart
            return
    for bond in room.bonds:
        if bond.hard and number in bond.touched:
            static = bond.kind in (RuleKind.ONLY_ON, RuleKind.NOT_ON)
            refused = bool(bond.hosts[where]) is (bond.kind is RuleKind.NOT_ON)
            if refused if static else bond.breaches_with(at, number)[where] > bond.breaches(room.start):
                causes.by_words[f"rule {bond.name} forbids <hosts>"].append(host.name)
                return
    causes.open_hosts.append(host.name)


def _kept_apart(task: Task, at: Ints, number: int, where: int) -> int:
    there = {
        int(one)
        for bond in task.room.bonds
        if bond.hard and bond.kind is RuleKind.APART and number in bond.members
        for one in bond.members
        if one != number and at[one] == where
    }
    return len(there)


def _size(amount: int, resource: str) -> str:
    if resource == VCPUS:
        return f"{amount} vCPU" if amount == 1 else f"{amount} vCPUs"
    return human_bytes(amount) if resource.endswith("_bytes") else f"{amount} of {resource}"
