"""The outage watch: a thread that asks one address all the time, and tells how long nobody answered."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from contextlib import suppress

from hotfoot.errors import HotfootError
from hotfoot.migration.echo import TCP_PORT, Asker, IcmpAsker, TcpAsker, socket_address
from hotfoot.migration.outage import Method, Outage, OutageTally

ICMP_INTERVAL_MS = 5
TCP_INTERVAL_MS = 20  # a connect costs both sides more than an echo
_LAST_ANSWERS_NS = 300_000_000  # how long ``stop`` waits for the answers that are still under way
_LOOK_S = 0.005
_ROUND = 16
"""So many probes are sent between two looks at answers that carry their time of arrival; what a probe costs is then
little more than its wake-up and its way through the kernel."""


class OutageWatch:
    """Watches one address from ``start`` to ``stop``; several may run at once, answers never mix.

    A daemon thread sends a probe every interval: it costs about 3 % of a core, and memory does not grow with
    time. ``start`` and ``snapshot`` return at once and may be called from asyncio code; ``stop`` takes up to
    0.3 s where the last probes are unanswered: ``await asyncio.to_thread(watch.stop)``.
    """

    def __init__(self, address: str, method: Method = "icmp", *, tcp_port: int = TCP_PORT) -> None:
        self._asker = _open(address, method, tcp_port)
        interval_ms = ICMP_INTERVAL_MS if method == "icmp" else TCP_INTERVAL_MS
        self._interval_ns = interval_ms * 1_000_000
        self._tally = OutageTally(address, method, self._interval_ns)
        self._lock = threading.Lock()
        self._asked: deque[tuple[int, int]] = deque()  # sequence, sent_ns of what the tally has not heard of
        self._round = _ROUND if self._asker.stamped else 1
        self._stopping = threading.Event()
        self._looked_ns = time.monotonic_ns()
        self._final: Outage | None = None
        self._thread = threading.Thread(target=self._run, name=f"outage watch {address}", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def snapshot(self) -> Outage:
        """What is known so far; young probes without an answer do not count as lost yet."""
        return self._verdict(ended=False)

    def stop(self) -> Outage:
        """End the watch, wait for the last answers, and return the verdict; again, the same verdict."""
        if self._final is None:
            self._stopping.set()
            if self._thread.ident is not None:
                self._thread.join()
            self._asker.close()
            self._final = self._verdict(ended=True)
        return self._final

    def _verdict(self, *, ended: bool) -> Outage:
        wall_minus_clock_ns = time.time_ns() - time.monotonic_ns()
        with self._lock:
            if not ended:
                self._look()
            return self._tally.verdict(self._looked_ns, wall_minus_clock_ns, ended=ended)

    def _run(self) -> None:
        _prefer_this_thread()
        sequence, due_ns = 0, time.monotonic_ns()
        while not self._stopping.is_set():
            now_ns = time.monotonic_ns()
            self._asked.append((sequence, now_ns))  # before it leaves: its answer finds it
            self._asker.ask(sequence)
            sequence += 1
            if sequence % self._round == 0:
                with self._lock:
                    self._look()
            due_ns = max(due_ns + self._interval_ns, now_ns)  # after a hold-up go on from now: no burst
            time.sleep(max(0, due_ns - time.monotonic_ns()) / 1e9)
        give_up_ns = time.monotonic_ns() + _LAST_ANSWERS_NS
        while True:
            with self._lock:
                self._look()
                if self._tally.up_to_date or self._looked_ns > give_up_ns:
                    return
            time.sleep(_LOOK_S)

    def _look(self) -> None:
        """Tell the tally what was sent and answered since the last look, in the order of time."""
        looked_ns = time.monotonic_ns()
        for sequence, received_ns in self._asker.answers():
            # The wall clock, by which the kernel stamps, may have been set since the last look.
            arrived_ns = max(self._looked_ns, min(received_ns, looked_ns))
            self._tell_sent(before_ns=arrived_ns, at_least=sequence)
            self._tally.answered(sequence, arrived_ns)
        self._tell_sent(before_ns=looked_ns)
        self._looked_ns = looked_ns

    def _tell_sent(self, before_ns: int, at_least: int = -1) -> None:
        while self._asked and (self._asked[0][1] < before_ns or self._asked[0][0] <= at_least):
            self._tally.sent(*self._asked.popleft())


def reachable(address: str, timeout_s: float = 1.0, *, tcp_port: int = TCP_PORT) -> Method | None:
    """Return how ``address`` answers from here: by ICMP, else by TCP, else (None) not at all.

    Blocks for up to ``timeout_s``. Raises HotfootError where ``address`` is not an IP address.
    """
    socket_address(address)
    methods: tuple[Method, ...] = ("icmp", "tcp")
    for method in methods:
        try:
            asker = _open(address, method, tcp_port)
        except HotfootError:
            continue
        try:
            if _answers_within(asker, timeout_s / len(methods)):
                return method
        finally:
            asker.close()
    return None


def _answers_within(asker: Asker, timeout_s: float) -> bool:
    end_s = time.monotonic() + timeout_s
    sequence = 0
    while time.monotonic() < end_s:
        if sequence % 10 == 0:
            asker.ask(sequence)
        sequence += 1
        time.sleep(_LOOK_S)
        if asker.answers():
            return True
    return False


def _open(address: str, method: Method, tcp_port: int) -> Asker:
    try:
        return IcmpAsker(address) if method == "icmp" else TcpAsker(address, tcp_port)
    except PermissionError as error:
        raise HotfootError(
            f"Cannot watch {address} by ICMP: this user may not send echo requests; run as root."
        ) from error
    except OSError as error:
        raise HotfootError(f"Cannot watch {address} from here: {error.strerror}.") from error


def _prefer_this_thread() -> None:
    """Let the kernel run this thread when its sleep ends (it sleeps 98 % of the time), where allowed."""
    with suppress(OSError):
        policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK
        os.sched_setscheduler(0, policy, os.sched_param(os.sched_get_priority_min(os.SCHED_RR)))
