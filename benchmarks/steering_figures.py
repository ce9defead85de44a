"""Moves of real QEMU under several ways to steer: what each came to, and what the goals say of it. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

NOVA = "Nova"
MOST_OF_NOVA, MOST_OF_BEST = 0.5, 1.05
"""Time to completion: of Nova's where a guest does not converge by itself, of the best of all where it does."""
SAME_DOWNTIME = 1.1


@dataclass(frozen=True, slots=True)
class Guest:
    """What the instance does: it rewrites an area of memory, at a share of what the link carries."""

    name: str
    share: float
    area_mib: int
    converges: bool
    """Whether it moves under QEMU's own limit alone."""


GUESTS = (
    Guest("converges by itself", 0.3, 48, converges=True),
    Guest("needs a longer downtime", 1.6, 10, converges=False),
    Guest("outruns the link", 1.6, 96, converges=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How one move ended; ``waited_out`` where it still ran when the benchmark's patience ended."""

    way: str
    guest: str
    finished: bool
    waited_out: bool
    total_ms: int
    downtime_ms: int | None
    sent_bytes: int | None
    iterations: int | None
    actions: tuple[str, ...]
    reason: str | None

    @property
    def in_words(self) -> str:
        """How it ended, in one line."""
        how = "moved" if self.finished else "still ran" if self.waited_out else "given up"
        downtime = f", downtime {self.downtime_ms} ms" if self.finished else ""
        done = f" ({', '.join(self.actions)})" if self.actions else ""
        return f"{how} after {self.total_ms / 1000:.1f} s{downtime}{done}"


def rows(ends: Sequence[End]) -> dict[str, list[dict[str, Any]]]:
    """Return for each guest one row per way: share finished, medians of time, of the finished ones' downtime, bytes."""
    found: dict[str, list[dict[str, Any]]] = {}
    for guest in dict.fromkeys(end.guest for end in ends):
        for way in dict.fromkeys(end.way for end in ends):
            mine = [end for end in ends if (end.guest, end.way) == (guest, way)]
            if not mine:
                continue
            downtimes = [end.downtime_ms for end in mine if end.finished and end.downtime_ms is not None]
            found.setdefault(guest, []).append(
                {
                    "way": way,
                    "finished": sum(end.finished for end in mine) / len(mine),
                    "waited_out": any(end.waited_out for end in mine),
                    "total_s": statistics.median(end.total_ms for end in mine) / 1000,
                    "downtime_ms": statistics.median(downtimes) if downtimes else None,
                    "sent_mib": statistics.median((end.sent_bytes or 0) for end in mine) / 2**20,
                }
            )
    return found


def goals(ends: Sequence[End]) -> list[tuple[str, float, float]]:
    """Return what is judged, what was measured, and the most that it may be."""
    table = rows(ends)
    found = []
    for guest in (guest for guest in GUESTS if guest.name in table):
        by_way = {row["way"]: row for row in table[guest.name]}
        for mine in ("hotfoot balanced", "hotfoot must-finish"):
            ours = by_way.get(mine)
            if ours is None:
                continue
            if guest.converges:
                found.append((f"{guest.name}: share that {mine} did not finish", 1 - ours["finished"], 0.0))
                finished = [row["total_s"] for row in by_way.values() if row["finished"] == 1]
                if ours["finished"] == 1:
                    ratio = ours["total_s"] / min(finished)
                    found.append((f"{guest.name}: time of {mine} to the best of all", ratio, MOST_OF_BEST))
            elif theirs := by_way.get(NOVA):
                what = f"{guest.name}: {mine} to {NOVA}"
                found.append((f"{what}, time", ours["total_s"] / theirs["total_s"], MOST_OF_NOVA))
                found.append((f"{what}, finished by Nova alone", theirs["finished"] - ours["finished"], 0.0))
                if ours["downtime_ms"] and theirs["downtime_ms"]:
                    ratio = ours["downtime_ms"] / theirs["downtime_ms"]
                    found.append((f"{what}, downtime", ratio, SAME_DOWNTIME))
    return found


def as_text(ends: Sequence[End]) -> str:
    """Return a table for each guest, and the goals."""
    lines = []
    for guest, found in rows(ends).items():
        lines.append(f"{guest}\n  {'':<28}{'finished':>9}{'time, s':>12}{'downtime, ms':>14}{'sent, MiB':>11}")
        for row in found:
            time = f"{'> ' if row['waited_out'] else ''}{row['total_s']:.1f}"
            downtime = "-" if row["downtime_ms"] is None else f"{row['downtime_ms']:.0f}"
            lines.append(f"  {row['way']:<28}{row['finished']:>9.0%}{time:>12}{downtime:>14}{row['sent_mib']:>11.0f}")
    lines += [
        f"{'pass' if measured <= limit else 'MISS'}  {what}  {measured:.3g}  goal {limit:g}"
        for what, measured, limit in goals(ends)
    ]
    return "\n".join(lines)
