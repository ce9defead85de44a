"""Lists in sentences for the operator."""

from __future__ import annotations

from collections.abc import Iterable


def listed(words: Iterable[object], most: int = 8) -> str:
    """Join words as a sentence does, the first ``most`` of them.

    >>> listed(["n1", "n2", "n3"])
    'n1, n2 and n3'
    >>> listed(["n1", "n2", "n3"], most=2)
    'n1, n2 and 1 more'
    """
    found = [str(word) for word in words]
    if len(found) > most:
        found = [*found[:most], f"{len(found) - most} more"]
    *first, last = found or [""]
    return f"{', '.join(first)} and {last}" if first else last
