"""The passes of a running migration correct the dirty curve that was foretold, and say when it is no longer true."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfoot.migration.dirty_curve import Dirty, DirtyCurve
from hotfoot.migration.seen_passes import SeenPass, as_seen, corrected

MIB = 1 << 20
HOT = DirtyCurve(40.0 * MIB, 64.0 * MIB, 200.0 * MIB, hot_share=0.9, hot_bytes=6.4 * MIB)
IN_TURN = DirtyCurve(10.0 * MIB, 64.0 * MIB, 200.0 * MIB, in_turn=True)
LINE = DirtyCurve(10.0 * MIB, ceiling_bytes=200.0 * MIB)


def passes_of(guest: DirtyCurve, *lengths_s: float) -> tuple[SeenPass, ...]:
    """Passes that each leave 5 MiB over, of which a tenth is hot."""
    left = Dirty(0.5 * MIB, 4.5 * MIB) if guest.hot_bytes else Dirty(0.0, 5.0 * MIB)
    return tuple(SeenPass(left, took_s, round(guest.added_to(left, took_s).all_bytes)) for took_s in lengths_s)


@pytest.mark.parametrize("foretold", [HOT, IN_TURN, LINE])
def test_a_guest_that_does_what_was_foretold_keeps_its_curve(foretold: DirtyCurve) -> None:
    assert corrected(foretold, passes_of(foretold, 5.0, 1.0, 0.5)) == foretold


@pytest.mark.parametrize("foretold", [HOT, IN_TURN, LINE])
def test_a_guest_that_writes_more_is_known_by_its_passes_and_keeps_its_hot_part(foretold: DirtyCurve) -> None:
    guest = foretold.scaled(1.3, 1.3)
    found = corrected(foretold, passes_of(guest, 4.0, 1.0, 0.5))
    assert found
    assert found.hot_share == foretold.hot_share
    for seconds in (0.3, 1.0, 4.0):
        before, now = (abs(curve.within(seconds) - guest.within(seconds)) for curve in (foretold, found))
        assert now < 0.7 * before


def test_an_end_of_the_working_set_that_was_guessed_too_far_off_comes_nearer() -> None:
    found = corrected(IN_TURN.scaled(1.0, 1.5), passes_of(IN_TURN, 20.0, 7.0))
    assert found
    assert found.working_set_bytes == pytest.approx(IN_TURN.working_set_bytes, rel=0.2)


@pytest.mark.parametrize("guest", [IN_TURN.scaled(4.0, 3.0), IN_TURN.scaled(0.1)])
def test_a_guest_that_does_something_else_is_not_explained(guest: DirtyCurve) -> None:
    assert corrected(IN_TURN, passes_of(guest, 5.0, 2.0)) is None


def test_an_idle_guest_that_begins_to_write_is_not_explained() -> None:
    assert corrected(DirtyCurve(0.0, ceiling_bytes=200.0 * MIB), passes_of(LINE, 5.0)) is None


def test_what_is_seen_is_as_hot_as_was_reckoned() -> None:
    assert as_seen(Dirty(2.0, 6.0), 4) == Dirty(1.0, 3.0)
    assert as_seen(Dirty(0.0, 0.0), 4) == Dirty(0.0, 4.0)


lengths = st.lists(st.floats(0.05, 20), min_size=1, max_size=3)


@given(st.sampled_from([HOT, IN_TURN, LINE]), st.floats(0.65, 1.55), st.floats(0.65, 1.55), lengths)
def test_whatever_the_two_factors_they_are_found(
    foretold: DirtyCurve, rate: float, size: float, lengths_s: list[float]
) -> None:
    assert corrected(foretold, passes_of(foretold.scaled(rate, size), *lengths_s)) is not None
