"""The lab's shared storage, real: a GlusterFS volume, a kernel NFS export or CephFS, mounted on every host."""

from __future__ import annotations

import contextlib
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hotfoot.errors import ExitStatus
from hotfoot.lab import ceph, iscsi, iscsi_hosts
from hotfoot.lab.command import LabError, run
from hotfoot.lab.namespaces import host_argv
from hotfoot.lab.spec import BRICK, INSTANCES_PATH, Lab, LabHost, Storage

_VOLUME = "instances"
_MOUNT_UNIT = "var-lib-nova-instances.mount"
_REPLICAS = 3
# A host that dies must not hold up every write of the others for GlusterFS's usual 42 s.
_PING_TIMEOUT_S = 5
_BRICK_PATIENCE_S = 8.0


def obstacle(storage: Storage) -> str | None:
    """Return why this machine cannot have that storage, None if it can."""
    if storage in ("glusterfs", "cephfs") and not _kernel_has({"fuse"}, ["fuse"]):
        title = "GlusterFS" if storage == "glusterfs" else "CephFS"
        return f"{title} needs FUSE, which this kernel lacks; use --storage none"
    if storage == "nfs" and not _kernel_has({"nfs4", "nfsd"}, ["nfsd", "nfsv4"]):
        return (
            "kernel NFS needs the kernel's NFS server and client (modules nfsd and nfsv4), which are not there; "
            "use --storage glusterfs, or --hosts vm, whose own kernel has them"
        )
    return None


def default_storage() -> Storage:
    """Return kernel NFS where the kernel has it, GlusterFS where it has FUSE alone, none without either."""
    return next((kind for kind in ("nfs", "glusterfs") if obstacle(kind) is None), "none")


def _kernel_has(filesystems: set[str], modules: list[str]) -> bool:
    """Tell whether the kernel knows the file systems, once it was asked to load their modules."""
    if not filesystems <= _filesystems():
        with contextlib.suppress(LabError):
            run(["modprobe", "-a", *modules])
    return filesystems <= _filesystems()


def _filesystems() -> set[str]:
    return set(Path("/proc/filesystems").read_text().split())


def _on(lab: Lab, host: LabHost, *argv: str, stdin: str | None = None, timeout_s: float = 180) -> str:
    return run([*host_argv(lab, host), *argv], stdin=stdin, timeout_s=timeout_s)


def prepare(lab: Lab) -> None:
    """Set up the lab's storage and mount it on every host; the folder exists and belongs to QEMU's user."""
    obstacle_here = None if lab.vm_accelerator else obstacle(lab.storage)
    if obstacle_here:
        raise LabError(f"This machine cannot have that storage: {obstacle_here}.", ExitStatus.REFUSED)
    for host in lab.hosts if ceph.has_pool(lab) else ():
        ceph.join(lab, host)
    if lab.storage == "glusterfs":
        _make_volume(lab)
        options = "defaults,_netdev,nofail,x-systemd.requires=glusterd.service"
        entry = f"localhost:/{_VOLUME} {INSTANCES_PATH} glusterfs {options}"
    elif lab.storage == "nfs":
        _export(lab, lab.hosts[0])
        entry = nfs_mount(lab)
    elif lab.storage == "cephfs":
        for host in lab.hosts:
            ceph.join_file_system(lab, host)
        entry = ceph.file_system_entry(lab)
    else:
        for host in lab.hosts:
            _on(lab, host, "chown", "libvirt-qemu:kvm", INSTANCES_PATH)
            if lab.storage == "iscsi" and lab.vm_accelerator:
                iscsi_hosts.log_in(lab, host)
            elif lab.storage == "iscsi":
                iscsi.define_secret(lab, host)
        return
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda host: _mount(lab, host, entry), lab.hosts))
    if lab.storage == "cephfs":  # the folder is the cluster's, and belongs to root
        _on(lab, lab.hosts[0], "chown", "libvirt-qemu:kvm", INSTANCES_PATH)


def _mount(lab: Lab, host: LabHost, entry: str) -> None:
    add = 'echo "$1 0 0" >> /etc/fstab; systemctl daemon-reload'
    _on(lab, host, "sh", "-c", f'grep -q " {INSTANCES_PATH} " /etc/fstab 2>/dev/null || {{ {add}; }}', "sh", entry)
    _on(lab, host, "systemctl", "restart", _MOUNT_UNIT)
    if not _on(lab, host, "findmnt", "-no", "FSTYPE", INSTANCES_PATH).strip():
        raise LabError(f"The shared storage is not mounted on {host.name}.")


def mount_again(lab: Lab, host: LabHost, timeout_s: float = 30) -> None:
    """Mount the storage on a host that was started again; raises LabError if it does not come back.

    A volume with two of its three bricks lost has no quorum: then the first of them to start waits here in vain.
    A mount that works again by itself is left alone, since instances may have files open on it.
    """
    if lab.storage == "iscsi" and lab.vm_accelerator:
        iscsi_hosts.wait_for_login(lab, host, timeout_s)
    if lab.storage not in ("glusterfs", "nfs", "cephfs"):
        return
    works = f"findmnt -n {INSTANCES_PATH} >/dev/null && stat {INSTANCES_PATH}/. >/dev/null 2>&1"
    script = (
        f"for try in 1 2 3 4 5 6 7 8 9; do {works} && exit; sleep 0.5; done; "
        f"umount -l {INSTANCES_PATH} 2>/dev/null; systemctl reset-failed {_MOUNT_UNIT}; "
        f"systemctl restart {_MOUNT_UNIT} && stat {INSTANCES_PATH}/. >/dev/null"
    )
    end = time.monotonic() + timeout_s
    while True:
        try:
            _on(lab, host, "sh", "-c", script)
            return
        except LabError:
            if time.monotonic() > end:
                raise LabError(
                    f"Host {host.name} is up, but its shared storage is not: too many other hosts are down. Start "
                    f"those, then mount it: `hotfoot lab exec {host.name} -- systemctl restart {_MOUNT_UNIT}`."
                ) from None
            time.sleep(0.5)


