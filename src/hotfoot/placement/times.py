"""When each move of a plan begins, and how long it takes: links that are shared, and limits. Pure.

A move is prepared for ``least_seconds``, then sends its bytes. Streams that meet in a link share it fairly (max-min:
what one cannot use goes to the others); a link carries its rate in each direction. A move begins as soon as its turn
has come, its limits allow it, and the links can use one more stream (see ``streams``).

Of the moves that may begin, those first on which most waits: the longest path of moves that wait for each other, or the
work of the busiest link, whichever is longer: a busiest link that never idles is what the lower bound counts. Of equals
the slowest stream first, which leaves room beside it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from hotfoot.placement.snapshot import Limits
from hotfoot.placement.streams import Links, Load, can_use_one_more

_TINY_S = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One move as far as time is concerned."""

    source: str
    destination: str
    transfer_bytes: int
    least_seconds: float
    after: frozenset[int] = frozenset()
    """Numbers, from 0, of the jobs that must be over first; all less than its own."""


@dataclass(frozen=True, slots=True)
class Span:
    """When a job begins, from the start of all, and how long it takes."""

    begins_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Timetable:
    """All spans in the order of the jobs."""

    spans: tuple[Span, ...]
    least_seconds: float
    """The bytes through the narrowest link: no order is faster."""

    @property
    def seconds(self) -> float:
        """When the last one is over."""
        return max((span.begins_s + span.seconds for span in self.spans), default=0.0)


def timetable(jobs: Sequence[Job], links: Links, limits: Limits, running: Collection[int] = ()) -> Timetable:
    """Return when each job begins, and how long it takes; ``running``: numbers, from 0, of those that have begun.

    Invariants: no other job begins before those it waits for are over; never more run than the limits allow; no link
    carries more than its rate; the total is at least ``least_seconds``.
    """
    clock = _Clock(jobs, links, limits)
    clock.begin(running)
    while clock.unfinished:
        clock.start_what_may()
        clock.go_on()
    return Timetable(tuple(clock.spans[number] for number in range(len(jobs))), clock.least_seconds)


