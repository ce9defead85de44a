from __future__ import annotations

from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from hotfoot.readiness.pair_faults import Fault, gather

HOSTS = ["n1", "n2", "n3", "n4"]
ALL = [(one, other) for one in HOSTS for other in HOSTS if one != other]


def fault(source: str, destination: str, side: Literal["source", "destination"] = "destination") -> Fault:
    return Fault(kind="closed", source=source, destination=destination, evidence="seen", side=side)


def test_a_destination_that_all_fail_to_reach_is_named_once() -> None:
    [found] = gather([fault(host, "n2") for host in HOSTS if host != "n2"], ALL)
    assert (found.host, found.peer, found.sources, found.evidence) == ("n2", None, ["n1", "n3", "n4"], "seen")


def test_a_source_that_reaches_none_is_named_once() -> None:
    [found] = gather([fault("n1", host) for host in HOSTS[1:]], ALL)
    assert (found.host, found.peer, found.destinations) == ("n1", None, ["n2", "n3", "n4"])


def test_where_both_would_explain_it_the_likelier_side_does() -> None:
    everywhere = [fault(*pair, side="source") for pair in ALL]
    assert [(found.host, len(found.destinations)) for found in gather(everywhere, ALL)] == [(host, 3) for host in HOSTS]


def test_what_only_some_see_stays_with_the_pair() -> None:
    found = gather([fault("n1", "n2"), fault("n3", "n2")], ALL)
    assert [(each.host, each.peer) for each in found] == [("n1", "n2"), ("n3", "n2")]


def test_two_hosts_alone_are_pairs() -> None:
    found = gather([fault("n1", "n2"), fault("n2", "n1")], [("n1", "n2"), ("n2", "n1")])
    assert [(each.host, each.peer) for each in found] == [("n1", "n2"), ("n2", "n1")]


def test_different_words_are_all_kept() -> None:
    first, second = fault("n1", "n2"), Fault(kind="closed", source="n3", destination="n2", evidence="other")
    [found] = gather([first, second], [("n1", "n2"), ("n3", "n2")])
    assert found.evidence == "n1 to n2: seen\nn3 to n2: other"


@given(st.sets(st.sampled_from(ALL)), st.sampled_from(["source", "destination"]))
def test_each_fault_is_told_once(pairs: set[tuple[str, str]], side: Literal["source", "destination"]) -> None:
    faults = [fault(*pair, side=side) for pair in sorted(pairs)]
    found = [each for group in gather(faults, ALL) for each in group.faults]
    assert sorted(found, key=lambda each: (each.source, each.destination)) == faults
