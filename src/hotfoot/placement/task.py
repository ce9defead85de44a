"""All that a search needs of one wish, worked out once. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hotfoot.placement.floors import bound, least_of_first
from hotfoot.placement.plan import Score
from hotfoot.placement.room import Floats, Ints, Room, room_of
from hotfoot.placement.score import Levels, levels_of, score, weights_of
from hotfoot.placement.snapshot import Snapshot
from hotfoot.placement.wish import Balance, Wish


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A snapshot and a wish, ready to be searched."""

    wish: Wish
    room: Room
    levels: Levels | None
    """What is balanced; None for all other objectives."""
    weights: Mapping[str, float]
    least: int | None
    """What the first term of the score cannot be below, before its weight."""
    bound: float | None
    """What the whole score cannot be below, as far as can be seen at once."""

    @property
    def amounts(self) -> Floats:
        """[I, K]: what each instance takes of what is balanced."""
        return self.levels.amounts if self.levels is not None else np.zeros((len(self.room.ids), 0))

    def score(self, at: Ints) -> Score:
        """Return the score of a placement."""
        return score(self.room, self.wish, self.levels, at)


def task_of(snapshot: Snapshot, wish: Wish) -> Task:
    """Return the task; HotfootError when the wish names what the snapshot has not."""
    room = room_of(snapshot, wish)
    weights = weights_of(room, wish)
    objective = wish.objective
    return Task(
        wish=wish,
        room=room,
        levels=levels_of(snapshot, room, objective) if isinstance(objective, Balance) else None,
        weights=weights,
        least=least_of_first(room, wish),
        bound=bound(room, wish, weights),
    )
