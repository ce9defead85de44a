"""A GlusterFS volume that is there: started, bricks running, replicas and quorum that keep disks whole.

Sources: Gluster's administration guide (quorum, split brain, heal) and its option group for virtual machines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hotfoot.cluster import Storage
from hotfoot.readiness import gluster_steps as steps
from hotfoot.readiness.change import Change, Phase
from hotfoot.readiness.facts import Facts, HostFacts
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.gluster_told import Brick, Volume, bricks_down, bricks_unserved, healers_down, own_uuid, volumes
from hotfoot.readiness.storage_owner import is_novas, qemu_user

_QUORUM = {"cluster.quorum-type": ("auto", "fixed"), "cluster.server-quorum-type": ("server",)}
"""What keeps two halves of a broken network from writing one disk each in its own way; the first is set."""
_CACHES = {
    "performance.quick-read": ("off", "disable", "no"),
    "performance.read-ahead": ("off", "disable", "no", ""),
    "performance.io-cache": ("off", "disable", "no", ""),
    "performance.strict-o-direct": ("on", "enable", "yes"),
    "network.remote-dio": ("disable", "off", "no", ""),
}
"""What lets O_DIRECT of cache='none' reach the disks; an empty word: GlusterFS's own default, unset, is right."""


def judge_volume(storage: Storage, volume: Volume, facts: Facts) -> Iterator[Finding]:
    """Return what is wrong with a volume; told of the server that can mend it, or of the one that lacks something."""
    lead = _lead(volume, facts)
    if lead is None:
        return
    if not volume.started:
        yield Finding(
            code="glusterfs.volume-stopped",
            severity=Severity.BLOCKS,
            host=lead.host,
            what=f"The GlusterFS volume {volume.name} is stopped.",
            evidence=f"gluster volume info {volume.name}: not started.",
            why="Nobody can mount it, and where it is mounted every access fails.",
            remedy=f"On {lead.host}: gluster volume start {volume.name}.",
            changes=(Change(host=lead.host, phase=Phase.STORAGE_CLUSTER, step=steps.start(volume.name)),),
        )
    else:
        yield from _bricks(volume, lead, facts)
        yield from _unserved(volume, facts)
        yield from _healers(volume, lead, facts)
        yield from _heal(volume, lead, facts)
    yield from _replicas(volume, lead)
    yield from _options(volume, lead)
    yield from _owner(storage, volume, lead)


def _lead(volume: Volume, facts: Facts) -> HostFacts | None:
    """Return the first host that knows the volume itself, so that its daemon can be told to change it."""
    for host in facts.hosts:
        if host.storage and any(each.name == volume.name for each in volumes(host.storage.gluster_volumes)):
            return host
    return None


def _told(
    volume: Volume, facts: Facts, which: Callable[[str, str], tuple[Brick, ...]]
) -> Iterator[tuple[str | None, Brick]]:
    """Return bricks that any server tells of, each once, with its host; None: of none that was asked."""
    uuids = {own_uuid(host.storage.gluster_peers): host.host for host in facts.hosts if host.storage}
    told = [which(host.storage.gluster_status, volume.name) for host in facts.hosts if host.storage]
    for brick in {(brick.peer, brick.folder): brick for bricks in told for brick in bricks}.values():
        yield uuids.get(brick.peer), brick


def _bricks(volume: Volume, lead: HostFacts, facts: Facts) -> Iterator[Finding]:
    for host, brick in _told(volume, facts, bricks_down):
        name = host or lead.host
        yield Finding(
            code="glusterfs.brick-down",
            severity=Severity.BLOCKS if volume.replicas < 3 else Severity.DANGEROUS,
            host=name,
            what=f"The brick {brick.folder} of {volume.name} on {brick.server} does not run.",
            evidence=f"gluster volume status {volume.name}: {brick.server}:{brick.folder} is offline.",
            why="The volume has a replica less: what is written now is missing there, and one more loss stops every "
            "write of instances."
            if volume.replicas >= 3
            else "The disks, or half of their copies, are out of reach.",
            remedy=f"Look at /var/log/glusterfs/bricks on {brick.server} and at its disk, then: gluster volume start "
            f"{volume.name} force.",
            changes=(steps.start_bricks(lead.host, volume.name),),
        )


def _unserved(volume: Volume, facts: Facts) -> Iterator[Finding]:
    for name, brick in _told(volume, facts, bricks_unserved):
        if name is None:
            continue
        yield Finding(
            code="glusterfs.brick-without-port",
            severity=Severity.BLOCKS if volume.replicas < 3 else Severity.DANGEROUS,
            host=name,
            what=f"The brick {brick.folder} of {volume.name} on {brick.server} runs, and no new client finds it.",
            evidence=f"gluster volume status {volume.name}: {brick.server}:{brick.folder} is online without a port.",
            why="Its daemon started it twice when it met the other servers, and lost its port: though it is shown as "
            "online, what most hosts write is missing there.",
            remedy=f"Once all other bricks are online and have nothing to heal from it: on {name} end that glusterfsd, "
            f"then gluster volume start {volume.name} force.",
            changes=(steps.serve_bricks(name),),
        )


def _healers(volume: Volume, lead: HostFacts, facts: Facts) -> Iterator[Finding]:
    uuids = {own_uuid(host.storage.gluster_peers): host.host for host in facts.hosts if host.storage}
    told = [healers_down(host.storage.gluster_status, volume.name) for host in facts.hosts if host.storage]
    for uuid in dict.fromkeys(uuid for down in told for uuid in down):
        name = uuids.get(uuid, lead.host)
        yield Finding(
            code="glusterfs.no-healer",
            severity=Severity.DANGEROUS,
            host=name,
            what=f"The self-heal daemon of {volume.name} does not run on {name}.",
            evidence=f"gluster volume status {volume.name}: Self-heal Daemon is offline.",
            why="After a brick was away nobody brings it up to date, and one more fault may take the only good copy.",
            remedy=f"gluster volume start {volume.name} force; /var/log/glusterfs/glustershd.log on {name} says why it "
            "ended.",
            changes=(steps.start_bricks(lead.host, volume.name),),
        )


