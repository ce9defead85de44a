"""What was done to a running migration so that it ends, and why. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ActionKind(StrEnum):
    """The means of steering, by the words of JSON and the journal."""

    DOWNTIME_LIMIT = "downtime-limit"
    """Raise the downtime limit of the hypervisor to ``value`` ms."""
    THROTTLE = "throttle"
    """Let the hypervisor slow the guest's vCPUs down; ``value`` is the first percentage, None its own."""
    POST_COPY = "post-copy"
    """Let the guest run on the destination, and fetch the memory that is left."""
    PAUSE = "pause"
    """Suspend the guest until the rest is copied."""
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
