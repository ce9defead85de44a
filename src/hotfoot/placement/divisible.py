"""What no balance can be below: the best one of instances that could be divided. No I/O.

If any part of an instance could leave, for that part of its price, and what has left could be spread over the other
hosts at will, then balance would be a linear program. Every allowed placement is a solution of it, with no higher score
there: so its least score is a bound. Kept in it: what cannot leave stays; only hosts that take instances get any, and
no more than may come to them, or, of what is promised, than fits below their safety capacity; at most ``most_moves``
instances' worth leaves. Left out: rules over several instances, and sizes where measured load is balanced.
"""

from __future__ import annotations

import numpy as np

from hotfoot.placement.linear import LinearProgram
from hotfoot.placement.room import Flags, Floats, Ints, Room
from hotfoot.placement.score import Levels
from hotfoot.placement.wish import GIB, Balance, Wish


def least_of_balance(room: Room, wish: Wish, objective: Balance, levels: Levels, seconds: float) -> float | None:
    """Return what the score of no allowed placement is below; None: not known after so many seconds."""
    if not len(room.ids) or (levels.amounts < 0).any():
        return None
    return _Divisible(room, wish, objective, levels).program.bound(seconds)


class _Divisible:
    """The program. All levels are in typical capacities, as the score has them."""

    def __init__(self, room: Room, wish: Wish, objective: Balance, levels: Levels) -> None:
        self.program = LinearProgram()
        self._room, self._levels, self._measured = room, levels, objective.measured
        self._amounts = levels.amounts / levels.typical
        self._capacity = levels.capacity / levels.typical
        self._goal = levels.mean * self._capacity
        self._start = levels.used(room.start) / levels.typical
        open_to = room.open_to.copy()
        open_to[np.arange(len(room.ids)), room.start] = False
        self._leavers: Ints = np.flatnonzero(open_to.any(axis=1))
        self._kept = self._start.copy()
        """[H, K]: the level when all that can leave has left."""
        np.subtract.at(self._kept, room.start[self._leavers], self._amounts[self._leavers])
        coming, fitting = self._coming(open_to), self._below_safety()
        self._most_in = np.minimum(coming, fitting)
        self._most = np.maximum(self._start, np.minimum(self._start + coming, self._kept + fitting))
        hidden = (room.up & room.maintenance)[room.start]
        shown = np.where(hidden, self._amounts.sum(axis=1), 0.0)
        cost = (objective.cost_per_gib * room.transfer_bytes / GIB - shown)[self._leavers]
        count = len(self._leavers)
        self._out = self.program.variables(np.zeros(count), np.ones(count), cost)
        stays = np.array([shown.sum()])
        self.program.variables(stays, stays, np.ones(1))
        self._spread()
        self._over_safety()
        if wish.most_moves is not None:
            row = self.program.rows(np.array([-float(wish.most_moves)]))
            self.program.enter(np.repeat(row, count), self._out, np.full(count, -1.0))

    def _coming(self, open_to: Flags) -> Floats:
        """[H, K]: the sum of all that may come to each host."""
        coming: Floats = np.einsum("ih,ik->hk", open_to[self._leavers], self._amounts[self._leavers])
        return coming

    def _below_safety(self) -> Floats:
        """[H, K]: what fits below the safety capacity when all that can leave has left; infinite for a load."""
        room = self._room
        if self._measured:
            return np.full(self._start.shape, np.inf)
        taken = room.used_at_start
        np.subtract.at(taken, room.start[self._leavers], room.sizes[self._leavers])
        chosen = [room.resources.index(name) for name in self._levels.names]
        fits: Floats = np.maximum(0, room.safe - taken)[:, chosen] / self._levels.typical
        return fits

    def _spread(self) -> None:
        """Say what leaves and what comes, and what the levels add to the score then."""
        program, judged = self.program, self._capacity > 0
        for level in range(self._amounts.shape[1]):
            amounts = self._amounts[self._leavers, level]
            come: Ints = np.flatnonzero(self._most_in[:, level] > 0)
            into = program.variables(np.zeros(len(come)), self._most_in[come, level], np.zeros(len(come)))
            whole = program.rows(np.zeros(1), equal=True)
            program.enter(np.repeat(whole, len(come)), into, np.ones(len(come)))
            program.enter(np.repeat(whole, len(amounts)), self._out, -amounts)

            hosts: Ints = np.flatnonzero(judged[:, level])
            row_of = np.full(len(judged), -1, dtype=np.int64)
            row_of[hosts] = program.rows((self._goal - self._start)[hosts, level], equal=True)
            there = row_of[come] >= 0
            program.enter(row_of[come][there], into[there], np.ones(int(there.sum())))
            from_row = row_of[self._room.start[self._leavers]]
            there = from_row >= 0
            program.enter(from_row[there], self._out[there], -amounts[there])

            # How far above the mean, and how far below.
            least_off = (self._kept - self._goal)[hosts, level]
            most_off = (self._most - self._goal)[hosts, level]
            ones = np.ones(len(hosts))
            above = program.variables(np.maximum(0, least_off), np.maximum(0, most_off), ones)
            below = program.variables(np.maximum(0, -most_off), np.maximum(0, -least_off), ones)
            program.enter(row_of[hosts], above, -ones)
            program.enter(row_of[hosts], below, ones)
            self._worst(above, below, self._capacity[hosts, level], most_off)

    def _worst(self, above: Ints, below: Ints, capacity: Floats, most_off: Floats) -> None:
        greatest = (most_off / capacity).max(initial=0.0)
        worst = self.program.variables(np.zeros(1), np.array([greatest]), np.ones(1))
        rows = self.program.rows(np.zeros(len(above)))
        self.program.enter(rows, np.repeat(worst, len(rows)), np.ones(len(rows)))
        self.program.enter(rows, above, -1.0 / capacity)
        self.program.enter(rows, below, 1.0 / capacity)

    def _over_safety(self) -> None:
        """Only where the start is above: newcomers never exceed a safety capacity."""
        room, used = self._room, self._room.used_at_start
        judged = (room.up & ~room.maintenance)[:, None] & (room.capacity > 0) & (used > room.safe)
        for host, resource in np.argwhere(judged).tolist():
            capacity = int(room.capacity[host, resource])
            over = np.array([int(used[host, resource] - room.safe[host, resource]) / capacity])
            above = self.program.variables(np.zeros(1), over, np.ones(1))
            row = self.program.rows(over)
            self.program.enter(row, above, np.ones(1))
            there = np.flatnonzero(room.start[self._leavers] == host)
            sizes = room.sizes[self._leavers[there], resource] / capacity
            self.program.enter(np.repeat(row, len(there)), self._out[there], sizes)
