"""Faults between pairs of hosts, gathered: what one host explains is said once, not for every pair that it spoils."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

Side = Literal["source", "destination"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of one pair. ``kind`` tells which faults may have one cause, ``side`` where that would rather lie."""

    kind: str
    source: str
    destination: str
    evidence: str
    side: Side = "destination"

    def on(self, side: Side) -> str:
        """Return the host on that side."""
        return self.source if side == "source" else self.destination


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Faults of one kind with one probable cause: on ``host`` alone, or between ``host`` (source) and ``peer``."""

    kind: str
    host: str
    peer: str | None
    faults: tuple[Fault, ...]

    @property
    def sources(self) -> list[str]:
        """The hosts that looked, without repetition."""
        return list(dict.fromkeys(fault.source for fault in self.faults))

    @property
    def destinations(self) -> list[str]:
        """The hosts that were looked at, without repetition."""
        return list(dict.fromkeys(fault.destination for fault in self.faults))

    @property
    def others(self) -> list[str]:
        """The hosts that ``host`` failed with."""
        hosts = (host for fault in self.faults for host in (fault.source, fault.destination))
        return list(dict.fromkeys(host for host in hosts if host != self.host))

    @property
    def both_ways(self) -> bool:
        """Whether ``host`` failed as source and as destination."""
        return self.host in self.sources and self.host in self.destinations

    @property
    def evidence(self) -> str:
        """What was seen by each, or once where all saw the same."""
        seen = dict.fromkeys(fault.evidence for fault in self.faults)
        if len(seen) == 1:
            return next(iter(seen))
        return "\n".join(f"{fault.source} to {fault.destination}: {fault.evidence}" for fault in self.faults)


def gather(faults: Iterable[Fault], tried: Collection[tuple[str, str]]) -> list[Gathered]:
    """Gather faults of the same kind by the host that explains them.

    A host explains them when it was tried with at least two others, as that side, and all of these trials failed in
    the same way. ``tried``: the pairs (source, destination) in which each kind could have shown.

    Invariant: each fault is in exactly one of the results.
    """
    kinds: dict[str, list[Fault]] = {}
    for fault in faults:
        kinds.setdefault(fault.kind, []).append(fault)
    return [found for kind, its in kinds.items() for found in _of_kind(kind, its, tried)]


def _of_kind(kind: str, faults: list[Fault], tried: Collection[tuple[str, str]]) -> Iterable[Gathered]:
    first = faults[0].side
    second: Side = "source" if first == "destination" else "destination"
    left = faults
    alone: dict[str, tuple[Fault, ...]] = {}
    for side in (first, second):
        for host in dict.fromkeys(fault.on(side) for fault in left):
            mine = tuple(fault for fault in left if fault.on(side) == host)
            trials = sum(1 for source, destination in tried if (source if side == "source" else destination) == host)
            if len(mine) >= 2 and len(mine) == trials:
                alone[host] = (*alone.get(host, ()), *mine)
                left = [fault for fault in left if fault not in mine]
    for host, mine in alone.items():
        yield Gathered(kind=kind, host=host, peer=None, faults=mine)
    for fault in left:
        yield Gathered(kind=kind, host=fault.source, peer=fault.destination, faults=(fault,))
