"""Balance by single moves and swaps, each the best of a host's, for clusters of any size. Pure, NumPy.

Keeps: every step lowers the score; no step exceeds a safety capacity, breaks a hard rule more often than at the start,
or moves more instances than the wish allows. So the score falls, and the placement stays sound, whenever it is stopped.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hotfoot.placement.room import Flags, Floats, Ints
from hotfoot.placement.rules import Bond
from hotfoot.placement.score import Levels
from hotfoot.placement.snapshot import RuleKind
from hotfoot.placement.task import Task
from hotfoot.placement.wish import GIB, Balance

_LEAST_GAIN = 1e-9
_ROUNDING = 1e-12
"""Of the largest number that is added up, a gain must be more than this: float64 tells 1e-16 of it, and some thousand
steps add their errors up. Less might be none, and steps that gain none can go round in a circle."""
_NEAR_HOSTS = 48
"""Moves are tried to so many of the emptiest hosts first, and to all only when none of those gains any more."""
_SWAP_HOSTS = 24
"""With how many other hosts swaps are tried."""


@dataclass(frozen=True, slots=True)
class _Step:
    gain: float
    """What it adds to the score: below zero."""
    instance: int
    destination: int


class Descent:
    """A placement that gets better step by step."""

    def __init__(self, task: Task, levels: Levels, objective: Balance, at: Ints) -> None:
        self._room, self._levels = task.room, levels
        self._most_moves = task.wish.most_moves
        self.at = at.copy()
        self._cost = objective.cost_per_gib * task.room.transfer_bytes / GIB
        self._used = task.room.used(at)
        self._level = levels.used(at)
        self._goal = levels.mean * levels.capacity
        self._judged = levels.capacity > 0
        self._typical = levels.typical
        self._hidden = task.room.up & task.room.maintenance
        largest = max(task.score(at).total, float((self._level / self._typical).max(initial=0.0)))
        # The least that a step must gain.
        self._least = max(_LEAST_GAIN, _ROUNDING * largest)
        self._moves = int(np.count_nonzero(at != task.room.start))
        self._bonds: dict[int, list[Bond]] = defaultdict(list)
        self._limits = {bond.name: bond.breaches(task.room.start) for bond in task.room.bonds}
        for bond in task.room.bonds:
            if not (bond.hard and bond.kind in (RuleKind.ONLY_ON, RuleKind.NOT_ON)):
                for one in bond.touched.tolist():
                    self._bonds[one].append(bond)

    def run(self, go_on: Callable[[], bool]) -> None:
        """Go down until nothing gains, or ``go_on`` says no."""
        while go_on():
            if self._move_all(go_on, wide=False) or self._swap_all(go_on):
                continue
            if not self._move_all(go_on, wide=True):
                return

    def _swap_all(self, go_on: Callable[[], bool]) -> bool:
        swapped = False
        for host in self._hosts_by_need():
            while go_on() and self._swap_from(host):
                swapped = True
        return swapped

    def _move_all(self, go_on: Callable[[], bool], *, wide: bool) -> bool:
        """Move whatever gains most, until nothing does; to the emptiest hosts alone, unless ``wide``.

        The gains of hosts that were looked at before may have changed; so the best is looked at again before it is
        taken, which spares looking at all others.
        """
        waiting: list[tuple[float, int]] = []
        for host in self._hosts_by_need():
            if not go_on():
                break
            if best := self._best_of(host, wide=wide):
                waiting.append((best.gain, host))
        heapq.heapify(waiting)
        moved = False
        while waiting and go_on():
            _, host = heapq.heappop(waiting)
            best = self._best_of(host, wide=wide)
            if best is None:
                continue
            if not waiting or best.gain <= waiting[0][0] + self._least:
                self._put(best.instance, best.destination)
                moved = True
            heapq.heappush(waiting, (best.gain, host))
        return moved

    def _best_of(self, host: int, *, wide: bool) -> _Step | None:
        emptiest = np.argsort(self._fullness(), kind="stable")
        return self._best_move(host, emptiest if wide else emptiest[:_NEAR_HOSTS])

    def _fullness(self) -> Floats:
        """[H]: how far above the mean it is, summed over what is balanced; infinite where nothing can be brought."""
        over = np.where(self._judged, (self._level - self._goal) / self._typical, 0.0).sum(axis=1)
        over[~self._room.takes] = np.inf
        fullness: Floats = over
        return fullness

    def _hosts_by_need(self) -> list[int]:
        """The fullest first; what is in maintenance before all."""
        over = np.where(self._judged, (self._level - self._goal) / self._typical, 0.0).max(axis=1, initial=-1.0)
        over[self._hidden] = np.inf
        order: list[int] = np.argsort(-over, kind="stable").tolist()
        return order

    def _residents(self, host: int) -> Ints:
        found: Ints = np.flatnonzero((self.at == host) & self._room.movable)
        if self._most_moves is not None and self._moves >= self._most_moves:
            found = found[self.at[found] != self._room.start[found]]
        return found

    def _far(self, level: Floats, hosts: Ints | int) -> Floats:
        """What these levels would add to the score, but for the worst share; [..., K] to [...].

        How far they are from the mean, summed over what is balanced; all that is taken where a host is in maintenance,
        where an instance may be brought home as well.
        """
        off = np.abs(level - self._goal[hosts]) * self._judged[hosts]
        far: Floats = (np.where(self._hidden[hosts][..., None], level, off) / self._typical).sum(axis=-1)
        return far

    def _leaving(self, host: int, amounts: Floats) -> Floats:
        """By how much the score changes when amounts ([N, K]) leave a host, but for the worst share."""
        return self._far(self._level[host] - amounts, host) - self._far(self._level[host], host)

    def _relief(self, host: int, residents: Ints) -> Floats:
        """By how much what is above the safety capacity falls when each leaves."""
        room = self._room
        if self._hidden[host] or not room.up[host]:
            return np.zeros(len(residents))
        over = np.maximum(0, self._used[host] - room.safe[host])
        after = np.maximum(0, self._used[host] - room.sizes[residents] - room.safe[host])
        relief: Floats = (np.where(room.capacity[host] > 0, over - after, 0) / np.maximum(room.capacity[host], 1)).sum(
            1
        )
        return relief

    def _best_move(self, host: int, among: Ints) -> _Step | None:
        """Return the best move of an instance of a host to one of others; None: none gains."""
        room = self._room
        residents = self._residents(host)
        if not len(residents) or not len(among):
            return None
        amounts, sizes = self._levels.amounts[residents], room.sizes[residents]
        home = room.start[residents]
        at_home = home[:, None] == among[None, :]
        allowed = room.open_to[np.ix_(residents, among)] | at_home
        allowed &= among != host
        allowed &= ((self._used[among][None] + sizes[:, None] <= room.safe[among][None]) | (sizes == 0)[:, None]).all(2)
        if not allowed.any():
            return None
        there = self._level[among][None] + amounts[:, None]
        gain = self._far(there, among) - self._far(self._level[among], among)
        gain += (self._leaving(host, amounts) - self._relief(host, residents))[:, None]
        gain += self._worst_after(host, self._level[host] - amounts, there, among)
        cost = self._cost[residents]
        gain += np.where(home == host, cost, 0.0)[:, None] - np.where(at_home, cost[:, None], 0.0)
        for row, one in enumerate(residents.tolist()):
            if one in self._bonds:
                soft, whole = self._of_rules(one)
                gain[row] += soft[among]
                allowed[row] &= whole[among]
        gain[~allowed] = np.inf
        best = int(np.argmin(gain))
        if not gain.flat[best] < -self._least:
            return None
        row, column = divmod(best, len(among))
        return _Step(float(gain.flat[best]), int(residents[row]), int(among[column]))

    def _of_rules(self, instance: int) -> tuple[Floats, Flags]:
        """[H]: what soft rules add to the score, and where no hard one is broken more often than at the start."""
        soft = np.zeros(len(self._level))
        whole = np.ones(len(self._level), dtype=bool)
        for bond in self._bonds[instance]:
            breaches = bond.breaches_with(self.at, instance)
            if bond.hard:
                whole &= breaches <= self._limits[bond.name]
            else:
                soft += bond.weight * (breaches - breaches[self.at[instance]])
        return soft, whole

    def _worst_after(self, host: int, left: Floats, there: Floats, among: Ints) -> Floats:
        """[N, A]: by how much the worst shares change when each of N leaves a host for each of A others."""
        change = np.zeros(there.shape[:2])
        for level in range(self._level.shape[1]):
            judged, mean = self._judged[:, level], float(self._levels.mean[level])
            capacity = np.where(judged, self._levels.capacity[:, level], 1.0)
            share = np.where(judged, self._level[:, level] / capacity, -np.inf)
            before = float(share.max(initial=-np.inf))
            share[host] = -np.inf
            # The greatest of those that are neither source nor destination.
            first, second = np.sort(share)[::-1][:2] if len(share) > 1 else (-np.inf, -np.inf)
            others = np.where(
                share[among] == first, np.where(np.count_nonzero(share == first) > 1, first, second), first
            )
            after = np.where(judged[among], there[:, :, level] / capacity[among], -np.inf)
            after = np.maximum(after, others)
            if judged[host]:
                after = np.maximum(after, (left[:, level] / capacity[host])[:, None])
            change += np.maximum(0.0, after - mean) - max(0.0, before - mean)
        return change

    def _swap_from(self, host: int) -> bool:
        """Exchange an instance of a host for one of another; none that a rule binds."""
        room = self._room
        if self._hidden[host] or not room.takes[host] or self._most_moves is not None:
            return False
        mine = np.array([one for one in self._residents(host).tolist() if one not in self._bonds], dtype=np.int64)
        under = np.where(self._judged, (self._goal - self._level) / self._typical, 0.0).max(axis=1, initial=0.0)
        under[~room.takes] = -np.inf
        under[host] = -np.inf
        for other in np.argsort(-under, kind="stable")[:_SWAP_HOSTS].tolist():
            if len(mine) and under[other] > 0 and self._swap(host, int(other), mine):
                return True
        return False

    def _swap(self, host: int, other: int, mine: Ints) -> bool:
        room, levels = self._room, self._levels
        theirs = np.array([one for one in self._residents(other).tolist() if one not in self._bonds], dtype=np.int64)
        if not len(theirs):
            return False
        shift = levels.amounts[mine][:, None, :] - levels.amounts[theirs][None, :, :]
        here, there = self._level[host] - shift, self._level[other] + shift
        gain = self._far(here, host) + self._far(there, other)
        gain -= self._far(self._level[host], host) + self._far(self._level[other], other)
        gain += self._worst_of_two(host, other, here, there)
        gain += self._swap_cost(mine, other)[:, None] + self._swap_cost(theirs, host)[None, :]
        size = room.sizes[mine][:, None, :] - room.sizes[theirs][None, :, :]
        fits = (self._used[host] - size <= room.safe[host]).all(axis=2)
        fits &= (self._used[other] + size <= room.safe[other]).all(axis=2)
        fits &= (room.open_to[mine, other] | (room.start[mine] == other))[:, None]
        fits &= (room.open_to[theirs, host] | (room.start[theirs] == host))[None, :]
        gain[~fits] = np.inf
        best = int(np.argmin(gain))
        if not gain.flat[best] < -self._least:
            return False
        row, column = divmod(best, len(theirs))
        self._put(int(mine[row]), other)
        self._put(int(theirs[column]), host)
        return True

    def _swap_cost(self, instances: Ints, destination: int) -> Floats:
        start = self._room.start[instances]
        costs: Floats = self._cost[instances] * (
            (start != destination).astype(np.float64) - (start != self.at[instances]).astype(np.float64)
        )
        return costs

    def _worst_of_two(self, host: int, other: int, here: Floats, there: Floats) -> Floats:
        change = np.zeros(here.shape[:2])
        for level in range(self._level.shape[1]):
            judged = self._judged[:, level]
            if not judged.any():
                continue
            share = np.where(
                judged, self._level[:, level] / np.where(judged, self._levels.capacity[:, level], 1.0), -np.inf
            )
            before = float(share.max())
            rest = share.copy()
            rest[[host, other]] = -np.inf
            after = np.full(change.shape, rest.max())
            for one, level_of in ((host, here), (other, there)):
                if judged[one]:
                    after = np.maximum(after, level_of[:, :, level] / self._levels.capacity[one, level])
            mean = self._levels.mean[level]
            change += np.maximum(0.0, after - mean) - max(0.0, before - mean)
        return change

    def _put(self, instance: int, destination: int) -> None:
        room, source, start = self._room, int(self.at[instance]), int(self._room.start[instance])
        self._moves += int(destination != start) - int(source != start)
        self._used[source] -= room.sizes[instance]
        self._used[destination] += room.sizes[instance]
        self._level[source] -= self._levels.amounts[instance]
        self._level[destination] += self._levels.amounts[instance]
        self.at[instance] = destination
