"""Processes and namespaces of a lab: the supervisor, the hosts in it, and getting into them.

The supervisor is the first process of the lab's own PID, network and mount namespaces, and does nothing but reap.
Each host is a child PID namespace of it. So one signal to the supervisor, or its death by any cause, ends every
process of the lab, and with them its network and its mounts; only empty cgroups are left to remove.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path

from hotfoot.lab import vm_channel
from hotfoot.lab.command import LabError
from hotfoot.lab.spec import Lab, LabHost

_MARK = "HOTFOOT_LAB"
_START_TIMEOUT_S = 20
_ENVIRONMENT = ("PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", "TERM=xterm-256color")
OWN = ("--mount", "--net", "--uts", "--ipc", "--cgroup")
"""What a host has of its own, besides PIDs, in the words of unshare and nsenter."""


def started_at(pid: int) -> int | None:
    """Return a process's start time in clock ticks (it and the PID name one process for ever), None if gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def is_running(pid: int, started: int) -> bool:
    """Tell whether the very process is still there."""
    return pid > 0 and started_at(pid) == started


def start_supervisor(lab_name: str, disks: Path, log: Path) -> int:
    """Start a lab's supervisor with its tmpfs for the hosts' disks; return its PID as this machine sees it."""
    script = (
        f"mount -t tmpfs -o mode=755,size=80% hotfoot {disks} && mount -t proc proc /proc && ip link set lo up && "
        f": > {disks}/ready && while :; do sleep 3600 & wait; done"
    )
    argv = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child=KILL", "--propagation=private"]
    outer = spawn([*argv, "sh", "-c", script], lab_name, log)
    return wait_for_descendant(outer, generations=1, log=log, ready="sleep")


def start_host(
    lab_name: str,
    supervisor: int,
    host: LabHost,
    image: Path,
    folder: Path,
    kvm: bool,
    programs: Path | None = None,
    layer: Path | None = None,
    holder: int | None = None,
) -> int:
    """Start a host's namespaces; return the PID of its first process, which waits for its links, then is systemd.

    ``programs`` is a folder that the host has at /opt/openstack, read only; ``layer`` lies above the image's root.
    ``holder`` is a process with the namespaces of a light host, which are then entered, not made.
    """
    log = host_log(folder, host)
    with as_file(files("hotfoot.lab") / "host" / "init.sh") as script:
        argv: list[object]
        if holder is None:
            argv = ["nsenter", "-t", supervisor, "--mount", "--net", "--pid", "--", "unshare", *OWN]
        else:
            argv = ["nsenter", "-t", holder, *OWN, f"--pid=/proc/{supervisor}/ns/pid", "--", "unshare"]
        argv += ["--pid", "--fork", "--kill-child=KILL", "sh", script]
        argv += [
            image,
            folder / "disks" / host.name,
            folder / "hosts" / host.name,
            host.name,
            "yes" if kvm else "no",
            programs or "",
            layer or "",
            "yes" if holder else "",
        ]
        if holder:  # the first process enters the user namespace last of all, by a file that it finds open
            argv = ["sh", "-c", 'exec 9<"$1"; shift; exec "$@"', "sh", f"/proc/{holder}/ns/user", *argv]
        outer = spawn(in_cgroup(lab_name, host, argv), lab_name, log)
        return wait_for_descendant(outer, generations=2, log=log)


def in_cgroup(lab_name: str, host: LabHost, argv: Sequence[object]) -> list[str]:
    """Return the words that run a program in a host's cgroup, which is made if need be."""
    cgroup = host_cgroup(lab_name, host.name)
    cgroup.mkdir(exist_ok=True)
    return ["sh", "-c", 'echo $$ > "$1/cgroup.procs"; shift; exec "$@"', "sh", str(cgroup), *map(str, argv)]


def host_log(folder: Path, host: LabHost) -> Path:
    """Return the file that has what a host's first processes complain of."""
    return folder / "log" / f"{host.name}.log"


def mark(lab_name: str) -> str:
    """Return the word for a process's environment by which ``processes_of`` finds it."""
    return f"{_MARK}={lab_name}"


def spawn(argv: Sequence[str], lab_name: str, log: Path) -> int:
    """Start a process that bears the lab's mark and outlives this one; return its PID."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd="/",
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", _MARK: lab_name},
        )
    return process.pid


def children(pid: int) -> list[int]:
    """Return the PIDs of a process's children (none if it is gone)."""
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def wait_for_descendant(outer: int, *, generations: int, log: Path, ready: str | None = None) -> int:
    """Wait until a process has a line of ``generations`` only children; return the last (with a child ``ready``)."""
    end = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < end:
        pid = outer
        for _ in range(generations):
            below = children(pid)
            if not below:
                break
            pid = below[0]
        else:
            if ready is None or any(ready in _name(child) for child in children(pid)):
                return pid
        if started_at(outer) is None:
            break
        time.sleep(0.01)
    said = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    raise LabError(f"Namespaces could not be started: {said[-1] if said else 'no message'} (see {log}).")


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


def host_argv(lab: Lab, host: LabHost) -> list[str]:
    """Return the words that run a command inside a host; raises LabError if the host is down."""
    if not is_running(host.init_pid, host.init_started):
        raise LabError(
            f"Host {host.name} of lab {lab.name} is down; `hotfoot lab fault start-host {host.name}` starts it."
        )
    if lab.vm_accelerator:
        return vm_channel.argv(lab, host)
    namespaces = ["--mount", "--net", "--pid", "--uts", "--ipc", "--cgroup", "--root", "--wd"]
    return ["nsenter", "-t", str(host.init_pid), *namespaces, "--", "env", "-i", *_ENVIRONMENT]


def cgroup2() -> Path | None:
    """Return where the machine's cgroup2 tree is mounted (its root), None where there is none."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.startswith("cgroup2 ") and left.split()[3] == "/":
            return Path(left.split()[4])
    return None


def host_cgroup(lab_name: str, host_name: str) -> Path:
    """Return the folder of a host's cgroup."""
    tree = cgroup2()
    if tree is None:
        raise LabError("This machine has no cgroup2 tree mounted, which the hosts' systemd needs.")
    return tree / f"hotfoot-{lab_name}-{host_name}"


def processes_of(lab_name: str) -> list[int]:
    """Return the machine's outermost processes of a lab, found by the mark in their environment."""
    wanted = mark(lab_name).encode()
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if wanted in environ.read_bytes().split(b"\0"):
                found.append(int(environ.parent.name))
    return found


def kill(pid: int) -> None:
    """Kill one process, if it is there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def remove_cgroups(lab_name: str) -> None:
    """Remove what cgroups a dead lab left; waits for the kernel to empty them."""
    tree = cgroup2()
    for top in tree.glob(f"hotfoot-{lab_name}-n*") if tree else ():
        end = time.monotonic() + 10
        while top.exists():
            for folder in sorted([top, *(p for p in top.rglob("*") if p.is_dir())], key=lambda p: -len(p.parts)):
                with contextlib.suppress(OSError):
                    folder.rmdir()
            if time.monotonic() > end:
                raise LabError(f"The cgroup {top} could not be removed: processes are still in it.")
            if top.exists():
                time.sleep(0.02)
