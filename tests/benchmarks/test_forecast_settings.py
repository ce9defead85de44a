from __future__ import annotations

from collections import Counter

import pytest
from benchmarks.forecast_settings import pick


def test_a_dozen_is_of_all_sizes_and_all_loads() -> None:
    some = pick(12)
    assert len(set(some)) == 12
    assert len({one.memory_mib for one in some}) == 4
    assert len({one.rate_mib for one in some}) > 6
    assert sum(one.rate_mib == 0 for one in some) < 4


@pytest.mark.parametrize("fewer", [1, 12, 40, 59])
def test_what_a_short_run_measured_a_longer_one_need_not(fewer: int) -> None:
    assert set(pick(fewer)) < set(pick(60))
    assert list(pick(fewer)) == [one for one in pick(60) if one in pick(fewer)]


def test_no_more_is_picked_than_there_is() -> None:
    assert pick(61) == pick(60)
    assert len(set(pick(60))) == 60


def test_a_third_of_the_guests_of_each_size_and_of_each_load_write_by_each_pattern() -> None:
    busy = [one for one in pick(60) if one.rate_mib]
    by_size = Counter((one.memory_mib, one.pattern) for one in busy)
    assert len(by_size) == 12
    assert set(by_size.values()) == {4}
    by_rate = {(one.memory_mib, one.link, one.rate_mib): one.pattern for one in busy}
    assert len(by_rate) == 48
    assert Counter(by_rate.values()) == {"circle": 16, "random": 16, "hot": 16}
