"""What libvirt's job statistics say. Pure: the dictionary of ``virDomainGetJobStats`` in, values out."""

from __future__ import annotations

from collections.abc import Mapping

from hotfoot.migration.result import JobTotals
from hotfoot.migration.sample import JobSample, Phase

TYPE_NONE = 0
TYPES_UNDER_WAY = (1, 2)
"""VIR_DOMAIN_JOB_BOUNDED and VIR_DOMAIN_JOB_UNBOUNDED."""
OPERATION_MIGRATION_OUT = 5
"""VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT; libvirt older than 3.3 names no operation."""
PAGE_BYTES = 4096

Stats = Mapping[str, object]


def sample_of(stats: Stats, at_s: float) -> JobSample | None:
    """Return one look at an outgoing migration; None when the job is another one, or over."""
    if _number(stats, "type") not in TYPES_UNDER_WAY:
        return None
    if stats.get("operation", OPERATION_MIGRATION_OUT) != OPERATION_MIGRATION_OUT:
        return None
    dirty_pages_per_s, downtime_ms = _maybe(stats, "memory_dirty_rate"), _maybe(stats, "downtime")
    page_bytes = _number(stats, "memory_page_size") or PAGE_BYTES
    if not dirty_pages_per_s and _number(stats, "memory_iteration") <= 1:
        # QEMU says 0, and its limit for the downtime, until it has measured a whole iteration.
        dirty_pages_per_s = downtime_ms = None
    throughput = _number(stats, "memory_bps") + _number(stats, "disk_bps")
    return JobSample(
        at_s=at_s,
        phase=_phase(stats),
        iteration=_number(stats, "memory_iteration"),
        memory_total_bytes=_number(stats, "memory_total"),
        memory_processed_bytes=_number(stats, "memory_processed"),
        memory_remaining_bytes=_number(stats, "memory_remaining"),
        disk_total_bytes=_number(stats, "disk_total"),
        disk_processed_bytes=_number(stats, "disk_processed"),
        disk_remaining_bytes=_number(stats, "disk_remaining"),
        dirty_rate_bytes_per_s=None if dirty_pages_per_s is None else dirty_pages_per_s * page_bytes,
        throughput_bytes_per_s=throughput or None,
        elapsed_ms=_number(stats, "time_elapsed"),
        downtime_ms=downtime_ms,
        postcopy_requests=_number(stats, "memory_postcopy_requests"),
        throttle_percent=_number(stats, "auto_converge_throttle"),
    )


def totals_of(stats: Stats) -> JobTotals:
    """Return the account of a completed migration."""
    return JobTotals(
        downtime_ms=_maybe(stats, "downtime"),
        memory_sent_bytes=_number(stats, "memory_processed") or None,
        disk_sent_bytes=_number(stats, "disk_processed") or None,
        iterations=_maybe(stats, "memory_iteration"),
        throughput_bytes_per_s=_maybe(stats, "memory_bps"),
        elapsed_ms=_maybe(stats, "time_elapsed"),
    )


def _phase(stats: Stats) -> Phase:
    if _number(stats, "memory_postcopy_requests"):
        return Phase.POST_COPY
    memory_total = _number(stats, "memory_total")
    if not memory_total or not _number(stats, "memory_processed"):
        # libvirt mirrors the disks first; memory has no figures until they are in step.
        return Phase.COPYING_DISKS if _number(stats, "disk_total") else Phase.PREPARING
    if not _number(stats, "memory_remaining"):
        return Phase.SWITCHING_OVER
    return Phase.COPYING_MEMORY


def _number(stats: Stats, key: str) -> int:
    return _maybe(stats, key) or 0


def _maybe(stats: Stats, key: str) -> int | None:
    value = stats.get(key)
    return int(value) if isinstance(value, (int, float)) else None
