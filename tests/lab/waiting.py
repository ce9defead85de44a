"""Waiting for what comes in its own time."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 180
"""What takes longer, on a busy machine as well, does not come."""


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Fail with ``what`` unless it becomes true in time."""
    end_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end_s, what
        time.sleep(0.5)
