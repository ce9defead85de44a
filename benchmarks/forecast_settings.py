"""On which guests and links forecasts are tried: all combinations, or some of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from hotfoot.lab.spec import Pattern

_LINKS = {"100mbit": 11.9, "200mbit": 23.8, "300mbit": 35.8}
"""MiB/s that each carries."""
_AREAS = {128: 16, 256: 64, 512: 96, 1024: 128}
"""MiB that an instance of so much memory rewrites."""
_LOADS = (0.0, 0.25, 0.5, 0.75, 1.6)
"""Rate of rewriting, as a share of what the link carries."""
_PATTERNS: tuple[Pattern, ...] = ("circle", "random", "hot")
_STRIDE = 37
"""About 60 over the golden ratio, and without a divisor in common with 60: those that are picked one after the other
lie far apart, so that however few they are, they are of all sizes and loads."""


@dataclass(frozen=True, slots=True)
class Setting:
    """An instance, its load, and the link that it is moved over."""

    memory_mib: int
    link: str
    rate_mib: int
    area_mib: int
    pattern: Pattern


def pick(count: int) -> tuple[Setting, ...]:
    """Return all settings, or so many of them; those of a shorter run are among those of a longer one.

    The patterns make a Latin square: of the guests of each size and load, one writes by each, over another link; the
    idle ones write by none.
    """
    every = [
        Setting(memory, link, round(load * carries), area, _PATTERNS[(size + way + level) % 3 if load else 0])
        for (size, (memory, area)), (way, (link, carries)), (level, load) in product(
            enumerate(_AREAS.items()), enumerate(_LINKS.items()), enumerate(_LOADS)
        )
    ]
    return tuple(every[n] for n in sorted(_STRIDE * nth % len(every) for nth in range(min(count, len(every)))))
