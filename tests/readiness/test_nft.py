"""What rules do with a connection: real rulesets, each kind of condition, and what cannot be known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfoot.readiness.firewall_text import iptables_ruleset
from hotfoot.readiness.nft import ACCEPT, DROP, EITHER, Filter

RULESETS = Path(__file__).parent / "firewalls"
TCP_22 = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}}


def _match(left: object, right: object, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


def _filter(*rules: list[Any], policy: str = "drop", family: str = "inet", more: tuple[Any, ...] = ()) -> Filter:
    place = {"family": family, "table": "filter"}
    chain = place | {"name": "input", "type": "filter", "hook": "input", "prio": 0, "policy": policy}
    entries = [{"chain": chain}, *({"rule": place | {"chain": "input", "expr": rule}} for rule in rules), *more]
    return Filter({"nftables": entries})


PAYLOAD = {name: {"payload": {"protocol": name.split()[0], "field": name.split()[1]}} for name in (
    "ip saddr", "ip daddr", "ip6 saddr", "tcp dport", "tcp sport", "tcp flags", "udp dport", "th dport", "ip protocol"
)}  # fmt: skip
META = {name: {"meta": {"key": name}} for name in ("l4proto", "iifname", "nfproto", "mark")}
STATE = {"ct": {"key": "state"}}


def test_a_real_ruleset_is_understood() -> None:
    rules = Filter(json.loads((RULESETS / "nftables-1.1.3.json").read_text()))
    answers = {
        source: [rules.verdicts(source, port) for port in (22, 80, 16514, 49152)]
        for source in ("10.77.8.12", "10.77.8.1", "8.8.8.8", "2001:db8::1")
    }
    assert answers == {
        "10.77.8.12": [ACCEPT, ACCEPT, DROP, DROP],
        "10.77.8.1": [ACCEPT, ACCEPT, ACCEPT, ACCEPT],
        "8.8.8.8": [DROP, ACCEPT, DROP, DROP],
        "2001:db8::1": [DROP, ACCEPT, DROP, DROP],
    }
    assert [chain.name for chain in rules.refusing("8.8.8.8", 22)] == ["input"]


def test_real_rules_of_iptables_are_told_by_itself_where_nft_shows_only_names() -> None:
    by_nft = Filter(json.loads((RULESETS / "iptables-nft-1.8.11.json").read_text()))
    assert by_nft.verdicts("10.77.8.12", 16514) == EITHER
    by_iptables = Filter(iptables_ruleset((RULESETS / "iptables-nft-1.8.11.txt").read_text()))
    assert by_iptables.verdicts("10.77.8.12", 16514) == ACCEPT
    assert by_iptables.verdicts("10.77.8.12", 5910) == ACCEPT
    assert by_iptables.verdicts("10.77.8.12", 49152) == DROP
    assert by_iptables.verdicts("10.77.8.254", 49152) == ACCEPT


@pytest.mark.parametrize(
    ("condition", "verdict"),
    [
        (_match(PAYLOAD["ip saddr"], "10.0.0.2"), ACCEPT),
        (_match(PAYLOAD["ip saddr"], "10.0.0.3"), DROP),
        (_match(PAYLOAD["ip saddr"], "10.0.0.3", "!="), ACCEPT),
        (_match(PAYLOAD["ip saddr"], {"prefix": {"addr": "10.0.0.0", "len": 24}}), ACCEPT),
        (_match(PAYLOAD["ip saddr"], {"range": ["10.0.0.3", "10.0.0.9"]}), DROP),
        (_match(PAYLOAD["ip saddr"], {"set": ["10.0.0.1", {"range": ["10.0.0.2", "10.0.0.4"]}]}), ACCEPT),
        (_match(PAYLOAD["ip saddr"], {"set": [{"elem": {"val": "10.0.0.2", "counter": {}}}]}), ACCEPT),
        (_match(PAYLOAD["ip6 saddr"], "2001:db8::2"), DROP),
        (_match(PAYLOAD["ip6 saddr"], "2001:db8::2", "!="), DROP),
        (_match(PAYLOAD["tcp dport"], {"set": [22, {"range": [16500, 16520]}]}), ACCEPT),
        (_match(PAYLOAD["th dport"], 1024, ">="), ACCEPT),
        (_match(PAYLOAD["udp dport"], 16514), DROP),
        (_match(PAYLOAD["ip protocol"], "icmp"), DROP),
        (_match(META["l4proto"], {"set": ["tcp", "udp"]}), ACCEPT),
        (_match(META["l4proto"], 6), ACCEPT),
        (_match(META["nfproto"], "ipv6"), DROP),
        (_match(META["iifname"], "lo"), DROP),
        (_match(META["iifname"], "lo", "!="), ACCEPT),
        (_match(STATE, ["established", "related"], "in"), DROP),
        (_match(STATE, {"set": ["new", "untracked"]}), ACCEPT),
        (_match({"&": [PAYLOAD["tcp flags"], {"|": ["fin", "syn", "rst", "ack"]}]}, "syn"), ACCEPT),
        (_match({"&": [PAYLOAD["tcp flags"], ["fin", "syn"]]}, ["fin", "syn"]), DROP),
        (_match({"concat": [PAYLOAD["ip saddr"], PAYLOAD["tcp dport"]]}, {"concat": ["10.0.0.2", 16514]}), ACCEPT),
        (_match({"concat": [PAYLOAD["ip saddr"], PAYLOAD["tcp dport"]]}, {"concat": ["10.0.0.2", 22]}), DROP),
        # What depends on more than is known may be so or not.
        (_match(META["iifname"], "eth0"), EITHER),
        (_match(META["mark"], 7), EITHER),
        (_match(PAYLOAD["tcp sport"], 7), EITHER),
        (_match(PAYLOAD["ip daddr"], "10.0.0.1"), EITHER),
        ({"limit": {"rate": 1, "per": "second"}}, EITHER),
        ({"xt": {"type": "match", "name": "geoip"}}, EITHER),
        ({"something": {"new": 1}}, EITHER),
        # What changes nothing.
        ({"counter": {"packets": 1, "bytes": 2}}, ACCEPT),
        ({"log": {"prefix": "in "}}, ACCEPT),
    ],
)
def test_a_rule_that_accepts_under_a_condition(condition: dict[str, Any], verdict: frozenset[str]) -> None:
    assert _filter([condition, {"accept": None}]).verdicts("10.0.0.2", 16514) == verdict


def test_a_target_of_iptables_that_is_not_known_may_do_anything() -> None:
    assert _filter([{"xt": {"type": "target", "name": "TARPIT"}}]).verdicts("10.0.0.2", 22) == EITHER
    assert _filter([{"xt": {"type": "target", "name": "LOG"}}]).verdicts("10.0.0.2", 22) == DROP


def test_the_destination_decides_where_it_is_known() -> None:
    rules = _filter([_match(PAYLOAD["ip daddr"], "10.0.0.1"), {"accept": None}])
    assert rules.verdicts("10.0.0.2", 22, "10.0.0.1") == ACCEPT
    assert rules.verdicts("10.0.0.2", 22, "10.0.0.9") == DROP


def test_chains_that_are_jumped_to_return_and_those_gone_to_do_not() -> None:
    def chain(verdict: str) -> Filter:
        place = {"family": "inet", "table": "filter"}
        other = [
            {"chain": place | {"name": "other"}},
            {"rule": place | {"chain": "other", "expr": [TCP_22, {"accept": None}]}},
        ]
        return _filter([{verdict: {"target": "other"}}], [{"accept": None}], more=tuple(other))

    assert chain("jump").verdicts("10.0.0.2", 80) == ACCEPT
    assert chain("goto").verdicts("10.0.0.2", 80) == DROP
    assert chain("goto").verdicts("10.0.0.2", 22) == ACCEPT


def test_chains_that_jump_in_a_circle_end() -> None:
    assert _filter([{"jump": {"target": "input"}}]).verdicts("10.0.0.2", 80) == EITHER


def test_named_sets_and_verdict_maps_are_looked_up() -> None:
    place = {"family": "inet", "table": "filter"}
    hosts = {"set": place | {"name": "hosts", "type": "ipv4_addr", "elem": ["10.0.0.2"]}}
    ports = {"map": place | {"name": "ports", "map": "verdict", "elem": [[22, {"accept": None}], [23, {"drop": None}]]}}
    rules = _filter(
        [{"vmap": {"key": PAYLOAD["tcp dport"], "data": "@ports"}}],
        [_match(PAYLOAD["ip saddr"], "@hosts"), {"accept": None}],
        more=(hosts, ports),
    )
    assert [rules.verdicts("10.0.0.2", port) for port in (22, 23, 24)] == [ACCEPT, DROP, ACCEPT]
    assert [rules.verdicts("10.0.0.3", port) for port in (22, 23, 24)] == [ACCEPT, DROP, DROP]


def test_every_base_chain_has_to_accept() -> None:
    other = {"chain": {"family": "ip", "table": "second", "name": "in", "type": "filter", "hook": "input", "prio": 9,
                       "policy": "drop"}}  # fmt: skip
    rules = _filter([{"accept": None}], more=(other,))
    assert rules.verdicts("10.0.0.2", 22) == DROP
    assert [chain.key for chain in rules.refusing("10.0.0.2", 22)] == [("ip", "second", "in")]
    assert rules.verdicts("2001:db8::2", 22) == ACCEPT


def test_no_rules_let_everything_in() -> None:
    assert Filter({"nftables": []}).verdicts("10.0.0.2", 22) == ACCEPT


_ADDRESSES = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.1.1"])
_PARTS = st.one_of(
    _ADDRESSES,
    st.builds(lambda length: {"prefix": {"addr": "10.0.0.0", "len": length}}, st.integers(20, 32)),
    st.lists(_ADDRESSES, min_size=1, max_size=3).map(lambda found: {"set": found}),
)


@given(st.lists(st.tuples(_PARTS, st.sampled_from(["accept", "drop"])), max_size=5))
def test_addresses_treated_alike_are_answered_as_if_each_were_followed(rules: list[tuple[Any, str]]) -> None:
    expressions = [[_match(PAYLOAD["ip saddr"], part), {verdict: None}] for part, verdict in rules]
    asked_together = _filter(*expressions)
    for source in ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.1.1", "10.0.0.9"):
        assert asked_together.verdicts(source, 22) == _filter(*expressions).verdicts(source, 22)
