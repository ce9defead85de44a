"""Durations, as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfoot.cluster.duration import parse_duration_ms


@given(
    st.integers(1, 10**6), st.sampled_from([("ms", 1), ("s", 1000), ("m", 60_000), ("min", 60_000), ("h", 3_600_000)])
)
def test_every_unit_counts(number: int, unit: tuple[str, int]) -> None:
    assert parse_duration_ms(f"{number}{unit[0]}") == parse_duration_ms(f" {number} {unit[0]} ") == number * unit[1]


@pytest.mark.parametrize("text", ["", "10", "0s", "-1s", "1 d", "1.s", "s", "10 m 5 s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        parse_duration_ms(text)
