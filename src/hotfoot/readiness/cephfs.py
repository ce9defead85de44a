"""CephFS as the shared folder: by the kernel's client, which libvirt takes for shared, with a key that stays secret.

Sources: requirement A5 of live migration with libvirt and Nova, mount.ceph(8); that libvirt does not know ceph-fuse as
shared was tried (libvirt 11.3: "Unsafe migration").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hotfoot.cluster import Cluster, Storage
from hotfoot.readiness import ceph_client, fstab
from hotfoot.readiness.change import Change, EditFile, Phase
from hotfoot.readiness.facts import Facts, HostFacts
from hotfoot.readiness.finding import Finding, Severity, Topic
from hotfoot.readiness.listing import listed
from hotfoot.readiness.mounting import boot_entry, changes_to_mount, shared_mount


def judge(cluster: Cluster, facts: Facts) -> Iterable[Finding]:
    """Return what is wrong with the clients of the declared CephFS storages."""
    declared = [storage for storage in cluster.storage if storage.type == "cephfs"]
    if declared and cluster.ceph is None:  # else the topic of RBD tells it
        yield from ceph_client.judge_client("cephfs", facts.hosts, facts.hosts)
    for storage in declared:
        for host in facts.hosts:
            yield from _fuse(storage, host, facts)
            yield from _secret(storage, host)


def _fuse(storage: Storage, host: HostFacts, facts: Facts) -> Iterator[Finding]:
    folder = host.storage.folder(storage.path) if host.storage else None
    mount = shared_mount(folder, storage) if folder else None
    if folder is None or mount is None or not mount.fs_type.startswith("fuse"):
        return
    users = f", drained of {listed(folder.open_by)}," if folder.open_by else ""
    yield Finding(
        code="cephfs.fuse",
        severity=Severity.BLOCKS,
        host=host.host,
        what=f"{storage.path} on {host.host} is mounted by ceph-fuse, which libvirt does not take for shared.",
        evidence=f"{mount.target} is {mount.fs_type} from {mount.source}.",
        why="libvirt refuses to migrate instances with disks there (Unsafe migration), and Nova never overrides that.",
        remedy=f"Mount it on {host.host}{users} by the kernel: type ceph in /etc/fstab instead of fuse.ceph.",
        changes=changes_to_mount(storage, host, facts),
    )


def _secret(storage: Storage, host: HostFacts) -> Iterator[Finding]:
    entry = boot_entry(host, storage)
    if entry is None or entry.unit or entry.option("secret") is None:
        return
    user = entry.option("name") or "guest"
    key = ceph_client.keyring(user)
    fact = host.paths.get(key)
    options = tuple(option for option in entry.options if not option.startswith("secret="))
    line = fstab.render(entry.source, storage.path, entry.fs_type, options)
    step = EditFile(path=fstab.PATH, edits=(fstab.edit_for(storage.path, line),))
    yield Finding(
        code="cephfs.secret-in-fstab",
        severity=Severity.DANGEROUS,
        host=host.host,
        what=f"The Ceph key of {user} stands in /etc/fstab of {host.host}, which everybody may read.",
        evidence=f"The entry of {storage.path} has secret=.",
        why="Whoever has the key may read and change every file there, instances' disks among them.",
        remedy=f"Put the key into {key} (mode 0600), take secret= out of /etc/fstab on {host.host}, and give the user "
        "a new key in Ceph.",
        changes=(Change(host=host.host, phase=Phase.STORAGE, step=step),) if fact is not None and fact.exists else (),
    )


TOPIC = Topic(
    name="cephfs",
    title="CephFS",
    judge=judge,
    files=(*fstab.FILES, ceph_client.CONF),
    paths=(ceph_client.KEYRINGS,),
    packages=(ceph_client.PACKAGE,),
    sections=("storage",),
)