def forget_brick(lab: Lab, host: LabHost) -> None:
    """Start GlusterFS's daemon anew on a host that is cut off, if its brick is down, before the link is mended.

    Without the others the daemon ends its brick (server quorum), yet tells clients the old port until it has met the
    others again. A client that comes back before that is refused there, and never tries again: its copies stay behind.
    """
    is_stale = "systemctl is-active -q glusterd && ! pgrep -x glusterfsd >/dev/null && echo stale || true"
    if lab.storage == "glusterfs" and _on(lab, host, "sh", "-c", is_stale).strip():
        # Its unit may be started six times in an hour, and a host that is tried out is cut off more often.
        _on(lab, host, "sh", "-c", "systemctl reset-failed glusterd; systemctl restart glusterd")


def wait_until_healed(lab: Lab, host: LabHost, timeout_s: float = 60) -> None:
    """Wait until every brick has all clients, and has caught up with what was written while it was away.

    Until then the volume bears no second fault: a host lost now may hold the only good copy. Returns, healed or
    not, when the time is over, since other hosts may be down.
    """
    bricks = len(lab.hosts[:_REPLICAS])
    if lab.storage != "glusterfs" or bricks < 2:
        return
    again_s = time.monotonic() + _BRICK_PATIENCE_S
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        with contextlib.suppress(LabError):
            # Asked for each time: after a cut link it does not begin by itself for minutes.
            _on(lab, host, "gluster", "volume", "heal", _VOLUME)
            told = _on(lab, host, "gluster", "volume", "heal", _VOLUME, "info")
            if told.count("Status: Connected") == bricks == told.count("Number of entries: 0\n"):
                clients = _on(lab, host, "gluster", "volume", "status", _VOLUME, "clients")
                if len(set(re.findall(r"Clients connected : (\d+)", clients))) == 1:
                    return
            elif time.monotonic() > again_s and f"{host.name}:{BRICK}\nStatus: Connected" not in told:
                # A daemon that the others meet while it starts may start its brick in two threads, and serve neither.
                again_s = end
                _on(lab, host, "sh", "-c", f"pkill -x glusterfsd; gluster volume start {_VOLUME} force")
        time.sleep(0.5)


def _make_volume(lab: Lab) -> None:
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda host: _on(lab, host, "systemctl", "start", "glusterd"), lab.hosts))
    first, *others = lab.hosts
    gluster = ("gluster", "--mode=script")
    for host in others:
        _on(lab, first, *gluster, "peer", "probe", host.name)
    end = time.monotonic() + 30
    # Each must see all: a volume is staged on every host, and one that misses a peer refuses it.
    while any(_on(lab, host, *gluster, "pool", "list").count("Connected") < len(lab.hosts) for host in lab.hosts):
        if time.monotonic() > end:
            raise LabError("The hosts' GlusterFS daemons did not find each other within 30 s.")
        time.sleep(0.1)
    bricks = lab.hosts[:_REPLICAS]
    replica = ["replica", str(len(bricks))] if len(bricks) > 1 else []
    places = [f"{host.name}:{BRICK}" for host in bricks]
    _on(lab, first, *gluster, "volume", "create", _VOLUME, *replica, *places, "force")
    owner = _on(lab, first, "id", "-u", "libvirt-qemu").strip()
    group = _on(lab, first, "sh", "-c", "getent group kvm | cut -d: -f3").strip()
    if replica:  # the group sets options that only a replicated volume takes
        _on(lab, first, *gluster, "volume", "set", _VOLUME, "group", "virt")
    options = {
        "storage.owner-uid": owner,
        "storage.owner-gid": group,
        "network.ping-timeout": str(_PING_TIMEOUT_S),
    }
    flat = [word for option in options.items() for word in option]
    _on(lab, first, *gluster, "volume", "set", _VOLUME, *flat)
    _on(lab, first, *gluster, "volume", "start", _VOLUME)


def nfs_mount(lab: Lab) -> str:
    """Return the first four fields of the line in /etc/fstab that mounts what the first host exports."""
    return f"{lab.hosts[0].name}:/srv/brick {INSTANCES_PATH} nfs4 vers=4.2,proto=tcp,hard,noatime,_netdev,nofail"


def nfs_exports(lab: Lab) -> str:
    """Return the line in /etc/exports that gives the first host's disk to the others by name, as docs/lab.md says."""
    clients = " ".join(f"{host.name}(rw,sync,no_subtree_check,no_root_squash,fsid=1)" for host in lab.hosts)
    return f"/srv/brick {clients}"


def _export(lab: Lab, server: LabHost) -> None:
    _on(lab, server, "chown", "libvirt-qemu:kvm", "/srv/brick")
    if lab.vm_accelerator:  # it has the line, and may start the server at each boot
        _on(lab, server, "systemctl", "start", "nfs-server")
        return
    _on(lab, server, "sh", "-c", 'echo "$1" > /etc/exports', "sh", nfs_exports(lab))
    script = (
        "systemctl unmask --quiet nfs-server.service proc-fs-nfsd.mount; systemctl daemon-reload; "
        "mount -t nfsd nfsd /proc/fs/nfsd 2>/dev/null; systemctl start rpcbind.socket 2>/dev/null; "
        "systemctl start nfs-server"
    )
    _on(lab, server, "sh", "-c", script)
