"""Hosts that mount instances' disks by NFS: the client installed, and mounted with options that keep disks whole.

Sources: requirement A3 of live migration with libvirt and Nova, nfs(5), systemd.mount(5).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hotfoot.cluster import Cluster, Storage
from hotfoot.readiness import fstab
from hotfoot.readiness.change import Change, Command, EditFile, Install, Mount, Phase
from hotfoot.readiness.edit import SetKey
from hotfoot.readiness.facts import Facts, HostFacts
from hotfoot.readiness.finding import Finding, Severity, Topic
from hotfoot.readiness.listing import listed
from hotfoot.readiness.mounting import boot_entry, change_at_boot, shared_mount

PACKAGES = ("nfs-common", "nfs-utils")
"""On Debian and Ubuntu; on Red Hat's systems."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """An option that is wrong wherever it stands, in fstab or in effect."""

    code: str
    severity: Severity
    options: tuple[str, ...]
    what: str
    why: str


_RULES = (
    _Rule(
        "soft",
        Severity.DANGEROUS,
        ("soft", "softerr"),
        "gives up when the server is slow (soft)",
        "An access that takes too long fails: the guest sees a broken disk and turns its file systems read-only, or "
        "loses what it wrote. A hard mount waits.",
    ),
    _Rule(
        "local-locks",
        Severity.DANGEROUS,
        ("nolock", "local_lock=all", "local_lock=posix", "local_lock=flock"),
        "keeps locks to itself",
        "QEMU locks the images that it writes, so that no two hosts write one; locks that the server does not know "
        "protect nothing.",
    ),
    _Rule(
        "udp",
        Severity.DANGEROUS,
        ("udp", "proto=udp", "proto=udp6", "mountproto=udp"),
        "uses UDP",
        "On fast networks fragments of different packets are put together to wrong data, which nobody notices; "
        "current kernels refuse it.",
    ),
    _Rule(
        "old-version",
        Severity.ADVICE,
        ("vers=2", "vers=3", "nfsvers=2", "nfsvers=3"),
        "speaks an old version of NFS",
        "Before version 4 locks are a service of their own, lost when the server restarts at the wrong moment, and "
        "more ports than 2049 have to be open.",
    ),
)


def judge(cluster: Cluster, facts: Facts) -> Iterable[Finding]:
    """Return what is wrong with the NFS clients of the declared NFS storages."""
    for storage in cluster.storage:
        if storage.type == "nfs":
            for host in facts.hosts:
                yield from _client(storage, host)
                yield from _options(storage, host, facts)


def _client(storage: Storage, host: HostFacts) -> Iterator[Finding]:
    package = PACKAGES[1 if host.os is not None and host.os.redhat_like else 0]
    if package not in host.packages and "packages" not in host.failures:
        yield Finding(
            code="nfs_client.not-installed",
            severity=Severity.BLOCKS,
            host=host.host,
            what=f"{host.host} cannot mount NFS: its client is not installed.",
            evidence=f"Package {package} is not installed.",
            why=f"The disks of instances are in {storage.path}, which every host mounts.",
            remedy=f"Install {package} on {host.host}.",
            changes=(Change(host=host.host, phase=Phase.PACKAGES, step=Install(packages=(package,))),),
        )
        return
    folder = host.storage.folder(storage.path) if host.storage else None
    if host.storage is None or folder is None or shared_mount(folder, storage) or boot_entry(host, storage) is None:
        return
    if not {"nfs", "nfs4"} & set(host.storage.kernel_filesystems):
        load = Command(
            title="load the kernel's NFS client",
            argv=("modprobe", "-a", "nfsv4"),
            done_if=("grep", "-qw", "nfs4", "/proc/filesystems"),
        )
        yield Finding(
            code="nfs_client.kernel",
            severity=Severity.DANGEROUS,
            host=host.host,
            what=f"The kernel of {host.host} has no NFS client loaded, though /etc/fstab wants {storage.path} by NFS.",
            evidence="/proc/filesystems lists neither nfs nor nfs4, and it is not mounted.",
            why="Where the kernel has the module, mounting loads it; a kernel without it can never mount the storage.",
            remedy=f"On {host.host}: modprobe nfsv4; if there is no such module, install the kernel's full package "
            "(some cloud kernels have none).",
            changes=(Change(host=host.host, phase=Phase.STORAGE, step=load),),
        )


