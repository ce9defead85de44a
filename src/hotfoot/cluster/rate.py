"""Rates as people write them (``800Mbit/s``, ``100MiB/s``), in bytes per second."""

from __future__ import annotations

import re

RATE_PATTERN = r"^ *[0-9]+(\.[0-9]+)? *([kKmMgGtT][iI]?)?([bB][iI][tT](/s|ps)?|bps|B(/s|ps)?) *$"
RATE_EXAMPLES = ("800Mbit/s", "1Gbit/s", "100MiB/s")

_RATE = r"(?P<number>[0-9]+(?:\.[0-9]+)?) *(?P<prefix>[kmgt]i?)?(?P<unit>bit|b)(?P<per>/s|ps)?"
_FACTORS = {
    "": 1,
    "k": 1000,
    "m": 1000**2,
    "g": 1000**3,
    "t": 1000**4,
    "ki": 1024,
    "mi": 1024**2,
    "gi": 1024**3,
    "ti": 1024**4,
}


def parse_rate(text: str) -> int:
    """Read a rate; the result is in whole bytes per second, rounded down.

    The unit is obligatory: ``bit/s`` (also ``bit``, ``bps``) or ``B/s`` (also ``B``, ``Bps``), with a decimal
    (k, M, G, T) or binary (Ki, Mi, Gi, Ti) prefix. ``Mb/s`` is refused, for it means bits to some and bytes
    to others.

    >>> parse_rate("1Gbit/s"), parse_rate("100MiB/s")
    (125000000, 104857600)

    Raises ValueError with a phrase that begins with "must be".
    """
    if re.match(RATE_PATTERN, text) is None or (found := re.fullmatch(_RATE, text.strip(), re.IGNORECASE)) is None:
        raise ValueError(f'must be a rate with its unit, such as {" or ".join(RATE_EXAMPLES)}, not "{text}"')
    number = float(found["number"]) * _FACTORS[(found["prefix"] or "").lower()]
    bits = found["unit"].lower() == "bit" or found["unit"] + (found["per"] or "") == "bps"
    return int(number / 8 if bits else number)
