"""Section of the probe: declared storage paths, mounts, and what storage clients and servers say."""

import ctypes
import errno
import os
import re
import stat
import time
from collections.abc import Iterator
from typing import Any

from hotfoot.reach.probe.frame import (
    Apart,
    Failed,
    ask,
    between,
    first_line,
    is_remote,
    matching,
    mount_of,
    program,
    tell,
    text_of,
    word_of,
)

_FOLDER_HUNG_AFTER_S = 8.0
_MOST_ENTRIES = 100000
_NEW_MOUNTS = 0x00020000
_PRIVATE_TREE = (1 << 18) | 0x4000
_DETACH = 2
_ISCSI_RECORDS = ("/etc/iscsi/nodes", "/var/lib/iscsi/nodes")
_LIBVIRT_XATTR = "trusted.libvirt.security.dac"


class Folders:
    """Declared storage paths, each looked at apart, since its file system may hang."""

    def __init__(self, paths: "list[str]", mounts: "list[dict[str, str]]") -> None:
        self.asked = []
        for path in paths:
            mount = mount_of(path, mounts)
            mounted = mount is not None and mount["target"] == path
            # What is no mount of its own can hang as little as the host itself.
            self.asked.append((path, mount, Apart(_seen(path, mounted)) if mounted or is_remote(mount) else None))

    def told(self, open_files: "dict[str, list[str]]") -> "list[dict[str, Any]]":
        """Return a fact for each path; ``open_files`` are the files that each instance has open."""
        found = []
        for path, mount, apart in self.asked:
            parts, hung = apart.told(_FOLDER_HUNG_AFTER_S) if apart else (list(_seen(path, False)), False)
            fact = {"path": path, "mount": mount}  # type: dict[str, Any]
            for part in parts:
                fact.update(part)
            fact["hung"] = hung and "xattr" not in fact
            below = path.rstrip("/") + "/"
            fact["open_by"] = sorted(
                name for name, files in open_files.items() if any(file.startswith(below) for file in files)
            )
            found.append(fact)
        return found


def _seen(path: str, mounted: bool) -> "Iterator[dict[str, Any]]":
    try:
        found = os.stat(path)
    except OSError as error:
        # A stale NFS handle or a FUSE mount without its server: the folder is there, its file system is not.
        broken = error.errno in (errno.ESTALE, errno.ENOTCONN, errno.EIO, errno.ETIMEDOUT)
        yield {"exists": broken, "problem": os.strerror(error.errno or 0) if broken else "", "xattr": None}
        return
    told = {"exists": True, "mode": stat.S_IMODE(found.st_mode), "uid": found.st_uid, "gid": found.st_gid}
    yield told
    room = os.statvfs(path)
    yield {"free_bytes": room.f_bavail * room.f_frsize, "free_inodes": room.f_favail}
    yield {"entries": _count(path)}
    try:
        os.getxattr(path, _LIBVIRT_XATTR)
        yield {"xattr": True}
    except OSError as error:
        # Only whether they can be had at all is asked.
        yield {"xattr": {errno.ENODATA: True, errno.EOPNOTSUPP: False}.get(error.errno or 0)}
    if mounted:
        yield {"below_entries": _below(path)}


def _count(path: str) -> int:
    number = 0
    for number, _ in enumerate(os.scandir(path), 1):
        if number >= _MOST_ENTRIES:
            break
    return number


