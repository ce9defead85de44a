"""All topics together: facts in, findings out, the worst first."""

from __future__ import annotations

from collections.abc import Sequence

from hotfoot.cluster import Cluster
from hotfoot.readiness import (
    ceph_rbd,
    cephfs,
    certificates,
    clocks,
    connections,
    consoles,
    cpu,
    emulator,
    firewall,
    glusterfs,
    identity,
    image_cache,
    iscsi,
    libvirt_daemon,
    names,
    nfs_client,
    nfs_server,
    nova,
    ports,
    qemu_conf,
    room,
    shared_path,
    ssh,
    system,
)
from hotfoot.readiness.facts import Facts
from hotfoot.readiness.finding import Finding, Topic

TOPICS: tuple[Topic, ...] = (
    system.TOPIC,
    clocks.TOPIC,
    names.TOPIC,
    identity.TOPIC,
    ssh.TOPIC,
    firewall.TOPIC,
    room.TOPIC,
    nfs_server.TOPIC,
    nfs_client.TOPIC,
    glusterfs.TOPIC,
    cephfs.TOPIC,
    ceph_rbd.TOPIC,
    iscsi.TOPIC,
    shared_path.TOPIC,
    image_cache.TOPIC,
    libvirt_daemon.TOPIC,
    certificates.TOPIC,
    qemu_conf.TOPIC,
    emulator.TOPIC,
    cpu.TOPIC,
    connections.TOPIC,
    ports.TOPIC,
    nova.TOPIC,
    consoles.TOPIC,
)
"""In the order in which they are shown and mended."""


def judge(cluster: Cluster, facts: Facts, topics: Sequence[Topic] = TOPICS) -> tuple[Finding, ...]:
    """Return everything that is wrong, the worst first, then by topic, host and code.

    Invariant: the same facts give the same findings, whatever order the hosts answered in.
    """
    order = {topic.name: number for number, topic in enumerate(topics)}
    found = [finding for topic in topics for finding in topic.judge(cluster, facts)]
    return tuple(
        sorted(found, key=lambda each: (each.severity, order[each.topic], each.host, each.peer or "", each.code))
    )
