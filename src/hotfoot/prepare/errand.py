"""An errand to one host: its program started there, a request told, answers heard until it says that it has ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

from hotfoot.cluster import Host
from hotfoot.errors import HotfootError
from hotfoot.prepare.script import source
from hotfoot.reach.conversation import begin
from hotfoot.reach.ssh import SshAccess

START_S = 60.0
"""Until the first answer: connecting, and asking libvirt once."""
LEAVE_S = 1.0


async def errand(
    access: SshAccess,
    host: Host,
    request: dict[str, Any],
    *,
    patience_s: Callable[[dict[str, Any]], float] = lambda _: START_S,
    stop: asyncio.Event | None = None,
    anew: bool = False,
) -> AsyncGenerator[dict[str, Any], None]:
    """Have a host do what is asked, and yield its answers one by one.

    ``patience_s`` tells, given an answer, how long the next may take. ``stop`` has the host finish the step under way
    and do no more; leaving early, however it comes about, does the same. ``anew`` goes by a connection of its
    own, not by one that is open. Raises HotfootError when the host cannot be reached, refuses, or falls silent.
    """
    conversation = await begin(access, host, source(), "hotfoot-prepare", anew=anew)
    passing_on = asyncio.create_task(_pass_on(stop, conversation.tell)) if stop else None
    try:
        await conversation.tell(json.dumps(request))
        wait_s = START_S
        while True:
            try:
                async with asyncio.timeout(wait_s):
                    answer = _read(host, await conversation.hear())
            except TimeoutError:
                raise HotfootError(
                    f"host {host.name} was silent for {wait_s:g} s; what it began there, it finishes or has written "
                    "down, so that the run can be repeated and taken back"
                ) from None
            if "refused" in answer:
                raise HotfootError(f"{host.name}: {answer['refused']}")
            if answer.get("ended"):
                return
            yield answer
            wait_s = patience_s(answer)
    finally:
        if passing_on is not None:
            passing_on.cancel()
        await conversation.close(LEAVE_S)


async def _pass_on(stop: asyncio.Event, tell: Callable[[str], Any]) -> None:
    await stop.wait()
    await tell("stop")


def _read(host: Host, line: str) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise HotfootError(f"host {host.name} answered something else than asked: {line[:200]}")
    return answer
