"""One look at a running migration, whatever it was read from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """What a migration is doing now; the value is the word that the operator reads."""

    PREPARING = "preparing"
    COPYING_DISKS = "copying disks"
    COPYING_MEMORY = "copying memory"
    SWITCHING_OVER = "switching over"
    POST_COPY = "post-copy"
    FINISHING = "finishing"
    ABORTING = "aborting"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSample:
    """One look at a running migration: the hypervisor's numbers, in bytes and milliseconds.

    ``*_processed_bytes`` is what was sent, so it exceeds ``*_total_bytes`` where the guest rewrote memory.
    ``None`` means not known (yet); 0 is a measured zero.
    """

    at_s: float
    """When it was looked at: ``time.monotonic()``."""
    phase: Phase
    iteration: int = 0
    """The pre-copy pass under way, from 1; 0 before the first."""
    memory_total_bytes: int = 0
    memory_processed_bytes: int = 0
    memory_remaining_bytes: int = 0
    disk_total_bytes: int = 0
    disk_processed_bytes: int = 0
    disk_remaining_bytes: int = 0
    dirty_rate_bytes_per_s: int | None = None
    """What the guest dirties per second, as of the last finished iteration."""
    throughput_bytes_per_s: int | None = None
    elapsed_ms: int = 0
    downtime_ms: int | None = None
    """The downtime that the hypervisor expects if it switched over now."""
    postcopy_requests: int = 0
    """Pages that the instance had to wait for since it runs on the destination."""
    throttle_percent: int = 0
    """How much the vCPUs are slowed down to let the migration converge; 0 is full speed."""
