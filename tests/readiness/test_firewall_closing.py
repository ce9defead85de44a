"""Hosts closed to all but the cluster's hosts and controllers, whoever else filters there."""

from __future__ import annotations

import ipaddress
import itertools
import json
import re
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hotfoot.cluster.validation import cluster_from
from hotfoot.readiness.change import CloseFirewall, Install, Phase, PutFile, SetUnit
from hotfoot.readiness.facts import Facts, FirewallFact, HostFacts, NameFact
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.firewall import TOPIC
from hotfoot.readiness.firewall_closing import RULES_FILE, Closing, own_table, rules
from hotfoot.readiness.judge import judge
from hotfoot.readiness.nft import ACCEPT, DROP
from hotfoot.readiness.plan import plan

# What nft told of rules for the hosts 10.0.0.1, 10.0.0.2, fd00::1 ; controllers: 10.0.0.0/24, 192.0.2.9, fd00::/64
CLOSED: dict[str, Any] = json.loads((Path(__file__).parent / "firewalls" / "closed-nft-1.1.3.json").read_text())
HOSTS = [{"name": "n1", "address": "10.0.0.1"}, {"name": "n2", "address": "10.0.0.2"}]
FIREWALLD = "public (active)\n  target: ACCEPT\n  interfaces: eth0\n  rich rules: \n"
UFW = "Status: active\nDefault: allow (incoming), allow (outgoing)\n"


def _facts(firewall: FirewallFact, **more: Any) -> Facts:
    def host(name: str, address: str) -> HostFacts:
        names = NameFact(hostname=name, addresses=(address,))
        return HostFacts.model_validate({"host": name, "firewall": firewall, "names": names, **more})

    return Facts(hosts=tuple(host(**each) for each in HOSTS))


def _found(facts: Facts, **cluster: Any) -> tuple[Finding, ...]:
    return judge(cluster_from({"hosts": HOSTS, **cluster}), facts, [TOPIC])


def _codes(firewall: FirewallFact, **cluster: Any) -> list[str]:
    return [finding.code for finding in _found(_facts(firewall), **cluster)]


def test_the_rules_as_nft_reads_them_let_in_each_where_it_belongs() -> None:
    own = own_table(CLOSED)
    assert own is not None
    for source, libvirt, migration in (
        ("10.0.0.2", ACCEPT, ACCEPT),
        ("fd00::1", ACCEPT, ACCEPT),
        ("10.0.0.77", ACCEPT, DROP),
        ("192.0.2.9", ACCEPT, DROP),
        ("198.51.100.77", DROP, DROP),
        ("2001:db8::1", DROP, DROP),
    ):
        assert {own.verdicts(source, port) for port in (5900, 6923, 16509, 16514)} == {libvirt}, source
        assert {own.verdicts(source, port) for port in (49152, 49215)} == {migration}, source
        assert {own.verdicts(source, port) for port in (22, 80, 49216)} == {ACCEPT}, source


def test_nothing_is_closed_unless_controllers_are_named() -> None:
    found = _found(_facts(FirewallFact(ruleset={"nftables": []})))
    assert [(finding.code, finding.changes) for finding in found] == [("firewall.none", ())] * 2
    assert all("controllers" in finding.remedy for finding in found)


def test_with_controllers_named_a_host_is_closed_tried_and_kept_closed() -> None:
    facts = _facts(FirewallFact(ruleset={"nftables": []}), came_from="203.0.113.5")
    changes = plan(_found(facts, controllers=["192.0.2.0/28"]), facts).changes
    mine = [change for change in changes if change.host == "n1"]
    assert [change.phase for change in mine] == [Phase.FIREWALL] * 3 + [Phase.FIREWALL_KEPT]
    assert [type(change.step) for change in mine] == [PutFile, PutFile, CloseFirewall, SetUnit]
    text = mine[0].new_text
    assert text is not None
    assert "ip saddr { 10.0.0.1, 10.0.0.2 } tcp dport { 5900-6923, 16509, 16514, 49152-49215 } accept" in text
    tried = mine[2].step
    assert isinstance(tried, CloseFirewall)
    assert tried.path == RULES_FILE
    assert f'comment "{tried.mark}"' in text


def test_the_address_that_we_come_from_is_let_in_though_nobody_named_it() -> None:
    facts = _facts(FirewallFact(ruleset={"nftables": []}), came_from="203.0.113.5")
    texts = [change.new_text or "" for change in plan(_found(facts, controllers=["192.0.2.0/28"]), facts).changes]
    assert "ip saddr { 192.0.2.0/28, 203.0.113.5 } tcp dport { 5900-6923, 16509, 16514 } accept" in texts[0]


