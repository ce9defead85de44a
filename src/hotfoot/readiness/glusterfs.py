"""GlusterFS: daemons and pool, the volume with its replicas, quorum and bricks, and the client on every host.

Sources: requirement A4 of live migration with libvirt and Nova; Gluster's administration guide on quorum, split brain
and its option group for virtual machines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from hotfoot.cluster import Cluster, Storage
from hotfoot.readiness import gluster_steps as steps
from hotfoot.readiness.change import Change, Install, Phase
from hotfoot.readiness.facts import Facts, HostFacts
from hotfoot.readiness.finding import Finding, Severity, Topic
from hotfoot.readiness.fstab import entries_for
from hotfoot.readiness.gluster_told import own_uuid, pool, volume_of
from hotfoot.readiness.gluster_volume import judge_volume
from hotfoot.readiness.listing import listed
from hotfoot.readiness.mounting import source_of

STATE = "/var/lib/glusterd/glusterd.info"
VOLUMES = "/var/lib/glusterd/vols/*"
SERVER_PACKAGE = "glusterfs-server"
CLIENT_PACKAGES = ("glusterfs-client", "glusterfs-fuse")
"""On Debian and Ubuntu; on Red Hat's systems."""


def judge(cluster: Cluster, facts: Facts) -> Iterable[Finding]:
    """Return what is wrong with the declared GlusterFS storages."""
    for storage in cluster.storage:
        if storage.type != "glusterfs":
            continue
        for host in facts.hosts:
            yield from _client(storage, host)
        servers = [host for host in facts.hosts if host.host in storage.servers]
        for host in servers:
            yield from _daemon(storage, host)
        yield from _pool(storage, servers)
        yield from _volume(storage, servers, facts)


def _client(storage: Storage, host: HostFacts) -> Iterator[Finding]:
    package = CLIENT_PACKAGES[1 if host.os is not None and host.os.redhat_like else 0]
    if package not in host.packages and "packages" not in host.failures:
        yield Finding(
            code="glusterfs.no-client",
            severity=Severity.BLOCKS,
            host=host.host,
            what=f"{host.host} cannot mount GlusterFS: its client is not installed.",
            evidence=f"Package {package} is not installed.",
            why=f"The disks of instances are in {storage.path}, which every host mounts.",
            remedy=f"Install {package} on {host.host}.",
            changes=(Change(host=host.host, phase=Phase.PACKAGES, step=Install(packages=(package,))),),
        )


def _daemon(storage: Storage, host: HostFacts) -> Iterator[Finding]:
    name, unit = host.host, host.units.get(steps.UNIT)
    if SERVER_PACKAGE not in host.packages and "packages" not in host.failures:
        install = Change(host=name, phase=Phase.PACKAGES, step=Install(packages=(SERVER_PACKAGE,)))
        yield Finding(
            code="glusterfs.not-installed",
            severity=Severity.BLOCKS,
            host=name,
            what=f"{name} is to serve GlusterFS, and has no server installed.",
            evidence=f"Package {SERVER_PACKAGE} is not installed.",
            why="The cluster file names it as a server of shared storage.",
            remedy=f"Install {SERVER_PACKAGE} on {name}, and start glusterd.",
            changes=(install, *steps.serve(host)),
        )
        return
    if unit is None:
        return
    state = f"{steps.UNIT} is {unit.active or 'not known'}, {unit.enabled or 'not enabled'}."
    if unit.active not in ("active", "activating", "reloading"):
        yield Finding(
            code="glusterfs.not-running",
            severity=Severity.BLOCKS,
            host=name,
            what=f"GlusterFS's daemon does not run on {name}.",
            evidence=state,
            why="Without it the bricks of this server are not started, nobody can mount from it, and the volume has "
            "a replica less.",
            remedy=f"On {name}: systemctl enable --now glusterd.",
            changes=(*steps.serve(host), *((steps.serve_bricks(name),) if _has_volumes(host) else ())),
        )
    elif unit.enabled in ("disabled", "masked") and not _required_at_boot(storage, host):
        yield Finding(
            code="glusterfs.not-enabled",
            severity=Severity.DANGEROUS,
            host=name,
            what=f"GlusterFS's daemon runs on {name}, and will not be started at the next boot.",
            evidence=state,
            why="After a reboot the volume has a replica less, and two such reboots stop every write.",
            remedy=f"On {name}: systemctl enable glusterd.",
            changes=steps.serve(host)[-1:],
        )


