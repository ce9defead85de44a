"""What firewalld, ufw and iptables say of themselves: text in, the fate of a new TCP connection out."""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hotfoot.readiness.nft import ACCEPT, DROP, EITHER

# Ports of firewalld's own services (/usr/lib/firewalld/services) that matter here, and names of those that do not.
_SERVICES: dict[str, tuple[tuple[int, int], ...]] = {
    "ssh": ((22, 22),),
    "libvirt": ((16509, 16509),),
    "libvirt-tls": ((16514, 16514),),
    "vnc-server": ((5900, 5903),),
    "nfs": ((2049, 2049),),
    "nfs3": ((2049, 2049),),
    "glusterfs": ((24007, 24009), (38465, 38469), (49152, 49664)),
}
_OTHER_SERVICES = frozenset(
    "cockpit dhcp dhcpv6 dhcpv6-client dns mdns http https ntp samba samba-client snmp smtp rpc-bind mountd llmnr"
    " llmnr-client ceph ceph-mon prometheus-node-exporter zabbix-agent nrpe".split()
)
_OWN_BRIDGE = re.compile(r"(virbr|docker|podman|cni|lxc|br-[0-9a-f]{12}$)")


@dataclass(slots=True)
class Zone:
    """A zone of firewalld."""

    name: str
    active: bool
    default: bool
    keys: dict[str, list[str]] = field(default_factory=dict)
    rich: list[str] = field(default_factory=list)

    def verdicts(self, source: str, port: int) -> frozenset[str]:
        """Return what the zone does with a connection; denying rich rules come before all that allows."""
        answers = [answer for rule in self.rich if (answer := _rich(rule, source, port))]
        if any(rule_says == DROP for rule_says in answers):
            return DROP
        target = " ".join(self.keys.get("target", ())).strip("%").upper()
        services = [_service(name, port) for name in self.keys.get("services", ())]
        opened = any(_in_ports(each, port) for each in self.keys.get("ports", ()))
        if target == "ACCEPT" or opened or "tcp" in self.keys.get("protocols", ()) or True in services:
            return ACCEPT if EITHER not in answers else EITHER
        if ACCEPT in answers:
            return ACCEPT
        return EITHER if EITHER in answers or None in services else DROP


class Firewalld:
    """What ``firewall-cmd --list-all-zones`` says."""

    looks_at_destination = False

    def __init__(self, text: str) -> None:
        self.ports = _numbers(text)
        self.zones: list[Zone] = []
        for line in text.splitlines():
            head = re.match(r"^(\S+)(?: \((.*)\))?\s*$", line)
            key, _, value = line.strip().partition(":")
            if head:
                marks = (head[2] or "").split(", ")
                self.zones.append(Zone(head[1], active="active" in marks, default="default" in marks))
            elif self.zones and line.strip().startswith("rule "):
                self.zones[-1].rich.append(line.strip())
            elif self.zones:
                self.zones[-1].keys[key] = value.split()

    def zones_of(self, source: str) -> list[Zone]:
        """Return the zones that a connection from an address may come under: by its address, else by a link."""
        for zone in self.zones:
            if any(_covers(each, source) for each in zone.keys.get("sources", ())):
                return [zone]
        # Links that no zone names come under the default one; bridges of the host's own guests lead to no other host.
        return [
            zone
            for zone in self.zones
            if zone.default
            or (zone.active and not all(_OWN_BRIDGE.match(link) for link in zone.keys.get("interfaces", ())))
            or (zone.active and zone.name == "public")
        ]

    def alike(self, source: str) -> object:
        """Return what is equal for sources that are treated alike: each is followed by itself."""
        return source

    def verdicts(self, source: str, port: int, destination: str = "") -> frozenset[str]:
        """Return ``ACCEPT``, ``DROP``, or ``EITHER`` where it cannot be told; the destination does not matter."""
        found = frozenset[str]().union(*(zone.verdicts(source, port) for zone in self.zones_of(source)))
        return found or EITHER


