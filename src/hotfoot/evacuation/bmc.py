"""A BMC: the small computer beside a host that switches its power, asked until it says that the host is off."""

from __future__ import annotations

import threading
from typing import Protocol

from hotfoot.aside import aside

EVERY_S = 1.0
"""How often the power is read."""
ANSWER_S = 20.0
"""How long one answer may take; a busy BMC takes several seconds."""
OFF = "off"


class NotOff(Exception):
    """Nothing proves that a host is off; the words go on from the name of who was asked."""


class Refused(NotOff):
    """The BMC, or what it shows of itself, is such that asking again would change nothing."""


class Silent(NotOff):
    """No answer that says anything: the next one may."""


class Bmc(Protocol):
    """One host's BMC, in the protocol that it speaks. All of it blocks."""

    def power(self) -> str:
        """Read the power: ``OFF``, or what else it says. Raises Refused, Silent."""

    def force_off(self) -> None:
        """Order the power off, without asking the operating system. Raises Refused, Silent."""

    def leave(self) -> None:
        """Log out."""


async def power_of(bmc: Bmc, timeout_s: float) -> str:
    """Read the power once, and order nothing. Raises NotOff."""

    def read() -> str:
        try:
            return bmc.power()
        finally:
            bmc.leave()

    try:
        return await aside(read, timeout_s)
    except TimeoutError:
        raise Silent(f"did not answer within {timeout_s:g} s") from None


async def prove_off(bmc: Bmc, timeout_s: float) -> bool:
    """Switch a host off; return whether it was off already, in which case nothing was ordered. Raises NotOff.

    Invariant: it returns only when the power was read as off; that an order was accepted proves nothing. Once it has
    returned or raised, no order is begun.
    """
    switching = _Switching(bmc)
    try:
        return await aside(switching.run, timeout_s)
    except TimeoutError:
        raise NotOff(switching.so_far(timeout_s)) from None
    finally:
        switching.over.set()


class _Switching:
    """One host being switched off, in a thread of its own."""

    def __init__(self, bmc: Bmc) -> None:
        self.over = threading.Event()
        self._bmc = bmc
        self._ordered = False
        self._last = "did not answer"

    def run(self) -> bool:
        try:
            return self._until_off()
        finally:
            self._bmc.leave()

    def _until_off(self) -> bool:
        accepted = False
        while not self.over.is_set():
            try:
                power = self._bmc.power()
                if power == OFF:
                    return not self._ordered
                self._last = f"says that the power is {power}"
                if not accepted and not self.over.is_set():
                    self._ordered = True  # even where the answer is lost
                    self._bmc.force_off()
                    accepted = True
            except Silent as silence:
                self._last = str(silence)
            self.over.wait(EVERY_S)
        raise NotOff(self._last)  # to nobody: the time is over

    def so_far(self, timeout_s: float) -> str:
        ordered = ", though the order was given" if self._ordered else ""
        return f"did not say so within {timeout_s:g} s{ordered}: it {self._last}"
