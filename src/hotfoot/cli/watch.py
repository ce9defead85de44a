"""``hotfoot watch``: all running migrations, live, whoever started them."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from hotfoot.cli.options import ClusterOption, JsonOption
from hotfoot.cli.session import with_cloud

if TYPE_CHECKING:
    from hotfoot.cloud.libvirt_cloud import LibvirtCloud
    from hotfoot.cluster import Cluster
    from hotfoot.migration.progress import Progress

LOOK_S = 0.5
QUIET_S = 30.0
"""Between two words that there is nothing to see, off a terminal."""


def watch(
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    cluster: ClusterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all running migrations of the cluster, live; Ctrl-C ends the watch, not the migrations."""

    async def work(_declared: Cluster, cloud: LibvirtCloud) -> None:
        if as_json:
            await _objects(cloud, once=once)
        else:
            await _view(cloud, once=once)

    with suppress(KeyboardInterrupt):
        with_cloud(cluster, work)


async def _objects(cloud: LibvirtCloud, *, once: bool) -> None:
    while True:
        found = [
            {"instance": name, "uuid": uuid, "source": host, **asdict(sample)}
            for (host, uuid, name), sample in (await cloud.jobs()).items()
        ]
        for job in found:
            del job["at_s"]
        typer.echo(json.dumps({"migrations": found}))
        if once:
            return
        await asyncio.sleep(LOOK_S)


async def _view(cloud: LibvirtCloud, *, once: bool) -> None:
    from hotfoot.cli.live import LiveView
    from hotfoot.migration.progress import Progress

    moves: dict[tuple[str, str, str], Progress] = {}
    quiet_until_s = 0.0
    with LiveView() as view:
        while True:
            samples = await cloud.jobs()
            for host, _, name in moves.keys() - samples.keys():
                view.say(f"{name}: its migration from {host} has ended.")
            moves = {key: moves.get(key, Progress()).advance(sample) for key, sample in samples.items()}
            view.update({f"{name}  from {host}": progress for (host, _, name), progress in moves.items()})
            if moves:
                quiet_until_s = 0.0
            elif time.monotonic() >= quiet_until_s:
                view.say("No migration is running.")
                quiet_until_s = time.monotonic() + QUIET_S
            if once:
                return
            await asyncio.sleep(LOOK_S)
