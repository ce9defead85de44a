"""Faults on request: a host's link cut, its storage stalled, its disk filled; libvirtd, a QEMU, or all of it killed."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from hotfoot.errors import ExitStatus
from hotfoot.lab import namespaces, network, openstack_cloud, storage
from hotfoot.lab.command import LabError, run
from hotfoot.lab.instances import places_of
from hotfoot.lab.spec import INSTANCES_PATH, Lab, LabHost

_FILL = f"{INSTANCES_PATH}/fill-disk"
_MOST_FILLED_BYTES = 2**30
_OOM_LIMIT_BYTES = 256 * 1024
_OOM_PATIENCE_S = 30.0
_KILL_PATIENCE_S = 30.0


def cut_link(lab: Lab, host: LabHost) -> None:
    """Cut a host's management link at the switch; its instances' network stays."""
    network.set_link(lab, host, up=False)


def mend_link(lab: Lab, host: LabHost) -> None:
    """Mend a link that was cut, and mount the storage again if its client has given up meanwhile."""
    storage.forget_brick(lab, host)
    network.set_link(lab, host, up=True)
    storage.mount_again(lab, host)
    storage.wait_until_healed(lab, host)


def kill_libvirtd(lab: Lab, host: LabHost) -> None:
    """Kill -9 a host's libvirtd; its systemd starts it again, as on any host."""
    _pkill(lab, host, ["-x", "libvirtd"], f"No libvirtd runs on {host.name}; it starts at the next connection.")


def kill_qemu(lab: Lab, instance_name: str, host_name: str | None) -> str:
    """Kill -9 an instance's QEMU; return the host. On two hosts at once (in a move) the host must be named."""
    host = _only_host(lab, instance_name, host_name)
    missing = f"No QEMU of {instance_name} runs on {host.name}."
    domain = lab.instance(instance_name).domain_name
    _pkill(lab, host, ["-f", f"^/usr/bin/qemu-system-x86_64 -name guest={domain},"], missing)
    return host.name


def starve_qemu(lab: Lab, instance_name: str, host_name: str | None) -> str:
    """Take the memory from an instance's QEMU until the kernel kills it for want of more; return the host.

    Its cgroup of the lab's own has next to no memory: the first page that it asks for ends it. The cgroup is removed
    before this returns. Raises LabError where this machine's cgroups cannot limit memory, where the hosts have
    kernels of their own, and where QEMU asked for no page.
    """
    host = _only_host(lab, instance_name, host_name)
    if lab.vm_accelerator:
        raise LabError("QEMU of a host that is a virtual machine is out of this machine's reach; use kill-qemu.")
    pid = _qemu_pid(lab, host, instance_name)
    group, limit = _memory_cgroup(f"hotfoot-{lab.name}-{host.name}-memory")
    started, home = namespaces.started_at(pid) or 0, _cgroup_of(pid, group.parent)
    group.mkdir(exist_ok=True)
    try:
        limit.write_text(f"{_OOM_LIMIT_BYTES}\n")
        (group / "cgroup.procs").write_text(f"{pid}\n")
        end = time.monotonic() + _OOM_PATIENCE_S
        while namespaces.is_running(pid, started):
            if time.monotonic() > end:
                raise LabError(f"QEMU of {instance_name} on {host.name} asked for no memory.")
            time.sleep(0.02)
    finally:
        with contextlib.suppress(OSError):
            (home / "cgroup.procs").write_text(f"{pid}\n")
        _remove_cgroup(group)
    return host.name


def stall_storage(lab: Lab, host: LabHost) -> None:
    """Make every access of a host to the shared storage wait, until ``resume_storage``: its client stands still."""
    _signal_storage(lab, host, "STOP")


def resume_storage(lab: Lab, host: LabHost) -> None:
    """Let a host's stalled storage go on."""
    _signal_storage(lab, host, "CONT")


def fill_disk(lab: Lab, host: LabHost) -> None:
    """Fill the file system on which a host keeps its instances, to its last block.

    Raises LabError where more than 1 GiB is free: a host's own disk is this machine's memory.
    """
    free = run([*namespaces.host_argv(lab, host), "df", "-B1", "--output=avail", INSTANCES_PATH]).split()
    if int(free[-1]) > _MOST_FILLED_BYTES:
        raise LabError(
            f"{INSTANCES_PATH} on {host.name} has more than 1 GiB free, and filling it would take this machine's "
            f"memory; mount a small tmpfs there first, while no instance is on {host.name}.",
            ExitStatus.REFUSED,
        )
    script = 'dd if=/dev/zero of="$1" bs=64k 2>/dev/null; dd if=/dev/zero bs=4k >> "$1" 2>/dev/null; :'
    run([*namespaces.host_argv(lab, host), "sh", "-c", script, "sh", _FILL])


