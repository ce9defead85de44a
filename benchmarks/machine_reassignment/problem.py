"""One instance of machine reassignment, as arrays. Pure.

M machines, P processes, S services, R resources, B balance costs. Amounts have no unit in the published instances.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Problem(NamedTuple):
    """What the files of one instance say. No array is changed after reading."""

    transient: Flags
    """[R]: still taken on the source by a process that is moved."""
    load_weight: Ints
    """[R]"""
    neighbourhood: Ints
    """[M], counted from 0 without gaps."""
    location: Ints
    """[M], counted from 0 without gaps."""
    capacity: Ints
    """[M, R]"""
    safety: Ints
    """[M, R]: usage above costs."""
    machine_move_cost: Ints
    """[M, M], from the old machine to the new."""
    spread: Ints
    """[S]: the fewest locations."""
    needs: tuple[tuple[int, int], ...]
    """(service, service that it depends on)"""
    service: Ints
    """[P]"""
    requirement: Ints
    """[P, R]"""
    process_move_cost: Ints
    """[P]"""
    balance: Ints
    """[B, 4]: resource, resource, target, weight."""
    process_move_weight: int
    service_move_weight: int
    machine_move_weight: int
    start: Ints
    """[P]: the machine of each process at first."""
