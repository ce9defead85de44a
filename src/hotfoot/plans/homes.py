"""What can be brought back to drained hosts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """What was drained from hosts."""

    homes: Mapping[str, str]
    """Instances (uuid) that are where the drain put them, and the host that they came from."""
    moved_since: tuple[str, ...]
    """Of the others that still run somewhere else, a sentence each."""


def drained_of(places: Mapping[str, tuple[str, str]], at: Mapping[str, str], names: Mapping[str, str]) -> Drained:
    """Return what is still where drains put it.

    ``places``: instance (uuid) to its home and where it was put; ``at``: where it lives now, of those of which that is
    known; ``names``: their names.
    """
    moved = (
        f"{names[uuid]} was moved since it was drained from {home}: it stays on {at[uuid]}, and not on {put}."
        for uuid, (home, put) in places.items()
        if uuid in at and at[uuid] not in (put, home)
    )
    homes = {uuid: home for uuid, (home, put) in places.items() if at.get(uuid) == put}
    return Drained(homes=homes, moved_since=tuple(moved))
