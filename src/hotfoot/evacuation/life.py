"""Whether a host, or an instance that it had, still answers on the network: ICMP echo, and TCP ports."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Collection, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass

from hotfoot.cloud.neighbours import addresses_of
from hotfoot.errors import HotfootError
from hotfoot.inventory import Instance
from hotfoot.migration.echo import IcmpAsker

PATIENCE_S = 2.0
"""How long an answer may take; a machine that lives answers several echoes within it."""
_EVERY_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class HostAddresses:
    """Where a host would answer, if it lived."""

    name: str
    addresses: tuple[str, ...]
    ports: tuple[int, ...]
    """SSH and libvirt; a refused connection is an answer too."""


async def signs_of_life(hosts: Sequence[HostAddresses], instances: Sequence[Instance] = ()) -> tuple[str, ...]:
    """Return a sentence for each host, and each instance, that still answers. No sign proves nothing."""
    asked = [_host(host) for host in hosts]
    asked += [_instance(one) for one in instances]
    return tuple(sign for sign in await asyncio.gather(*asked) if sign)


async def _host(host: HostAddresses) -> str | None:
    for address, answer in zip(
        host.addresses, await asyncio.gather(*(_answer(each, host.ports) for each in host.addresses)), strict=True
    ):
        if answer:
            return f"{host.name} still answers at {address} ({answer})."
    return None


async def _instance(one: Instance) -> str | None:
    macs = [card.mac for card in one.interfaces if card.mac]
    resolved = await asyncio.to_thread(addresses_of, macs)
    for address in dict.fromkeys((*one.addresses, *resolved)):
        if not await _answer(address, ()):
            continue
        # A lease may have passed to another machine: the neighbour table has learnt that by the answer.
        if address in one.addresses or address in await asyncio.to_thread(addresses_of, macs):
            return f"{one.name} still answers at {address}, so {one.host} runs it."
    return None


async def _answer(address: str, ports: Collection[int]) -> str | None:
    """Return how an address answers; None when it does not."""
    found = await asyncio.gather(_echo(address), *(_connects(address, port) for port in ports))
    return next((each for each in found if each), None)


async def _echo(address: str) -> str | None:
    with suppress(OSError, HotfootError):
        literal = await asyncio.to_thread(_literal, address)
        if literal is not None and await asyncio.to_thread(_echoes, literal):
            return "ping"
    return None


def _literal(address: str) -> str | None:
    with suppress(OSError):
        return str(socket.getaddrinfo(address, None, type=socket.SOCK_STREAM)[0][4][0])
    return None


def _echoes(address: str) -> bool:
    with closing(IcmpAsker(address)) as asker:
        end_s = time.monotonic() + PATIENCE_S
        sequence = 0
        while time.monotonic() < end_s:
            asker.ask(sequence)
            sequence += 1
            time.sleep(_EVERY_S)
            if asker.answers():
                return True
    return False


async def _connects(address: str, port: int) -> str | None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            _, writer = await asyncio.open_connection(address, port)
    except ConnectionRefusedError:
        return f"it refuses port {port}"
    except (OSError, TimeoutError):
        return None
    writer.close()
    return f"port {port}"
