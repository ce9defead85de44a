"""The first cluster file, from what hosts tell: pure, facts in, text out."""

from __future__ import annotations

import json
import re
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
    lines += [*_reached(facts, ssh), "hosts:"]
    lines += [f"  - {{name: {names[host.host]}, address: {addresses[host.host]}}}" for host in facts.hosts]
    return "\n".join(lines) + "\n"


def first_cloud_file(
    facts: Facts, addresses: Mapping[str, str], openstack: Mapping[str, str], ssh: Mapping[str, str] | None = None
) -> str:
    """Return the text of a cluster file for an OpenStack cloud.

    ``addresses`` gives the address of each compute host by Nova's name of it, ``openstack`` what that section is to
    say. A host that could not be reached by SSH is left out, in a comment: all is done by Nova alone there. So is a
    second one with the same address.
    """
    keys = ", ".join(f"{key}: {_scalar(value)}" for key, value in openstack.items())
    lines = [
        "# Written by `hotfoot init` from what the cloud and its compute hosts told; docs/openstack.md explains it.",
        f"openstack: {{{keys}}}",
    ]
    told = {host.host for host in facts.hosts}
    silent = {silence.host: silence.reason for silence in facts.silent}
    first: dict[str, str] = {}
    entries = []
    for name, address in addresses.items():
        entry = f"- {{name: {_scalar(name)}, address: {address}}}"
        if name in told and first.setdefault(address, name) == name:
            entries.append(f"  {entry}")
        else:
            why = silent.get(name) or f"it has the address of {first.get(address)}"
            entries.append(f"  # {entry}  # left out: {' '.join(why.split())}")
    if told:
        lines += [*_reached(facts, ssh), "hosts:", *entries]
    else:
        lines += ["# No compute host could be reached by SSH. Those that can be may be declared:", "# hosts:", *entries]
    return "\n".join(lines) + "\n"


def _scalar(text: str) -> str:
    """Write text so that YAML reads the same text."""
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9._/-]*", text) and text.lower() not in _NOT_TEXT
    return text if plain else json.dumps(text)


_NOT_TEXT = frozenset(("true", "false", "yes", "no", "on", "off", "null", "y", "n"))
"""Words that YAML (1.1 or 1.2) takes for something else."""


def _reached(facts: Facts, ssh: Mapping[str, str] | None) -> list[str]:
    lines = [f"ssh: {{{', '.join(f'{key}: {value}' for key, value in ssh.items())}}}"] if ssh else []
    storage = _storage(facts.hosts)
    return [*lines, *_transport(facts.hosts), *(["storage:", *storage] if storage else [])]


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
