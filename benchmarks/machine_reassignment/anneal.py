"""Simulated annealing over shifts and swaps, compiled. Pure.

Keeps: after every accepted move no constraint is broken but that of capacity, which has a price, and all sums are those
of the assignment. A move's change of cost comes from the rows of two machines; what it does to spread and dependencies
is looked at only when its cost would be accepted.

Shifts and swaps with such sums are those of Portal, Ritt and others (2014) for this problem. That capacity may be
exceeded at a price, that swaps prefer processes of one service and of like sizes, and that a process is tried several
times while its row is near the processor, was found here by measuring.

A compiled function that takes arrays out of a tuple counts references each time: so ``anneal`` takes them out once, and
hands arrays on.
"""

from __future__ import annotations

import numpy as np
from benchmarks.machine_reassignment.compiled import compiled
from benchmarks.machine_reassignment.problem import Ints
from benchmarks.machine_reassignment.tables import BLOCK, State, Tables
from numpy.typing import NDArray

_TRIES = 4
"""A power of 2."""
_ALL = 1 << 32
_PEERS = int(0.15 * _ALL)
"""Of all tries: swaps with a process of the same service, which no constraint but capacity minds."""
_LIKE = int(0.65 * _ALL)
"""With those before: swaps with a process of like size."""
_SWAPS = int(0.85 * _ALL)
"""With those before: swaps with any. The rest are shifts."""


