"""What the hosts of a cluster need of each other: which ports, over which of their addresses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hotfoot.cluster import Cluster
from hotfoot.readiness.edit import value_of
from hotfoot.readiness.facts import HostFacts
from hotfoot.readiness.ssh_host_keys import ssh_port

MIGRATION_PORTS = (49152, 49215)
"""Where QEMU receives memory and copied disks, unless qemu.conf says otherwise (migration_port_min, _max)."""
CONSOLE_PORTS = (5900, 6923)
LIBVIRT_PORTS = {"tls": 16514, "tcp": 16509}
_GLUSTER_PORTS = ((24007, 24007), (49152, 60999))
"""Of the daemon, and of bricks (base-port to max-port of glusterd.vol)."""
QEMU_CONF = "/etc/libvirt/qemu.conf"


@dataclass(frozen=True, slots=True)
class Service:
    """What has to be reachable on a host, and over which of the hosts' addresses."""

    key: str
    title: str
    ports: tuple[tuple[int, int], ...]
    network: Literal["management", "migration", "any"]
    why: str


def services_of(cluster: Cluster, host: HostFacts) -> list[Service]:
    """Return what other hosts need of this one."""
    found = []
    if cluster.migration_user is not None:
        port = ssh_port(cluster, host)
        found.append(
            Service("ssh", "SSH", ((port, port),), "management", "The migration user logs in from host to host.")
        )
    if cluster.libvirt.transport != "ssh":
        port = cluster.libvirt.port or LIBVIRT_PORTS[cluster.libvirt.transport]
        why = "The source's libvirt talks to the destination's there: without it no migration begins."
        found.append(Service("libvirt", "libvirt", ((port, port),), "management", why))
    why = "QEMU on the destination receives memory and copied disks there: a migration begins, and then stalls."
    found.append(Service("migration", "migrations", (_migration_ports(host),), "migration", why))
    for kind, ports in (("nfs", ((2049, 2049),)), ("glusterfs", _GLUSTER_PORTS)):
        if any(storage.type == kind and host.host in storage.servers for storage in cluster.storage):
            why = f"{host.host} serves the instances' storage: without it disks hang."
            found.append(Service(kind, {"nfs": "NFS", "glusterfs": "GlusterFS"}[kind], ports, "any", why))
    return found


def _migration_ports(host: HostFacts) -> tuple[int, int]:
    text = host.text(QEMU_CONF)
    told = [value_of(text, key) or "" for key in ("migration_port_min", "migration_port_max")]
    low, high = (int(word) if word.isdigit() else usual for word, usual in zip(told, MIGRATION_PORTS, strict=True))
    return (low, high) if low <= high else MIGRATION_PORTS
