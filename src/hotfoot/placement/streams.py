"""Whether the links can use one more stream: the rule by which plans are timed, and carried out. Pure.

One fast stream is better than several slow ones: the guest dirties less meanwhile, and the first hosts are empty
earlier. So a move begins while the links carry more than all that is asked of them, or when what is left to send will
be gone by the time that it is prepared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Links = Mapping[str, int | None]
"""Bytes per second by host; None, or a host that is missing: not known, and never the narrowest."""

_TINY_S = 1e-9
_USELESS_SHARE = 0.05
"""Of its own rate; a stream that would get less is no gain."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one link has to carry, in one direction. Bytes, and bytes per second."""

    rate: float
    asked: float
    """What the streams that send over it would take, if nothing else were sent."""
    left_bytes: float
    """What they have yet to send."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the running moves of a plan have shown so far. Moves by their numbers."""

    left_bytes: Mapping[int, int] = field(default_factory=dict)
    """What they have yet to send; of others all that is planned."""
    ahead_s: float | None = None
    """From the moment that is decided upon to the first byte of a move; None: not seen yet."""


def can_use_one_more(fastest: float, prepared_s: float, loads: Iterable[Load]) -> bool:
    """Say whether a move is to begin that can send so fast, and is prepared for so long before it sends.

    ``loads``: of the links that it goes over and whose rate is known. Invariant: links that carry nothing can always
    use one.
    """
    return all(
        load.rate - load.asked >= _USELESS_SHARE * fastest or load.left_bytes / load.rate <= prepared_s + _TINY_S
        for load in loads
    )
