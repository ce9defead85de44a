"""Whether each declared storage path is one and the same shared file system on every host.

Sources: requirements A1 and A9 of live migration with libvirt and Nova (the instances directory), mount(2), fstab(5),
systemd.mount(5). What two hosts proved together is judged in ``shared_proof``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hotfoot.cluster import Cluster, Storage
from hotfoot.readiness import fstab
from hotfoot.readiness.change import Change, Mount, Phase, SetMode
from hotfoot.readiness.data_move import below
from hotfoot.readiness.facts import Facts, FolderFact, HostFacts, MountFact
from hotfoot.readiness.finding import Finding, Severity, Topic
from hotfoot.readiness.listing import listed
from hotfoot.readiness.mount_users import FILES, UNITS, changes_to_wait, judge_users
from hotfoot.readiness.mounting import (
    boot_entry,
    boot_line,
    change_at_boot,
    changes_to_mount,
    looked_at,
    same_source,
    shared_mount,
    source_of,
)
from hotfoot.readiness.nova_conf import NOVA_CONF
from hotfoot.readiness.shared_proof import judge_proofs, proven_same
from hotfoot.readiness.storage_owner import is_novas, may_pass, qemu_user, runs_nova

_WHY_ONE = (
    "An instance migrates without its disks being copied only where source and destination see the same files; "
    "on a local folder it would not find its disk, or would find another."
)


def judge(cluster: Cluster, facts: Facts) -> Iterable[Finding]:
    """Return what is wrong with the declared storage paths, host by host and pair by pair."""
    for storage in cluster.storage:
        if not storage.shared:
            yield from _local(storage, facts)
            continue
        usable: set[str] = set()
        for host, folder in looked_at(storage, facts):
            found = list(_mounted(cluster, storage, host, folder, facts))
            yield from found
            if any(finding.severity is Severity.BLOCKS for finding in found):
                continue
            usable.add(host.host)
            yield from _at_boot(storage, host, folder, facts)
            yield from _access(storage, host, folder)
            yield from _hidden(storage, host, folder)
        yield from _owner(storage, facts, usable)
        yield from judge_proofs(storage, facts, usable)


def _mounted(
    cluster: Cluster, storage: Storage, host: HostFacts, folder: FolderFact, facts: Facts
) -> Iterator[Finding]:
    name, path = host.host, storage.path
    at_path = [mount for mount in host.storage.mounts if mount.target == path] if host.storage else []
    again = _again(name, path, folder)
    remount = (
        f"Drain {name} first ({listed(folder.open_by)} use it), then mount it again: umount -l {path} && mount {path}."
        if folder.open_by
        else f"Mount it again on {name}: umount -l {path} && mount {path}."
    )
    if folder.hung:
        yield Finding(
            code="shared_path.hung",
            severity=Severity.BLOCKS,
            host=name,
            what=f"{path} on {name} does not answer.",
            evidence=f"Looking at {path} did not return in time; {_mount_words(folder.mount)}.",
            why="A file system whose server is gone holds up QEMU and libvirt in the middle of a write: a migration "
            "from or to this host would hang.",
            remedy=f"See that the storage's server runs and can be reached from {name}. {remount}",
            changes=again,
        )
    elif at_path and (folder.problem or not folder.exists):
        yield Finding(
            code="shared_path.stale",
            severity=Severity.BLOCKS,
            host=name,
            what=f"{path} on {name} is mounted but stale: nothing in it can be opened.",
            evidence=f"{_mount_words(at_path[-1])}; {folder.problem or 'the folder itself could not be opened'}.",
            why="What was mounted there was replaced on the server, or the program behind the mount has ended; every "
            "access fails until it is mounted anew.",
            remedy=remount,
            changes=again,
        )
    elif shared_mount(folder, storage) is None:
        yield _not_shared(cluster, storage, host, folder, facts)
    else:
        yield from _source(cluster, storage, host, folder, facts)
        yield from _read_only(cluster, storage, host, folder, facts)


def _again(host: str, path: str, folder: FolderFact) -> tuple[Change, ...]:
    """Mount anew; nothing while instances have disks there."""
    return () if folder.open_by else (Change(host=host, phase=Phase.STORAGE, step=Mount(path=path, again=True)),)


def _not_shared(cluster: Cluster, storage: Storage, host: HostFacts, folder: FolderFact, facts: Facts) -> Finding:
    name, path = host.host, storage.path
    mount = folder.mount
    if mount is not None and mount.target == path:
        other = mount.fs_type
        return Finding(
            code="shared_path.wrong-type",
            severity=Severity.BLOCKS,
            host=name,
            what=f"{path} on {name} is {other}, but the cluster file says {storage.type}.",
            evidence=f"{_mount_words(mount)}.",
            why=_WHY_ONE,
            remedy=f"Unmount it on {name} once nothing in it is needed, and take it out of /etc/fstab; or correct the "
            f"type in the cluster file if {other} is what all hosts should have.",
        )
    data = below(storage, host, folder, facts)
    if data is not None:
        return data
    changes = changes_to_mount(storage, host, facts)
    source = source_of(storage, facts)
    line = boot_line(storage, host, facts)
    if line is not None:
        remedy = f'Add "{line}" to /etc/fstab on {name}, then: mount {path}.'
    elif source is not None:
        remedy = f"Mount {source} there; which Ceph user may do so, only you know: see mount.ceph(8)."
    else:
        remedy = f"Give storage {path} a source (or servers) in the cluster file, or mount it by hand on one host."
    return Finding(
        code="shared_path.not-mounted",
        severity=Severity.BLOCKS,
        host=name,
        what=f"{path} on {name} is a local folder; the {storage.type} storage is not mounted there."
        if folder.exists
        else f"{path} does not exist on {name}, and the {storage.type} storage is not mounted there.",
        evidence=f"{_mount_words(mount)}; {folder.entries} entries in it." if folder.exists else "No such folder.",
        why=_WHY_ONE,
        remedy=remedy,
        changes=changes,
    )


def _source(cluster: Cluster, storage: Storage, host: HostFacts, folder: FolderFact, facts: Facts) -> Iterator[Finding]:
    mount = shared_mount(folder, storage)
    wanted = source_of(storage, facts)
    if mount is None or wanted is None or mount.target != storage.path:
        return
    if same_source(storage, mount.source, wanted, facts) or proven_same(storage.path, host.host, facts):
        return
    name = host.host
    same = [
        other.host
        for other, seen in looked_at(storage, facts)
        if (its := shared_mount(seen, storage)) and its.target == storage.path and its.source == wanted
    ]
    said = "the cluster file says" if storage.mount_source is not None else f"on {listed(same)} it is"
    changes = changes_to_mount(storage, host, facts)
    yield Finding(
        code="shared_path.other-source",
        severity=Severity.BLOCKS,
        host=name,
        what=f"{storage.path} on {name} is mounted from {mount.source}; {said} {wanted}.",
        evidence=f"{_mount_words(mount)}.",
        why=_WHY_ONE,
        remedy=f"Mount {wanted} on {name} instead"
        + (f", after draining it: {listed(folder.open_by)} use what is mounted now." if folder.open_by else "."),
        changes=changes,
    )


def _read_only(
    cluster: Cluster, storage: Storage, host: HostFacts, folder: FolderFact, facts: Facts
) -> Iterator[Finding]:
    mount = folder.mount
    if mount is None or "ro" not in mount.options.split(","):
        return
    entry = boot_entry(host, storage)
    at_boot = entry is not None and entry.option("ro") is not None
    name, path = host.host, storage.path
    changes = _again(name, path, folder)
    if at_boot:
        changes = changes_to_mount(storage, host, facts)
    yield Finding(
        code="shared_path.read-only",
        severity=Severity.BLOCKS,
        host=name,
        what=f"{path} on {name} is mounted read-only.",
        evidence=f"Options {mount.options}" + (f'; /etc/fstab says "{entry.text}".' if entry and at_boot else "."),
        why="QEMU cannot open a disk for writing there, so no instance can run on or move to this host.",
        remedy=f"Find out why (an error of the file system, or ro in /etc/fstab or on the server), then on {name}: "
        f"umount {path} && mount {path}.",
        changes=changes,
    )


def _at_boot(storage: Storage, host: HostFacts, folder: FolderFact, facts: Facts) -> Iterator[Finding]:
    name, path = host.host, storage.path
    mount = folder.mount
    if mount is None or mount.target != path:
        return  # a mount above it, which is not declared
    entry = boot_entry(host, storage)
    automounted = any(each.fs_type == "autofs" for each in host.storage.mounts) if host.storage else False
    line = boot_line(storage, host, facts)
    remedy = f'Add "{line}" to /etc/fstab on {name}.' if line else f"Add it to /etc/fstab on {name}."
    if entry is None and not automounted:
        yield Finding(
            code="shared_path.not-at-boot",
            severity=Severity.DANGEROUS,
            host=name,
            what=f"{path} on {name} is mounted now, but not after the next boot.",
            evidence=f"{_mount_words(mount)}; neither /etc/fstab nor a mount unit mounts it at boot.",
            why="After a reboot instances would find an empty local folder, and new disks would be made in it.",
            remedy=remedy,
            changes=(*change_at_boot(storage, host, facts), *changes_to_wait(storage, host)),
        )
    elif entry is not None and not same_source(storage, entry.source, mount.source, facts):
        yield Finding(
            code="shared_path.other-at-boot",
            severity=Severity.DANGEROUS,
            host=name,
            what=f"{name} will mount {entry.source} on {path} at the next boot, not {mount.source} as now.",
            evidence=f"{entry.text}",
            why="After a reboot this host would not see the disks that the others see.",
            remedy=remedy,
            changes=() if entry.unit else change_at_boot(storage, host, facts),
        )
    if entry is not None:
        yield from judge_users(storage, host, entry)


def _access(storage: Storage, host: HostFacts, folder: FolderFact) -> Iterator[Finding]:
    user, _ = qemu_user(host)
    if may_pass(host, user, folder.mode, folder.uid, folder.gid) is not False:
        return
    name, path = host.host, storage.path
    mode = folder.mode | 0o011
    yield Finding(
        code="shared_path.closed",
        severity=Severity.BLOCKS,
        host=name,
        what=f"QEMU's user {user} may not pass through {path} on {name}.",
        evidence=f"Mode {folder.mode:04o}, owner {host.owner_of(folder.uid, folder.gid)}.",
        why="QEMU runs as its own user and needs the x bit of every folder above a disk.",
        remedy=f"chmod {mode:04o} {path}, once: the folder is shared.",
        changes=(Change(host=name, phase=Phase.STORAGE, step=SetMode(path=path, mode=mode)),),
    )


def _owner(storage: Storage, facts: Facts, usable: set[str]) -> Iterator[Finding]:
    """Nova makes files there as its own user; elsewhere libvirt works as root, and any owner will do."""
    for host, folder in looked_at(storage, facts):
        if host.host not in usable or host.identity is None or not is_novas(host, storage.path):
            continue
        nova = host.identity.user("nova")
        if nova is None or folder.uid == nova.uid:
            continue
        owner = host.owner_of(folder.uid, folder.gid)
        # What QEMU may pass through as the owner, or by its group, it may not once both are Nova's.
        passes = may_pass(host, qemu_user(host)[0], folder.mode, nova.uid, nova.gid)
        mode = folder.mode | 0o011 if passes is False else None
        step = SetMode(path=storage.path, owner="nova:nova", mode=mode)
        yield Finding(
            code="shared_path.owner",
            severity=Severity.BLOCKS if runs_nova(host) else Severity.DANGEROUS,
            host=host.host,
            what=f"{storage.path} belongs to {owner} on {host.host}, not to nova.",
            evidence=f"Owner {folder.uid}:{folder.gid} ({owner}), mode {folder.mode:04o}; nova is {nova.uid}.",
            why="nova-compute runs as nova and makes folders and lock files there; before a live migration the "
            "destination writes a file there to see whether the path is shared.",
            remedy=f"chown nova:nova {storage.path}{f' and chmod {mode:04o} {storage.path}' if mode else ''} on one "
            "host, after nova has the same number on all.",
            changes=(Change(host=host.host, phase=Phase.STORAGE, step=step),),
        )
        return  # once: the others see the same folder


def _hidden(storage: Storage, host: HostFacts, folder: FolderFact) -> Iterator[Finding]:
    if not folder.below_entries:
        return
    yield Finding(
        code="shared_path.hidden-data",
        severity=Severity.ADVICE,
        host=host.host,
        what=f"The mount on {storage.path} hides a local folder of {host.host} that is not empty.",
        evidence=f"{folder.below_entries} entries below the mount.",
        why="They take room on the local disk, and when the mount is missing they pass for the real ones.",
        remedy=f"Look at them through a bind mount of the file system below (mount --bind / /mnt), then remove or "
        f"move them on {host.host}.",
    )


def _local(storage: Storage, facts: Facts) -> Iterator[Finding]:
    for host, folder in looked_at(storage, facts):
        mount = folder.mount
        if mount is None or mount.fs_type not in fstab.SHARED_TYPES:
            continue
        yield Finding(
            code="shared_path.declared-local",
            severity=Severity.ADVICE,
            host=host.host,
            what=f"{storage.path} is declared local, but {host.host} has a shared file system there.",
            evidence=f"{_mount_words(mount)}.",
            why="Disks on shared storage need not be copied; hotfoot migrate looks at the hosts and does not copy "
            "them, but checks and preparations follow the cluster file.",
            remedy="Give the storage its real type in the cluster file, or unmount it.",
        )


def _mount_words(mount: MountFact | None) -> str:
    if mount is None:
        return "what it is mounted from is not known"
    return f"{mount.target} is {mount.fs_type} from {mount.source}"


TOPIC = Topic(
    name="shared_path",
    title="Shared folder of instances",
    judge=judge,
    files=(*fstab.FILES, NOVA_CONF, *FILES),
    units=UNITS,
    sections=("storage",),
)