def _has_volumes(host: HostFacts) -> bool:
    return any(path.startswith(VOLUMES.rstrip("*")) and fact.exists for path, fact in host.paths.items())


def _required_at_boot(storage: Storage, host: HostFacts) -> bool:
    wanted = f"x-systemd.requires={steps.UNIT}"
    return any(wanted in entry.options for entry in entries_for(host, storage.path))


def _pool(storage: Storage, servers: Sequence[HostFacts]) -> Iterator[Finding]:
    """Compare by UUID: servers know each other by names and addresses of many spellings."""
    told = {host.host: host.storage.gluster_peers for host in servers if host.storage and host.storage.gluster_peers}
    ids = {name: own for name, text in told.items() if (own := own_uuid(text))}
    for name, text in told.items():
        known = {peer.uuid: peer for peer in pool(text)}
        for other, uuid in ids.items():
            if other == name:
                continue
            if uuid not in known:
                # Told once of two that do not know each other; the first declared server takes the others in.
                if storage.servers.index(name) < storage.servers.index(other):
                    yield _not_in_pool(storage, name, other, text)
            elif not known[uuid].connected:
                yield Finding(
                    code="glusterfs.peer-disconnected",
                    severity=Severity.BLOCKS,
                    host=name,
                    peer=other,
                    what=f"GlusterFS's daemon on {name} has no connection to the one on {other}.",
                    evidence=f"gluster pool list on {name}: {known[uuid].name} Disconnected.",
                    why="Servers that lose each other lose the quorum, and then every write of instances stops.",
                    remedy=f"See that glusterd runs on {other} and that {name} may reach its port 24007.",
                    passes=True,
                )


def _not_in_pool(storage: Storage, name: str, other: str, text: str) -> Finding:
    first = storage.servers[0]
    return Finding(
        code="glusterfs.peer-missing",
        severity=Severity.BLOCKS,
        host=name,
        peer=other,
        what=f"The GlusterFS servers {name} and {other} do not know each other.",
        evidence=f"gluster pool list on {name}: {listed(peer.name for peer in pool(text))}.",
        why="A volume is replicated over servers of one pool only.",
        remedy=f"On {first}: gluster peer probe {other if other != first else name}.",
        changes=(steps.peer(first, other),) if name == first else (),
    )


def _volume(storage: Storage, servers: Sequence[HostFacts], facts: Facts) -> Iterator[Finding]:
    name = volume_name(storage, facts)
    volume = volume_of(facts, name)
    if volume is not None:
        yield from judge_volume(storage, volume, facts)
        return
    known = any(path.exists for host in servers if (path := host.paths.get(VOLUMES.replace("*", name))))
    if known or not servers or len(servers) < len(storage.servers):
        return  # it is there, but its daemons do not say how it is; or not all servers answered
    lead = next(host for host in servers if host.host == storage.servers[0])
    others = [server for server in storage.servers if server != lead.host]
    changes = [
        *(change for host in servers if _stopped(host) for change in steps.serve(host)),
        *(change for host in servers for change in steps.brick(storage, host.host)),
        *(steps.peer(lead.host, other) for other in others),
        *steps.create(storage, lead),
    ]
    bricks = " ".join(f"{server}:{storage.folder}" for server in storage.servers)
    replica = f"replica {len(storage.servers)} " if others else ""
    yield Finding(
        code="glusterfs.no-volume",
        severity=Severity.BLOCKS,
        host=lead.host,
        what=f"There is no GlusterFS volume {name} on {listed(storage.servers)}.",
        evidence=f"No volume of that name is known on {listed(host.host for host in servers)}.",
        why=f"The cluster file wants {storage.path} to be this volume on every host.",
        remedy=f"On {lead.host}: gluster volume create {name} {replica}{bricks}, gluster volume set {name} group "
        f"virt, gluster volume start {name}.",
        changes=tuple(changes),
    )


def _stopped(host: HostFacts) -> bool:
    unit = host.units.get(steps.UNIT)
    return unit is None or unit.active != "active"


def volume_name(storage: Storage, facts: Facts) -> str:
    """Return the volume that is, or is to be, mounted: of the source, which may name a folder in it."""
    source = source_of(storage, facts) if not storage.servers else storage.mount_source
    return (source or "").partition(":")[2].strip("/").partition("/")[0] or storage.volume


TOPIC = Topic(
    name="glusterfs",
    title="GlusterFS",
    judge=judge,
    paths=(STATE, VOLUMES),
    units=(steps.UNIT,),
    packages=(SERVER_PACKAGE, *CLIENT_PACKAGES),
    sections=("storage",),
)