class Ufw:
    """What ``ufw status verbose`` says; the first rule that fits counts."""

    def __init__(self, text: str) -> None:
        default = re.search(r"^Default: (\w+) \(incoming\)", text, re.MULTILINE)
        self.default = {"allow": ACCEPT, "deny": DROP, "reject": DROP}.get(default[1] if default else "", EITHER)
        self.rules = [
            (match["to"].strip(), match["action"], match["who"].strip())
            for match in re.finditer(
                r"^(?P<to>\S.*?) {2,}(?P<action>ALLOW|LIMIT|DENY|REJECT)(?: IN)? {2,}(?P<who>\S.*?)(?: {2,}#.*)?$",
                text,
                re.MULTILINE,
            )
        ]
        self.ports = _numbers(text)
        self.looks_at_destination = any(_is_network(to.split()[0]) for to, _, _ in self.rules)

    def alike(self, source: str) -> object:
        """Return what is equal for sources that are treated alike: each is followed by itself."""
        return source

    def verdicts(self, source: str, port: int, destination: str = "") -> frozenset[str]:
        """Return ``ACCEPT``, ``DROP``, or ``EITHER`` where it cannot be told."""
        found: frozenset[str] = frozenset()
        for to, action, who in self.rules:
            fits = _ufw_fits(to, who, source, port, destination)
            if fits is False:
                continue
            found |= ACCEPT if action in ("ALLOW", "LIMIT") else DROP
            if fits:
                return found
        return found | self.default


def iptables_ruleset(text: str) -> dict[str, Any]:
    """Return ``iptables -S`` in the form of ``nft -j list ruleset``; what is not understood becomes an extension."""
    entries: list[dict[str, Any]] = []
    for line in text.splitlines():
        words = shlex.split(line, comments=False)
        if len(words) == 3 and words[0] == "-P" and words[1] == "INPUT":
            chain = {"family": "ip", "table": "filter", "name": "INPUT", "type": "filter", "hook": "input", "prio": 0}
            entries.append({"chain": chain | {"policy": "drop" if words[2] == "DROP" else "accept"}})
        elif len(words) > 2 and words[0] == "-A":
            rule = {"family": "ip", "table": "filter", "chain": words[1], "expr": list(_expressions(words[2:]))}
            entries.append({"rule": rule})
    return {"nftables": entries}


def _expressions(words: list[str]) -> Iterator[dict[str, Any]]:
    negated = False
    at = 0
    while at < len(words):
        word, value = words[at], words[at + 1] if at + 1 < len(words) else ""
        at += 2
        operator, negated = ("!=" if negated else "=="), False
        if word == "!":
            negated, at = True, at - 1
        elif word == "--syn" and operator == "==":
            at -= 1  # takes no value, and a new connection begins with it
        elif word in ("-m", "--reject-with", "--comment", "--log-prefix", "--log-level"):
            continue
        elif word in ("-s", "--source"):
            address, _, length = value.partition("/")
            sources: Any = {"prefix": {"addr": address, "len": int(length)}} if length.isdigit() else address
            yield _match(operator, {"payload": {"protocol": "ip", "field": "saddr"}}, sources)
        elif word == "--dst-type":  # what is addressed to the host itself is neither broadcast nor multicast
            kind = "host" if value == "LOCAL" else value.lower()
            yield _match(operator, {"meta": {"key": "pkttype"}}, kind)
        elif word == "-p":
            yield _match(operator, {"meta": {"key": "l4proto"}}, value)
        elif word in ("--dport", "--dports"):
            ports = {"set": [_iptables_port(each) for each in value.split(",")]}
            yield _match(operator, {"payload": {"protocol": "tcp", "field": "dport"}}, ports)
        elif word == "-i":
            yield _match(operator, {"meta": {"key": "iifname"}}, value)
        elif word in ("--ctstate", "--state"):
            yield _match(operator, {"ct": {"key": "state"}}, [state.lower() for state in value.split(",")])
        elif word in ("-j", "-g"):
            yield _target(word, value)
        else:
            yield {"xt": None}


def _match(operator: str, left: dict[str, Any], right: Any) -> dict[str, Any]:
    return {"match": {"op": operator, "left": left, "right": right}}


def _target(word: str, value: str) -> dict[str, Any]:
    if value in ("ACCEPT", "DROP", "REJECT", "RETURN"):
        return {value.lower(): None}
    if value in ("LOG", "NFLOG"):
        return {"log": None}
    return {"jump" if word == "-j" else "goto": {"target": value}}


