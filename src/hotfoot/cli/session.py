"""From the cluster file to an open cloud: the one place where the parts are put together."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from hotfoot.errors import ExitStatus

if TYPE_CHECKING:
    from hotfoot.cloud.libvirt_cloud import LibvirtCloud, RemoteShell
    from hotfoot.cloud.libvirt_uri import Endpoint
    from hotfoot.cluster import Cluster
    from hotfoot.migration.survey import Probe, Survey
    from hotfoot.migration.whole_cluster import Trial
    from hotfoot.reach.ssh import SshAccess

Result = TypeVar("Result")


def with_cloud(cluster_path: Path | None, work: Callable[[Cluster, LibvirtCloud], Awaitable[Result]]) -> Result:
    """Load the cluster file, connect, do the work, let go. Raises HotfootError."""
    from hotfoot.cloud.libvirt_cloud import LibvirtCloud
    from hotfoot.cluster import load
    from hotfoot.reach.ssh import prepare

    cluster = load(cluster_path, Path.cwd())
    access = prepare(cluster)
    cloud = LibvirtCloud(_endpoints(cluster, access), _shell(cluster, access), cluster.migration.network)

    async def session() -> Result:
        try:
            return await work(cluster, cloud)
        finally:
            await cloud.close()

    return asyncio.run(session())


def with_hosts(cluster_path: Path | None, work: Callable[[Cluster, SshAccess], Awaitable[Result]]) -> Result:
    """Load the cluster file, whose certificates may have yet to be made, and do the work by SSH alone.

    Raises HotfootError.
    """
    from hotfoot.cluster import load
    from hotfoot.reach.ssh import prepare

    cluster = load(cluster_path, Path.cwd(), certificates=False)
    access = prepare(cluster)

    async def session() -> Result:
        return await work(cluster, access)

    return asyncio.run(session())


async def stoppable(work: Callable[[asyncio.Event], Awaitable[Result]], afterwards: str) -> Result:
    """Do work that ends at the next good place when its event is set: by Ctrl-C or a termination signal.

    A second signal leaves at once, saying ``afterwards``.
    """
    stop = asyncio.Event()

    def interrupt() -> None:
        if stop.is_set():
            typer.echo(f"Left at once; {afterwards}.", err=True)
            sys.stdout.flush()
            os._exit(ExitStatus.INTERRUPTED)
        stop.set()
        typer.echo("Stopping after the steps under way. Ctrl-C again leaves at once.", err=True)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    try:
        return await work(stop)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def survey_of(cluster: Cluster, cloud: LibvirtCloud, *, thorough: bool = False) -> Survey:
    """Return what measures an instance and its way for a forecast."""
    from hotfoot.journal.place import place_of
    from hotfoot.migration.survey import Survey

    place = place_of(cluster.journal.url)

    def earlier(source: str, destination: str) -> Sequence[int]:
        from hotfoot.journal.throughput import earlier_throughputs

        return earlier_throughputs(place, cluster.name, source, destination)

    return Survey(cloud, throughput_probe(cluster), thorough=thorough, earlier=earlier)


def told_hosts_out_of(cluster: Cluster) -> Awaitable[Mapping[str, str]]:
    """Return what brings the hosts out of placement, each with the sentence about it; trouble with that is said."""
    from hotfoot.journal.out_of_placement import told_hosts_out
    from hotfoot.journal.place import place_of

    return told_hosts_out(place_of(cluster.journal.url), cluster.name, lambda sentence: typer.echo(sentence, err=True))


def throughput_probe(cluster: Cluster) -> Probe:
    """Return what tries for a moment how fast one host sends to another."""
    from hotfoot.reach.proof.speed import speed
    from hotfoot.reach.ssh import prepare

    access = prepare(cluster)

    async def probe(source: str, destination: str, stream_address: str | None) -> int:
        return await speed(access, source, destination, stream_address)

    return probe


def link_trial(cluster: Cluster) -> Trial:
    """Return what tries for a moment what the link between two hosts carries for migrations."""
    probe = throughput_probe(cluster)

    async def trial(source: str, destination: str) -> int:
        return await probe(source, destination, cluster.migration_address_of(cluster.host(destination)))

    return trial


def _endpoints(cluster: Cluster, access: SshAccess) -> dict[str, Endpoint]:
    from hotfoot.cloud.libvirt_uri import Endpoint

    endpoints = {}
    for host in cluster.hosts:
        ssh = cluster.ssh_of(host)
        by_ssh = cluster.libvirt.transport == "ssh"
        endpoints[host.name] = Endpoint(
            name=host.name,
            address=host.address,
            transport=cluster.libvirt.transport,
            port=ssh.port if by_ssh else cluster.libvirt.port,
            user=ssh.user,
            peer_user=cluster.migration_user if by_ssh else None,
            pki=str(cluster.libvirt.pki) if cluster.libvirt.pki else None,
            ssh_command=str(access.command),
            stream_address=cluster.migration_address_of(host),
        )
    return endpoints


def _shell(cluster: Cluster, access: SshAccess) -> RemoteShell:
    async def run(host: str, script: str, timeout_s: float) -> str:
        return (await access.run(cluster.host(host), script, timeout_s=timeout_s)).stdout

    return run
