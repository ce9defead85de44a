"""Which number a user or group is to have on all hosts: chosen so that it collides with nobody on any of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# What distributions give to services (login.defs, SYS_UID_MIN to SYS_UID_MAX). adduser counts up from 100, useradd
# and systemd-sysusers down from 999: the middle is taken last by either, and so first by us.
_FREE = (*range(600, 900), *range(599, 99, -1), *range(900, 1000))


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One user, or one group, that is to have one number everywhere, by whatever name each host calls it."""

    key: str
    names: Mapping[str, str]
    """Its name by host; a host that lacks it is not in it."""
    declared: int | None = None
    busy: frozenset[str] = field(default=frozenset())
    """Hosts where its processes run: there a change needs a stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The number of a role; None where the declared one belongs to somebody else, who is in ``taken`` by host."""

    number: int | None
    taken: Mapping[str, str] = field(default_factory=dict)


def choose(roles: Sequence[Role], numbers: Mapping[str, Mapping[str, int]]) -> dict[str, Choice]:
    """Choose a number for each role; ``numbers`` are those of all users (or all groups) by host and name.

    The declared number, else the one that all have, else the one that most hosts have (of equals the one whose
    processes run on more hosts, then the first host's), else a free one. Invariants: no two roles get the same; a
    number is changed only to one that on every host is free or belongs to a role, all of which are renumbered at
    once; the same numbers give the same choice.
    """
    taken = _outsiders(roles, numbers)
    chosen: dict[str, Choice] = {}
    waiting = []
    for role in roles:
        if role.declared is None:
            waiting.append(role)
        elif role.declared in taken or role.declared in _numbers(chosen):
            chosen[role.key] = Choice(number=None, taken=taken.get(role.declared, {}))
            for host, name in role.names.items():  # it stays where it is: its numbers are not to be had
                taken.setdefault(numbers[host][name], {})[host] = name
        else:
            chosen[role.key] = Choice(number=role.declared)
    # Those that agree keep their number before others choose.
    waiting.sort(key=lambda role: len(_own(role, numbers)) != 1)
    for role in waiting:
        own = _own(role, numbers)
        used = _numbers(chosen)
        keep = len(own) == 1 and own[0] not in used
        free = (each for each in (*own, *_FREE) if each not in used and each not in taken)
        chosen[role.key] = Choice(number=own[0] if keep else next(free, None))
    return chosen


def _numbers(chosen: Mapping[str, Choice]) -> set[int | None]:
    return {choice.number for choice in chosen.values()}


def _outsiders(roles: Sequence[Role], numbers: Mapping[str, Mapping[str, int]]) -> dict[int, dict[str, str]]:
    """Return who else has each number that somebody else has, by host; root's is never to be had."""
    found: dict[int, dict[str, str]] = {0: {}}
    for host, names in numbers.items():
        mine = {role.names.get(host) for role in roles}
        for name, number in names.items():
            if name not in mine:
                found.setdefault(number, {})[host] = name
    return found


def _own(role: Role, numbers: Mapping[str, Mapping[str, int]]) -> list[int]:
    """Return the numbers that the role has anywhere, the one to be kept first."""
    held = [(numbers[host][name], host) for host, name in role.names.items()]
    hosts = Counter(number for number, _ in held)
    busy = Counter(number for number, host in held if host in role.busy)
    return sorted(hosts, key=lambda number: (-hosts[number], -busy[number]))
