"""The figures of a benchmark against virsh, folded into spreads, ratios and goals. Pure.

A ratio is hotfoot divided by virsh within one pair, so that what loads the machine loads both; the verdict takes
the median of these ratios, never the ratio of two medians.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MOST_RATIO = 1.05
MOST_CPU_S = 0.5
MOST_RESIDENT_BYTES = 100_000_000
MOST_HELP_MS = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One move of the instance, by either command, measured from outside by the same means."""

    source: str
    destination: str
    total_ms: int
    """``time_elapsed`` of the hypervisor's completed job statistics."""
    downtime_ms: int
    """``downtime`` of the same statistics."""
    iterations: int
    """``memory_iteration`` of the same statistics."""
    outage_ms: int
    """The longest silence that the benchmark's own outage watch saw."""
    unwatched_ms: int
    """How long the machine held up that watch at most; a large one makes ``outage_ms`` doubtful."""
    command_ms: float
    """From the start of the command to its end."""
    cpu_s: float
    """User and system time of the command's own process."""
    children_cpu_s: float
    """The same of the processes that it started and waited for (ssh)."""
    resident_bytes: int
    """Peak resident memory of the command's process, or of the largest of its children."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The same instance moved once by each command, there and back."""

    virsh_first: bool
    virsh: Move
    hotfoot: Move


@dataclass(frozen=True, slots=True, kw_only=True)
class StartUps:
    """How long the commands take without any move, in ms; several runs of each."""

    virsh_ms: tuple[float, ...]
    """``virsh version``: connects to one libvirt and asks one question."""
    hotfoot_ms: tuple[float, ...]
    """``hotfoot hosts``: connects to every libvirt of the cluster and asks what is there."""
    dry_run_ms: tuple[float, ...]
    """``hotfoot migrate --dry-run``: start-up and every check before a move."""
    help_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Spread:
    """The least, the median and the most of several figures."""

    least: float
    median: float
    most: float


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure of both commands, and the spread of the ratios of each pair."""

    virsh: Spread
    hotfoot: Spread
    ratio: Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One goal, with what was measured; ``limit`` and ``measured`` in the unit that ``what`` names."""

    what: str
    limit: float
    measured: float
    met: bool


def spread(values: Sequence[float]) -> Spread:
    """Return the spread of one or more figures.

    >>> spread([4, 1, 2, 3])
    Spread(least=1, median=2.5, most=4)
    """
    return Spread(min(values), statistics.median(values), max(values))


def compared(pairs: Sequence[Pair], figure: Callable[[Move], float]) -> Compared:
    """Compare one figure of both commands."""
    return _compared([figure(pair.virsh) for pair in pairs], [figure(pair.hotfoot) for pair in pairs])


def comparisons(pairs: Sequence[Pair], start_ups: StartUps) -> dict[str, Compared]:
    """Return every figure that both commands have, in ms but for the iterations, in the order of the table."""
    virsh_ms, hotfoot_ms = statistics.median(start_ups.virsh_ms), statistics.median(start_ups.hotfoot_ms)
    return {
        "total time": compared(pairs, lambda move: move.total_ms),
        "outage": compared(pairs, lambda move: move.outage_ms),
        "downtime": compared(pairs, lambda move: move.downtime_ms),
        "iterations": compared(pairs, lambda move: move.iterations),
        "whole command": compared(pairs, lambda move: move.command_ms),
        "command less start-up": _compared(
            [pair.virsh.command_ms - virsh_ms for pair in pairs],
            [pair.hotfoot.command_ms - hotfoot_ms for pair in pairs],
        ),
    }


def _compared(virsh: Sequence[float], hotfoot: Sequence[float]) -> Compared:
    # Below 1 counts as 1 in a ratio: the hypervisor may report a downtime of 0 ms.
    ratios = [max(1, ours) / max(1, theirs) for theirs, ours in zip(virsh, hotfoot, strict=True)]
    return Compared(spread(virsh), spread(hotfoot), spread(ratios))


def goals(pairs: Sequence[Pair], start_ups: StartUps, *, whole: bool) -> tuple[Goal, ...]:
    """Judge: ratios and processor time by their medians, memory by its worst run."""
    total, outage = compared(pairs, lambda move: move.total_ms), compared(pairs, lambda move: move.outage_ms)
    cpu_s = statistics.median(pair.hotfoot.cpu_s for pair in pairs)
    resident_bytes = max(pair.hotfoot.resident_bytes for pair in pairs)
    help_ms = statistics.median(start_ups.help_ms)
    return (
        at_most("total time, hotfoot to virsh (median ratio)", total.ratio.median, MOST_RATIO),
        at_most("outage, hotfoot to virsh (median ratio)", outage.ratio.median, MOST_RATIO),
        _below("own processor time of a migration (median, s)", cpu_s, MOST_CPU_S),
        _below("resident memory (largest, MB)", resident_bytes / 1e6, MOST_RESIDENT_BYTES / 1e6),
        _below("hotfoot --help (median, ms)", help_ms, MOST_HELP_MS),
        at_most("instances damaged (memory, disk or restart)", 0 if whole else 1, 0),
    )


def at_most(what: str, measured: float, limit: float) -> Goal:
    """Judge a figure that may be as large as its limit."""
    return Goal(what=what, limit=limit, measured=measured, met=measured <= limit)


def _below(what: str, measured: float, limit: float) -> Goal:
    return Goal(what=what, limit=limit, measured=measured, met=measured < limit)
