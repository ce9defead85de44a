from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfoot.cluster import parse_rate


@pytest.mark.parametrize(
    ("text", "bytes_per_s"),
    [
        ("800Mbit/s", 100_000_000),
        ("1Gbit/s", 125_000_000),
        ("1 gbit", 125_000_000),
        ("1.5 Gbps", 187_500_000),
        ("100MiB/s", 104_857_600),
        ("100MB/s", 100_000_000),
        ("100MBps", 100_000_000),
        ("1 TiB", 1024**4),
        ("64 B/s", 64),
    ],
)
def test_rates_as_people_write_them(text: str, bytes_per_s: int) -> None:
    assert parse_rate(text) == bytes_per_s


@pytest.mark.parametrize(
    "text", ["", "800", "Mbit/s", "-1Gbit/s", "1e3 bit/s", "800Mb/s", "1Gbit/h", "1,5Gbit/s", "١Gbit/s"]
)
def test_what_is_no_rate_or_ambiguous_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a rate with its unit"):
        parse_rate(text)


@given(st.integers(0, 10**6), st.sampled_from(["k", "M", "G"]))
def test_a_byte_is_eight_bits(number: int, prefix: str) -> None:
    assert parse_rate(f"{8 * number}{prefix}bit/s") == parse_rate(f"{number}{prefix}B/s")


@given(st.text(max_size=30))
def test_any_text_is_a_rate_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        assert parse_rate(text) >= 0
