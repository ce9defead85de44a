"""How right the forecasts were: forecast against outcome, over many records. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hotfoot.journal.ranks import percentile
from hotfoot.journal.record import Record
from hotfoot.migration.action import ActionKind

BY_ITSELF, WITH_HELP, NEVER = "converges", "converges with help", "does not converge"
"""The verdicts of a forecast."""
_HELP = {ActionKind.DOWNTIME_LIMIT, ActionKind.THROTTLE, ActionKind.POST_COPY, ActionKind.PAUSE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """The errors of total time are shares of the time that it took: 0.1 is 10 %, too long or too short."""

    forecasts: int
    """Records with a forecast that ended."""
    timed: int
    """Those of them that completed, so that there is a time to compare."""
    total_error_median: float | None
    total_error_p90: float | None
    total_in_band: int
    """How many of the timed ones took a time within the band of their forecast."""
    verdicts: int
    """Those whose end says whether the guest converged."""
    verdicts_right: int

    @property
    def right_share(self) -> float | None:
        """Share of right verdicts."""
        return self.verdicts_right / self.verdicts if self.verdicts else None


def accuracy(records: Iterable[Record]) -> Accuracy:
    """Compare the forecasts of records with their ends.

    Total time: of migrations that completed. Verdict: of those that completed, by what was needed (nothing, or an
    action that helps), and of those that steering gave up; other failures say nothing about converging.
    """
    judged = [record for record in records if record.forecast is not None and record.outcome is not None]
    errors: list[float] = []
    in_band = verdicts = right = 0
    for record in judged:
        forecast = record.forecast or {}
        took, expected = record.number("total_ms"), forecast.get("total_ms")
        if record.outcome == "completed" and took and isinstance(expected, (int, float)):
            errors.append(abs(took - expected) / took)
            low, high = forecast.get("total_ms_low"), forecast.get("total_ms_high")
            if isinstance(low, (int, float)) and isinstance(high, (int, float)):
                in_band += low <= took <= high
        if (was := what_happened(record)) is not None:
            verdicts += 1
            right += was == forecast.get("verdict")
    return Accuracy(
        forecasts=len(judged),
        timed=len(errors),
        total_error_median=percentile(errors, 50),
        total_error_p90=percentile(errors, 90),
        total_in_band=in_band,
        verdicts=verdicts,
        verdicts_right=right,
    )


def what_happened(record: Record) -> str | None:
    """Return the verdict that a forecast should have given; None where the end does not tell."""
    actions = (record.result or {}).get("actions")
    kinds = (
        {act.get("kind") for act in actions if isinstance(act, dict)} if isinstance(actions, (list, tuple)) else set()
    )
    if record.outcome == "completed":
        return WITH_HELP if kinds & _HELP else BY_ITSELF
    return NEVER if ActionKind.GIVE_UP in kinds else None