def _options(storage: Storage, host: HostFacts, facts: Facts) -> Iterator[Finding]:
    folder = host.storage.folder(storage.path) if host.storage else None
    mount = shared_mount(folder, storage) if folder is not None else None
    if folder is not None and mount is not None and mount.target != storage.path:
        return  # a mount above the path, which is not ours to change
    entry = boot_entry(host, storage)
    effective = mount.options.split(",") if mount is not None else []
    written = entry.options if entry is not None else ()
    for rule in _RULES:
        in_effect = [option for option in effective if _is(option, rule.options)]
        at_boot = [option for option in written if _is(option, rule.options)]
        if in_effect or at_boot:
            told = [f"in effect: {', '.join(in_effect)}"] if in_effect else []
            if entry is not None and at_boot:
                told.append(f"written: {entry.text}" if not entry.unit else f"in {entry.text}: {', '.join(at_boot)}")
            yield _wrong(
                storage,
                host,
                facts,
                code=rule.code,
                severity=rule.severity,
                what=f"{storage.path} on {host.host} {rule.what}.",
                evidence="; ".join(told) + ".",
                why=rule.why,
                at_boot=bool(at_boot),
                now=bool(in_effect),
            )
    if entry is None or entry.unit:
        return
    if entry.fs_type == "auto":
        yield _wrong(
            storage,
            host,
            facts,
            code="type-auto",
            severity=Severity.DANGEROUS,
            what=f"/etc/fstab of {host.host} does not say that {storage.path} is NFS.",
            evidence=entry.text,
            why="Without the type, and without _netdev, systemd takes it for a local disk and tries to mount it "
            "before the network is up.",
            at_boot=True,
            now=False,
        )
    elif entry.option("nofail") is None and entry.option("x-systemd.automount") is None:
        yield _wrong(
            storage,
            host,
            facts,
            code="no-nofail",
            severity=Severity.ADVICE,
            what=f"{host.host} does not finish booting while the server of {storage.path} is away.",
            evidence=entry.text,
            why="Without nofail a mount that fails holds up the boot and what comes after it, SSH included on some "
            "systems.",
            at_boot=True,
            now=False,
        )


def _wrong(
    storage: Storage,
    host: HostFacts,
    facts: Facts,
    *,
    code: str,
    severity: Severity,
    what: str,
    evidence: str,
    why: str,
    at_boot: bool,
    now: bool,
) -> Finding:
    folder = host.storage.folder(storage.path) if host.storage else None
    users = folder.open_by if folder else ()
    options = ",".join(fstab.NFS_OPTIONS)
    remedy = f"Give {storage.path} the options {options} in /etc/fstab on {host.host}" if at_boot else ""
    if now:
        again = f"unmount and mount {storage.path} on {host.host}" + (f", drained of {listed(users)}" if users else "")
        remedy = f"{remedy}, then {again}" if remedy else again[0].upper() + again[1:]
    changes = _corrected(storage, host, facts) if at_boot else ()
    if now and not users:
        mount = Mount(path=storage.path, again=True)
        changes = (*changes, Change(host=host.host, phase=Phase.STORAGE, step=mount))
    return Finding(
        code=f"nfs_client.{code}",
        severity=severity,
        host=host.host,
        what=what,
        evidence=evidence,
        why=why,
        remedy=f"{remedy}.",
        changes=changes,
    )


def _corrected(storage: Storage, host: HostFacts, facts: Facts) -> tuple[Change, ...]:
    """The whole line is written anew, the options of a mount unit likewise."""
    entry = boot_entry(host, storage)
    if entry is not None and entry.unit:
        options = [option for option in fstab.NFS_OPTIONS if option != "nofail"]  # a word of fstab, not of units
        edit = SetKey(section="Mount", key="Options", value=",".join(options))
        return (Change(host=host.host, phase=Phase.STORAGE, step=EditFile(path=entry.text, edits=(edit,))),)
    return change_at_boot(storage, host, facts)


def _is(option: str, wrong: tuple[str, ...]) -> bool:
    # vers=3 and vers=3.0 alike, but never vers=4.2.
    return option in wrong or (option.partition("=")[0] in ("vers", "nfsvers") and option.partition(".")[0] in wrong)


TOPIC = Topic(
    name="nfs_client",
    title="NFS client",
    judge=judge,
    files=fstab.FILES,
    packages=PACKAGES,
    sections=("storage",),
)