def _heal(volume: Volume, lead: HostFacts, facts: Facts) -> Iterator[Finding]:
    for host in facts.hosts:
        waiting = host.storage.gluster_heal.get(volume.name, 0) if host.storage else 0
        if waiting:
            yield Finding(
                code="glusterfs.heal-pending",
                severity=Severity.DANGEROUS,
                host=host.host,
                what=f"{host.host} holds {waiting} entries of {volume.name} that other bricks do not have yet.",
                evidence=f"{waiting} entries in the brick's index of changes to be healed.",
                why="Until they are copied a second fault may take the only good copy: do not take down or empty a "
                "server now.",
                remedy=f"gluster volume heal {volume.name}, then wait until gluster volume heal {volume.name} info "
                "shows none.",
                changes=(steps.start_bricks(lead.host, volume.name), steps.heal(lead.host, volume.name)),
            )


def _replicas(volume: Volume, lead: HostFacts) -> Iterator[Finding]:
    copies = volume.replicas + (1 if volume.arbiters and volume.replicas == 2 else 0)
    if "Disperse" in volume.kind or copies >= 3:
        return
    alone = volume.replicas < 2
    # A single server is what the operator declared; a volume spread over several without copies is a trap.
    severity = Severity.ADVICE if alone and len(volume.bricks) == 1 else Severity.DANGEROUS
    yield Finding(
        code="glusterfs.no-replica" if alone else "glusterfs.two-replicas",
        severity=severity,
        host=lead.host,
        what=f"The volume {volume.name} keeps each disk on one server only."
        if alone
        else f"The volume {volume.name} keeps two copies of each disk.",
        evidence=f"{volume.kind} with {len(volume.bricks)} bricks: "
        + ", ".join(f"{brick.server}:{brick.folder}" for brick in volume.bricks),
        why="The loss of that server stops its instances, and the loss of its disk loses them."
        if alone
        else "With two copies nobody can tell which one is right after the two lost each other (split brain), or, "
        "with quorum, one loss stops every write.",
        remedy=f"Add bricks: gluster volume add-brick {volume.name} replica 3 SERVER:FOLDER ... (the third may be an "
        "arbiter, which holds names only).",
    )


def _options(volume: Volume, lead: HostFacts) -> Iterator[Finding]:
    if volume.replicas > 1:
        yield from _wrong(
            volume,
            lead,
            _QUORUM,
            code="glusterfs.no-quorum",
            severity=Severity.DANGEROUS,
            what=f"The volume {volume.name} has no quorum.",
            why="When servers lose each other, each part goes on writing: two versions of one disk, of which one has "
            "to be thrown away (split brain).",
        )
    yield from _wrong(
        volume,
        lead,
        _CACHES,
        code="glusterfs.caches",
        severity=Severity.DANGEROUS,
        what=f"The volume {volume.name} lets hosts cache disks.",
        why="The destination of a migration may read from its own cache what the source has overwritten since; and "
        "instances with cache='none' want their writes on the disk.",
    )


def _wrong(
    volume: Volume,
    lead: HostFacts,
    wanted: dict[str, tuple[str, ...]],
    *,
    code: str,
    severity: Severity,
    what: str,
    why: str,
) -> Iterator[Finding]:
    wrong = {key: good[0] for key, good in wanted.items() if volume.options.get(key, "") not in good}
    if wrong:
        yield Finding(
            code=code,
            severity=severity,
            host=lead.host,
            what=what,
            evidence=", ".join(f"{key} is {volume.options.get(key, 'not set')}" for key in wrong) + ".",
            why=why,
            remedy="; ".join(f"gluster volume set {volume.name} {key} {value}" for key, value in wrong.items()) + ".",
            changes=tuple(
                steps.option(lead.host, volume.name, key, value, volume.options.get(key))
                for key, value in wrong.items()
            ),
        )


def _owner(storage: Storage, volume: Volume, lead: HostFacts) -> Iterator[Finding]:
    """The option gives the root of the volume its owner again whenever a brick starts; without it nothing is wrong."""
    old = volume.options.get("storage.owner-uid"), volume.options.get("storage.owner-gid")
    if old[0] is None or lead.identity is None:
        return
    # Where the path is Nova's, it belongs to nova alone; libvirt works as root, and any of the two will do.
    names = ("nova",) if is_novas(lead, storage.path) else (qemu_user(lead)[0], "nova")
    users = [lead.identity.user(name) for name in names]
    good = {str(user.uid): user.name for user in users if user}
    if not good or old[0] in good or old[0] == "0":
        return
    step = steps.owner(storage, lead, (old[0], old[1] or "0"))
    whose = f"{'neither ' if len(good) > 1 else 'not '}{' nor '.join(good.values())}"
    yield Finding(
        code="glusterfs.volume-owner",
        severity=Severity.DANGEROUS,
        host=lead.host,
        what=f"The root of {volume.name} belongs to number {old[0]}, which is {whose}.",
        evidence=f"storage.owner-uid is {old[0]}; "
        + ", ".join(f"{name} is {uid} on {lead.host}" for uid, name in good.items()),
        why="Each time a brick starts, the folder of instances gets this owner; Nova then cannot make files in it.",
        remedy=f"gluster volume set {volume.name} storage.owner-uid {next(iter(good))}.",
        changes=(Change(host=lead.host, phase=Phase.STORAGE_CLUSTER, step=step),),
    )
