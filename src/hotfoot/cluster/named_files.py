"""The files that a cluster file names: whether they are there, and for whom."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from hotfoot.cluster.fence import Fence
from hotfoot.cluster.model import Cluster, Ssh
from hotfoot.cluster.yaml_lines import Location

_PKI_FILES = ("cacert.pem", "clientcert.pem", "clientkey.pem")


def wrong_files(cluster: Cluster, *, certificates: bool) -> Iterator[tuple[Location, str]]:
    """Yield what is wrong with the named files: the key that names one, and what goes on after the key's name.

    Without ``certificates`` those of ``libvirt.pki`` may have yet to be made.
    """
    yield from _ssh_files(cluster.ssh, ("ssh",))
    yield from _fence_files(cluster.fence, ("fence",))
    for index, host in enumerate(cluster.hosts):
        yield from _ssh_files(host.ssh, ("hosts", index, "ssh"))
        yield from _fence_files(host.fence, ("hosts", index, "fence"))
    if cluster.ceph is not None and cluster.ceph.keyring is not None:
        yield from _secret(cluster.ceph.keyring, ("ceph", "keyring"))
    for index, storage in enumerate(cluster.storage):
        if storage.keyring is not None:
            yield from _secret(storage.keyring, ("storage", index, "keyring"))
    if cluster.openstack is not None and cluster.openstack.clouds_file is not None:
        yield from _readable(cluster.openstack.clouds_file, ("openstack", "clouds_file"))
    for index, iscsi in enumerate(cluster.iscsi):
        if iscsi.chap is not None:
            yield from _secret(iscsi.chap.password_file, ("iscsi", index, "chap", "password_file"))
    if certificates and cluster.libvirt.pki is not None and cluster.libvirt.transport == "tls":
        yield from _pki(cluster.libvirt.pki)


def _pki(folder: Path) -> Iterator[tuple[Location, str]]:
    place = ("libvirt", "pki")
    if not folder.is_dir():
        yield place, f"there is no folder {folder}; `hotfoot prepare` makes it"
        return
    missing = [name for name in _PKI_FILES if not os.access(folder / name, os.R_OK)]
    if missing:
        yield place, f"the folder {folder} has no readable {' and no '.join(missing)}"


def _readable(path: Path, place: Location, hint: str = "") -> Iterator[tuple[Location, str]]:
    if not path.is_file():
        yield place, f"there is no file {path}{hint}"
    elif not os.access(path, os.R_OK):
        yield place, f"{path} cannot be read by this user"


def _secret(path: Path, place: Location) -> Iterator[tuple[Location, str]]:
    wrong = tuple(_readable(path, place))
    yield from wrong
    if not wrong and path.stat().st_mode & 0o077:
        yield place, f"others may read {path}, which holds a secret: `chmod 600 {path}`"


def _ssh_files(ssh: Ssh, section: Location) -> Iterator[tuple[Location, str]]:
    if ssh.key is not None:
        place = (*section, "key")
        wrong = tuple(_readable(ssh.key, place))
        yield from wrong
        if not wrong and ssh.key.stat().st_uid == os.getuid() and ssh.key.stat().st_mode & 0o077:
            # The rule of OpenSSH (sshkey_perm_ok), which ignores such a key.
            yield place, f"others may read {ssh.key}, so ssh refuses it: `chmod 600 {ssh.key}`"
    if ssh.known_hosts is not None:
        hint = "; `ssh-keyscan ADDRESS` prints what belongs into it, to be checked"
        yield from _readable(ssh.known_hosts, (*section, "known_hosts"), hint)


def _fence_files(fence: Fence | None, section: Location) -> Iterator[tuple[Location, str]]:
    if fence is None:
        return
    if fence.redfish is not None:
        yield from _secret(fence.redfish.password_file, (*section, "redfish", "password_file"))
        if fence.redfish.ca_file is not None:
            yield from _readable(fence.redfish.ca_file, (*section, "redfish", "ca_file"))
    if fence.ipmi is not None:
        yield from _secret(fence.ipmi.password_file, (*section, "ipmi", "password_file"))
