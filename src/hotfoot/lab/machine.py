"""What a machine must have to run a lab, and what this one lacks."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

from hotfoot.lab.namespaces import cgroup2

# Program and the Debian or Ubuntu package that brings it.
_PROGRAMS = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "ip": "iproute2",
    "tc": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "cc": "gcc",
    "ssh": "openssh-client",
}


def obstacles() -> list[str]:
    """Return why a lab cannot run on this machine, a sentence part each; nothing if it can."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return [f"it is {platform.system()} on {platform.machine()}, and a lab needs Linux on x86_64"]
    if os.geteuid() != 0:
        return ["it needs root for namespaces and mounts (use sudo)"]
    found = [
        f"the program {program} is missing (package {package})"
        for program, package in _PROGRAMS.items()
        if shutil.which(program) is None
    ]
    if found:
        return found
    if cgroup2() is None:
        found.append("no cgroup2 tree is mounted")
    elif not os.access(cgroup2() or "/", os.W_OK):
        found.append("its cgroup2 tree is read only, as in a container without privileges")
    # Trying is the only honest test: seccomp, LSMs and containers forbid in many ways.
    trial = "ip link add hft0 type veth peer name hft1 && ip link add hftb type bridge && mount -t tmpfs t /mnt"
    namespaces = ["unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--cgroup", "--fork"]
    done = subprocess.run([*namespaces, "sh", "-c", trial], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        complaint = (done.stderr.strip() or "no message").splitlines()[-1]
        found.append(f"namespaces with links and mounts cannot be made: {complaint}")
    if "overlay" not in Path("/proc/filesystems").read_text().split():
        subprocess.run(["modprobe", "overlay"], capture_output=True, check=False)
        if "overlay" not in Path("/proc/filesystems").read_text().split():
            found.append("its kernel has no overlayfs")
    return found
