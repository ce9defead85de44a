"""From the cluster file to an open cloud: the one place where the parts are put together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from hotfoot.cloud.libvirt_cloud import LibvirtCloud, RemoteShell
    from hotfoot.cloud.libvirt_uri import Endpoint
    from hotfoot.cluster import Cluster
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
            pki=str(cluster.libvirt.pki) if cluster.libvirt.pki else None,
            ssh_command=str(access.command),
            stream_address=cluster.migration_address_of(host),
        )
    return endpoints


def _shell(cluster: Cluster, access: SshAccess) -> RemoteShell:
    async def run(host: str, script: str, timeout_s: float) -> str:
        return (await access.run(cluster.host(host), script, timeout_s=timeout_s)).stdout

    return run
