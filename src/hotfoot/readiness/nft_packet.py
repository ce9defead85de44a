"""What a firewall can see of a new TCP connection from another host, in the terms of nftables (libnftables-json(5))."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal


class Unknown:
    """A value that is not known, though something about it may be."""


class NotThere:
    """A value that this packet does not have: no comparison with it is true."""


class Link(Unknown):
    """The interface that a connection from another host comes in by: whichever it is, not loopback."""


UNKNOWN, NOT_THERE, LINK = Unknown(), NotThere(), Link()


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of the connection."""

    source: str
    version: Literal[4, 6]
    """Of IP."""
    port: int
    destination: str
    """Empty where it is not known."""


def packet_of(source: str, port: int, destination: str) -> Packet:
    """Return the packet of a connection from an address to a port."""
    return Packet(source, 6 if ":" in source else 4, port, destination)


def value_in(expression: Any, packet: Packet) -> object:
    """Return what an expression is for this packet: a new TCP connection from another host."""
    if not isinstance(expression, Mapping) or len(expression) != 1:
        return UNKNOWN
    ((kind, inner),) = expression.items()
    if kind == "concat":
        return tuple(value_in(each, packet) for each in inner)
    if kind == "&":
        value = value_in(inner[0], packet)
        return value & flags_of(inner[1]) if isinstance(value, frozenset) else UNKNOWN
    if kind == "payload":
        return _payload(inner.get("protocol", ""), inner.get("field", ""), packet)
    if kind == "meta":
        known: dict[str, object] = {
            "l4proto": "tcp",
            "nfproto": f"ipv{packet.version}",
            "protocol": "ip" if packet.version == 4 else "ip6",
            "iif": LINK,
            "iifname": LINK,
            "pkttype": "host",
        }
        return known.get(inner.get("key", ""), UNKNOWN)
    if kind == "ct":
        return "new" if inner.get("key") == "state" else UNKNOWN
    return UNKNOWN


def _payload(protocol: str, field: str, packet: Packet) -> object:
    if protocol in ("ip", "ip6"):
        if protocol != ("ip" if packet.version == 4 else "ip6"):
            return NOT_THERE
        known = {"saddr": packet.source, "protocol": "tcp", "nexthdr": "tcp"}
        if packet.destination:
            known["daddr"] = packet.destination
        return known.get(field, UNKNOWN)
    if protocol in ("tcp", "th"):
        return {"dport": packet.port, "flags": frozenset({"syn"})}.get(field, UNKNOWN)
    return NOT_THERE if protocol in ("udp", "icmp", "icmpv6", "sctp", "dccp", "igmp", "esp", "ah", "gre") else UNKNOWN


def flags_of(expression: Any) -> frozenset[str]:
    """Return the names of TCP flags in a mask or a value, however it is written."""
    if isinstance(expression, str):
        return frozenset({expression})
    if isinstance(expression, Mapping):
        return frozenset().union(*(flags_of(each) for each in expression.values()))
    if isinstance(expression, Sequence):
        return frozenset().union(*(flags_of(each) for each in expression))
    return frozenset()


def within(value: object, right: Mapping[str, Any]) -> bool | None:
    """Whether a value lies in a prefix or range, None where that is not known."""
    if isinstance(value, Unknown | tuple):
        return None
    number = value if isinstance(value, int) else number_of(str(value))
    bounds = bounds_of(right)
    if number is None or bounds is None:
        return None
    return bounds[1] <= number <= bounds[2]


def bounds_of(right: Mapping[str, Any]) -> tuple[int, int, int] | None:
    """Return IP version (0 for numbers), first and last of a prefix or range; None for anything else."""
    prefix, span = right.get("prefix"), right.get("range")
    if isinstance(prefix, Mapping):
        try:
            network = ipaddress.ip_network(f"{prefix['addr']}/{prefix['len']}", strict=False)
        except (ValueError, KeyError):
            return None
        return network.version, int(network.network_address), int(network.broadcast_address)
    if not isinstance(span, Sequence) or isinstance(span, str) or len(span) != 2:
        return None
    low, high = span
    if isinstance(low, int) and isinstance(high, int):
        return 0, low, high
    first, last = number_of(str(low)), number_of(str(high))
    return None if first is None or last is None else (6 if ":" in str(low) else 4, first, last)


@lru_cache(maxsize=65536)
def number_of(text: str) -> int | None:
    """Return an IP address as a number, None for anything else."""
    try:
        return int(ipaddress.ip_address(text))
    except ValueError:
        return None
