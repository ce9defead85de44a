"""The lab's Ceph: a real monitor and OSD apart from the hosts, as an operator's cluster is.

It has either a pool for disks (RBD), or a file system with a metadata server (CephFS). Its processes live in the lab's
own namespaces beside the hosts, at an address of their own on the management network, and end with the lab. Debian
13's manager cannot load its modules, and neither needs it, so that there is none.
"""

from __future__ import annotations

import base64
import os
import struct
import time
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from uuid import UUID, uuid5

from hotfoot.lab import ceph_image, namespaces, store
from hotfoot.lab.command import LabError, run
from hotfoot.lab.namespaces import host_argv
from hotfoot.lab.spec import INSTANCES_PATH, Lab, LabHost, LabInstance

POOL = "vms"
FILE_SYSTEM = "instances"
"""Of the same name is the folder in it that hosts mount: of 4 GiB, by a quota."""
USER = "libvirt"
"""QEMU's, of disks in the pool."""
MOUNTER = "compute"
"""That of the hosts which mount the file system."""
KEYRING = f"ceph/ceph.client.{USER}.keyring"
"""On the controller, relative to the lab's folder: the only key that leaves a cluster with a pool."""
MOUNTER_KEYRING = f"ceph/ceph.client.{MOUNTER}.keyring"
"""The same of one with a file system."""
_CLUSTER_CAPS = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "mgr": "allow *", "osd": "allow *", "mds": "allow *"},
    "osd.0": {"mon": "allow profile osd", "mgr": "allow profile osd", "osd": "allow *"},
}
_POOL_CAPS = {
    # As Ceph's "Block Devices and OpenStack" gives them: older ones leave images locked after a crash.
    f"client.{USER}": {
        "mon": "profile rbd",
        "osd": f"profile rbd pool={POOL}",
        "mgr": f"profile rbd pool={POOL}",
    },
}
_FILE_SYSTEM_CAPS = {
    "mds.a": {"mon": "allow profile mds", "mgr": "allow profile mds", "osd": "allow *", "mds": "allow *"},
    # As `ceph fs authorize` gives them.
    f"client.{MOUNTER}": {
        "mon": f"allow r fsname={FILE_SYSTEM}",
        "mds": f"allow rw fsname={FILE_SYSTEM}",
        "osd": f"allow rw tag cephfs data={FILE_SYSTEM}",
    },
}
_START_TIMEOUT_S = 120


def address(lab: Lab) -> str:
    """Return where the monitor answers, on the lab's management network."""
    return f"10.77.{lab.number}.251"


def secret(lab: Lab) -> UUID:
    """Return the UUID of libvirt's secret, one for all hosts."""
    return uuid5(lab.hosts[0].uuid, "ceph secret")


def fsid(lab: Lab) -> UUID:
    """Return the cluster's own UUID."""
    return uuid5(lab.hosts[0].uuid, "ceph")


def start(lab: Lab, say: Callable[[str], None]) -> None:
    """Start the cluster beside the hosts, and wait until it serves; raises LabError where it does not."""
    image = ceph_image.ensure(say)
    _write_keys(lab)
    say("starting a Ceph cluster beside the hosts")
    folder = store.folder_of(lab.name)
    net = ["nsenter", "-t", str(lab.supervisor_pid), "--net", "--"]
    run([*net, "ip", "address", "add", f"{address(lab)}/24", "dev", "mgmt"])
    with as_file(files("hotfoot.lab") / "host" / "ceph.sh") as script:
        argv = ["nsenter", "-t", lab.supervisor_pid, "--mount", "--net", "--pid", "--", "sh", script]
        argv += [image, folder / "disks" / "ceph", folder / "ceph"]
        argv += ["cephfs", FILE_SYSTEM] if lab.storage == "cephfs" else ["rbd", POOL]
        outer = namespaces.spawn([str(word) for word in argv], lab.name, folder / "log" / "ceph.log")
        _wait(lab, outer)


def _wait(lab: Lab, outer: int) -> None:
    folder = store.folder_of(lab.name)
    log = folder / "log" / "ceph.log"
    end = time.monotonic() + _START_TIMEOUT_S
    while not (folder / "ceph" / "ready").exists():
        if time.monotonic() > end or namespaces.started_at(outer) is None:
            said = log.read_text(errors="replace").strip().splitlines() or ["no message"]
            raise LabError(f"The lab's Ceph did not come up: {said[-1]} (see {log}).")
        time.sleep(0.1)


def cluster_lines(lab: Lab) -> list[str]:
    """Return what the lab's cluster file says of Ceph."""
    return [
        f"ceph: {{user: {USER}, keyring: {KEYRING}, secret: {secret(lab)},",
        f"       monitors: [{address(lab)}], pools: [{POOL}]}}",
    ]


def storage_words(lab: Lab) -> str:
    """Return what the lab's cluster file says of the file system beside its path and type."""
    return f"source: '{_source(lab)}',\n     keyring: {MOUNTER_KEYRING}, monitors: [{address(lab)}]"


def _source(lab: Lab) -> str:
    return f"{MOUNTER}@{fsid(lab)}.{FILE_SYSTEM}=/{FILE_SYSTEM}"


def file_system_entry(lab: Lab) -> str:
    """Return the first four fields of the line in /etc/fstab that mounts the file system on a host.

    By ceph-fuse where hosts share this machine's kernel, by their own kernel where they are virtual machines.
    """
    if lab.vm_accelerator:
        return f"{_source(lab)} {INSTANCES_PATH} ceph noatime,_netdev,nofail"
    options = f"ceph.id={MOUNTER},ceph.client_fs={FILE_SYSTEM},ceph.client_mountpoint=/{FILE_SYSTEM},_netdev,nofail"
    return f"none {INSTANCES_PATH} fuse.ceph {options}"