def _iptables_port(text: str) -> Any:
    low, colon, high = text.partition(":")
    if not (low.isdigit() and (not colon or high.isdigit())):
        return text
    return {"range": [int(low), int(high)]} if colon else int(low)


def _numbers(text: str) -> list[int]:
    """Return all numbers that could be bounds of port ranges."""
    return sorted({int(word) for word in re.findall(r"(?<![\d.])\d{1,5}(?![\d.])", text)})


def _service(name: str, port: int) -> bool | None:
    if name in _SERVICES:
        return any(low <= port <= high for low, high in _SERVICES[name])
    return False if name in _OTHER_SERVICES else None


def _in_ports(text: str, port: int) -> bool:
    """Whether ``16514/tcp`` or ``49152-49215/tcp`` holds a port."""
    numbers, _, protocol = text.partition("/")
    low, _, high = numbers.partition("-")
    return protocol in ("", "tcp") and low.isdigit() and int(low) <= port <= int(high or low)


def _rich(rule: str, source: str, port: int) -> frozenset[str]:
    """Return what a rich rule does with a connection: nothing (empty) where it does not concern it."""
    family = re.search(r'family="(ipv[46])"', rule)
    if family and family[1] != ("ipv6" if ":" in source else "ipv4"):
        return frozenset()
    action = re.search(r"\b(accept|drop|reject)\b", re.sub(r'"[^"]*"', '""', rule))
    if action is None:
        return frozenset()
    unsure = "ipset=" in rule or " mac=" in rule or "destination" in rule or "limit" in rule or "priority=" in rule
    address = re.search(r'source (NOT )?address="([^"]+)"', rule)
    if address and _covers(address[2], source) == bool(address[1]):
        return frozenset()
    port_said, service = (
        re.search(r' port port="([^"]+)" protocol="(\w+)"', rule),
        re.search(r'service name="(\S+)"', rule),
    )
    if port_said and not _in_ports(f"{port_said[1]}/{port_said[2]}", port):
        return frozenset()
    if service:
        known = _service(service[1], port)
        if known is False:
            return frozenset()
        unsure = unsure or known is None
    if re.search(r"\b(protocol value|icmp-block|icmp-type|masquerade|forward-port)\b", rule) and not port_said:
        return EITHER if 'value="tcp"' in rule else frozenset()
    if unsure:
        return EITHER
    return ACCEPT if action[1] == "accept" else DROP


def _covers(text: str, address: str) -> bool:
    """Whether an address or network holds an address; what is neither (a MAC, an ipset) does not."""
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False


def _ufw_fits(to: str, who: str, source: str, port: int, destination: str) -> bool | None:
    """Whether a rule of ufw concerns a connection, None where that is not known."""
    if ("(v6)" in to or "(v6)" in who) != (":" in source) and "Anywhere" in who:
        return False
    to, who = to.replace("(v6)", "").strip(), who.replace("(v6)", "").strip()
    unsure = False
    if " on " in to:
        to, unsure = to.partition(" on ")[0], True
    to = re.sub(r"\s*\(.*\)$", "", to)  # the profile's name, after its ports
    words = to.split()
    if len(words) == 2 and _is_network(words[0]):
        if destination and not _covers(words[0], destination):
            return False
        unsure, words = unsure or not destination, words[1:]
    fits = _ufw_ports(words, port)
    if fits is False:
        return False
    if who != "Anywhere":
        first = who.split()[0]
        if not _is_network(first):
            return None
        if not _covers(first, source):
            return False
        unsure = unsure or len(who.split()) > 1  # a source port
    return None if unsure or fits is None else True


def _ufw_ports(words: Iterable[str], port: int) -> bool | None:
    word = " ".join(words)
    if word == "Anywhere":
        return True
    if _is_network(word):
        return None
    numbers, _, protocol = word.partition("/")
    if protocol not in ("", "tcp"):
        return False
    fits = False
    for part in numbers.split(","):
        low, _, high = part.partition(":")
        if not low.isdigit() or (high and not high.isdigit()):
            return None  # the name of a profile
        fits = fits or int(low) <= port <= int(high or low)
    return fits


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True