class _Clock:
    def __init__(self, jobs: Sequence[Job], links: Links, limits: Limits) -> None:
        self._jobs = jobs
        self._limits = limits
        named: dict[str, float] = {f"from {host}": rate for host, rate in links.items() if rate}
        named |= {f"to {host}": rate for host, rate in links.items() if rate}
        if limits.network_bytes_per_s:
            named["network"] = limits.network_bytes_per_s
        self._rate = named
        self._links = [
            [name for name in (f"from {job.source}", f"to {job.destination}", "network") if name in named]
            for job in jobs
        ]
        self._fastest = [min((named[name] for name in links), default=float("inf")) for links in self._links]
        self._work: dict[str, float] = defaultdict(float)
        """Seconds that each link has yet to send for jobs that have not begun."""
        for job, over in zip(jobs, self._links, strict=True):
            for name in over:
                self._work[name] += job.transfer_bytes / named[name]
        self.least_seconds = max(self._work.values(), default=0.0)
        self._path = self._longest_paths()
        self._blocks: dict[int, list[int]] = defaultdict(list)
        for number, job in enumerate(jobs):
            for earlier in job.after:
                self._blocks[earlier].append(number)
        self._unmet = [len(job.after) for job in jobs]
        self._ready = {number for number, unmet in enumerate(self._unmet) if not unmet}
        """Jobs that have not begun and wait for no other."""
        self._now = 0.0
        self._begun: dict[int, float] = {}
        self._prepared: dict[int, float] = {}
        """When each running job is prepared, or was."""
        self._left: dict[int, float] = {}
        """Bytes that running jobs have yet to send."""
        self._over: dict[str, set[int]] = defaultdict(set)
        """The running jobs on each link."""
        self._out: Counter[str] = Counter()
        self._in: Counter[str] = Counter()
        self.spans: dict[int, Span] = {}

    @property
    def unfinished(self) -> bool:
        return len(self.spans) < len(self._jobs)

    def _alone_s(self, number: int) -> float:
        job = self._jobs[number]
        return job.least_seconds + job.transfer_bytes / self._fastest[number]

    def _longest_paths(self) -> list[float]:
        path = [self._alone_s(number) for number in range(len(self._jobs))]
        for number in reversed(range(len(self._jobs))):
            for earlier in self._jobs[number].after:
                path[earlier] = max(path[earlier], self._alone_s(earlier) + path[number])
        return path

    def begin(self, numbers: Collection[int]) -> None:
        """Begin jobs, whether they may or not."""
        for number in numbers:
            self._begin(number)

    def start_what_may(self) -> None:
        """Begin jobs until no other one may, the most urgent first."""
        allowed = [one for one in self._ready if self._allowed(one)]
        allowed.sort(key=lambda one: (-self._urgency(one), self._fastest[one], -self._path[one], one))
        for number in allowed:
            if self._allowed(number) and self._links_can_use(number):
                self._begin(number)

    def _urgency(self, number: int) -> float:
        return max([self._path[number], *(self._work[name] for name in self._links[number])])

    def _allowed(self, number: int) -> bool:
        job, limits = self._jobs[number], self._limits
        return (
            (limits.at_once is None or len(self._left) < limits.at_once)
            and (limits.per_source is None or self._out[job.source] < limits.per_source)
            and (limits.per_destination is None or self._in[job.destination] < limits.per_destination)
        )

    def _links_can_use(self, number: int) -> bool:
        job = self._jobs[number]
        loads = (
            Load(
                rate=self._rate[name],
                asked=sum(self._fastest[one] for one in self._over[name] if self._left[one]),
                left_bytes=sum(self._left[one] for one in self._over[name]),
            )
            for name in self._links[number]
        )
        return not job.transfer_bytes or can_use_one_more(self._fastest[number], job.least_seconds, loads)

    def _backlog_s(self, link: str) -> float:
        return sum(self._left[one] for one in self._over[link]) / self._rate[link]

    def _begin(self, number: int) -> None:
        job = self._jobs[number]
        self._ready.discard(number)
        self._begun[number] = self._now
        self._left[number] = float(job.transfer_bytes)
        self._prepared[number] = self._now + job.least_seconds
        self._out[job.source] += 1
        self._in[job.destination] += 1
        for name in self._links[number]:
            self._over[name].add(number)
            self._work[name] -= job.transfer_bytes / self._rate[name]

    def _end(self, number: int) -> None:
        job = self._jobs[number]
        self.spans[number] = Span(self._begun[number], self._now - self._begun[number])
        del self._left[number], self._prepared[number]
        self._out[job.source] -= 1
        self._in[job.destination] -= 1
        for name in self._links[number]:
            self._over[name].remove(number)
        for later in self._blocks[number]:
            self._unmet[later] -= 1
            if not self._unmet[later]:
                self._ready.add(later)

    def go_on(self) -> None:
        """Let time pass until a job is over, is prepared, or a link is about to run dry."""
        rates = self._shares([one for one in self._left if self._prepared[one] <= self._now + _TINY_S])
        events = [at - self._now for one, at in self._prepared.items() if one not in rates]
        events += [self._left[one] / rate if rate < float("inf") else 0.0 for one, rate in rates.items()]
        events += self._running_dry(rates)
        step = max(0.0, min(events))
        self._now += step
        for one, rate in rates.items():
            if rate == float("inf") or self._left[one] - rate * step <= rate * _TINY_S:
                self._end(one)
            else:
                self._left[one] -= rate * step

    def _running_dry(self, rates: Mapping[int, float]) -> list[float]:
        """Return in how long the links will have less work than the preparation of a job that waits takes."""
        soon = []
        for number in self._ready:
            least_s = self._jobs[number].least_seconds
            if not least_s or not self._allowed(number):
                continue
            for name in self._links[number]:
                sent = sum(rates.get(one, 0.0) for one in self._over[name])
                more_s = self._backlog_s(name) - least_s
                if sent and more_s > _TINY_S:
                    soon.append(more_s * self._rate[name] / sent)
        return soon

    def _shares(self, sending: Sequence[int]) -> dict[int, float]:
        """Return the rate of each job that sends: max-min fair, link after link from the narrowest share."""
        on: dict[str, set[int]] = defaultdict(set)
        for one in sending:
            for name in self._links[one]:
                on[name].add(one)
        alone = [one for one in sending if all(len(on[name]) == 1 for name in self._links[one])]
        rates = {one: self._fastest[one] for one in alone}
        free = {name: self._rate[name] for name, jobs in on.items() if len(jobs) > 1 or jobs.isdisjoint(rates)}
        open_on = {name: on[name] - rates.keys() for name in free}
        while open_on:
            narrowest = min(open_on, key=lambda name: (free[name] / len(open_on[name]), name))
            share = max(0.0, free[narrowest]) / len(open_on[narrowest])
            for one in sorted(open_on[narrowest]):
                rates[one] = share
                for name in self._links[one]:
                    free[name] -= share
                    open_on[name].discard(one)
            open_on = {name: jobs for name, jobs in open_on.items() if jobs}
        return rates
