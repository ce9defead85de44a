"""Connections to libvirt, on libvirt's own test driver."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from typing import Any

import libvirt
import pytest

from hotfoot.cloud import libvirt_links
from hotfoot.cloud.libvirt_links import HostSilent, Links
from hotfoot.cloud.libvirt_uri import Endpoint


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> Links:
    monkeypatch.setattr(libvirt_links, "controller_uri", lambda _endpoint: "test:///default")
    monkeypatch.setattr(libvirt.virConnect, "setKeepAlive", lambda *_: 0)  # there is nothing to keep alive
    return Links({"n1": Endpoint(name="n1", address="n1", transport="tcp")})


async def test_what_still_holds_a_connection_is_let_go_when_it_is_closed(links: Links) -> None:
    held = await links.ask("n1", _kept_by_itself)
    assert held() is not None
    await links.close()
    assert held() is None


def _kept_by_itself(connection: Any) -> weakref.ref[Any]:
    """Ask for an instance, which holds the connection open, and leave it in a cycle, as a traceback does."""
    (domain,) = connection.listAllDomains()
    cycle: list[Any] = [domain]
    cycle.append(cycle)
    return weakref.ref(domain)


class _Counting:
    """Counts how many calls go through one connection at a time."""

    def __init__(self) -> None:
        self.most = 0
        self.connections: set[int] = set()
        self._now = 0
        self._lock = threading.Lock()

    def __call__(self, connection: Any) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            self.connections.add(id(connection))
        time.sleep(0.02)
        with self._lock:
            self._now -= 1


async def test_one_call_at_a_time_goes_through_a_connection(links: Links) -> None:
    counting = _Counting()
    await asyncio.gather(*(links.ask("n1", counting) for _ in range(8)))
    assert (counting.most, len(counting.connections)) == (1, 1)
    await links.close()


async def test_a_long_question_keeps_no_other_waiting_and_its_connection_is_closed(links: Links) -> None:
    asked, answered = threading.Event(), threading.Event()
    seen: list[Any] = []

    def long(connection: Any) -> str:
        seen.append(connection)
        asked.set()
        assert answered.wait(20)
        return "done"

    waiting = asyncio.create_task(links.ask_long("n1", long, None))
    await asyncio.to_thread(asked.wait, 20)
    assert await links.ask("n1", lambda connection: connection is seen[0]) is False
    answered.set()
    assert await waiting == "done"
    with pytest.raises(libvirt.libvirtError):
        seen[0].getLibVersion()
    await links.close()


async def test_what_nobody_waits_for_any_more_is_not_begun(links: Links) -> None:
    held, begun = threading.Event(), threading.Event()
    first = asyncio.create_task(links.ask("n1", lambda _: held.wait(20)))
    await asyncio.sleep(0.1)
    with pytest.raises(HostSilent):
        await links.ask("n1", lambda _: begun.set(), 0.1)
    held.set()
    await first
    await asyncio.sleep(0.1)
    assert not begun.is_set()
    await links.close()


async def test_an_error_of_a_long_question_is_passed_on(links: Links) -> None:
    with pytest.raises(libvirt.libvirtError) as caught:
        await links.ask_long("n1", lambda connection: connection.lookupByName("nobody"), 20)
    assert caught.value.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN
