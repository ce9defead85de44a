"""SIGTERM ends a benchmark as Ctrl-C does: what it brought up is removed, what it found so far is kept."""

from __future__ import annotations

import signal
from typing import NoReturn


def stop_as_by_ctrl_c() -> None:
    """Have SIGTERM raise KeyboardInterrupt in the main thread."""
    signal.signal(signal.SIGTERM, _terminated)


def _terminated(*_: object) -> NoReturn:
    raise KeyboardInterrupt
