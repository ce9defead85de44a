"""Forecasts beside outcomes: errors, goals, a table. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.figures import Goal

from hotfoot.lab.spec import Pattern


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One migration under the policy that never helps: what was measured before, what was told, what came out."""

    memory_mib: int
    link: str
    rate_mib: int
    area_mib: int
    measured: Mapping[str, Any]
    forecast: Mapping[str, Any]
    result: Mapping[str, Any]
    samples: tuple[Mapping[str, Any], ...]
    pattern: Pattern = "circle"
    """By which it writes; runs that were kept before there was another do not tell."""

    @property
    def completed(self) -> bool:
        """Whether it came to its end by itself; else it was given up."""
        return bool(self.result["outcome"] == "completed")

    @property
    def error(self) -> float | None:
        """Of the total time, as a share of the real one; None where there is no real or no forecast one."""
        real, told = self.result["total_ms"], self.forecast["total_ms"]
        return abs(told - real) / real if self.completed and told is not None else None

    @property
    def within_band(self) -> bool | None:
        """Whether the total lay in its band."""
        low, high = self.forecast["total_ms_low"], self.forecast["total_ms_high"]
        return bool(low <= self.result["total_ms"] <= high) if self.error is not None else None

    @property
    def verdict_right(self) -> bool:
        """Whether it did what was foretold."""
        return bool((self.forecast["verdict"] == "converges") == self.completed)

    def in_words(self) -> str:
        """One line of progress."""
        ended = f"{self.result['total_ms']} ms" if self.completed else "given up"
        return (
            f"{self.memory_mib} MiB, {self.link}, dirties {self.rate_mib} MiB/s of {self.area_mib} MiB "
            f"({self.pattern}): {self.forecast['verdict']}, {self.forecast['total_ms']} ms expected; {ended}"
        )


def percentile(figures: Sequence[float], share: float) -> float:
    """Return the least figure that so great a share of all does not exceed."""
    ordered = sorted(figures)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def goals(trials: Sequence[Trial]) -> tuple[Goal, ...]:
    """Judge: half of the totals within 10 %, nine of ten within 30 %, 95 % of the verdicts right."""
    errors = [trial.error for trial in trials if trial.error is not None]
    wrong = sum(not trial.verdict_right for trial in trials) / len(trials)
    judged = []
    if errors:
        judged.append(_goal("error of the total time, median", median(errors), 0.10))
        judged.append(_goal("error of the total time, 90th percentile", percentile(errors, 0.9), 0.30))
    return (*judged, _goal("verdicts that were wrong, share", wrong, 0.05))


def _goal(what: str, measured: float, limit: float) -> Goal:
    return Goal(what=what, limit=limit, measured=measured, met=measured <= limit)


def as_text(trials: Sequence[Trial]) -> str:
    """Return the table, and the goals."""
    head = (
        "MiB",
        "link",
        "dirties",
        "of MiB",
        "by",
        "verdict",
        "expected ms",
        "(low to high)",
        "ms",
        "error",
        "in band",
    )
    rows = [head]
    for trial in trials:
        told, error = trial.forecast, trial.error
        rows.append(
            (
                str(trial.memory_mib),
                trial.link,
                str(trial.rate_mib),
                str(trial.area_mib),
                trial.pattern,
                told["verdict"] + ("" if trial.verdict_right else " (wrong)"),
                str(told["total_ms"] if told["total_ms"] is not None else "-"),
                f"{told['total_ms_low']} to {told['total_ms_high']}" if told["total_ms"] is not None else "-",
                str(trial.result["total_ms"]) if trial.completed else "given up",
                "-" if error is None else f"{100 * error:.0f} %",
                {True: "yes", False: "no", None: "-"}[trial.within_band],
            )
        )
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [f"{'pass' if g.met else 'MISS'}  {g.what}: {g.measured:.3g} (goal {g.limit:g})" for g in goals(trials)]
    return "\n".join([f"{len(trials)} migrations", *lines])
