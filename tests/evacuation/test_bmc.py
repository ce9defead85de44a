"""When a BMC's answers prove that a host is off, and when an order is given."""

from __future__ import annotations

import asyncio
import threading

import pytest

from hotfoot.evacuation import bmc
from hotfoot.evacuation.bmc import OFF, NotOff, Refused, Silent, power_of, prove_off

LOST = Silent("did not answer")


class BmcDouble:
    """Gives its answers in turn, the last one for ever; an exception is raised."""

    def __init__(self, *answers: str | Exception, to_order: Exception | None = None) -> None:
        self._answers = list(answers)
        self._to_order = to_order
        self.orders = 0
        self.left = threading.Event()

    def power(self) -> str:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def force_off(self) -> None:
        self.orders += 1
        error, self._to_order = self._to_order, None
        if error is not None:
            raise error

    def leave(self) -> None:
        self.left.set()


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bmc, "EVERY_S", 0.01)


@pytest.mark.parametrize(
    ("answers", "to_order", "already", "orders"),
    [
        ((OFF,), None, True, 0),
        ((LOST, LOST, OFF), None, True, 0),
        (("on", OFF), None, False, 1),
        (("on", "on", "PoweringOff", LOST, OFF), None, False, 1),
        (("PoweringOn", OFF), None, False, 1),
        (("on", OFF), LOST, False, 1),
        (("on", "on", OFF), LOST, False, 2),
    ],
)
async def test_off_is_what_was_read_after_at_most_one_accepted_order(
    answers: tuple[str | Exception, ...], to_order: Exception | None, already: bool, orders: int
) -> None:
    double = BmcDouble(*answers, to_order=to_order)
    assert await prove_off(double, 60) is already
    assert double.orders == orders
    assert double.left.is_set()


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (("on",), "within 1 s, though the order was given: it says that the power is on"),
        (("on", LOST), "though the order was given: it did not answer"),
        (("on", "None"), "though the order was given: it says that the power is None"),
        ((LOST,), "within 1 s: it did not answer"),
    ],
)
async def test_an_accepted_order_proves_nothing_and_silence_neither(
    answers: tuple[str | Exception, ...], words: str
) -> None:
    with pytest.raises(NotOff, match=words):
        await prove_off(BmcDouble(*answers), 1)


async def test_a_refusal_is_told_at_once() -> None:
    for double in (BmcDouble(Refused("does not know you")), BmcDouble("on", to_order=Refused("does not know you"))):
        with pytest.raises(Refused, match="does not know you"):
            await prove_off(double, 60)
        assert double.left.is_set()


class SlowBmcDouble(BmcDouble):
    """Says that the host is on, once everybody has given up."""

    def __init__(self) -> None:
        super().__init__("on")
        self.given_up = threading.Event()

    def power(self) -> str:
        self.given_up.wait()
        return super().power()


async def test_no_order_is_given_once_it_was_given_up() -> None:
    double = SlowBmcDouble()
    with pytest.raises(NotOff):
        await prove_off(double, 0.1)
    double.given_up.set()
    await asyncio.to_thread(double.left.wait)
    assert double.orders == 0


async def test_a_look_orders_nothing_and_waits_no_longer_than_it_may() -> None:
    double = BmcDouble("on")
    assert await power_of(double, 60) == "on"
    assert double.orders == 0
    slow = SlowBmcDouble()
    with pytest.raises(NotOff, match=r"did not answer within 0\.1 s"):
        await power_of(slow, 0.1)
    slow.given_up.set()
