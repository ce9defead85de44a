"""Firewalls: who is kept out, who gets in that should not, and what opens them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hotfoot.cluster.validation import cluster_from
from hotfoot.readiness.change import Command, EditFile
from hotfoot.readiness.facts import Facts, FirewallFact, HostFacts, NameFact, Text
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.firewall import TOPIC
from hotfoot.readiness.judge import judge
from hotfoot.readiness.nft import ACCEPT, DROP, Filter
from hotfoot.readiness.plan import plan

RULESETS = Path(__file__).parent / "firewalls"
ADDRESSES = {"n1": "10.0.0.1", "n2": "10.0.0.2", "n3": "10.0.0.3"}
CONF = "/etc/nftables.conf"
CONF_TEXT = "flush ruleset\ntable inet filter {\n  chain input {\n  }\n}\n"


def _rule(*expressions: dict[str, Any]) -> dict[str, Any]:
    return {"rule": {"family": "inet", "table": "filter", "chain": "input", "expr": list(expressions)}}


def _is(protocol: str, field: str, right: object) -> dict[str, Any]:
    return {"match": {"op": "==", "left": {"payload": {"protocol": protocol, "field": field}}, "right": right}}


def _ruleset(*rules: dict[str, Any], policy: str = "drop") -> dict[str, Any]:
    chain = {"family": "inet", "table": "filter", "name": "input", "type": "filter", "hook": "input", "prio": 0}
    return {"nftables": [{"metainfo": {}}, {"chain": chain | {"policy": policy, "handle": 1}}, *rules]}


SSH_ONLY = _ruleset(_rule(_is("tcp", "dport", 22), {"accept": None}))
FOR_HOSTS = _rule(
    _is("ip", "saddr", {"set": list(ADDRESSES.values())}),
    _is("tcp", "dport", {"set": [22, 16514, {"range": [49152, 49215]}]}),
    {"accept": None},
)


def _host(name: str, firewall: FirewallFact, *, conf: str | None = CONF_TEXT, **more: object) -> HostFacts:
    files = {CONF: Text(path=CONF, exists=True, content=conf, mode=0o644, sha256="0")} if conf is not None else {}
    names = NameFact(hostname=name, addresses=(ADDRESSES[name],))
    return HostFacts.model_validate({"host": name, "firewall": firewall, "names": names, "files": files, **more})


def _nft(ruleset: dict[str, Any]) -> FirewallFact:
    return FirewallFact(kind="nftables", ruleset=ruleset)


RIGHT = _nft(_ruleset(FOR_HOSTS))


def _found(n1: HostFacts, **more: object) -> tuple[Finding, ...]:
    hosts = [{"name": name, "address": address} for name, address in ADDRESSES.items()]
    facts = Facts(hosts=(n1, _host("n2", RIGHT), _host("n3", RIGHT)))
    return judge(cluster_from({"hosts": hosts, **more}), facts, [TOPIC])


def _codes(n1: HostFacts, **more: object) -> list[str]:
    return [finding.code for finding in _found(n1, **more)]


def test_rules_for_the_hosts_alone_are_right() -> None:
    assert _codes(_host("n1", RIGHT)) == []


def test_no_filter_at_all_is_advice_and_dangerous_with_plain_tcp() -> None:
    (finding,) = _found(_host("n1", FirewallFact()))
    assert (finding.code, finding.severity, finding.host) == ("firewall.none", Severity.ADVICE, "n1")
    found = _found(_host("n1", FirewallFact()), libvirt={"transport": "tcp"})
    assert ("firewall.none", Severity.DANGEROUS) in [(each.code, each.severity) for each in found]


def test_hosts_that_are_kept_out_are_let_in_for_now_and_for_good() -> None:
    found = _found(_host("n1", _nft(SSH_ONLY)))
    assert [finding.code for finding in found] == ["firewall.libvirt-closed", "firewall.migration-closed"]
    assert all(finding.severity is Severity.BLOCKS and "n2 and n3" in finding.what for finding in found)
    written, command = plan(found, Facts(hosts=(_host("n1", _nft(SSH_ONLY)),))).changes
    rule = "ip saddr { 10.0.0.1, 10.0.0.2, 10.0.0.3 } tcp dport { 16514, 49152-49215 } accept"
    assert written.new_text is not None
    assert written.new_text.startswith(f'{CONF_TEXT}insert rule inet filter input {rule} comment "hotfoot ')
    assert isinstance(command.step, Command)
    assert rule in command.step.argv[2]
    again = _found(_host("n1", _nft(SSH_ONLY), conf=written.new_text))
    assert len(plan(again, Facts(hosts=(_host("n1", _nft(SSH_ONLY), conf=written.new_text),))).changes) == 1


def test_the_controller_that_asks_is_let_in_to_libvirt_beside_the_hosts() -> None:
    n1 = _host("n1", RIGHT, came_from="10.0.0.254")
    (finding,) = found = [each for each in _found(n1, controllers=["10.9.0.0/24"]) if each.host == "n1"]
    assert (finding.code, finding.severity) == ("firewall.controllers-closed", Severity.BLOCKS)
    assert "10.9.0.0/24 and 10.0.0.254" in finding.what
    written, command = plan(found, Facts(hosts=(n1,))).changes
    rule = "ip saddr { 10.9.0.0/24, 10.0.0.254 } tcp dport { 16514 } accept"
    assert rule in (written.new_text or "")
    assert isinstance(command.step, Command)
    assert rule in command.step.argv[2]
    both = f'{written.new_text}insert rule inet filter input ip saddr {{ 10.0.0.1 }} accept comment "hotfoot 0"\n'
    closed = _host("n1", _nft(SSH_ONLY), conf=both, came_from="10.0.0.254")
    texts = [change.new_text for change in plan(_found(closed), Facts(hosts=(closed,))).changes if change.new_text]
    assert [text.count("insert rule") for text in texts] == [2] * len(texts)  # each takes its own old rule's place


def test_a_controller_inside_a_named_network_or_among_the_hosts_is_told_once() -> None:
    assert _codes(_host("n1", RIGHT, came_from="10.0.0.2")) == []
    assert _codes(_host("n1", RIGHT, came_from="10.9.0.7"), libvirt={"transport": "ssh"}) == []
    finding, *_ = _found(_host("n1", RIGHT, came_from="10.9.0.7"), controllers=["10.9.0.0/24"])
    assert finding.host == "n1"
    assert "10.9.0.7" not in finding.what


def test_a_chain_of_another_program_is_opened_for_now_only() -> None:
    found = _found(_host("n1", _nft(SSH_ONLY), conf="# empty\n"))
    assert all(isinstance(change.step, Command) for finding in found for change in finding.changes)


def test_the_migration_network_is_enough_for_migrations() -> None:
    hosts = [
        {"name": name, "address": address, "migration_address": address.replace("10.0.0", "10.1.0")}
        for name, address in ADDRESSES.items()
    ]
    management, migration = ({"prefix": {"addr": network, "len": 24}} for network in ("10.0.0.0", "10.1.0.0"))
    rules = _ruleset(
        _rule(_is("ip", "saddr", management), _is("tcp", "dport", 16514), {"accept": None}),
        _rule(_is("ip", "saddr", migration), {"accept": None}),
    )
    facts = Facts(hosts=tuple(_host(name, _nft(rules)) for name in ADDRESSES))
    assert judge(cluster_from({"hosts": hosts}), facts, [TOPIC]) == ()


def test_a_gap_in_the_migration_ports_is_found() -> None:
    rules = _ruleset(
        _rule(_is("tcp", "dport", 16514), {"accept": None}),
        _rule(_is("tcp", "dport", {"range": [49152, 49180]}), {"accept": None}),
        _rule(_is("tcp", "dport", {"range": [49182, 49215]}), {"accept": None}),
    )
    assert "firewall.migration-closed" in _codes(_host("n1", _nft(rules)))


def test_migration_ports_of_qemu_conf_count() -> None:
    path = "/etc/libvirt/qemu.conf"
    text = Text(path=path, exists=True, content="migration_port_min = 50000\nmigration_port_max = 50100\n")
    (finding,) = _found(_host("n1", RIGHT, files={path: text}))
    assert "50000 to 50100" in finding.what


def test_storage_servers_need_their_own_ports() -> None:
    nfs = {"path": "/srv/i", "type": "nfs", "servers": ["n1"]}
    (finding,) = _found(_host("n1", RIGHT), storage=[nfs])
    assert (finding.code, finding.host) == ("firewall.nfs-closed", "n1")
    gluster = {"path": "/srv/i", "type": "glusterfs", "servers": ["n1", "n2", "n3"]}
    found = _found(_host("n1", RIGHT), storage=[gluster])
    assert {finding.host for finding in found} == {"n1", "n2", "n3"}
    steps = [change.step for change in found[0].changes if isinstance(change.step, EditFile)]
    assert "{ 16514, 24007, 49152-60999 }" in str(steps[0].edits)


def test_sshs_port_counts_where_a_user_migrates() -> None:
    rules = _ruleset(_rule(_is("tcp", "dport", {"range": [16514, 65535]}), {"accept": None}))
    assert "firewall.ssh-closed" not in _codes(_host("n1", _nft(rules)))
    assert "firewall.ssh-closed" in _codes(_host("n1", _nft(rules)), migration={"user": "nova"})


def test_ports_that_are_open_to_all_are_dangerous_where_the_rest_is_closed() -> None:
    opened = _rule(_is("tcp", "dport", {"range": [16514, 49215]}), {"accept": None})
    (finding,) = _found(_host("n1", _nft(_ruleset(opened))))
    assert (finding.code, finding.severity, finding.changes) == ("firewall.open-to-all", Severity.DANGEROUS, ())
    (finding,) = _found(_host("n1", _nft(_ruleset(policy="accept"))))
    assert (finding.code, finding.severity) == ("firewall.open-to-all", Severity.ADVICE)


def test_what_cannot_be_told_is_advice_and_never_claimed() -> None:
    by_link = {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "eth1"}}
    (finding,) = _found(_host("n1", _nft(_ruleset(_rule(by_link, {"accept": None})))))
    assert (finding.code, finding.severity) == ("firewall.not-understood", Severity.ADVICE)


def test_rules_of_iptables_are_judged_and_opened_by_iptables() -> None:
    ruleset = json.loads((RULESETS / "iptables-nft-1.8.11.json").read_text())
    text = (RULESETS / "iptables-nft-1.8.11.txt").read_text()
    found = _found(_host("n1", FirewallFact(kind="nftables", ruleset=ruleset, iptables=text)))
    closed = {finding.code: finding for finding in found}
    assert "firewall.libvirt-closed" not in closed
    steps = [change.step for change in closed["firewall.migration-closed"].changes]
    assert [step.argv[0] for step in steps if isinstance(step, Command)] == ["iptables", "iptables"]
    assert "10.0.0.2" in str(steps[0])


def test_ufw_is_opened_for_each_host() -> None:
    text = "Status: active\nDefault: deny (incoming), allow (outgoing)\n\n22/tcp    ALLOW IN    Anywhere\n"
    found = _found(_host("n1", FirewallFact(kind="ufw", details=text)))
    (first, _) = [change.step for change in found[0].changes]
    assert isinstance(first, Command)
    rule = ("allow", "from", "10.0.0.2", "to", "any", "port", "16514,49152:49215", "proto", "tcp")
    assert first.argv == ("ufw", "prepend", *rule)
    assert " ".join(("ufw", *rule)) in first.done_if[2]
    assert first.undo == ("ufw", "--force", "delete", *rule)


def test_firewalld_is_opened_in_the_zone_that_the_hosts_come_under() -> None:
    text = "internal (active)\n  target: default\n  interfaces: eth0\n  services: ssh\n  rich rules: \n"
    found = _found(_host("n1", FirewallFact(kind="firewalld", details=text)))
    for_good, at_once = [change.step for change in found[0].changes]
    assert isinstance(for_good, Command)
    assert isinstance(at_once, Command)
    assert for_good.argv[:4] == ("firewall-cmd", "-q", "--permanent", "--zone=internal")
    rule = 'rule family="ipv4" source address="10.0.0.2" port port="16514" protocol="tcp" accept'
    assert f"--add-rich-rule={rule}" in at_once.argv
    assert f"--remove-rich-rule={rule}" in at_once.undo
    opened = text + "".join(f"\t{word.partition('=')[2]}\n" for word in at_once.argv if "--add-rich" in word)
    assert _codes(_host("n1", FirewallFact(kind="firewalld", details=opened))) == []


def test_consoles_matter_where_nova_runs() -> None:
    assert _codes(_host("n1", RIGHT, packages={"nova-compute": "29"})) == ["firewall.consoles-closed"]


def test_the_inserted_rule_lets_in_the_hosts_and_nobody_else() -> None:
    rules = Filter(_ruleset(FOR_HOSTS, *SSH_ONLY["nftables"][2:]))
    assert rules.verdicts("10.0.0.2", 49200) == ACCEPT
    assert rules.verdicts("10.0.0.9", 49200) == DROP


def test_a_host_that_told_nothing_is_not_judged() -> None:
    assert _codes(HostFacts(host="n1")) == []
