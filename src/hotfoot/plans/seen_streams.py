"""What the moves of a plan show of their streams: what each has left to send, how long it takes to open one. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from statistics import median

from hotfoot.migration.sample import JobSample

SENDING_BYTES = 2**20
"""A move that has sent so much sends its memory, and no longer what tells of it."""
AMPLY = 2.0
"""Times that judging usually takes: hosts are busy at times."""
EARLY_S = 0.5
"""So much before its turn a stream is opened: the pass before may end in empty pages, which take no time, and two that
share a link for a moment waste less of it than none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    at_s: float
    sent_bytes: int
    left_bytes: int
    told: bool
    """Whether the hypervisor tells yet what there is to send."""
    bytes_per_s: int
    iteration: int
    elapsed_ms: int

    @property
    def left_s(self) -> float:
        """How long what remains would take, if nothing were written again and no page were empty."""
        return self.left_bytes / self.bytes_per_s if self.bytes_per_s else 0.0


@dataclass(slots=True, kw_only=True)
class _Stream:
    begun_s: float
    ready_s: float = 0.0
    let_go_s: float | None = None
    first: _Look | None = None
    """The first that shows memory sent; None of a stream whose begin is not known."""
    opened: bool = False
    mark: _Look | None = None
    """The last one in the first pass with more left than opening the next stream takes."""
    last: _Look | None = None


class SeenStreams:
    """Learns from each move of one plan, for those after it. Times in seconds of one clock; moves by their numbers.

    What it learns are medians: one host that was busy for once does not tell of the others.
    """

    def __init__(self) -> None:
        self._running: dict[int, _Stream] = {}
        self._judged_s: list[float] = []
        self._opened_s: list[float] = []
        self._later_s: list[float] = []
        """How much later than what remained in their first pass told streams have ended."""

    def begun(self, n: int, at_s: float) -> None:
        """Learn that a move is being judged."""
        self._running[n] = _Stream(begun_s=at_s)

    def ready(self, n: int, at_s: float) -> None:
        """Learn that a move is judged."""
        self._running[n].ready_s = at_s
        self._judged_s.append(at_s - self._running[n].begun_s)

    def let_go(self, n: int, at_s: float) -> float:
        """Learn that a move may open its stream; returns for how long it was ready and could not."""
        stream = self._running[n]
        stream.let_go_s = at_s
        return at_s - stream.ready_s

    def followed(self, n: int, at_s: float) -> None:
        """Learn that a move sends that began in another process: when its stream was opened is not known."""
        self._running[n] = _Stream(begun_s=at_s, let_go_s=at_s, opened=True)

    def seen(self, n: int, sample: JobSample, at_s: float) -> None:
        """Learn from one look at a move."""
        stream = self._running[n]
        look = stream.last = _Look(
            at_s=at_s,
            sent_bytes=sample.memory_processed_bytes + sample.disk_processed_bytes,
            left_bytes=sample.memory_remaining_bytes + sample.disk_remaining_bytes,
            told=bool(sample.memory_total_bytes + sample.disk_total_bytes),
            bytes_per_s=sample.throughput_bytes_per_s or 0,
            iteration=sample.iteration,
            elapsed_ms=sample.elapsed_ms,
        )
        if look.iteration == 1 and look.left_s >= (self.opened_s or 0.0):
            stream.mark = look
        if stream.let_go_s is None or stream.opened or look.sent_bytes < SENDING_BYTES:
            return
        if stream.first is None:
            stream.first = look
        elif look.sent_bytes > stream.first.sent_bytes:  # what is told with the first look is no rate yet
            stream.opened = True
            bytes_per_s = (look.sent_bytes - stream.first.sent_bytes) / (look.at_s - stream.first.at_s)
            sending_s = stream.first.sent_bytes / bytes_per_s
            self._opened_s.append(max(0.0, stream.first.at_s - stream.let_go_s - sending_s))

    def ended(self, n: int, elapsed_ms: int | None = None) -> None:
        """Learn that a move is over, and how long the hypervisor says that it took; None: it does not say."""
        stream = self._running.pop(n, None)
        if stream and stream.mark and stream.last and elapsed_ms is not None:
            ended_s = stream.last.at_s + (elapsed_ms - stream.last.elapsed_ms) / 1000
            self._later_s.append(ended_s - stream.mark.at_s - stream.mark.left_s)

    @property
    def sending(self) -> Collection[int]:
        """The moves that were let go."""
        return [n for n, stream in self._running.items() if stream.let_go_s is not None]

    @property
    def opened_s(self) -> float | None:
        """From the moment that a move may open its stream to its first byte; None: not seen yet."""
        return median(self._opened_s) if self._opened_s else None

    @property
    def open_ahead_s(self) -> float | None:
        """How long before the links run dry a move is let go; None: no stream was seen to open yet."""
        return None if self.opened_s is None else self.opened_s + EARLY_S

    @property
    def prepared_s(self) -> float | None:
        """From the begin of a move to its first byte, with time to spare; None: not seen yet.

        What is ready early waits, and what is ready late leaves the link empty: so judging counts ``AMPLY``.
        """
        if not self._judged_s or not self._opened_s:
            return None
        return AMPLY * median(self._judged_s) + median(self._opened_s) + EARLY_S

    def left_bytes(self, at_s: float) -> Mapping[int, int]:
        """Return what each move that was looked at has yet to send, as far as can be told at that moment.

        In its first pass that is not what remains of it: what was written meanwhile is still to come, and empty pages
        take no time. So it is corrected by what the moves before have shown.
        """
        later_s = median(self._later_s) if self._later_s else 0.0
        found = {}
        for n, stream in self._running.items():
            if (look := stream.last) and look.told:
                gone_s = at_s - look.at_s - (later_s if look.iteration <= 1 else 0.0)
                found[n] = max(0, look.left_bytes - round(look.bytes_per_s * gone_s))
        return found
