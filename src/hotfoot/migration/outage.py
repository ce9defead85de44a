"""What a client of an instance noticed: a stream of probes folded into one verdict.

Pure: knows no socket and no clock. Times are nanoseconds of one monotonic clock, named ``*_ns``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

Method = Literal["icmp", "tcp"]

PATIENCE_NS = 5_000_000_000  # an answer later than this is none; it also bounds what is remembered
IN_FLIGHT_NS = 1_000_000_000  # while the watch runs, a younger probe is not yet called lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What was seen of an instance from outside.

    ``outage_ms`` is the longest silence: the longest time in which a client that kept asking got no answer.
    A silence lasts from one answer's arrival to the next answer's arrival; the first one lasts from the first
    probe, and the last one until the watch ends (one interval after its last probe), so that an instance that
    never answers again does not look fine. Rounded up to whole milliseconds.

    Against the time that the instance was truly mute it is never too small, and too large by at most two
    probe intervals and one round trip: even a perfect instance shows one interval. The exception is named by
    ``unwatched_ms``: where the machine held up the watch itself while every probe had been answered, nobody
    asked, and that time is not counted as silence.
    """

    address: str
    method: Method
    interval_ms: float
    probes_sent: int
    probes_lost: int
    outage_ms: int | None
    """None: the instance never answered, so it is not reachable from here, and nothing is known."""
    outage_at: datetime | None
    """When the longest silence began, in UTC."""
    unwatched_ms: int
    """The longest time, beyond the interval, between two probes; a shorter outage may hide in it."""

    @property
    def reachable(self) -> bool:
        """Whether the instance answered at all."""
        return self.outage_ms is not None


class OutageTally:
    """Folds probes and answers into an ``Outage``, in bounded memory however long the watch lasts.

    Feed it in order of time: ``sent`` with rising sequence numbers, ``answered`` with rising arrivals.
    Duplicates, answers to probes never sent, and answers later than ``PATIENCE_NS`` change nothing.

    Invariants: the outage never shrinks as more is fed; sent = answered + lost + in flight; a silence is
    counted only while a probe is waiting for an answer, or for one interval before the first that waits.
    """

    def __init__(self, address: str, method: Method, interval_ns: int) -> None:
        self.address = address
        self.method = method
        self.interval_ns = interval_ns
        self._sent = 0
        self._given_up = 0
        self._waiting: dict[int, int] = {}  # sequence -> sent_ns, oldest first, none older than PATIENCE_NS
        self._newest_sent = -1
        self._newest_answered = -1
        self._last_sent_ns = 0
        self._last_answer_ns: int | None = None
        self._silent_since_ns = 0
        self._longest_ns = 0
        self._longest_at_ns = 0
        self._longest_pause_ns = 0

    @property
    def up_to_date(self) -> bool:
        """Whether the newest probe was answered: nothing more is to be waited for."""
        return self._newest_answered == self._newest_sent

    def sent(self, sequence: int, sent_ns: int) -> None:
        """A probe left; ``sequence`` is larger than any before."""
        if self._sent == 0:
            self._silent_since_ns = sent_ns
        else:
            self._longest_pause_ns = max(self._longest_pause_ns, sent_ns - self._last_sent_ns)
            if self.up_to_date:
                # Nobody was waiting: the silence before this probe is the watch's own, but for one interval.
                self._silent_since_ns = max(self._silent_since_ns, sent_ns - self.interval_ns)
        self._sent += 1
        self._newest_sent = sequence
        self._last_sent_ns = sent_ns
        self._waiting[sequence] = sent_ns
        self._give_up(sent_ns)

    def answered(self, sequence: int, received_ns: int) -> None:
        """An answer to probe ``sequence`` arrived."""
        sent_ns = self._waiting.get(sequence)
        if sent_ns is None or received_ns - sent_ns > PATIENCE_NS:
            return
        del self._waiting[sequence]
        self._newest_answered = max(self._newest_answered, sequence)
        if received_ns - self._silent_since_ns > self._longest_ns:
            self._longest_ns = received_ns - self._silent_since_ns
            self._longest_at_ns = self._silent_since_ns
        self._silent_since_ns = max(self._silent_since_ns, received_ns)
        self._last_answer_ns = received_ns

    def verdict(self, now_ns: int, wall_minus_clock_ns: int, *, ended: bool) -> Outage:
        """What is known at ``now_ns``; with ``ended``, every probe without an answer is lost.

        ``wall_minus_clock_ns`` makes wall-clock time of the clock: ``time_ns() - monotonic_ns()``.
        """
        longest_ns, at_ns = self._longest_ns, self._longest_at_ns
        silent_ns = min(now_ns, self._last_sent_ns + self.interval_ns) - self._silent_since_ns
        if not self.up_to_date and silent_ns > longest_ns:
            longest_ns, at_ns = silent_ns, self._silent_since_ns
        patience_ns = 0 if ended else IN_FLIGHT_NS
        lost = self._given_up + sum(now_ns - sent_ns >= patience_ns for sent_ns in self._waiting.values())
        known = self._last_answer_ns is not None
        return Outage(
            address=self.address,
            method=self.method,
            interval_ms=self.interval_ns / 1e6,
            probes_sent=self._sent,
            probes_lost=lost,
            outage_ms=-(-longest_ns // 1_000_000) if known else None,
            outage_at=datetime.fromtimestamp((at_ns + wall_minus_clock_ns) / 1e9, UTC) if known else None,
            unwatched_ms=max(0, self._longest_pause_ns - self.interval_ns) // 1_000_000,
        )

    def _give_up(self, now_ns: int) -> None:
        while self._waiting:
            oldest = next(iter(self._waiting))
            if now_ns - self._waiting[oldest] <= PATIENCE_NS:
                return
            del self._waiting[oldest]
            self._given_up += 1