def join_file_system(lab: Lab, host: LabHost) -> None:
    """Make a running host ready to mount the file system, as ``hotfoot prepare`` would.

    libvirt is told that what lies there is shared, unless the kernel mounts it: it does not know ceph-fuse.
    """
    _give_key(lab, host, MOUNTER_KEYRING, "0600")
    if lab.vm_accelerator:
        return
    told = f'shared_filesystems = [ "{INSTANCES_PATH}" ]'
    script = 'grep -qxF "$1" "$2" || echo "$1" >> "$2"; systemctl try-restart libvirtd'
    run([*host_argv(lab, host), "sh", "-c", script, "sh", told, "/etc/libvirt/qemu.conf"])


def _give_key(lab: Lab, host: LabHost, relative: str, mode: str) -> str:
    """Write a client's configuration and keyring on a host; return the keyring's text."""
    keyring = (store.folder_of(lab.name) / relative).read_text()
    write = 'mkdir -p /etc/ceph && umask 077 && cat > "$1" && chmod "$2" "$1"'
    for path, of, text in (("ceph.conf", "0644", _client_conf(lab)), (Path(relative).name, mode, keyring)):
        run([*host_argv(lab, host), "sh", "-c", write, "sh", f"/etc/ceph/{path}", of], stdin=text)
    return keyring


def join(lab: Lab, host: LabHost) -> None:
    """Make a running host a client of the cluster's pool, as ``hotfoot prepare`` would."""
    keyring = _give_key(lab, host, KEYRING, "0640")
    inside = host_argv(lab, host)
    xml = f"<secret ephemeral='no' private='yes'><uuid>{secret(lab)}</uuid><usage type='ceph'>"
    xml += f"<name>client.{USER}</name></usage></secret>"
    run([*inside, "virsh", "-q", "secret-define", "/dev/stdin"], stdin=xml)
    key = keyring.rpartition("key = ")[2].strip()
    run([*inside, "virsh", "-q", "secret-set-value", str(secret(lab)), "--file", "/dev/stdin"], stdin=key)


def disk_xml(lab: Lab, instance: LabInstance) -> str:
    """Return the part of an instance's definition that is its disk in the pool."""
    return f"""<disk type='network' device='disk'><driver name='qemu' type='raw' cache='none'/>
<auth username='{USER}'><secret type='ceph' uuid='{secret(lab)}'/></auth>
<source protocol='rbd' name='{POOL}/{instance.name}'><host name='{address(lab)}' port='3300'/></source>
<target dev='vda' bus='virtio'/></disk>"""


def make_disk(lab: Lab, instance: LabInstance, size_mib: int) -> None:
    """Make an instance's empty disk in the pool."""
    _rbd(lab, "create", "--size", str(size_mib), f"{POOL}/{instance.name}")


def remove_disk(lab: Lab, instance: LabInstance) -> None:
    """Remove the disk of an instance that has ended."""
    _rbd(lab, "rm", "--no-progress", f"{POOL}/{instance.name}")


def _rbd(lab: Lab, *words: str) -> None:
    root = store.folder_of(lab.name) / "disks" / "ceph" / "root"
    inside = ["nsenter", "-t", str(lab.supervisor_pid), "--mount", "--net", "--pid", "--", "chroot", str(root)]
    run([*inside, "rbd", *words])


def _write_keys(lab: Lab) -> None:
    """Draw all keys of the cluster; that of the hosts' user lies where the cluster file says, for root alone."""
    folder = store.folder_of(lab.name) / "ceph"
    folder.mkdir(mode=0o700)
    of_files = lab.storage == "cephfs"
    user, keyring = (MOUNTER, MOUNTER_KEYRING) if of_files else (USER, KEYRING)
    given = _CLUSTER_CAPS | (_FILE_SYSTEM_CAPS if of_files else _POOL_CAPS)
    keys = {entity: _new_key() for entity in given}
    everything = "".join(
        f"[{entity}]\n\tkey = {keys[entity]}\n" + "".join(f'\tcaps {kind} = "{caps}"\n' for kind, caps in of.items())
        for entity, of in given.items()
    )
    own = f"[client.{user}]\n\tkey = {keys[f'client.{user}']}\n"
    for name, text in (("keyring", everything), (Path(keyring).name, own), ("ceph.conf", _server_conf(lab))):
        path = folder / name
        path.touch(0o600)
        path.write_text(text)


def _new_key() -> str:
    """Draw a key as Ceph writes it: type AES, time of making, length, 16 random bytes (CryptoKey::encode)."""
    return base64.b64encode(struct.pack("<HIIH", 1, int(time.time()), 0, 16) + os.urandom(16)).decode()


def _client_conf(lab: Lab) -> str:
    return f"[global]\nfsid = {fsid(lab)}\nmon_host = {address(lab)}\n"


def _server_conf(lab: Lab) -> str:
    return f"""[global]
fsid = {fsid(lab)}
public_addr = {address(lab)}
mon_host = {address(lab)}
keyring = /etc/ceph/ceph.keyring
osd_objectstore = memstore
osd_crush_chooseleaf_type = 0
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_autoscale_mode = off
memstore_device_bytes = 4294967296
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
auth_allow_insecure_global_id_reclaim = false
ms_bind_ipv6 = false
"""
