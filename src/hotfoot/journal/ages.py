"""Times as operators type them: ``90d``, ``12h``, ``2026-11-01``, ``2026-11-01 14:30``. Pure."""

from __future__ import annotations

import re
from datetime import datetime

_UNIT_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


def age_ms(text: str) -> int:
    """Return an age such as ``90d`` in ms; raises ValueError."""
    found = re.fullmatch(r"([0-9]{1,6})([smhdw])", text.strip())
    if found is None:
        raise ValueError(f'must be a number with s, m (minutes), h, d or w, such as 90d, not "{text}"')
    return int(found[1]) * _UNIT_MS[found[2]]


def moment_ms(text: str, now_ms: int) -> int:
    """Return the moment that an age or a date (local time, unless it names its zone) means; raises ValueError."""
    try:
        return now_ms - age_ms(text)
    except ValueError:
        pass
    try:
        return round(1000 * datetime.fromisoformat(text.strip()).timestamp())
    except (ValueError, OverflowError):
        raise ValueError(f'must be an age such as 12h or 30d, or a date such as 2026-11-01, not "{text}"') from None
