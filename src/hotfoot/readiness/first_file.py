"""The first cluster file, from what hosts tell: pure, facts in, text out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from hotfoot.readiness.facts import Facts, HostFacts, MountFact

TLS_PORT = 16514
_NETWORK_TYPES = {
    "nfs": "nfs",
    "nfs4": "nfs",
    "fuse.glusterfs": "glusterfs",
    "ceph": "cephfs",
    "fuse.ceph-fuse": "cephfs",
    "ocfs2": "ocfs2",
    "gfs2": "gfs2",
}
USUAL_PATHS = ("/var/lib/nova/instances", "/var/lib/libvirt/images")
"""Where disks of instances usually lie."""


def first_file(facts: Facts, addresses: Mapping[str, str], ssh: Mapping[str, str] | None = None) -> str:
    """Return the text of a cluster file.

    ``addresses`` gives each host's address by the name that it was asked for with, ``ssh`` what was needed to log in
    (user, key, port, known_hosts; values as they are to stand in the file). Whatever is a guess carries a comment.
    """
    names = _names(facts.hosts)
    lines = ["# Written by `hotfoot init` from what the hosts told; docs/cluster-file.md explains every key."]
    if ssh:
        lines.append(f"ssh: {{{', '.join(f'{key}: {value}' for key, value in ssh.items())}}}")
    lines += _transport(facts.hosts)
    storage = _storage(facts.hosts)
    if storage:
        lines += ["storage:", *storage]
    lines.append("hosts:")
    lines += [f"  - {{name: {names[host.host]}, address: {addresses[host.host]}}}" for host in facts.hosts]
    return "\n".join(lines) + "\n"


def _names(hosts: Sequence[HostFacts]) -> dict[str, str]:
    """Call each host by its own host name, or as it was asked for where two have the same."""
    own = {host.host: (host.names.hostname.partition(".")[0] if host.names else "") for host in hosts}
    times = Counter(own.values())
    return {asked: name if name and times[name] == 1 else asked for asked, name in own.items()}


def _transport(hosts: Sequence[HostFacts]) -> list[str]:
    listening = [host.host for host in hosts if any(socket.port == TLS_PORT for socket in host.listeners or ())]
    if len(listening) == len(hosts):
        return ["libvirt: {transport: tls}  # all hosts listen for it"]
    if listening:
        return [f"libvirt: {{transport: ssh}}  # for TLS only {', '.join(listening)} listens"]
    return ["libvirt: {transport: ssh}  # no host listens for TLS; write tls and `hotfoot prepare` sets it up"]


def _storage(hosts: Sequence[HostFacts]) -> list[str]:
    paths: dict[str, None] = {}
    for host in hosts:
        if host.storage is None:
            continue
        shared = [mount.target for mount in host.storage.mounts if mount.fs_type in _NETWORK_TYPES]
        pools = host.libvirt.pools.values() if host.libvirt else ()
        used = [path for path in (*pools, *USUAL_PATHS) if (folder := host.storage.folder(path)) and folder.entries]
        paths.update(dict.fromkeys((*shared, *used)))
    lines = []
    for path in paths:
        mounts = [_mount_of(host, path) for host in hosts]
        types = {_NETWORK_TYPES.get(mount.fs_type, "local") if mount else "local" for mount in mounts}
        if len(types) == 1:
            lines.append(f"  - {{path: {path}, type: {types.pop()}}}")
            continue
        with_it = [host.host for host, mount in zip(hosts, mounts, strict=True) if mount and _shared(mount)]
        kind = next(kind for kind in sorted(types) if kind != "local")
        lines.append(f"  - {{path: {path}, type: {kind}}}  # mounted on {', '.join(with_it)} only")
    return lines


def _shared(mount: MountFact) -> bool:
    return mount.fs_type in _NETWORK_TYPES


def _mount_of(host: HostFacts, path: str) -> MountFact | None:
    """Return the file system that a path is on: the longest mount point above it."""
    mounts = host.storage.mounts if host.storage else ()
    above = [m for m in mounts if path == m.target or path.startswith(m.target.rstrip("/") + "/")]
    return max(above, key=lambda mount: len(mount.target), default=None)
