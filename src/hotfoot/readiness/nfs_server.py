"""Hosts of the cluster that serve instances' disks by NFS: installed, running, the folder there and exported.

Sources: requirement A2 of live migration with libvirt and Nova, nfsd(8), exports(5).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hotfoot.cluster import Cluster, Storage
from hotfoot.readiness import idmapd, nfs_exports
from hotfoot.readiness.change import Change, Install, MakeFolder, Phase, SetMode, SetUnit
from hotfoot.readiness.facts import Facts, HostFacts
from hotfoot.readiness.finding import Finding, Severity, Topic
from hotfoot.readiness.nfs_exports import UNIT
from hotfoot.readiness.storage_owner import may_pass, qemu_user, wanted_owner

PACKAGES = ("nfs-kernel-server", "nfs-utils")
"""On Debian and Ubuntu; on Red Hat's systems."""


def judge(cluster: Cluster, facts: Facts) -> Iterable[Finding]:
    """Return what is wrong with the declared NFS servers, and with the mapping of owners' names on all NFS hosts."""
    hosts = facts.by_name
    nfs = [storage for storage in cluster.storage if storage.type == "nfs"]
    for storage in nfs:
        for name in storage.servers:
            if name in hosts:
                yield from _service(hosts[name])
                yield from _folder(storage, hosts[name])
                yield from nfs_exports.judge_exports(cluster, storage, hosts[name], facts)
    if nfs:
        yield from idmapd.judge_idmapd(facts)


def _service(host: HostFacts) -> Iterator[Finding]:
    package = PACKAGES[1 if host.os is not None and host.os.redhat_like else 0]
    unit = host.units.get(UNIT)
    masked = unit is not None and "masked" in (unit.load, unit.enabled)
    # Started before it is enabled: enabling has systemd read fstab again, which hangs where this host has its own
    # export mounted and the server is down.
    start = tuple(
        Change(host=host.host, phase=Phase.STORAGE_SERVERS, step=step)
        for step in (
            SetUnit(unit=UNIT, running=True, masked=False if masked else None),
            SetUnit(unit=UNIT, enabled=True),
        )
    )
    if package not in host.packages and "packages" not in host.failures:
        yield Finding(
            code="nfs_server.not-installed",
            severity=Severity.BLOCKS,
            host=host.host,
            what=f"{host.host} is to serve NFS, and has no NFS server installed.",
            evidence=f"Package {package} is not installed.",
            why="The cluster file names it as the server of shared storage.",
            remedy=f"Install {package} on {host.host}, and start {UNIT}.",
            changes=(Change(host=host.host, phase=Phase.PACKAGES, step=Install(packages=(package,))), *start),
        )
        return
    if unit is None:
        return
    state = f"{UNIT} is {unit.active or 'not known'}, {unit.enabled or 'not enabled'}."
    if unit.active not in ("active", "activating", "reloading"):
        yield Finding(
            code="nfs_server.not-running",
            severity=Severity.BLOCKS,
            host=host.host,
            what=f"The NFS server of {host.host} does not run.",
            evidence=state,
            why="No host can mount the shared storage from it; where it is mounted, every access hangs.",
            remedy=f"On {host.host}: systemctl {'unmask' if masked else 'enable --now'} {UNIT}.",
            changes=start,
        )
    elif unit.enabled in ("disabled", "masked", "masked-runtime"):
        yield Finding(
            code="nfs_server.not-enabled",
            severity=Severity.DANGEROUS,
            host=host.host,
            what=f"The NFS server of {host.host} runs, and will not be started at the next boot.",
            evidence=state,
            why="After a reboot of the server every instance on the shared storage would hang.",
            remedy=f"On {host.host}: systemctl enable {UNIT}.",
            changes=start[1:],
        )


def _folder(storage: Storage, host: HostFacts) -> Iterator[Finding]:
    folder = host.storage.folder(storage.folder) if host.storage else None
    if folder is None:
        return
    name, path, owner = host.host, storage.folder, wanted_owner(host, storage.path)
    if not folder.exists:
        step = MakeFolder(path=path, mode=0o755, owner=owner)
        yield Finding(
            code="nfs_server.no-folder",
            severity=Severity.BLOCKS,
            host=name,
            what=f"{name} is to export {path}, which is not there.",
            evidence="No such folder.",
            why="What is not there cannot be exported.",
            remedy=f"On {name}: install -d -m 0755 -o {owner.partition(':')[0]} -g {owner.partition(':')[2]} {path}.",
            changes=(Change(host=name, phase=Phase.STORAGE_SERVERS, step=step),),
        )
        return
    user, _ = qemu_user(host)
    if may_pass(host, user, folder.mode, folder.uid, folder.gid) is False:
        mode = folder.mode | 0o011
        yield Finding(
            code="nfs_server.folder-closed",
            severity=Severity.BLOCKS,
            host=name,
            what=f"QEMU's user {user} may not pass through {path} on {name}, which is exported to the hosts.",
            evidence=f"Mode {folder.mode:04o}, owner {host.owner_of(folder.uid, folder.gid)}.",
            why="QEMU runs as its own user and needs the x bit of every folder above a disk, on the server too.",
            remedy=f"On {name}: chmod {mode:04o} {path}.",
            changes=(Change(host=name, phase=Phase.STORAGE_SERVERS, step=SetMode(path=path, mode=mode)),),
        )


TOPIC = Topic(
    name="nfs_server",
    title="NFS server",
    judge=judge,
    files=(*nfs_exports.FILES, idmapd.PATH),
    units=(UNIT,),
    packages=PACKAGES,
    sections=("storage",),
)
