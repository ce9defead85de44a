"""Facts of hosts as far as storage needs them, written by hand: right in everything, to be broken one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from hotfoot.cluster import Cluster
from hotfoot.cluster.validation import cluster_from
from hotfoot.readiness.edit import apply
from hotfoot.readiness.facts import (
    Facts,
    FolderFact,
    GroupFact,
    HostFacts,
    IdentityFact,
    MountFact,
    NameFact,
    OsFact,
    Proofs,
    SharedProof,
    StorageFact,
    Text,
    UnitFact,
    UserFact,
)
from hotfoot.readiness.finding import Finding, Topic
from hotfoot.readiness.judge import judge
from hotfoot.readiness.plan import Plan, plan

PATH = "/var/lib/nova/instances"
NAMES = ("n1", "n2", "n3")
LOCAL = MountFact(target="/", source="/dev/vda1", fs_type="ext4", options="rw,relatime")
NFS_LINE = f"n1:/srv/nova {PATH} nfs4 vers=4.2,proto=tcp,hard,noatime,_netdev,nofail 0 0\n"
NFS = MountFact(
    target=PATH, source="n1:/srv/nova", fs_type="nfs4", options="rw,noatime,vers=4.2,hard,proto=tcp,local_lock=none"
)
GLUSTER = MountFact(target=PATH, source="localhost:/instances", fs_type="fuse.glusterfs", options="rw,relatime")
PLENTY = {"free_bytes": 100 << 30, "free_inodes": 1_000_000}


def cluster(*storage: dict[str, Any], names: Sequence[str] = NAMES) -> Cluster:
    hosts = [{"name": name, "address": f"10.0.0.{number}"} for number, name in enumerate(names, 1)]
    return cluster_from({"hosts": hosts, "storage": storage})


def host(
    name: str,
    *,
    mounts: Iterable[MountFact] = (),
    folders: Iterable[FolderFact] | None = None,
    files: dict[str, str] | None = None,
    packages: Iterable[str] = (),
    units: Iterable[UnitFact] = (),
    nova: int | None = None,
    storage: dict[str, Any] | None = None,
    os: str = "debian",
) -> HostFacts:
    """A Debian host with all its mounts and declared folders; ``nova`` is the number of a user nova."""
    table = (LOCAL, *mounts)
    if folders is None:
        top = max((mount for mount in table if PATH.startswith(mount.target)), key=lambda mount: len(mount.target))
        folders = [folder(mount=top)]
    qemu = UserFact(name="libvirt-qemu", uid=64055, gid=993)
    users = [UserFact(name="root", uid=0, gid=0), UserFact(name="nobody", uid=65534, gid=65534), qemu]
    if nova is not None:
        users.append(UserFact(name="nova", uid=nova, gid=nova))
    groups = [GroupFact(name="kvm", gid=993), GroupFact(name="nogroup", gid=65534)]
    return HostFacts(
        host=name,
        os=OsFact(id=os, version="13"),
        names=NameFact(hostname=name, fqdn=f"{name}.example.org", addresses=(f"10.0.0.{name[1:]}",)),
        identity=IdentityFact(users=tuple(users), groups=tuple(groups)),
        units={unit.name: unit for unit in units},
        packages=dict.fromkeys(packages, "1"),
        files={path: text(path, content) for path, content in (files or {}).items()},
        storage=StorageFact(
            folders=tuple(folders),
            mounts=table,
            **{"kernel_filesystems": ("ext4", "nfs4", "fuse"), **(storage or {})},
        ),
    )


def folder(path: str = PATH, mount: MountFact = LOCAL, **told: Any) -> FolderFact:
    return FolderFact.model_validate(
        {"path": path, "exists": True, "mount": mount, "mode": 0o755, "uid": 64055, "gid": 993, **PLENTY, **told}
    )


def text(path: str, content: str) -> Text:
    digest = hashlib.sha256(content.encode()).hexdigest()
    return Text(path=path, exists=True, content=content, sha256=digest, mode=0o644)


def proofs(hosts: Iterable[HostFacts], path: str = PATH, **different: Any) -> Proofs:
    """All that two by two can be proved of a path that is right, ``different`` in every pair."""
    names = [each.host for each in hosts]
    right = {
        "same": True,
        "writer_uid": 0,
        "writer_gid": 0,
        "reader_uid": 0,
        "reader_gid": 0,
        "lock_refused": True,
        "direct": True,
    }
    return Proofs(
        shared=tuple(
            SharedProof.model_validate({"path": path, "writer": writer, "reader": reader, **right, **different})
            for writer in names
            for reader in names
            if writer != reader
        )
    )


def found(topic: Topic, declared: Cluster, *hosts: HostFacts, proved: Proofs | None = None) -> list[Finding]:
    return list(judge(declared, Facts(hosts=hosts, proofs=proved), [topic]))


def codes(findings: Iterable[Finding]) -> list[str]:
    """Codes with the host each is about, without the topic's name."""
    return sorted(f"{finding.code.partition('.')[2]} {finding.host}" for finding in findings)


def planned(findings: Iterable[Finding], *hosts: HostFacts) -> Plan:
    return plan(findings, Facts(hosts=hosts))


def titles(findings: Iterable[Finding], *hosts: HostFacts) -> list[str]:
    return [f"{change.host}: {change.title}" for change in planned(findings, *hosts).changes]


def with_files(findings: Iterable[Finding], *hosts: HostFacts) -> tuple[HostFacts, ...]:
    """The hosts after all planned edits of files."""
    changed = {each.host: each for each in hosts}
    for change in planned(findings, *hosts).changes:
        if change.new_text is not None:
            path = change.step.path  # type: ignore[union-attr]
            before = changed[change.host]
            assert apply(change.new_text, getattr(change.step, "edits", ())) == change.new_text
            files = {**before.files, path: text(path, change.new_text)}
            changed[change.host] = before.model_copy(update={"files": files})
    return tuple(changed.values())