def free_disk(lab: Lab, host: LabHost) -> None:
    """Remove what ``fill_disk`` wrote."""
    run([*namespaces.host_argv(lab, host), "rm", "-f", _FILL])


def kill_host(lab: Lab, host: LabHost) -> None:
    """End a whole host at once, as a power cut would: its instances with it; it is down when this returns."""
    namespaces.host_argv(lab, host)
    namespaces.kill(host.init_pid)
    end = time.monotonic() + _KILL_PATIENCE_S
    while namespaces.is_running(host.init_pid, host.init_started):
        if time.monotonic() > end:
            raise LabError(f"Host {host.name} does not end.")
        time.sleep(0.01)


def _only_host(lab: Lab, instance_name: str, host_name: str | None) -> LabHost:
    instance = lab.instance(instance_name)
    if host_name:
        return lab.host(host_name)
    seen = places_of(lab)
    places = seen.of(instance)
    if len(places) != 1:
        hint = ": name one with --host" if places or seen.silent else ""
        at = "on " if places else ""
        raise LabError(f"Instance {instance.name} is active {at}{seen.in_words(instance)}{hint}.", ExitStatus.USAGE)
    return lab.host(places[0])


def _signal_storage(lab: Lab, host: LabHost, signal: str) -> None:
    if lab.storage != "glusterfs":
        raise LabError(
            f"Storage can be stalled on glusterfs alone, whose client is a process; this lab has {lab.storage}.",
            ExitStatus.REFUSED,
        )
    client = f"^/usr/sbin/glusterfs .*{INSTANCES_PATH}$"
    script = 'pkill "-$1" -f "$2" || echo none'
    if run([*namespaces.host_argv(lab, host), "sh", "-c", script, "sh", signal, client]).strip() == "none":
        raise LabError(f"No GlusterFS client runs on {host.name}.")


def _qemu_pid(lab: Lab, host: LabHost, instance_name: str) -> int:
    """Return the PID of an instance's QEMU as this machine sees it."""
    own = namespaces.host_cgroup(lab.name, host.name)
    start = f"/usr/bin/qemu-system-x86_64\0-name\0guest={lab.instance(instance_name).domain_name},".encode()
    for procs in own.rglob("cgroup.procs"):
        with contextlib.suppress(OSError):  # a process that ends meanwhile, a group of threads
            for pid in procs.read_text().split():
                if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(start):
                    return int(pid)
    raise LabError(f"No QEMU of {instance_name} runs on {host.name}.")


def _memory_cgroup(name: str) -> tuple[Path, Path]:
    """Return the folder of a cgroup that can limit memory, and the file in it that takes the limit."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.startswith("cgroup ") and re.search(r"\bmemory\b", right) and left.split()[3] == "/":
            folder = Path(left.split()[4]) / name
            return folder, folder / "memory.limit_in_bytes"
    tree = namespaces.cgroup2()
    if tree and "memory" in (tree / "cgroup.subtree_control").read_text().split():
        return tree / name, tree / name / "memory.max"
    raise LabError("This machine's cgroups cannot limit memory.", ExitStatus.REFUSED)


def _cgroup_of(pid: int, tree: Path) -> Path:
    """Return the folder of a process's cgroup in that tree."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(",") or (not controllers and tree == namespaces.cgroup2()):
            return tree / path.lstrip("/")
    return tree


def _remove_cgroup(group: Path) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError):
            group.rmdir()
        if not group.exists():
            return
        time.sleep(0.02)


def _pkill(lab: Lab, host: LabHost, match: list[str], missing: str) -> None:
    argv = namespaces.host_argv(lab, host)
    script = 'pkill -9 "$@"; status=$?; [ $status = 1 ] && echo none; [ $status -le 1 ]'
    if run([*argv, "sh", "-c", script, "sh", *match]).strip() == "none":
        raise LabError(missing)


OF_HOSTS: Mapping[str, Callable[[Lab, LabHost], None]] = {
    "cut-link": cut_link,
    "mend-link": mend_link,
    "kill-libvirtd": kill_libvirtd,
    "stall-storage": stall_storage,
    "resume-storage": resume_storage,
    "fill-disk": fill_disk,
    "free-disk": free_disk,
    "kill-host": kill_host,
    "kill-nova-compute": openstack_cloud.kill_compute,
    "start-nova-compute": openstack_cloud.start_compute,
}
"""What strikes a host, or mends it, by the word of the command line."""
OF_QEMUS: Mapping[str, Callable[[Lab, str, str | None], str]] = {"kill-qemu": kill_qemu, "starve-qemu": starve_qemu}
"""What strikes one instance's QEMU."""
OF_SERVICES: Mapping[str, Callable[[Lab, str], None]] = {
    "stop-service": openstack_cloud.stop_service,
    "start-service": openstack_cloud.start_service,
}
"""What strikes a service of OpenStack's control plane, or mends it."""
