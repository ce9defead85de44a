"""Reads the files of one instance. Whatever is wrong with them is one sentence that names the file.

The format is that of the challenge: whole numbers separated by blanks, in an order that the numbers themselves tell.
"""

from __future__ import annotations

import gzip
import warnings
import zlib
from pathlib import Path

import numpy as np
from benchmarks.machine_reassignment.problem import Ints, Problem

MOST = 1 << 40
"""No number may be greater."""
_MOST_COST = 2.0**60
"""No assignment may cost more, however bad, so that all sums stay within 64 bits."""
_MOST_ENTITIES = 10_000_000


class BadInput(Exception):
    """What is wrong with a file, in one sentence."""


class _Numbers:
    """The numbers of a file, taken from the front."""

    def __init__(self, path: Path) -> None:
        self.path, self._at, self._all = path, 0, _numbers(path)

    def take(self, count: int, what: str, least: int = 0, most: int = MOST) -> Ints:
        """Take so many, each within these limits."""
        taken = self._all[self._at : self._at + count]
        if len(taken) < count:
            raise BadInput(f"{self.path}: it ends within {what}: number {len(self._all) + 1} is missing.")
        wrong = np.flatnonzero((taken < least) | (taken > most))
        if len(wrong):
            place, value = self._at + int(wrong[0]) + 1, int(taken[wrong[0]])
            raise BadInput(f"{self.path}: number {place} ({what}) is {value}, not within {least} and {most}.")
        self._at += count
        return taken

    def one(self, what: str, least: int = 0, most: int = MOST) -> int:
        """Take one."""
        return int(self.take(1, what, least, most)[0])

    def table(self, rows: int, columns: int, what: str) -> Ints:
        """Take a table, row by row."""
        return self.take(rows * columns, what).reshape(rows, columns)

    def end(self) -> None:
        """Make sure that nothing is left."""
        if self._at < len(self._all):
            left = len(self._all) - self._at
            raise BadInput(f"{self.path}: {left} numbers are left over after number {self._at}, where it should end.")


def _numbers(path: Path) -> Ints:
    try:
        told = path.read_bytes()
        told = gzip.decompress(told) if path.suffix == ".gz" else told
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)
            return np.fromstring(told.decode("ascii"), dtype=np.int64, sep=" ")
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"{path}: it cannot be read: {error}.") from error
    except (ValueError, DeprecationWarning) as error:
        raise BadInput(f"{path}: it holds something else than whole numbers and blanks.") from error


def read(model: Path, assignment: Path) -> Problem:
    """Read one instance; both files may be compressed by gzip (``.gz``). Raises ``BadInput``."""
    numbers = _Numbers(model)
    resources = numbers.one("number of resources", 1, _MOST_ENTITIES)
    of_resource = numbers.table(resources, 2, "resources")
    if (of_resource[:, 0] > 1).any():
        raise BadInput(f"{model}: whether a resource is transient is told by 0 or 1, not {of_resource[:, 0].max()}.")
    machines = numbers.one("number of machines", 1, _MOST_ENTITIES)
    of_machine = numbers.table(machines, 2 + 2 * resources + machines, "machines")
    services = numbers.one("number of services", 1, _MOST_ENTITIES)
    spread = np.zeros(services, dtype=np.int64)
    needs: dict[tuple[int, int], None] = {}
    for service in range(services):
        spread[service] = numbers.one("spread of a service")
        count = numbers.one("number of services that one depends on", 0, _MOST_ENTITIES)
        for other in numbers.take(count, "service that one depends on", 0, services - 1).tolist():
            needs[service, other] = None
    processes = numbers.one("number of processes", 0, _MOST_ENTITIES)
    of_process = numbers.table(processes, resources + 2, "processes")
    if processes and of_process[:, 0].max() >= services:
        raise BadInput(f"{model}: a process is of service {of_process[:, 0].max()}, of {services} counted from 0.")
    balances = numbers.one("number of balance costs", 0, _MOST_ENTITIES)
    balance = numbers.table(balances, 4, "balance costs")
    if balances and balance[:, :2].max() >= resources:
        raise BadInput(f"{model}: a balance cost is of resource {balance[:, :2].max()}, of {resources} counted from 0.")
    weights = numbers.take(3, "weights of moves").tolist()
    numbers.end()
    places = _Numbers(assignment)
    start = places.take(processes, "machines of processes", 0, machines - 1)
    places.end()
    problem = Problem(
        transient=of_resource[:, 0] == 1,
        load_weight=of_resource[:, 1].copy(),
        neighbourhood=_dense(of_machine[:, 0]),
        location=_dense(of_machine[:, 1]),
        capacity=of_machine[:, 2 : 2 + resources].copy(),
        safety=of_machine[:, 2 + resources : 2 + 2 * resources].copy(),
        machine_move_cost=of_machine[:, 2 + 2 * resources :].copy(),
        spread=spread,
        needs=tuple(needs),
        service=of_process[:, 0].copy(),
        requirement=of_process[:, 1:-1].copy(),
        process_move_cost=of_process[:, -1].copy(),
        balance=balance.copy(),
        process_move_weight=weights[0],
        service_move_weight=weights[1],
        machine_move_weight=weights[2],
        start=start.copy(),
    )
    if _most_cost(problem) > _MOST_COST:
        raise BadInput(f"{model}: its numbers are so great that costs might exceed 64 bits.")
    return problem


def _most_cost(problem: Problem) -> float:
    """Return what no assignment's cost exceeds, feasible or not."""
    amounts = problem.requirement.sum(axis=0, dtype=float) + problem.capacity.sum(axis=0, dtype=float)
    most = float((2 * amounts * np.maximum(1, problem.load_weight)).sum())
    for first, second, target, weight in problem.balance.tolist():
        most += float(weight) * (float(target) * amounts[first] + amounts[second])
    count = float(len(problem.start))
    most += problem.process_move_weight * float(problem.process_move_cost.sum(dtype=float))
    most += problem.service_move_weight * count
    most += problem.machine_move_weight * float(problem.machine_move_cost.max()) * count
    return most


def _dense(names: Ints) -> Ints:
    return np.unique(names, return_inverse=True)[1].astype(np.int64)
