"""The lab's Ceph: a real monitor and OSD apart from the hosts, as an operator's cluster is.

It has either a pool for disks (RBD), or a file system with a metadata server (CephFS). Its processes live in the lab's
own namespaces beside the hosts, at an address of their own on the management network, and end with the lab. Debian
13's manager cannot load its modules, and neither needs it, so that there is none. The images of the pool are the lab's
own, or the volumes of Cinder.
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
from hotfoot.lab.host_files import File
from hotfoot.lab.namespaces import host_argv
from hotfoot.lab.spec import INSTANCES_PATH, Lab, LabHost, LabInstance

FILE_SYSTEM = "instances"
"""Of the same name is the folder in it that hosts mount: of 4 GiB, by a quota."""
MOUNTER = "compute"
"""That of the hosts which mount the file system."""
MOUNTER_KEYRING = f"ceph/ceph.client.{MOUNTER}.keyring"
"""On the controller, relative to the lab's folder: the only key that leaves a cluster with a file system."""
_CLUSTER_CAPS = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "mgr": "allow *", "osd": "allow *", "mds": "allow *"},
    "osd.0": {"mon": "allow profile osd", "mgr": "allow profile osd", "osd": "allow *"},
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


def has_pool(lab: Lab) -> bool:
    """Whether the lab has a cluster with a pool for disks."""
    return lab.storage == "ceph" or lab.volumes


def pool(lab: Lab) -> str:
    """Return the pool's name; Cinder's is called as the guides have it."""
    return "volumes" if lab.volumes else "vms"


def user(lab: Lab) -> str:
    """Return the user as which QEMU opens images; where Cinder makes them, it gives QEMU its own."""
    return "cinder" if lab.volumes else "libvirt"


def keyring(lab: Lab) -> str:
    """Return where that user's key is, relative to the lab's folder: the only one that leaves a cluster with a pool."""
    return f"ceph/ceph.client.{user(lab)}.keyring"


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
        argv += ["cephfs", FILE_SYSTEM] if lab.storage == "cephfs" else ["rbd", pool(lab)]
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
        f"ceph: {{user: {user(lab)}, keyring: {keyring(lab)}, secret: {secret(lab)},",
        f"       monitors: [{address(lab)}], pools: [{pool(lab)}]}}",
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
    key_text = (store.folder_of(lab.name) / relative).read_text()
    write = 'mkdir -p /etc/ceph && umask 077 && cat > "$1" && chmod "$2" "$1"'
    for path, of, text in (("ceph.conf", "0644", _client_conf(lab)), (Path(relative).name, mode, key_text)):
        run([*host_argv(lab, host), "sh", "-c", write, "sh", f"/etc/ceph/{path}", of], stdin=text)
    return key_text


def client_files(lab: Lab) -> dict[str, File]:
    """Return what a client of the cluster's pool has besides its programs, by path relative to its root."""
    name = Path(keyring(lab)).name
    return {
        "etc/ceph/ceph.conf": File(_client_conf(lab)),
        f"etc/ceph/{name}": File((store.folder_of(lab.name) / keyring(lab)).read_text(), 0o600),
    }


def join(lab: Lab, host: LabHost) -> None:
    """Make a running host a client of the cluster's pool, as ``hotfoot prepare`` would."""
    key_text = _give_key(lab, host, keyring(lab), "0640")
    inside = host_argv(lab, host)
    xml = f"<secret ephemeral='no' private='yes'><uuid>{secret(lab)}</uuid><usage type='ceph'>"
    xml += f"<name>client.{user(lab)}</name></usage></secret>"
    run([*inside, "virsh", "-q", "secret-define", "/dev/stdin"], stdin=xml)
    key = key_text.rpartition("key = ")[2].strip()
    run([*inside, "virsh", "-q", "secret-set-value", str(secret(lab)), "--file", "/dev/stdin"], stdin=key)


def disk_xml(lab: Lab, instance: LabInstance) -> str:
    """Return the part of an instance's definition that is its disk in the pool."""
    return f"""<disk type='network' device='disk'><driver name='qemu' type='raw' cache='none'/>
<auth username='{user(lab)}'><secret type='ceph' uuid='{secret(lab)}'/></auth>
<source protocol='rbd' name='{pool(lab)}/{instance.name}'><host name='{address(lab)}' port='3300'/></source>
<target dev='vda' bus='virtio'/></disk>"""


def make_disk(lab: Lab, instance: LabInstance, size_mib: int) -> None:
    """Make an instance's empty disk in the pool."""
    _rbd(lab, "create", "--size", str(size_mib), f"{pool(lab)}/{instance.name}")


def remove_disk(lab: Lab, instance: LabInstance) -> None:
    """Remove the disk of an instance that has ended."""
    _rbd(lab, "rm", "--no-progress", f"{pool(lab)}/{instance.name}")


def _rbd(lab: Lab, *words: str) -> None:
    root = store.folder_of(lab.name) / "disks" / "ceph" / "root"
    inside = ["nsenter", "-t", str(lab.supervisor_pid), "--mount", "--net", "--pid", "--", "chroot", str(root)]
    run([*inside, "rbd", *words])


def _write_keys(lab: Lab) -> None:
    """Draw all keys of the cluster; that of the hosts' user lies where the cluster file says, for root alone."""
    folder = store.folder_of(lab.name) / "ceph"
    folder.mkdir(mode=0o700)
    of_files = lab.storage == "cephfs"
    who, where = (MOUNTER, MOUNTER_KEYRING) if of_files else (user(lab), keyring(lab))
    given = _CLUSTER_CAPS | (_FILE_SYSTEM_CAPS if of_files else _pool_caps(lab))
    keys = {entity: _new_key() for entity in given}
    everything = "".join(
        f"[{entity}]\n\tkey = {keys[entity]}\n" + "".join(f'\tcaps {kind} = "{caps}"\n' for kind, caps in of.items())
        for entity, of in given.items()
    )
    own = f"[client.{who}]\n\tkey = {keys[f'client.{who}']}\n"
    for name, text in (("keyring", everything), (Path(where).name, own), ("ceph.conf", _server_conf(lab))):
        path = folder / name
        path.touch(0o600)
        path.write_text(text)


def _pool_caps(lab: Lab) -> dict[str, dict[str, str]]:
    """Return them as Ceph's "Block Devices and OpenStack" gives them: older ones leave images locked after a crash."""
    of_pool = f"profile rbd pool={pool(lab)}"
    return {f"client.{user(lab)}": {"mon": "profile rbd", "osd": of_pool, "mgr": of_pool}}


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
