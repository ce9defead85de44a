"""What was done to a running migration so that it ends, and why. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ActionKind(StrEnum):
    """The means of steering, by the words of JSON and the journal."""

    DOWNTIME_LIMIT = "downtime-limit"
    """Raise the downtime limit of the hypervisor to ``value`` ms."""
    THROTTLE = "throttle"
    """The hypervisor slows the guest's vCPUs down by ``value`` percent, as it was allowed to at the start."""
    POST_COPY = "post-copy"
    """Let the guest run on the destination, and fetch the memory that is left."""
    PAUSE = "pause"
    """Stop the guest until the rest is copied, however long that takes."""
    GIVE_UP = "give-up"
    """Abort: the guest goes on running on the source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One act of steering, with its reason in a sentence for the operator."""

    kind: ActionKind
    at_ms: int
    """Since the start of the migration."""
    value: int | None = None
    reason: str = ""

    @property
    def in_words(self) -> str:
        """The act and its reason, in one line."""
        done = {
            ActionKind.DOWNTIME_LIMIT: f"Downtime limit raised to {self.value} ms",
            ActionKind.THROTTLE: f"vCPUs slowed down by {self.value} %",
            ActionKind.POST_COPY: "Switched to post-copy: the instance runs on the destination, and can go only on",
            ActionKind.PAUSE: "Paused until the rest is copied",
            ActionKind.GIVE_UP: "Given up",
        }[self.kind]
        return f"{done} ({self.reason})." if self.reason else f"{done}."
