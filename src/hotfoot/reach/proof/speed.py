"""How fast one host can send to another, tried for a moment over the way that the memory stream takes."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from hotfoot.errors import HotfootError
from hotfoot.reach.conversation import Conversation, begin
from hotfoot.reach.probe.script import joined
from hotfoot.reach.ssh import SshAccess

ON_HOST = ("waiting", "doors", "host_speed")
"""The modules that are sent to hosts, joined; each uses what stands before it."""
SEND_S = 0.5
_PATIENCE_S = 12.0
_FEWEST_BYTES = 1 << 16
"""What was counted of less says nothing."""


async def speed(
    access: SshAccess,
    source: str,
    destination: str,
    stream_address: str | None,
    when: Callable[[], Awaitable[object]] | None = None,
) -> int:
    """Return how many bytes per second come through from source to destination, for ``SEND_S`` over one connection.

    The destination listens on the last free port of its migration range, and takes only the one connection that knows
    a token; the source sends to ``stream_address``, else to the name that the destination gives itself, as libvirt
    does. Both are logged in to, and the source sends when ``when`` comes back. Nothing is written on either.

    Raises HotfootError where it could not be tried; the sentence says why.
    """
    script = joined("hotfoot.reach.proof", ON_HOST)
    cluster = access.cluster
    token = secrets.token_hex(16)
    talks: list[Conversation] = []
    try:
        async with asyncio.timeout(_PATIENCE_S):
            for name in (source, destination):
                talks.append(await begin(access, cluster.host(name), script, "host_speed.py"))
            sender, counter = talks
            heard = await _ask(counter, destination, {"act": "listen"})
        if when is not None:
            await when()
        async with asyncio.timeout(_PATIENCE_S):
            count = asyncio.create_task(_ask(counter, destination, {"act": "count", "token": token, "seconds": SEND_S}))
            try:
                address = stream_address or heard["name"]
                question = {"act": "send", "address": address, "port": heard["port"], "token": token}
                await _ask(sender, source, {**question, "seconds": SEND_S})
                counted = await count
            finally:
                count.cancel()
                await asyncio.gather(count, return_exceptions=True)
    except TimeoutError:
        raise HotfootError(
            f"the throughput from {source} to {destination} was not measured: no answer in {_PATIENCE_S:g} s"
        ) from None
    finally:
        await asyncio.gather(*(talk.close() for talk in talks))
    if counted["bytes"] < _FEWEST_BYTES or counted["seconds"] <= 0:
        raise HotfootError(f"next to nothing that {source} sent came through to {destination} within {SEND_S:g} s")
    return int(counted["bytes"] / counted["seconds"])


async def _ask(talk: Conversation, host: str, question: dict[str, Any]) -> dict[str, Any]:
    await talk.tell(json.dumps(question))
    answer: dict[str, Any] = json.loads(await talk.hear())
    if "problem" in answer:
        raise HotfootError(f"the throughput was not measured: {host} says: {answer['problem']}")
    return answer
