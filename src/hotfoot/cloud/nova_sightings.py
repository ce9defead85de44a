"""Where a server is: Nova is asked, and libvirt on its hosts, where that may be; nova_migration.py judges the two."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hotfoot.cloud.nova_migration import HOST, TASK, THE_API, Json, Look, together
from hotfoot.cloud.openstack_api import OpenStackApi, OpenStackRefusal
from hotfoot.errors import HotfootError
from hotfoot.inventory import Instance
from hotfoot.migration.proof import Sighting

if TYPE_CHECKING:
    from hotfoot.cloud.libvirt_cloud import LibvirtCloud

LOOK_AT_GUEST_S = 12.0
"""For how long nova-compute may look at its guest; one that is down never answers."""


async def in_progress(api: OpenStackApi, uuid: str) -> list[dict[str, Any]]:
    """Return the live migrations of a server that have not ended, as Nova lists them."""
    try:
        return list((await api.get("compute", f"/servers/{uuid}/migrations"))["migrations"])
    except OpenStackRefusal as refusal:
        if refusal.status_code == 404:
            return []
        raise


async def everywhere(api: OpenStackApi, hosts: LibvirtCloud | None, uuid: str) -> tuple[Sighting, ...]:
    """Ask every host that can be asked, and Nova."""
    by_hosts = await hosts.sightings(uuid) if hosts else ()
    try:
        server: Json | None = (await api.get("compute", f"/servers/{uuid}"))["server"]
    except OpenStackRefusal as refusal:
        if refusal.status_code != 404:
            return (*by_hosts, _silent(refusal, by_hosts))
        server = None
    except HotfootError as error:
        return (*by_hosts, _silent(error, by_hosts))
    answers = {seen.host for seen in by_hosts if not seen.problem}
    known = server is None or server.get(HOST) in answers
    return together(by_hosts, server, Look.NOT_TOLD if known else await _look_at_guest(api, uuid))


async def elsewhere(api: OpenStackApi, hosts: LibvirtCloud | None, instance: Instance) -> tuple[str, ...]:
    """Return the hosts on which libvirt has a server alive, where it is not on the host that Nova names.

    Nova's record may stay behind when what its two nova-computes tell each other at the end of a move is lost. The
    other hosts are asked only where the named one does not show what Nova remembers, or cannot be asked about a server
    in ERROR. Invariant: a host only when libvirt there says so, and Nova, asked again after that, still names another
    and moves nothing.
    """
    if hosts is None or instance.nova is None:
        return ()
    if instance.host in hosts.hosts:
        (here,) = await hosts.sightings(instance.uuid, (instance.host,))
        if here.alive or (here.state is not None and here.state is instance.state):
            return ()
    elif instance.nova.status != "ERROR":
        return ()
    others = [host for host in hosts.hosts if host != instance.host]
    alive = tuple(seen.host for seen in await hosts.sightings(instance.uuid, others) if seen.alive)
    if not alive:
        return ()
    answer, moving = await asyncio.gather(
        api.get("compute", f"/servers/{instance.uuid}"), in_progress(api, instance.uuid)
    )
    server = answer["server"]
    still_named = server.get(HOST) == instance.host and server.get(TASK) is None
    return alive if still_named and not moving else ()


async def _look_at_guest(api: OpenStackApi, uuid: str) -> Look:
    """Have nova-compute look at the guest now: what else Nova tells of it is from before."""
    try:
        async with asyncio.timeout(LOOK_AT_GUEST_S):
            await api.get("compute", f"/servers/{uuid}/diagnostics")
    except OpenStackRefusal as refusal:
        not_running = refusal.status_code == 409 and "power state" in refusal.message.replace("_", " ")
        return Look.NOT_RUNNING if not_running else Look.NOT_TOLD
    except (HotfootError, TimeoutError):
        return Look.NOT_TOLD
    return Look.RUNNING


def _silent(error: HotfootError, by_hosts: Sequence[Sighting]) -> Sighting:
    """Return what a silent API stands for: a remark where hosts tell, else a host that does not answer."""
    if by_hosts:
        return Sighting(host=THE_API, remark=f"What Nova says of it is not known: {error}")
    return Sighting(host=THE_API, problem=str(error))
