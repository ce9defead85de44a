"""What a soak does, move by move: which instance, where to, which fault and when. Pure: the seed decides it all."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from hotfoot.errors import ExitStatus, HotfootError

LONGEST_CUT_MS = 2000
"""For as long GlusterFS and iSCSI bear a cut; after one of 3 s TCP tries again later than GlusterFS waits (5 s), and
the instance's disk would fail by the fault itself."""
_SHORTEST_CUT_MS = 1000
_LATEST_MS = 2000
"""How long after memory has begun to flow a fault at any moment strikes at the latest: most have ended."""


class Fault(StrEnum):
    """What breaks in a move. An instance whose hypervisor, Hotfoot and libvirt work right lives through each."""

    NONE = "none"
    ABORT = "abort"
    CUT_SOURCE_LINK = "cut-source-link"
    CUT_DESTINATION_LINK = "cut-destination-link"
    KILL_SOURCE_LIBVIRTD = "kill-source-libvirtd"
    KILL_DESTINATION_LIBVIRTD = "kill-destination-libvirtd"
    KILL_DESTINATION_QEMU = "kill-destination-qemu"
    KILL_HOTFOOT = "kill-hotfoot"

    @property
    def in_words(self) -> str:
        """What happens, as the operator reads it."""
        return _WORDS[self]


_WORDS = {
    Fault.NONE: "no fault",
    Fault.ABORT: "stopped by `hotfoot abort`",
    Fault.CUT_SOURCE_LINK: "the source's link cut",
    Fault.CUT_DESTINATION_LINK: "the destination's link cut",
    Fault.KILL_SOURCE_LIBVIRTD: "the source's libvirtd killed",
    Fault.KILL_DESTINATION_LIBVIRTD: "the destination's libvirtd killed",
    Fault.KILL_DESTINATION_QEMU: "the destination's QEMU killed",
    Fault.KILL_HOTFOOT: "Hotfoot killed",
}


class When(StrEnum):
    """When a fault strikes. The first two are made long by a slow link, and read from the source's libvirt."""

    FIRST_PASS = "first pass"
    LATER_PASS = "later pass"
    ANY_MOMENT = "any moment"


Faults = Literal["none", "some", "all"]
_SHARE: dict[Faults, float] = {"none": 0.0, "some": 1 / 3, "all": 1.0}
"""How many of the moves have a fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One move of a soak."""

    number: int
    """From 1."""
    instance: str
    hop: int
    """How many hosts further, in the lab's order, the destination is; where the instance is, only the soak shows."""
    fault: Fault
    when: When | None
    """None without a fault."""
    delay_ms: int
    """After memory has begun to flow; 0 unless it strikes at any moment."""
    cut_ms: int
    """For how long a link is cut."""

    def destination(self, hosts: Sequence[str], source: str) -> str:
        """Return the host to move to: with a hop of 2, from n2 of three hosts to n1."""
        return hosts[(hosts.index(source) + self.hop) % len(hosts)]


def step(seed: int, number: int, instances: Sequence[str], host_count: int, faults: Faults) -> Step:
    """Return the move of that number (from 1). Raises HotfootError (usage) where nothing can move.

    Invariants: it depends on the arguments alone, not on earlier moves, so that one step can be repeated; and what may
    end the instance itself is never drawn: the destination's QEMU is killed in the first pass only, when the instance
    cannot run there yet, and no link is cut for longer than storage bears.
    """
    if not instances:
        raise HotfootError(
            "A lab without instances has nothing to move; `hotfoot lab instance add` makes one.", ExitStatus.USAGE
        )
    if host_count < 2:
        raise HotfootError("A soak needs a lab of two hosts or more.", ExitStatus.USAGE)
    dice = random.Random(f"{seed}/{number}")
    instance = dice.choice(instances)
    hop = dice.randrange(1, host_count)
    breaks = dice.random() < _SHARE[faults]
    fault = dice.choice([fault for fault in Fault if fault is not Fault.NONE])
    when = When.FIRST_PASS if fault is Fault.KILL_DESTINATION_QEMU else dice.choice(list(When))
    delay_ms, cut_ms = dice.randrange(_LATEST_MS), dice.randrange(_SHORTEST_CUT_MS, LONGEST_CUT_MS + 1)
    cuts = fault in (Fault.CUT_SOURCE_LINK, Fault.CUT_DESTINATION_LINK)
    return Step(
        number=number,
        instance=instance,
        hop=hop,
        fault=fault if breaks else Fault.NONE,
        when=when if breaks else None,
        delay_ms=delay_ms if breaks and when is When.ANY_MOMENT else 0,
        cut_ms=cut_ms if breaks and cuts else 0,
    )