@compiled
def _draw(random: NDArray[np.uint64]) -> int:
    """Return 32 random bits: the upper half of xorshift64* (Vigna, 2016)."""
    x = random[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    random[0] = x
    return int(np.int64((x * np.uint64(0x2545F4914F6CDD1D)) >> np.uint64(32)))


@compiled
def _below(random: NDArray[np.uint64], count: int) -> int:
    return (_draw(random) * count) >> 32


@compiled
def _above(sums: Ints, demand: Ints, machine: int, comes: int, goes: int, begin: int, end: int) -> int:
    """What is above 0 in a machine's row, added up, with one row of demand more and one less."""
    total = 0
    for first in range(begin, end, BLOCK):
        for one in range(first, first + BLOCK):
            total += max(0, sums[machine, one] + demand[comes, one] - demand[goes, one])
    return total


@compiled
def _moving(machine_move: Ints, process_move: Ints, process: int, home: int, source: int, destination: int) -> int:
    """By how much the costs of moving a process change."""
    change: int = machine_move[home, destination] - machine_move[home, source]
    if source == home:
        change += process_move[process]
    elif destination == home:
        change -= process_move[process]
    return change


@compiled
def _count_moved(
    start: Ints,
    of: Ints,
    moved: Ints,
    services_moved: Ints,
    most_moved: Ints,
    process: int,
    source: int,
    destination: int,
) -> None:
    home, service = start[process], of[process]
    change = (1 if destination != home else 0) - (1 if source != home else 0)
    if change:
        before = moved[service]
        moved[service] = before + change
        services_moved[before] -= 1
        services_moved[before + change] += 1
        if before + change > most_moved[0]:
            most_moved[0] = before + change
        elif services_moved[most_moved[0]] == 0:
            most_moved[0] -= 1


@compiled
def _place(
    of: Ints,
    location: Ints,
    neighbourhood: Ints,
    there: NDArray[np.uint8],
    in_location: NDArray[np.int32],
    in_neighbourhood: NDArray[np.int32],
    locations: Ints,
    process: int,
    source: int,
    destination: int,
) -> None:
    """Count a process elsewhere, in all that its service is judged by."""
    service = of[process]
    there[service, source] = 0
    there[service, destination] = 1
    one, other = location[source], location[destination]
    if one != other:
        in_location[service, one] -= 1
        if in_location[service, one] == 0:
            locations[service] -= 1
        if in_location[service, other] == 0:
            locations[service] += 1
        in_location[service, other] += 1
    in_neighbourhood[service, neighbourhood[source]] -= 1
    in_neighbourhood[service, neighbourhood[destination]] += 1


@compiled
def _whole(
    spread: Ints,
    locations: Ints,
    in_neighbourhood: NDArray[np.int32],
    needs_from: Ints,
    needs: Ints,
    needed_from: Ints,
    needed: Ints,
    service: int,
    left: int,
    entered: int,
) -> bool:
    """Whether a service keeps spread and dependencies, after a process of it was placed in another neighbourhood."""
    if locations[service] < spread[service]:
        return False
    if left == entered:
        return True
    if in_neighbourhood[service, entered] == 1:
        for place in range(needs_from[service], needs_from[service + 1]):
            if in_neighbourhood[needs[place], entered] == 0:
                return False
    if in_neighbourhood[service, left] == 0:
        for place in range(needed_from[service], needed_from[service + 1]):
            if in_neighbourhood[needed[place], left] > 0:
                return False
    return True


@compiled
def _carry(demand: Ints, sums: Ints, leaves: int, enters: int, source: int, destination: int) -> None:
    """Take a row of demand from one machine's sums and add one to another's."""
    for one in range(demand.shape[1]):
        sums[source, one] -= demand[leaves, one]
        sums[destination, one] += demand[enters, one]


@compiled
def anneal(tables: Tables, state: State, tries: int, temperature: float, price: float) -> int:  # noqa: PLR0912, PLR0915
    """Try so many moves, and return by how much the cost has changed.

    ``price``: of usage beyond capacity, in units of load cost; it is not part of what is returned.
    """
    demand, paid_from, process_move, machine_move = (
        tables.demand,
        tables.paid_from,
        tables.process_move,
        tables.machine_move,
    )
    neighbourhood, location, spread = tables.neighbourhood, tables.location, tables.spread
    needs_from, needs, needed_from, needed = tables.needs_from, tables.needs, tables.needed_from, tables.needed
    members_from, members, of, start = tables.members_from, tables.members, tables.service, tables.start
    by_size, rank, distance, exponential = tables.by_size, tables.rank, tables.distance, tables.exponential
    at, sums, beyond, paid, there = state.at, state.sums, state.beyond, state.paid, state.there
    in_location, in_neighbourhood, locations = state.in_location, state.in_neighbourhood, state.locations
    moved, services_moved, most_moved, random = state.moved, state.services_moved, state.most_moved, state.random
    processes, machines, width, draws = start.shape[0], sums.shape[0], sums.shape[1], exponential.shape[0]
    nothing = 2 * processes
    total = 0
    one, home, service, alone = 0, start[0], of[0], False
    for number in range(tries):
        if number % _TRIES == 0:
            one = _below(random, processes)
            home, service = start[one], of[one]
            alone = members_from[service + 1] - members_from[service] == 1
        here, other, kind = at[one], -1, _draw(random)
        if kind < _SWAPS:
            if kind < _PEERS and not alone:
                first = members_from[service]
                other = members[first + _below(random, members_from[service + 1] - first)]
            elif kind < _LIKE:
                place = rank[one] + distance[_draw(random) % draws]
                if place < 0 or place >= processes:
                    continue
                other = by_size[place]
            else:
                other = _below(random, processes)
            yonder = at[other]
        else:
            yonder = _below(random, machines)
        if here == yonder:
            continue
        leaves = one + (processes if here == home else 0)
        enters = one + (processes if yonder == home else 0)
        back, forth, other_home, other_service = nothing, nothing, -1, -1
        if other >= 0:
            other_home, other_service = start[other], of[other]
            back = other + (processes if here == other_home else 0)
            forth = other + (processes if yonder == other_home else 0)
        peers = other_service == service
        if not peers and ((not alone and there[service, yonder]) or (other >= 0 and there[other_service, here])):
            continue
        allowed = temperature * exponential[_draw(random) % draws]
        beyond_yonder = _above(sums, demand, yonder, enters, forth, 0, paid_from)
        excess = beyond_yonder - beyond[yonder] - beyond[here]
        if excess * price > allowed:
            continue
        beyond_here = _above(sums, demand, here, back, leaves, 0, paid_from)
        allowed -= (excess + beyond_here) * price
        change = _moving(machine_move, process_move, one, home, here, yonder)
        if other >= 0:
            change += _moving(machine_move, process_move, other, other_home, yonder, here)
        paid_yonder = _above(sums, demand, yonder, enters, forth, paid_from, width)
        change += paid_yonder - paid[yonder] - paid[here]
        if change > allowed:
            continue
        paid_here = _above(sums, demand, here, back, leaves, paid_from, width)
        change += paid_here
        if change > allowed:
            continue
        before = most_moved[0]
        _count_moved(start, of, moved, services_moved, most_moved, one, here, yonder)
        if other >= 0:
            _count_moved(start, of, moved, services_moved, most_moved, other, yonder, here)
        change += tables.service_move_weight * (most_moved[0] - before)
        accepted = change <= allowed
        if accepted and not peers:
            left, entered = neighbourhood[here], neighbourhood[yonder]
            _place(of, location, neighbourhood, there, in_location, in_neighbourhood, locations, one, here, yonder)
            if other >= 0:
                _place(
                    of, location, neighbourhood, there, in_location, in_neighbourhood, locations, other, yonder, here
                )
            accepted = _whole(
                spread, locations, in_neighbourhood, needs_from, needs, needed_from, needed, service, left, entered
            )
            if accepted and other >= 0:
                accepted = _whole(
                    spread,
                    locations,
                    in_neighbourhood,
                    needs_from,
                    needs,
                    needed_from,
                    needed,
                    other_service,
                    entered,
                    left,
                )
            if not accepted:
                _place(of, location, neighbourhood, there, in_location, in_neighbourhood, locations, one, yonder, here)
                if other >= 0:
                    _place(
                        of,
                        location,
                        neighbourhood,
                        there,
                        in_location,
                        in_neighbourhood,
                        locations,
                        other,
                        here,
                        yonder,
                    )
        if not accepted:
            _count_moved(start, of, moved, services_moved, most_moved, one, yonder, here)
            if other >= 0:
                _count_moved(start, of, moved, services_moved, most_moved, other, here, yonder)
            continue
        _carry(demand, sums, leaves, enters, here, yonder)
        at[one] = yonder
        if other >= 0:
            _carry(demand, sums, forth, back, yonder, here)
            at[other] = here
        beyond[here], beyond[yonder] = beyond_here, beyond_yonder
        paid[here], paid[yonder] = paid_here, paid_yonder
        total += change
    return total
