"""How far a migration is: samples folded into what the operator sees. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hotfoot.migration.outlook import Outlook
from hotfoot.migration.sample import JobSample, Phase
from hotfoot.sizes import human_bytes, human_seconds

_RANK = {phase: rank for rank, phase in enumerate(Phase)}  # as a migration passes through them
_RANK[Phase.SWITCHING_OVER] = _RANK[Phase.COPYING_MEMORY]  # nothing remains, until the next iteration begins
_MOST_PERCENT = 99.0  # all is copied at the end of each iteration, and yet the next may follow
_WITHOUT_END = (Phase.PREPARING, Phase.FINISHING, Phase.ABORTING)  # of which nothing is left to be reckoned
_SILENT_S = 5.0  # longer than the pause between two iterations
_CONVERGING = (Phase.COPYING_MEMORY, Phase.SWITCHING_OVER)  # the instance still runs on the source and writes


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What the operator sees of one running migration; ``None`` means not known (yet).

    Invariant: it never runs backwards without saying why. From one look to the next, ``iteration``,
    ``sent_bytes``, ``percent`` and ``elapsed_ms`` never decrease; ``phase`` never goes back, but from
    switching over to copying memory when one more iteration is needed; and while ``remaining_bytes`` is above
    the least it has been, ``note`` says why.
    """

    phase: Phase = Phase.PREPARING
    iteration: int = 0
    sent_bytes: int = 0
    remaining_bytes: int | None = None
    percent: float = 0.0
    """The share of memory and disks that had arrived when the least remained; 100 only at the end."""
    dirty_rate_bytes_per_s: int | None = None
    throughput_bytes_per_s: int | None = None
    elapsed_ms: int = 0
    left_ms: int | None = None
    """Until the expected end, if the instance goes on as it does: see ``outlook``."""
    left_is_least: bool = False
    """Without a forecast the dirty rate is not known before the first iteration is over: a lower bound till then."""
    obstacle: str | None = None
    """Why no end can be expected: it does not converge, or nothing is sent any more."""
    downtime_ms: int | None = None
    throttle_percent: int = 0
    postcopy_requests: int = 0
    note: str | None = None
    """Why more remains now than before."""
    memory_bytes: int = 0
    """The memory to be copied, as long as the hypervisor does not say: while it still copies disks."""
    memory_remaining_bytes: int = 0
    disk_remaining_bytes: int = 0
    least_remaining_bytes: int | None = None
    grown_at_s: float | None = None
    """When more had been sent than at the look before: of ``JobSample.at_s``."""
    outlook: Outlook = field(default_factory=Outlook)
    """Begins with the forecast, where there is one."""

    def advance(self, sample: JobSample) -> Progress:
        """Return the progress after one more look at the migration."""
        phase = sample.phase if _RANK[sample.phase] >= _RANK[self.phase] else self.phase
        iteration = max(self.iteration, sample.iteration)
        dirty = sample.dirty_rate_bytes_per_s
        if dirty is None or (dirty == 0 and iteration <= 1):  # the hypervisor says 0 before it has measured
            dirty = self.dirty_rate_bytes_per_s
        throughput = self.throughput_bytes_per_s if (t := sample.throughput_bytes_per_s) is None else t
        memory_total = sample.memory_total_bytes or self.memory_bytes
        total = memory_total + sample.disk_total_bytes
        measured = sample.memory_total_bytes + sample.disk_total_bytes > 0
        memory, disk, remaining = self.memory_remaining_bytes, self.disk_remaining_bytes, self.remaining_bytes
        if measured:  # else the job has not begun to count, or no longer counts: what was known stays
            memory = sample.memory_remaining_bytes if sample.memory_total_bytes else self.memory_bytes
            disk = sample.disk_remaining_bytes
            remaining = memory + disk
        least, percent, note = self.least_remaining_bytes, self.percent, self.note
        if remaining is not None:
            if least is None or remaining <= least:
                least, note = remaining, None
            elif self.remaining_bytes is not None and remaining > self.remaining_bytes:
                note = self._why_more(phase, iteration, memory, disk)
            share = 100 * (1 - remaining / total) if total else 0.0
            percent = max(percent, min(share, 100.0 if phase == Phase.FINISHING else _MOST_PERCENT))
        running_here = phase in _CONVERGING and bool(remaining)
        elapsed = max(self.elapsed_ms, sample.elapsed_ms)
        outlook, left_ms, obstacle = self.outlook, None, None
        if running_here and remaining is not None:
            memory_sent = sample.memory_processed_bytes
            outlook = outlook.look(
                iteration, remaining, elapsed, sample.throughput_bytes_per_s, dirty, sent_bytes=memory_sent
            )
            left_ms = outlook.left_ms(remaining, memory_sent)
            obstacle = outlook.obstacle(dirty)
        elif remaining is not None and throughput and phase not in _WITHOUT_END:
            left_ms = round(1000 * remaining / throughput)
        sent = max(self.sent_bytes, sample.memory_processed_bytes + sample.disk_processed_bytes)
        grown_at_s = self.grown_at_s
        if grown_at_s is None or sent > self.sent_bytes or phase != self.phase or phase in _WITHOUT_END:
            grown_at_s = sample.at_s
        silent_s = sample.at_s - grown_at_s
        if silent_s >= _SILENT_S:  # over a dead link the hypervisor's own figures stand still
            throughput, left_ms, obstacle = None, None, f"nothing sent for {human_seconds(silent_s)}"
        return Progress(
            phase=phase,
            iteration=iteration,
            sent_bytes=sent,
            remaining_bytes=remaining,
            percent=percent,
            dirty_rate_bytes_per_s=dirty,
            throughput_bytes_per_s=throughput,
            elapsed_ms=elapsed,
            left_ms=left_ms,
            left_is_least=left_ms is not None and running_here and outlook.rest_ms is None,
            obstacle=obstacle,
            downtime_ms=sample.downtime_ms,
            throttle_percent=sample.throttle_percent,
            postcopy_requests=max(self.postcopy_requests, sample.postcopy_requests),
            note=note,
            memory_bytes=self.memory_bytes,
            memory_remaining_bytes=memory,
            disk_remaining_bytes=disk,
            least_remaining_bytes=least,
            grown_at_s=grown_at_s,
            outlook=outlook,
        )

    def with_downtime_limit(self, downtime_limit_ms: int) -> Progress:
        """Go on with another downtime limit, from the next iteration on."""
        return replace(self, outlook=self.outlook.with_downtime_limit(downtime_limit_ms))

    def _why_more(self, phase: Phase, iteration: int, memory: int, disk: int) -> str:
        grown = memory - self.memory_remaining_bytes
        if disk - self.disk_remaining_bytes > grown:
            more = human_bytes(disk - self.disk_remaining_bytes)
            return f"the guest wrote {more} to its disks that are copied again"
        if phase == Phase.POST_COPY:
            return f"{human_bytes(grown)} of memory are fetched again"
        if iteration > self.iteration and self.iteration:
            sent = f"iteration {iteration - 1}"
            return f"iteration {iteration}: the guest rewrote {human_bytes(memory)} while {sent} was sent"
        if iteration > 1:
            return f"iteration {iteration}: the guest rewrote {human_bytes(grown)} more than was sent"
        return f"the guest uses {human_bytes(grown)} more memory than was known"
