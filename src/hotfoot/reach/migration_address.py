"""Which address of a host receives the memory stream, when the cluster file names only its network."""

from __future__ import annotations

import json

from hotfoot.cluster import Host
from hotfoot.cluster.model import in_network
from hotfoot.errors import HotfootError
from hotfoot.reach.ssh import SshAccess


async def migration_address(access: SshAccess, host: Host, timeout_s: float = 15.0) -> str | None:
    """Give the declared address, else the host's own one in ``migration.network``; None leaves it to libvirt.

    Asks the host only if the cluster file does not tell. Raises HotfootError when the host has no address, or
    several, in the network.
    """
    declared = access.cluster.migration_address_of(host)
    network = access.cluster.migration.network
    if declared is not None or network is None:
        return declared
    answer = await access.run(host, ["ip", "-json", "address", "show", "up"], timeout_s=timeout_s, as_root=False)
    if answer.status != 0:
        raise HotfootError(
            f"host {host.name} does not tell its addresses (`ip -json address` ended with {answer.status}); "
            "give it a migration_address in the cluster file"
        )
    found = addresses_in(answer.stdout, network)
    if len(found) != 1:
        have = f"several addresses ({', '.join(found)})" if found else "no address"
        raise HotfootError(
            f"host {host.name} has {have} in migration.network {network}; give it a migration_address in the "
            "cluster file, or connect it to that network"
        )
    return found[0]


def addresses_in(ip_json: str, network: str) -> list[str]:
    """Pick from the output of ``ip -json address`` (iproute2) the addresses that lie in the network."""
    return [
        entry["local"]
        for link in json.loads(ip_json)
        for entry in link.get("addr_info", [])
        if "local" in entry and in_network(entry["local"], network)
    ]