def test_ports_that_storage_is_served_at_are_for_hosts_only() -> None:
    facts = _facts(FirewallFact(ruleset={"nftables": []}))
    nfs = {"path": "/srv/i", "type": "nfs", "servers": ["n1"]}
    changes = plan(_found(facts, controllers=["192.0.2.9"], storage=[nfs]), facts).changes
    texts = [
        change.new_text or ""
        for change in changes
        if isinstance(change.step, PutFile) and change.step.path == RULES_FILE
    ]
    assert [" 2049, " in text for text in texts] == [True, False]


def test_a_host_without_nft_gets_it_and_one_whose_nft_fails_is_left_to_a_person() -> None:
    facts = _facts(FirewallFact(ruleset=None))
    first = plan(_found(facts, controllers=["192.0.2.9"]), facts).changes[0]
    assert first.step == Install(packages=("nftables",))
    failing = _facts(FirewallFact(ruleset=None), failures={"firewall.ruleset": "`nft` ended with 1"})
    assert plan(_found(failing, controllers=["192.0.2.9"]), failing).changes == ()


def test_what_firewalld_or_ufw_leave_open_is_closed_beside_them() -> None:
    for kind, details in (("firewalld", FIREWALLD), ("ufw", UFW)):
        opened = FirewallFact(kind=kind, details=details, ruleset={"nftables": []})
        facts = _facts(opened)
        found = _found(facts, controllers=["192.0.2.9"])
        assert [finding.code for finding in found] == ["firewall.open-to-all"] * 2
        assert {type(change.step) for change in plan(found, facts).changes} == {PutFile, CloseFirewall, SetUnit}
        closed = FirewallFact(kind=kind, details=details, ruleset=CLOSED)
        assert _codes(closed, controllers=["192.0.2.9"]) == []


def test_a_host_that_was_added_later_is_let_in_by_rules_written_anew() -> None:
    hosts = [*HOSTS, {"name": "n3", "address": "10.0.0.3"}]
    facts = _facts(FirewallFact(kind="nftables", ruleset=CLOSED))
    found = _found(facts, hosts=hosts, controllers=["192.0.2.9"])
    assert {(finding.code, finding.host) for finding in found} == {
        ("firewall.migration-closed", "n1"),
        ("firewall.migration-closed", "n2"),
    }
    changes = plan(found, facts).changes
    assert {type(change.step) for change in changes} == {PutFile, CloseFirewall, SetUnit}
    assert "10.0.0.3" in (changes[0].new_text or "")


def test_a_controller_that_was_named_later_is_let_in_by_rules_written_anew() -> None:
    facts = _facts(FirewallFact(kind="nftables", ruleset=CLOSED), came_from="203.0.113.5")
    found = _found(facts, controllers=["192.0.2.9", "198.51.100.0/24"])
    assert [(finding.code, finding.severity) for finding in found] == [
        ("firewall.controllers-closed", Severity.BLOCKS)
    ] * 2
    assert "198.51.100.0/24 and 203.0.113.5" in found[0].what
    assert any(isinstance(change.step, CloseFirewall) for change in found[0].changes)


_ADDRESSES = st.lists(st.builds(lambda last: f"10.0.0.{last}", st.integers(0, 255)), max_size=6)
_NETWORKS = st.lists(
    st.builds(
        lambda last, length: str(ipaddress.ip_network(f"10.0.0.{last}/{length}", strict=False)),
        st.integers(0, 255),
        st.integers(20, 32),
    ),
    max_size=6,
)


@given(_ADDRESSES, _NETWORKS, st.integers(1, 65535))
def test_no_set_of_the_rules_overlaps_itself_and_ssh_stays_open(hosts: list[str], others: list[str], ssh: int) -> None:
    spans = ((5900, 6923), (16509, 16509))
    text = rules(Closing(tuple(hosts), spans, tuple(hosts + others), spans, ssh))
    for named in re.findall(r"saddr \{ (.*?) \}", text):
        networks = [ipaddress.ip_network(each) for each in named.split(", ")]
        assert not any(one.overlaps(other) for one, other in itertools.combinations(networks, 2))
    assert text.index(f"tcp dport {ssh} accept") < text.index(" drop")
