"""From the cluster file to an open cloud: the one place where the parts are put together."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from hotfoot.errors import ExitStatus, HotfootError

if TYPE_CHECKING:
    from hotfoot.cloud.libvirt_cloud import LibvirtCloud, RemoteShell
    from hotfoot.cloud.libvirt_uri import Endpoint
    from hotfoot.cloud.openstack_api import OpenStackAccess
    from hotfoot.cloud.protocol import Cloud
    from hotfoot.cluster import Cluster, Host
    from hotfoot.migration.survey import Probe, Survey
    from hotfoot.migration.whole_cluster import Trial
    from hotfoot.reach.kept_connection import KeptConnections
    from hotfoot.reach.ssh import SshAccess

Result = TypeVar("Result")


def with_cloud(
    cluster_path: Path | None, work: Callable[[Cluster, Cloud], Awaitable[Result]], cloud_name: str | None = None
) -> Result:
    """Load the cluster file, connect to what it declares, do the work, let go. Raises HotfootError.

    That is an OpenStack cloud, or the hosts themselves. With ``cloud_name`` it is that OpenStack cloud, and no cluster
    file is read.
    """
    cluster = declared_cluster(cluster_path, cloud_name)

    async def session() -> Result:
        cloud = await _open(cluster)
        try:
            return await work(cluster, cloud)
        finally:
            await cloud.close()

    return asyncio.run(session())


def with_libvirt(cluster_path: Path | None, work: Callable[[Cluster, LibvirtCloud], Awaitable[Result]]) -> Result:
    """Do what ``with_cloud`` does for a command that knows plain libvirt only. Raises HotfootError."""
    cluster = declared_cluster(cluster_path, None)
    if cluster.openstack is not None:
        raise HotfootError(
            f"cluster {cluster.name} is an OpenStack cloud, where this command would work behind Nova's back: it is for"
            " plain libvirt only.",
            ExitStatus.REFUSED,
        )
    cloud = _libvirt_cloud(cluster)

    async def session() -> Result:
        try:
            return await work(cluster, cloud)
        finally:
            await cloud.close()

    return asyncio.run(session())


def with_hosts(
    cluster_path: Path | None,
    work: Callable[[Cluster, SshAccess], Awaitable[Result]],
    cloud_name: str | None = None,
) -> Result:
    """Load the cluster file, whose certificates may have yet to be made, and do the work by SSH alone.

    With ``cloud_name`` the hosts are those that this OpenStack cloud names. Raises HotfootError.
    """
    from hotfoot.cluster import Libvirt
    from hotfoot.reach.ssh import prepare

    cluster = declared_cluster(cluster_path, cloud_name, certificates=False)

    async def session() -> Result:
        whole = cluster
        if cloud_name is not None:
            found = tuple(_declared_host(*host) for host in await compute_hosts_of(cluster))
            whole = replace(cluster, hosts=found, libvirt=Libvirt(transport="ssh"))
        if not whole.hosts:
            raise HotfootError(
                f"cluster {cluster.name} declares no hosts, and this command needs to reach them by SSH: `hotfoot init"
                " --cloud NAME` writes a cluster file with the compute hosts.",
                ExitStatus.REFUSED,
            )
        return await work(whole, prepare(whole))

    return asyncio.run(session())


def declared_cluster(cluster_path: Path | None, cloud_name: str | None, *, certificates: bool = True) -> Cluster:
    """Return what the cluster file declares, or an OpenStack cloud of that name alone. Raises HotfootError (USAGE)."""
    if cloud_name is None:
        from hotfoot.cluster import load

        return load(cluster_path, Path.cwd(), certificates=certificates)
    from hotfoot.cluster.validation import NotValid, cluster_from

    name = re.sub(r"[^A-Za-z0-9._-]", "-", cloud_name).lstrip("._-")
    try:
        return cluster_from({"name": name or "cloud", "openstack": {"cloud": cloud_name}})
    except NotValid:
        raise HotfootError(
            f"--cloud must be the name of a cloud in clouds.yaml, not '{cloud_name}'.", ExitStatus.USAGE
        ) from None


def on_openstack(cluster_path: Path | None, cloud_name: str | None) -> bool:
    """Whether a command is about an OpenStack cloud. Raises HotfootError (USAGE)."""
    return declared_cluster(cluster_path, cloud_name, certificates=False).openstack is not None


def openstack_access(cluster: Cluster) -> OpenStackAccess:
    """Return how the cluster's OpenStack cloud is reached."""
    from hotfoot.cloud.openstack_api import OpenStackAccess

    named = cluster.openstack
    return OpenStackAccess(named.cloud, named.region, named.clouds_file) if named else OpenStackAccess()


async def _open(cluster: Cluster) -> Cloud:
    if cluster.openstack is None:
        return _libvirt_cloud(cluster)
    from hotfoot.cloud.nova_cloud import NovaCloud
    from hotfoot.cloud.openstack_api import OpenStackApi

    api = await OpenStackApi.connect(openstack_access(cluster))
    return NovaCloud(api, _libvirt_cloud(cluster) if cluster.hosts else None)


def _libvirt_cloud(cluster: Cluster) -> LibvirtCloud:
    from hotfoot.cloud.libvirt_cloud import LibvirtCloud
    from hotfoot.reach.kept_connection import KeptConnections
    from hotfoot.reach.ssh import prepare

    access = prepare(cluster)
    connections = KeptConnections(access)
    shell = _shell(cluster, connections)
    return LibvirtCloud(_endpoints(cluster, access), shell, connections.close, cluster.migration.network)


def _declared_host(name: str, address: str) -> Host:
    from hotfoot.cluster import Host
    from hotfoot.cluster.validation import NotValid, part_from

    try:
        return part_from(Host, {"name": name, "address": address})
    except NotValid:
        raise HotfootError(
            f"Nova has a compute host {name} at {address}, which is no name and address to reach it by; declare"
            " hosts in a cluster file."
        ) from None


async def compute_hosts_of(cluster: Cluster) -> list[tuple[str, str]]:
    """Return the compute hosts of the cluster's OpenStack cloud, whose address Nova knows: name and address."""
    from hotfoot.cloud.openstack_api import OpenStackApi
    from hotfoot.cloud.openstack_inventory import compute_hosts

    api = await OpenStackApi.connect(openstack_access(cluster))
    try:
        return [(host.name, host.address) for host in await compute_hosts(api) if host.address]
    finally:
        await api.close()


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


def survey_of(cluster: Cluster, cloud: Cloud, *, thorough: bool = False) -> Survey:
    """Return what measures an instance and its way for a forecast."""
    from hotfoot.journal.place import place_of
    from hotfoot.migration.survey import Survey

    place = place_of(cluster.journal.url)

    def earlier(source: str, destination: str) -> Sequence[int]:
        from hotfoot.journal.throughput import earlier_throughputs

        return earlier_throughputs(place, cluster.name, source, destination)

    look = cluster.migration.look_at_pages
    return Survey(cloud, throughput_probe(cluster), thorough=thorough, earlier=earlier, look_at_pages=look)


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
    from hotfoot.reach.proof.speed import speed
    from hotfoot.reach.ssh import prepare

    access = prepare(cluster)

    async def trial(source: str, destination: str, when: Callable[[], Awaitable[object]]) -> int:
        return await speed(access, source, destination, cluster.migration_address_of(cluster.host(destination)), when)

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


def _shell(cluster: Cluster, connections: KeptConnections) -> RemoteShell:
    async def run(host: str, script: str, timeout_s: float) -> str:
        return (await connections.run(cluster.host(host), script, timeout_s)).stdout

    return run
