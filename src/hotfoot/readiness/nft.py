"""What nftables does with a new TCP connection from an address to a port, as far as its rules are understood.

The form is that of ``nft -j list ruleset`` (libnftables-json(5)). A rule whose condition cannot be judged from here
(an interface, a rate, an extension of iptables) may apply or not: both ways are followed, and the answer is then
that both are possible. Nothing is ever claimed that the rules do not say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hotfoot.readiness.nft_packet import (
    LINK,
    NOT_THERE,
    NotThere,
    Packet,
    Unknown,
    bounds_of,
    flags_of,
    number_of,
    packet_of,
    value_in,
    within,
)

ACCEPT: frozenset[str] = frozenset({"accept"})
DROP: frozenset[str] = frozenset({"drop"})
EITHER = ACCEPT | DROP

_Truth = bool | None
_Chain = tuple[str, str, str]
_FAMILIES = {4: ("inet", "ip"), 6: ("inet", "ip6")}
_REFUSING = ("drop", "reject")
_NO_VERDICT = ("counter", "log", "notrack", "mangle", "comment", "set", "map", "dup", "secmark", "flow", "ct helper")
_TARGETS_WITHOUT_VERDICT = ("LOG", "NFLOG", "MARK", "CONNMARK", "CT", "TRACE", "CONNSECMARK", "SECMARK", "TCPMSS")
_DEEPEST = 16  # nftables itself refuses longer ways of jumps


@dataclass(frozen=True, slots=True)
class BaseChain:
    """A chain that packets for the host come through."""

    family: str
    table: str
    name: str
    policy: str

    @property
    def key(self) -> _Chain:
        """What tells chains apart."""
        return self.family, self.table, self.name


class Filter:
    """A ruleset, read once, asked many times."""

    def __init__(self, ruleset: Mapping[str, Any]) -> None:
        entries: list[Mapping[str, Any]] = list(ruleset.get("nftables", ()))
        self.base = tuple(
            BaseChain(each["family"], each["table"], each["name"], each.get("policy", "accept"))
            for each in sorted(_each(entries, "chain"), key=lambda each: (each.get("hook") == "input", _priority(each)))
            if each.get("hook") in ("prerouting", "input") and each.get("type") == "filter"
        )
        self._rules: dict[_Chain, list[Sequence[Any]]] = {}
        for rule in _each(entries, "rule"):
            self._rules.setdefault((rule["family"], rule["table"], rule["chain"]), []).append(rule.get("expr", ()))
        self._sets = {
            (each["family"], each["table"], each["name"]): each.get("elem", ())
            for kind in ("set", "map")
            for each in _each(entries, kind)
        }
        self.ports = sorted(set(_port_numbers([self._rules, self._sets])))
        """Numbers that could be bounds of port ranges."""
        self._places: dict[str, set[int]] = {}
        self._networks: list[tuple[int, int, int]] = []
        _note_addresses(self._rules, self._places, self._networks)
        _note_addresses(self._sets, self._places, self._networks)
        self.looks_at_destination = "daddr" in repr(self._rules)
        """Whether rules depend on which of its addresses a host is spoken to by."""
        self._known: dict[tuple[object, int], frozenset[str]] = {}

    def verdicts(self, source: str, port: int, destination: str = "") -> frozenset[str]:
        """Return ``ACCEPT``, ``DROP``, or ``EITHER`` where it cannot be told."""
        packet = packet_of(source, port, destination)
        alike = self.alike(source), destination if self.looks_at_destination else ""
        if (alike, port) not in self._known:
            outcomes = [self._base(chain, packet) for chain in self._concerned(packet)]
            may_drop = any("drop" in each for each in outcomes)
            may_accept = all("accept" in each for each in outcomes)
            self._known[alike, port] = frozenset(
                word for word, may in (("accept", may_accept), ("drop", may_drop)) if may
            )
        return self._known[alike, port]

    def alike(self, source: str) -> tuple[object, ...]:
        """Return what is equal for sources that no rule tells apart: they need to be followed once."""
        number, version = number_of(source) or 0, 6 if ":" in source else 4
        return (
            version,
            frozenset(self._places.get(source, ())),
            tuple(low <= number <= high for known, low, high in self._networks if known == version),
        )

    def refusing(self, source: str, port: int, destination: str = "") -> list[BaseChain]:
        """Return the base chains that surely drop such a connection."""
        packet = packet_of(source, port, destination)
        return [chain for chain in self._concerned(packet) if self._base(chain, packet) == DROP]

    def _concerned(self, packet: Packet) -> Iterator[BaseChain]:
        return (chain for chain in self.base if chain.family in _FAMILIES[packet.version])

    def _base(self, chain: BaseChain, packet: Packet) -> frozenset[str]:
        outcomes = self._chain(chain.key, packet, 0)
        found = outcomes & EITHER
        return found | {"drop" if chain.policy == "drop" else "accept"} if outcomes - EITHER else found

    def _chain(self, chain: _Chain, packet: Packet, depth: int) -> frozenset[str]:
        """Return what may come of a chain: accept, drop, or return (also where its end is reached)."""
        if depth > _DEEPEST:
            return EITHER
        found: set[str] = set()
        for rule in self._rules.get(chain, ()):
            outcomes = self._rule(chain, rule, packet, depth)
            found |= outcomes - {"next"}
            if "next" not in outcomes:
                return frozenset(found)
        return frozenset(found | {"return"})

    def _rule(self, chain: _Chain, rule: Sequence[Any], packet: Packet, depth: int) -> frozenset[str]:
        sure = True
        strange = False
        for expression in rule:
            ((kind, value),) = expression.items() if isinstance(expression, Mapping) else ((expression, None),)
            if kind == "match" and value is not None:
                truth = self._match(chain, value, packet)
                if truth is False:
                    return frozenset({"next"})
                sure = sure and truth is True
                continue
            outcome = self._verdict(chain, kind, value, packet, depth)
            if outcome is not None:
                return outcome if sure else outcome | {"next"}
            if kind == "xt":
                name = value.get("name", "") if isinstance(value, Mapping) else ""
                if name in _TARGETS_WITHOUT_VERDICT:
                    continue
                strange = True
            sure = sure and (kind in _NO_VERDICT)
        return EITHER | {"next"} if strange else frozenset({"next"})

    def _verdict(self, chain: _Chain, kind: str, value: Any, packet: Packet, depth: int) -> frozenset[str] | None:
        """Return what may come of a verdict, None where it is none."""
        if kind == "accept":
            return ACCEPT
        if kind in _REFUSING or (kind == "xt" and isinstance(value, Mapping) and value.get("name") == "REJECT"):
            return DROP
        if kind in ("return", "continue"):
            return frozenset({"return" if kind == "return" else "next"})
        if kind in ("jump", "goto"):
            outcomes = self._chain((*chain[:2], value["target"]), packet, depth + 1)
            after = "next" if kind == "jump" else "return"
            return frozenset(after if each == "return" else each for each in outcomes)
        if kind == "queue":
            return EITHER
        if kind == "vmap":
            return self._vmap(chain, value, packet, depth)
        return None

    def _vmap(self, chain: _Chain, vmap: Mapping[str, Any], packet: Packet, depth: int) -> frozenset[str]:
        value = value_in(vmap["key"], packet)
        found: set[str] = set()
        for element in self._elements(chain, vmap["data"]):
            if not isinstance(element, Sequence) or len(element) != 2 or not isinstance(element[1], Mapping):
                return EITHER | {"next"}
            key, target = element
            truth = self._is(chain, value, key)
            if truth is False:
                continue
            for kind, argument in target.items():
                found |= self._verdict(chain, kind, argument, packet, depth) or EITHER
            if truth is True:
                return frozenset(found)
        return frozenset(found | {"next"})

    def _match(self, chain: _Chain, match: Mapping[str, Any], packet: Packet) -> _Truth:
        operator, left, right = match.get("op", "=="), match["left"], match["right"]
        if isinstance(left, Mapping) and "fib" in left and right in (False, 0, "missing"):
            return False  # a reverse path filter: hosts of one cluster have routes to each other
        value = value_in(left, packet)
        if value is NOT_THERE:
            return False
        if isinstance(value, frozenset):  # TCP flags: of these sets of bits
            flags = flags_of(right)
            same = bool(value & flags) if operator == "in" else value == flags
            return same if operator in ("==", "in") else not same if operator == "!=" else None
        if operator in ("==", "in", "!="):
            truth = self._is(chain, value, right)
            return truth if operator != "!=" or truth is None else not truth
        if isinstance(value, int) and isinstance(right, int):
            return {"<": value < right, ">": value > right, "<=": value <= right, ">=": value >= right}.get(operator)
        return None

    def _elements(self, chain: _Chain, data: Any) -> Iterable[Any]:
        if isinstance(data, str) and data.startswith("@"):
            named: Iterable[Any] = self._sets.get((*chain[:2], data[1:]), ())
            return named
        given: Iterable[Any] = data.get("set", ()) if isinstance(data, Mapping) else ()
        return given

    def _is(self, chain: _Chain, value: object, right: Any) -> _Truth:
        """Whether a value is, or is among, what a rule names."""
        if isinstance(right, str) and right.startswith("@"):
            return self._any(chain, value, self._elements(chain, right))
        if isinstance(right, list):
            return self._any(chain, value, right)
        if isinstance(right, Mapping):
            if "set" in right:
                return self._any(chain, value, right["set"] if isinstance(right["set"], list) else [right["set"]])
            if "elem" in right:
                return self._is(chain, value, right["elem"]["val"])
            if "concat" in right:
                parts = value if isinstance(value, tuple) else ()
                if len(parts) != len(right["concat"]):
                    return None
                return _all(self._is(chain, part, each) for part, each in zip(parts, right["concat"], strict=True))
            if "prefix" in right or "range" in right:
                return within(value, right)
            return None
        if value is LINK:
            return False if right == "lo" else None
        if isinstance(value, Unknown):
            return None
        if isinstance(value, tuple | NotThere):
            return None if isinstance(value, tuple) else False
        return right in ("tcp", 6, "6") if value == "tcp" else bool(value == right)

    def _any(self, chain: _Chain, value: object, elements: Iterable[Any]) -> _Truth:
        unsure = False
        for element in elements:
            truth = self._is(chain, value, element)
            if truth:
                return True
            unsure = unsure or truth is None
        return None if unsure else False


def _each(entries: Iterable[Mapping[str, Any]], kind: str) -> Iterator[Mapping[str, Any]]:
    return (entry[kind] for entry in entries if isinstance(entry.get(kind), Mapping))


def _priority(chain: Mapping[str, Any]) -> int:
    priority = chain.get("prio", 0)
    return priority if isinstance(priority, int) else 0


def _all(truths: Iterable[_Truth]) -> _Truth:
    found = list(truths)
    if False in found:
        return False
    return None if None in found else True


def _port_numbers(node: Any) -> Iterator[int]:
    if isinstance(node, bool):
        return
    if isinstance(node, int) and 0 < node < 65536:
        yield node
    elif isinstance(node, Mapping):
        for each in node.values():
            yield from _port_numbers(each)
    elif isinstance(node, list | tuple):
        for each in node:
            yield from _port_numbers(each)


def _note_addresses(node: Any, places: dict[str, set[int]], networks: list[tuple[int, int, int]]) -> None:
    """Note where each address, prefix and range is named: addresses named in the same places are treated alike."""
    if isinstance(node, Mapping):
        bounds = bounds_of(node)
        if bounds is not None and bounds[0]:
            networks.append(bounds)
        for each in node.values():
            _note(each, node, places, networks)
    elif isinstance(node, list | tuple):
        for each in node:
            _note(each, node, places, networks)


def _note(each: Any, holder: object, places: dict[str, set[int]], networks: list[tuple[int, int, int]]) -> None:
    if isinstance(each, str) and number_of(each) is not None:
        places.setdefault(each, set()).add(id(holder))
    else:
        _note_addresses(each, places, networks)
