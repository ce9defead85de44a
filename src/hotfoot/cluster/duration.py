"""Durations as people write them (``500ms``, ``10m``), in milliseconds."""

from __future__ import annotations

import re

DURATION_PATTERN = r"^ *[0-9]+(\.[0-9]+)? *(ms|s|m|min|h) *$"
DURATION_EXAMPLES = ("500ms", "90s", "10m", "2h")

_FACTORS_MS = {"ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000}


def parse_duration_ms(text: str) -> int:
    """Read a duration; the unit is obligatory, the result in whole milliseconds and at least 1.

    >>> parse_duration_ms("500ms"), parse_duration_ms("1.5 h")
    (500, 5400000)

    Raises ValueError with a phrase that begins with "must be".
    """
    found = re.fullmatch(r"(?P<number>[0-9]+(?:\.[0-9]+)?) *(?P<unit>ms|s|m|min|h)", text.strip())
    duration_ms = int(float(found["number"]) * _FACTORS_MS[found["unit"]]) if found else 0
    if not duration_ms:
        raise ValueError(f'must be a duration with its unit, such as {" or ".join(DURATION_EXAMPLES)}, not "{text}"')
    return duration_ms
