"""All files of a host, to be compared byte for byte: what each is, its mode and owner, its content."""

from __future__ import annotations

import fnmatch
import json

from tests.lab.labs import TestLab

Tree = dict[str, list[object]]

# Paths whose content is nobody's configuration; each for the reason given.
EXCEPTIONS = {
    "/var/log/*": "logs",
    "/var/lib/hotfoot/*": "what hotfoot itself remembers of its runs",
    "/var/lib/hotfoot": "what hotfoot itself remembers of its runs",
    "/run/*": "runtime state",
    "/tmp/*": "runtime state",
    "/var/tmp/*": "runtime state",
    "/var/lib/systemd/*": "systemd's own state: random seed, timers' last runs, user sessions",
    "/var/lib/libvirt/qemu/*": "libvirt's own state: sockets and folders that it makes when an instance first runs",
    "/var/cache/libvirt/*": "libvirt's cache of what QEMU can do",
    "/var/lib/nfs/*": "the NFS server's own state: clients, locks, and files that it makes when it first runs",
    "/var/lib/iscsi/nodes": "open-iscsi's own folder of records, which it makes when it is first asked; records count",
    "/var/lib/iscsi/ifaces": "the same of its interfaces",
    "/etc/passwd-": "the version before last, kept by usermod",
    "/usr/lib/*/__pycache__": "cache of Python programs (of GlusterFS)",
    "/usr/lib/*/__pycache__/*": "cache of Python programs (of GlusterFS)",
}

_SCRIPT = r"""
import hashlib, json, os, stat
found = {}
for top in ("/", "/srv/brick"):
    device = os.lstat(top).st_dev
    for folder, folders, files in os.walk(top):
        folders[:] = [n for n in folders if os.lstat(os.path.join(folder, n)).st_dev == device]
        for name in folders + files:
            path = os.path.join(folder, name)
            try:
                seen = os.lstat(path)
                row = [stat.S_IFMT(seen.st_mode), seen.st_mode & 0o7777, seen.st_uid, seen.st_gid]
                if stat.S_ISLNK(seen.st_mode):
                    row.append(os.readlink(path))
                elif stat.S_ISREG(seen.st_mode):
                    # The packages' own files are many and large: their size and time tell.
                    if path.startswith("/usr/"):
                        row += [seen.st_size, int(seen.st_mtime)]
                    else:
                        with open(path, "rb") as file:
                            row.append(hashlib.sha256(file.read()).hexdigest())
                found[path] = row
            except FileNotFoundError:
                pass
print(json.dumps(found))
"""


def tree(lab: TestLab, host: str) -> Tree:
    """Return everything on a host's own disks, mounts of others left out."""
    found: Tree = json.loads(lab.on(host, "python3", "-I", "-c", _SCRIPT))
    return {path: row for path, row in found.items() if not any(fnmatch.fnmatch(path, each) for each in EXCEPTIONS)}


def differences(before: Tree, after: Tree) -> list[str]:
    """Return what is not the same, one line each."""
    return [
        f"{path}: {before.get(path, 'was not there')} -> {after.get(path, 'is gone')}"
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    ]
