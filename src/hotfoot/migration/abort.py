"""Stopping a migration that anybody started, and proving where the instance is afterwards."""

from __future__ import annotations

import asyncio
import time

from hotfoot.cloud.protocol import Cloud
from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.inventory import Instance, InstanceState

_PATIENCE_S = 20.0
_AGAIN_S = 0.2
LAST_WORD_S = 2.0
"""How long Nova may show a server as before, once its migration was cancelled, and then set it to ERROR yet."""


async def abort(cloud: Cloud, instance: Instance) -> tuple[str, ...] | None:
    """Stop the instance's outgoing migration; return None if there was none.

    Once it lives on its source, returns what else the operator has to know, in sentences. Raises HotfootError if it
    had come to its end first, and with UNKNOWN_STATE if nothing can be proven.
    """
    if await cloud.job(instance.host, instance.uuid) is None:
        return None
    await cloud.abort(instance.host, instance.uuid)
    end_s = time.monotonic() + _PATIENCE_S
    home_s: float | None = None
    while time.monotonic() < end_s:
        if await cloud.job(instance.host, instance.uuid) is None:
            for seen in await cloud.sightings(instance.uuid):
                if seen.host == instance.host and seen.state in (InstanceState.RUNNING, InstanceState.PAUSED):
                    home_s = home_s or time.monotonic()
                    if seen.remark or instance.nova is None or time.monotonic() - home_s >= LAST_WORD_S:
                        return (seen.remark,) if seen.remark else ()
                if seen.host != instance.host and seen.state is InstanceState.RUNNING:
                    raise HotfootError(f"Too late: {instance.name} had moved already, and runs on {seen.host}.")
        await asyncio.sleep(_AGAIN_S)
    raise HotfootError(
        f"The migration of {instance.name} was told to stop, but {instance.host} does not show it running within "
        f"{_PATIENCE_S:.0f} s; `hotfoot show {instance.name}` and `hotfoot watch` say where it is.",
        ExitStatus.UNKNOWN_STATE,
    )
