"""``hotfoot watch``: running migrations, live, whoever started them."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from hotfoot.cli.options import CloudOption, ClusterOption, JsonOption
from hotfoot.cli.session import with_cloud
from hotfoot.errors import ExitStatus, HotfootError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hotfoot.cli.live import LiveView
    from hotfoot.cloud.protocol import Cloud
    from hotfoot.cluster import Cluster
    from hotfoot.inventory import Instance
    from hotfoot.journal.following import Following
    from hotfoot.migration.progress import Progress
    from hotfoot.migration.sample import JobSample

LOOK_S = 0.5
QUIET_S = 30.0
"""Between two words that there is nothing to see, off a terminal."""


def watch(
    instance: Annotated[
        str | None,
        typer.Argument(help="Only this one, to the end of its migration; picked up if its Hotfoot was killed."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    cluster: ClusterOption = None,
    cloud_name: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show running migrations, live; Ctrl-C ends the watch, not the migrations."""

    async def work(declared: Cluster, cloud: Cloud) -> ExitStatus:
        from hotfoot.migration.selection import find_instance

        wanted = None if instance is None else find_instance(await cloud.look(instance, closely=()), instance)
        if wanted is not None and not once:
            return await _one(declared, cloud, wanted, as_json=as_json)
        await _tell(declared, cloud)
        if as_json:
            await _objects(cloud, wanted, once=once)
        else:
            await _view(cloud, wanted, once=once)
        return ExitStatus.COMPLETED

    with suppress(KeyboardInterrupt):
        raise typer.Exit(int(with_cloud(cluster, work, cloud_name)))


async def _tell(declared: Cluster, cloud: Cloud) -> None:
    from hotfoot.cli.orphans import tell_orphans

    await tell_orphans(declared, cloud)


async def _one(declared: Cluster, cloud: Cloud, instance: Instance, *, as_json: bool) -> ExitStatus:
    """Follow one instance's migration to its end; what was an orphan's becomes this command's to report."""
    from hotfoot.cli.closing import print_result
    from hotfoot.cli.live import LiveView
    from hotfoot.migration.progress import Progress

    progress = Progress(memory_bytes=instance.memory_bytes)

    def show(sample: JobSample) -> None:
        nonlocal progress
        progress = progress.advance(sample)
        view.update({f"{instance.name}  from {instance.host}": progress})

    with LiveView() as view:
        following = await _pick_up(declared, cloud, instance, view, show)
        if following is None:
            if await _to_the_end(cloud, instance, show):
                view.say(f"{instance.name}: its migration from {instance.host} has ended.")
            else:
                view.say(f"No migration of {instance.name} is under way.")
            await _tell(declared, cloud)
            return ExitStatus.COMPLETED
        view.say(f"The migration {following.record.id} goes on although its Hotfoot has ended: picked up.")
        result = await following.execute()
    if as_json:
        typer.echo(json.dumps(result.as_json()))
    else:
        print_result(result)
    return result.status


async def _pick_up(
    declared: Cluster, cloud: Cloud, instance: Instance, view: LiveView, show: Callable[[JobSample], None]
) -> Following | None:
    from hotfoot.journal.keeping import Keeping
    from hotfoot.journal.place import place_of

    names = declared.host_names
    keeping = Keeping(cloud, place_of(declared.journal.url), declared.name, names, view.say)
    try:
        return await keeping.pick_up(instance, None, show)
    except HotfootError:  # a living one moves it, and reports it: to be looked at only
        return None


async def _to_the_end(cloud: Cloud, instance: Instance, show: Callable[[JobSample], None]) -> bool:
    seen = False
    while (sample := await cloud.job(instance.host, instance.uuid)) is not None:
        seen = True
        show(sample)
        await asyncio.sleep(LOOK_S)
    return seen


async def _objects(cloud: Cloud, wanted: Instance | None, *, once: bool) -> None:
    while True:
        found = [
            {"instance": name, "uuid": uuid, "source": host, **asdict(sample)}
            for (host, uuid, name), sample in (await cloud.jobs()).items()
            if wanted is None or uuid == wanted.uuid
        ]
        for job in found:
            del job["at_s"]
        typer.echo(json.dumps({"migrations": found}))
        if once:
            return
        await asyncio.sleep(LOOK_S)


async def _view(cloud: Cloud, wanted: Instance | None, *, once: bool) -> None:
    from hotfoot.cli.live import LiveView
    from hotfoot.migration.progress import Progress

    moves: dict[tuple[str, str, str], Progress] = {}
    quiet_until_s = 0.0
    with LiveView() as view:
        while True:
            jobs = await cloud.jobs()
            samples = {key: sample for key, sample in jobs.items() if wanted is None or key[1] == wanted.uuid}
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
