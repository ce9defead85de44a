"""Bindings of a server's ports that a broken-off live migration has left behind.

Nova binds each port to the destination too before libvirt begins, inactive as yet, and takes that binding away when the
move fails. Where it does not come to that (nova-compute was killed), Neutron refuses the next binding to that host, and
Nova only says that no valid host was found (nova.network.neutron, ``bind_ports_to_host``).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from hotfoot.cloud.openstack_api import OpenStackApi, OpenStackRefusal
from hotfoot.errors import ExitStatus, HotfootError

Leftovers = Mapping[str, tuple[str, ...]]
"""Hosts, each with the ports (ids) that are bound there inactively."""


async def leftovers(api: OpenStackApi, uuid: str, host: str) -> Leftovers:
    """Return the inactive bindings of a server's ports to other hosts than its own.

    They are leftovers only while no migration of it is in progress. Empty where Neutron does not tell: it may be
    without several bindings for a port (its extension ``binding-extended``), or not be there.
    """
    try:
        ports = [str(port["id"]) for port in (await api.get("network", "/ports", device_id=uuid)).get("ports", ())]
        answers = await asyncio.gather(*(api.get("network", f"/ports/{port}/bindings") for port in ports))
    except HotfootError:
        return {}
    return _inactive(zip(ports, (answer.get("bindings", ()) for answer in answers), strict=True), host)


async def remove(api: OpenStackApi, found: Leftovers) -> None:
    """Delete leftovers. Raises HotfootError; also where Neutron leaves that to services, as its own policy does."""
    try:
        for host, ports in found.items():
            for port in ports:
                await api.delete("network", f"/ports/{port}/bindings/{host}")
    except OpenStackRefusal as refusal:
        if refusal.status_code != 403:
            raise
        raise HotfootError(
            f"Ports are still bound to {in_words(found)}, and Neutron lets only the role service remove that"
            " (its policy delete_port_binding): repeat this with credentials that have the role, such as Nova's own, or"
            " give it to yours (`openstack role add --user USER --project PROJECT service`).",
            ExitStatus.REFUSED,
        ) from refusal


def in_words(found: Leftovers) -> str:
    """Name the hosts and how many ports: ``n2 (1 port), n3 (2 ports)``."""
    return ", ".join(f"{host} ({len(ports)} port{'' if len(ports) == 1 else 's'})" for host, ports in found.items())


def _inactive(bindings: Iterable[tuple[str, Iterable[Mapping[str, Any]]]], host: str) -> Leftovers:
    found: dict[str, list[str]] = defaultdict(list)
    for port, of_port in bindings:
        for binding in of_port:
            if binding.get("status") == "INACTIVE" and binding.get("host") not in (host, "", None):
                found[str(binding["host"])].append(port)
    return {where: tuple(ports) for where, ports in sorted(found.items())}
