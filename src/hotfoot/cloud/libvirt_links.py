"""Connections to libvirt: opened once per host, asked in threads, and never waited for without an end."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

import libvirt

from hotfoot.aside import aside
from hotfoot.cloud.libvirt_errors import Asked, sentence
from hotfoot.cloud.libvirt_uri import Endpoint, controller_uri
from hotfoot.errors import HotfootError

Answer = TypeVar("Answer")

OPEN_TIMEOUT_S = 8.0
"""A host that is switched off takes 3 s (no ARP answer); a daemon started by its socket up to 2 s."""
ASK_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 0.5
KEEPALIVE_S, KEEPALIVE_COUNT = 5, 3


class HostSilent(HotfootError):
    """A host's libvirt cannot be reached or does not answer; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class _Link:
    """A connection, and what lets one thread at a time call through it.

    libvirt's client with CVE-2024-4418, as in Debian 12, may crash where two threads do: one leaves what points into
    its stack to the other. Seen where a host's link was cut.
    """

    connection: Any
    free: threading.Lock = field(default_factory=threading.Lock)

    @property
    def alive(self) -> bool:
        """Whether it is open, as far as this side knows."""
        with suppress(libvirt.libvirtError):
            return bool(self.connection.isAlive())
        return False


class Links:
    """One libvirt connection per host, opened when first asked and again after it broke; long calls have their own.

    Invariants: no call lasts longer than its timeout; no two go through one connection at a time. The thread of a call
    that timed out is left behind (libvirt has no way to cancel one); being a daemon it does not hold up the exit.
    """

    def __init__(self, endpoints: Mapping[str, Endpoint]) -> None:
        self._endpoints = dict(endpoints)
        self._opening: dict[str, asyncio.Task[_Link]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The hosts, in the order of the cluster file."""
        return tuple(self._endpoints)

    def endpoint(self, host: str) -> Endpoint:
        """Return how a host is reached."""
        return self._endpoints[host]

    async def ask(
        self, host: str, question: Callable[[Any], Answer], timeout_s: float | None = ASK_TIMEOUT_S
    ) -> Answer:
        """Run a question (given the ``virConnect``) in a thread and return its answer.

        Raises HostSilent when the host cannot be reached or does not answer in time; a ``libvirtError`` of
        the question itself is passed on, unless the connection broke.
        """
        link = await self._link(host)
        try:
            return await aside(lambda: question(link.connection), timeout_s, link.free)
        except TimeoutError:
            self.drop(host)
            raise HostSilent(_mute(host, timeout_s or 0)) from None
        except libvirt.libvirtError as error:
            if await self.alive(host):
                raise
            self.drop(host)
            raise HostSilent(self._why(host, error)) from error

    async def ask_long(self, host: str, question: Callable[[Any], Answer], timeout_s: float | None) -> Answer:
        """Do what ``ask`` does for a question that takes its time, through a connection of its own."""
        link, broke = await self._open(host), False

        def asked() -> Answer:
            nonlocal broke
            try:
                return question(link.connection)
            except libvirt.libvirtError:
                broke = not link.alive
                raise
            finally:
                with suppress(libvirt.libvirtError):
                    link.connection.close()

        try:
            return await aside(asked, timeout_s, link.free)
        except TimeoutError:
            raise HostSilent(_mute(host, timeout_s or 0)) from None
        except libvirt.libvirtError as error:
            if broke:
                raise HostSilent(self._why(host, error)) from error
            raise

    async def alive(self, host: str) -> bool:
        """Whether the connection to a host is open; never opens one."""
        opening = self._opening.get(host)
        if opening is None or not opening.done() or opening.cancelled() or opening.exception():
            return False
        return opening.result().alive

    def drop(self, host: str) -> None:
        """Forget the connection to a host, so that the next question opens a new one."""
        self._opening.pop(host, None)

    async def close(self) -> None:
        """Close what is open; a connection to a host that has gone is left to the exit of the process.

        A connection stays open as long as an object of libvirt's that was asked for through it: such as an error's
        traceback still holds are let go here. Python would do so when it ends, and then wait without an end for a
        host that has gone meanwhile.
        """
        opened = [host for host in self._opening if await self.alive(host)]
        links = [self._opening.pop(host).result() for host in opened]

        async def shut(link: _Link) -> bool:
            with suppress(TimeoutError, libvirt.libvirtError):
                return bool(await aside(link.connection.close, CLOSE_TIMEOUT_S, link.free))
            return False

        if any(await asyncio.gather(*(shut(link) for link in links))):
            with suppress(TimeoutError):
                await aside(gc.collect, CLOSE_TIMEOUT_S)

    async def _link(self, host: str) -> _Link:
        opening = self._opening.get(host)
        if opening is not None and opening.done() and not await self.alive(host):
            opening = None
        if opening is None:
            opening = self._opening[host] = asyncio.create_task(self._open(host))
            opening.add_done_callback(_heard)
        return await asyncio.shield(opening)

    async def _open(self, host: str) -> _Link:
        _start_events()
        uri = controller_uri(self._endpoints[host])
        try:
            connection = await aside(lambda: libvirt.open(uri), OPEN_TIMEOUT_S)
        except TimeoutError:
            if await self._takes_connections(host):
                raise HostSilent(_mute(host, OPEN_TIMEOUT_S)) from None
            raise HostSilent(self._why(host, "timed out")) from None
        except libvirt.libvirtError as error:
            raise HostSilent(self._why(host, error)) from error
        connection.setKeepAlive(KEEPALIVE_S, KEEPALIVE_COUNT)
        return _Link(connection)

    async def _takes_connections(self, host: str) -> bool:
        """Whether something accepts on the port, though it then stays silent: the host is there, the daemon hangs."""
        endpoint = self._endpoints[host]
        try:
            async with asyncio.timeout(1):
                _, writer = await asyncio.open_connection(endpoint.address, endpoint.port_in_use)
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True

    def _why(self, host: str, error: libvirt.libvirtError | str) -> str:
        endpoint = self._endpoints[host]
        asked = Asked(host=host, transport=endpoint.transport, port=endpoint.port_in_use)
        return sentence(str(error), asked)


def _mute(host: str, waited_s: float) -> str:
    return (
        f"libvirt on {host} takes connections, but did not answer within {waited_s:.0f} s; look at"
        f" `systemctl status libvirtd` there."
    )


def _heard(opening: asyncio.Task[Any]) -> None:
    """Take note of a failure that nobody waits for any more, so that asyncio prints no traceback of it."""
    if not opening.cancelled():
        opening.exception()


@cache
def _start_events() -> None:
    """Run libvirt's event loop in a thread for the life of the process; keepalive and events need it."""
    libvirt.registerErrorHandler(lambda _context, _error: None, None)  # else it prints every error itself
    libvirt.virEventRegisterDefaultImpl()

    def run() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    threading.Thread(target=run, name="libvirt events", daemon=True).start()
