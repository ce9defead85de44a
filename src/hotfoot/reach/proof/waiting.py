"""Lines that come from elsewhere, and waiting for them without ever missing the end.

Runs on hosts (Python 3.6 and newer, standard library only), joined with its neighbours before it is sent.
"""

import json
import os
import select
import signal
import time
from collections.abc import Sequence
from typing import Any

SILENCE_S = 120
"""After so long without a question a program on a host takes it that nobody will come any more."""
_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class Ended(Exception):
    """Whoever asked is gone, a signal came, or nobody said a word for too long."""


class Lines:
    """The lines that come through a file descriptor, without ever blocking."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.ended = False
        self._lines: list[bytes] = []
        self._rest = b""

    def read(self) -> None:
        """Take in what is there; call it when the descriptor is readable."""
        try:
            block = os.read(self.descriptor, 1 << 16)
        except OSError:
            block = b""
        if not block:
            self.ended = True
            return
        *whole, self._rest = (self._rest + block).split(b"\n")
        self._lines += whole

    def next(self) -> "Any | None":
        """Return the next whole line's JSON, None if there is none yet."""
        return json.loads(self._lines.pop(0).decode()) if self._lines else None


class Waiter:
    """Waits for descriptors; raises Ended when the one who asks has gone, on a signal, and after a long silence."""

    def __init__(self, asked: Lines) -> None:
        self.asked = asked
        self._wake, wake_end = os.pipe()
        os.set_blocking(wake_end, False)
        signal.set_wakeup_fd(wake_end)
        for number in _SIGNALS:
            signal.signal(number, lambda *_: None)
        self._silent_until = time.monotonic() + SILENCE_S

    def wait(self, descriptors: "Sequence[int]", until: float) -> "list[int]":
        """Return those that are readable, none when the time is over."""
        until = min(until, self._silent_until)
        watched = [*descriptors, self._wake, self.asked.descriptor]
        ready, _, _ = select.select(watched, [], [], max(0.0, until - time.monotonic()))
        if self.asked.descriptor in ready:
            self.asked.read()
        if self.asked.ended or self._wake in ready or time.monotonic() >= self._silent_until:
            raise Ended
        return [each for each in ready if each in descriptors]

    def question(self) -> "dict[str, Any]":
        """Wait for the next question."""
        while True:
            found = self.asked.next()
            if found is not None:
                self._silent_until = time.monotonic() + SILENCE_S
                return dict(found)
            self.wait([], self._silent_until)


def said(error: OSError) -> str:
    """Return what the system says of an error, without Python's decoration."""
    return error.strerror or str(error)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it, however many calls that takes."""
    while data:
        data = data[os.write(descriptor, data) :]
