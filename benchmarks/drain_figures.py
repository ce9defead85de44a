"""Drains of one host in several ways, against what its link allows: ratios, goals, table. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.figures import Goal, at_most
from benchmarks.heard_moves import HeardMove

HOTFOOT, ONE_BY_ONE, ALL_AT_ONCE = "hotfoot drain", "virsh, one after the other", "virsh, all at once"
BY_HAND = (ONE_BY_ONE, ALL_AT_ONCE)
MOST_OF_BOUND = 1.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """One host emptied in one way."""

    way: str
    link: str
    link_bytes_per_s: float
    command_s: float
    """From the start of the first command to the end of the last; planning and the last look of a drain are in it."""
    moves: tuple[HeardMove, ...]

    @property
    def span_s(self) -> float:
        """From the first move's start to the last one's end."""
        return max(one.ended_s for one in self.moves) - min(one.ended_s - one.total_ms / 1000 for one in self.moves)

    @property
    def downtime_ms(self) -> int:
        """Of all instances together."""
        return sum(one.downtime_ms for one in self.moves)

    @property
    def sent_bytes(self) -> int:
        """By all moves together."""
        return sum(one.sent_bytes for one in self.moves)


def bound_s(drains: Sequence[Drain]) -> float:
    """Return the seconds below which no way can be: of each instance the fewest bytes that any way sent, by the link.

    ``drains``: all ways over the same link.
    """
    fewest: dict[str, int] = {}
    for one in (move for drain in drains for move in drain.moves):
        fewest[one.instance] = min(one.sent_bytes, fewest.get(one.instance, one.sent_bytes))
    return sum(fewest.values()) / drains[0].link_bytes_per_s


def goals(drains: Sequence[Drain]) -> list[Goal]:
    """Judge each link over which all ways have been measured; time is that of the moves.

    What a drain does beside them, looking, trying links and planning, has no counterpart by hand: it is in the table.
    """
    found: list[Goal] = []
    for link in dict.fromkeys(drain.link for drain in drains):
        by_way = {drain.way: drain for drain in drains if drain.link == link}
        if not by_way.keys() >= {HOTFOOT, *BY_HAND}:
            continue
        ours, faster = by_way[HOTFOOT], min((by_way[way] for way in BY_HAND), key=lambda drain: drain.span_s)
        found += [
            at_most(
                f"{link}: moves of {HOTFOOT}, to the bound", ours.span_s / bound_s([*by_way.values()]), MOST_OF_BOUND
            ),
            at_most(f"{link}: moves of {HOTFOOT}, to {faster.way}", ours.span_s / faster.span_s, 1.0),
            at_most(f"{link}: downtime of all, to {faster.way}", ours.downtime_ms / max(1, faster.downtime_ms), 1.0),
        ]
    return found


def as_text(drains: Sequence[Drain]) -> str:
    """Return a table for each link, and the goals."""
    lines = []
    for link in dict.fromkeys(drain.link for drain in drains):
        mine = [drain for drain in drains if drain.link == link]
        bound = bound_s(mine)
        lines.append(f"{link}: no way is faster than {bound:.1f} s")
        lines.append(
            f"  {'':<28}{'moves, s':>10}{'to bound':>10}{'command, s':>12}{'downtime, ms':>14}{'sent, MiB':>11}"
        )
        lines += [
            f"  {one.way:<28}{one.span_s:>10.1f}{one.span_s / bound:>10.3f}{one.command_s:>12.1f}"
            f"{one.downtime_ms:>14}{one.sent_bytes / 2**20:>11.0f}"
            for one in mine
        ]
    lines += [
        f"{'pass' if goal.met else 'MISS'}  {goal.what}  {goal.measured:.3f}  goal {goal.limit:g}"
        for goal in goals(drains)
    ]
    return "\n".join(lines)
