"""One cell of the matrix, what was seen after it, and what of that is wrong. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """When the fault strikes."""

    FIRST = "in the first pass"
    LATER = "in a later pass"
    SWITCH = "around the switch-over"
    POST_COPY = "after post-copy"


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen when all was over. ``status`` is None where Hotfoot itself was killed."""

    source: str
    destination: str
    status: int | None
    running: tuple[str, ...]
    faults: tuple[str, ...]
    record_status: int | None
    may_be_lost: bool

    @property
    def whole(self) -> bool:
        """Whether memory and disk are as written."""
        return len(self.running) == 1 and not self.faults

    @property
    def outcome(self) -> str:
        """Where the instance is, in words."""
        if not self.whole:
            return "lost" if self.may_be_lost else "LOST"
        return "on the destination" if self.running == (self.destination,) else "on the source"

    def wrong(self) -> tuple[str, ...]:
        """Say what breaks the promise: once and whole or rightly lost, and both reports as it is."""
        found = []
        if len(self.running) > 1:
            found.append(f"it runs on {' and '.join(self.running)} at once")
        if not self.whole and not self.may_be_lost:
            found.append(f"it is lost: {'; '.join(self.faults) or 'it runs nowhere'}")
        true: tuple[int, ...] = (6,)
        if self.whole:
            true = (0,) if self.running == (self.destination,) else (4, 5)
            if self.may_be_lost:  # nobody could know: what came back once it was mended was in two halves
                true = (*true, 6)
        if self.status is not None and self.status not in true:
            found.append(f"exit status {self.status} is not true")
        if self.record_status is None:
            found.append("its record stays open")
        elif self.record_status not in true:
            found.append(f"the record says {self.record_status}, which is not true")
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table; ``seconds`` from the fault to the end of the command."""

    fault: str
    phase: Phase
    outcome: str
    status: str = "-"
    seconds: str = "-"
    retry: str = "-"
    reason: str = ""