def _below(path: str) -> "int | None":
    """Count what a mount hides, by taking it off in mounts of this process's own, which end with it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_MOUNTS) != 0 or libc.mount(b"none", b"/", None, _PRIVATE_TREE, None) != 0:
        return None
    before = (os.stat(path).st_dev, os.stat(path).st_ino)
    for _ in range(8):
        if libc.umount2(os.fsencode(path), _DETACH) != 0:
            break
    after = (os.stat(path).st_dev, os.stat(path).st_ino)
    return _count(path) if after != before else None


def storage(
    folders: "list[dict[str, Any]]", mounts: "list[dict[str, str]]", names: "set[str]", failures: "dict[str, str]"
) -> "dict[str, Any]":
    """Tell all about storage; ``names`` are those of running processes."""
    told = {
        "folders": folders,
        "mounts": mounts,
        "kernel_filesystems": [line.split()[-1] for line in text_of("/proc/filesystems").splitlines() if line.strip()],
        "cephfs_in_kernel": _cephfs_in_kernel(),
        "iscsi_sessions": sorted(map(word_of, matching("/sys/class/iscsi_session/*/targetname"))),
        "iscsi_initiator": _initiator(),
        "iscsi_records": _records(),
        "block_devices": block_devices(),
    }  # type: dict[str, Any]
    parts = (
        ("exports", _exports, program("exportfs") is not None and os.path.exists("/proc/fs/nfsd/exports")),
        ("gluster", _gluster, "glusterd" in names),
        ("ceph", _ceph, program("ceph") is not None and bool(matching("/etc/ceph/*.keyring"))),
    )
    for name, part, there in parts:
        if there:
            try:
                told.update(part())
            except Failed as failed:
                failures["storage." + name] = str(failed)
    return told


def _cephfs_in_kernel() -> bool:
    """Tell whether the running kernel has CephFS, or a module of it that a mount would load."""
    modules = f"/lib/modules/{os.uname().release}/kernel/fs/ceph/ceph.ko*"
    return "\tceph\n" in text_of("/proc/filesystems") or bool(matching(modules))


def _initiator() -> str:
    return between("\n" + text_of("/etc/iscsi/initiatorname.iscsi") + "\n", "\nInitiatorName=", "\n").strip()


def _records() -> "dict[str, str]":
    """Return the targets that open-iscsi keeps records of, and whether one is to be logged in to at boot."""
    found = {}  # type: dict[str, str]
    for top in _ISCSI_RECORDS:
        # A record is TARGET/PORTAL where no portal group is known, else TARGET/PORTAL/INTERFACE.
        for record in matching(top + "/*/*") + matching(top + "/*/*/*"):
            startup = between("\n" + text_of(record), "\nnode.startup =", "\n").strip()
            if startup:
                target = record[len(top) + 1 :].partition("/")[0].lower()
                automatic = startup == "automatic" or found.get(target) == "automatic"
                found[target] = "automatic" if automatic else "manual"
    return found


def _paths() -> "dict[str, list[str]]":
    """Return the names below /dev/disk/by-path by the device that each means."""
    found = {}  # type: dict[str, list[str]]
    for link in matching("/dev/disk/by-path/*"):
        found.setdefault(os.path.basename(os.path.realpath(link)), []).append(link)
    return found


def block_devices() -> "list[dict[str, Any]]":
    """Return disks, LUNs and multipath devices, from /sys alone."""
    found, paths = [], _paths()
    for path in matching("/sys/block/*"):
        name = os.path.basename(path)
        size_bytes = 512 * int(word_of(path + "/size") or 0)
        if size_bytes == 0 or name.startswith(("loop", "ram", "zram", "sr", "fd", "nbd", "md")):
            continue
        multipath = word_of(path + "/dm/uuid")
        if name.startswith("dm-") and not multipath.startswith("mpath-"):
            continue
        wwid = word_of(path + "/device/wwid") or word_of(path + "/wwid") or multipath[len("mpath-") :]
        real = os.path.realpath(path)
        kinds = (("/session", "iscsi"), ("/rport-", "fc"), ("/nvme", "nvme"), ("/virtio", "virtio"), ("/ata", "ata"))
        transport = "multipath" if multipath else next((kind for part, kind in kinds if part in real), "")
        own = {"name": name, "wwid": wwid, "size_bytes": size_bytes, "transport": transport}  # type: dict[str, Any]
        found.append(dict(own, paths=paths.get(name, [])))
    return found


def _exports() -> "dict[str, Any]":
    return {"exports": tell(["exportfs", "-v"])}


def _gluster() -> "dict[str, Any]":
    # One client for all questions: its start costs more than they do.
    questions = b"pool list\nvolume info all\nvolume status all\n"
    for wait_s in (0.2, 0.5, 1.0, 0.0):
        _, out, err = ask(["gluster", "--mode=script", "--xml"], 5, questions)
        # glusterd may let one at a time ask, of all hosts: the others are to try again.
        if "Another transaction" not in out and "Locking failed" not in out:
            break
        time.sleep(wait_s)
    answers = ["<?xml" + answer for answer in out.split("<?xml")[1:]]
    if len(answers) != questions.count(b"\n"):
        raise Failed("glusterd does not answer: " + first_line(out + err))
    peers, volumes, status = answers
    return {
        "gluster_peers": _peers(peers),
        "gluster_volumes": volumes,
        "gluster_status": status,
        "gluster_heal": _unhealed(volumes),
    }


def _peers(xml: str) -> str:
    """Write the peers as ``gluster pool list`` does without --xml."""
    lines = ["UUID\tHostname\tState"]
    for peer in re.findall(r"<peer>(.*?)</peer>", xml, re.DOTALL):
        uuid, hostname, connected = (between(peer, f"<{key}>", "<") for key in ("uuid", "hostname", "connected"))
        lines.append(f"{uuid}\t{hostname}\t{'Connected' if connected == '1' else 'Disconnected'}")
    return "\n".join(lines) + "\n"


def _unhealed(volumes: str) -> "dict[str, int]":
    """Count what this host's own bricks have yet to give to others, as heal-count does: by their index of changes."""
    own = between("\n" + text_of("/var/lib/glusterd/glusterd.info"), "\nUUID=", "\n")
    counted = {}  # type: dict[str, int]
    for volume in re.findall(r"<volume>(.*?)</volume>", volumes, re.DOTALL):
        name = between(volume, "<name>", "<")
        for brick, host in re.findall(r"<name>[^<:]*:([^<]*)</name><hostUuid>([^<]*)</hostUuid>", volume):
            index = os.path.join(brick, ".glusterfs/indices/xattrop")
            if host == own and os.path.isdir(index):
                waiting = [entry for entry in os.listdir(index) if not entry.startswith("xattrop-")]
                counted[name] = counted.get(name, 0) + len(waiting)
    return counted


def _ceph() -> "dict[str, Any]":
    keyrings = matching("/etc/ceph/*.keyring")
    clients = [re.match(r"ceph\.client\.(.+)\.keyring$", os.path.basename(path)) for path in keyrings]
    names = [match.group(1) for match in clients if match]
    name = "admin" if "admin" in names or not names else names[0]
    # It gives up by itself where no monitor answers; the rest is for a busy host to start it, which takes seconds.
    return {"ceph_health": tell(["ceph", "--id", name, "--connect-timeout", "5", "health"], 15).strip()}
