from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from hotfoot.reach.proof.pairs import ALL_PAIRS_UP_TO, ALL_TOKENS_UP_TO, Pair, connection_pairs, token_pairs


def names(count: int) -> list[str]:
    return [f"n{number}" for number in range(count)]


def reached_from(first: str, pairs: list[Pair]) -> set[str]:
    found, border = {first}, [first]
    while border:
        here = border.pop()
        new = {destination for source, destination in pairs if source == here} - found
        found |= new
        border += new
    return found


@given(st.integers(0, 200))
def test_all_are_looked_at_equally_often_and_none_is_apart(count: int) -> None:
    hosts = names(count)
    pairs = connection_pairs(hosts)
    assert len(set(pairs)) == len(pairs)
    assert all(source != destination for source, destination in pairs)
    looking, looked_at = (Counter(pair[side] for pair in pairs) for side in (0, 1))
    each = len(pairs) // count if count else 0
    assert count < 2 or looking == looked_at == dict.fromkeys(hosts, each)
    assert count < 2 or reached_from("n0", pairs) == set(hosts)
    if count <= ALL_PAIRS_UP_TO:
        assert len(pairs) == count * (count - 1) if count else not pairs
    else:
        assert 4 <= each <= 8


def test_not_all_begin_with_the_same_destination() -> None:
    first = dict(reversed(connection_pairs(names(12))))
    assert len(set(first.values())) == 12


@given(st.integers(0, 150))
def test_each_host_is_linked_with_each_by_tokens(count: int) -> None:
    hosts = names(count)
    pairs = token_pairs(hosts)
    assert len(set(pairs)) == len(pairs)
    if count <= ALL_TOKENS_UP_TO:
        assert set(pairs) == {(one, other) for one in hosts for other in hosts if one != other}
    else:
        assert {(host, "n0") for host in hosts[1:]} | {("n0", host) for host in hosts[1:]} <= set(pairs)
        assert len(pairs) < count * 15
