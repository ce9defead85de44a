"""Hosts that are whole virtual machines: their QEMU in the lab's namespaces, and how a lab makes one its own.

A host's QEMU is a child of the lab's supervisor, with a tap on each of the lab's bridges, under the names of the
ports that hosts in namespaces have. It goes on from a state that was saved after a first boot (``vm_state``), or
boots from its disk; then the lab's own files are laid over it.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from hotfoot.lab import namespaces, time_server, vm_channel
from hotfoot.lab.accelerator import Accelerator, Verdict
from hotfoot.lab.bare import FIRST_BOOT
from hotfoot.lab.command import LabError, run
from hotfoot.lab.host_files import File
from hotfoot.lab.spec import Lab, LabHost, time_server_address
from hotfoot.lab.storage import nfs_exports, nfs_mount
from hotfoot.lab.store import folder_of
from hotfoot.lab.vm_image import IMAGE_NAME, ROOT_MOUNT, VmImage, packed

MEMORY_MIB = 1024
_PROGRAMS = {"mkfs.ext4": "e2fsprogs", "bash": "bash"}
BOOT_TIMEOUT_S = 300
_LOAD_TIMEOUT_S = 90
_CLOSE_TIMEOUT_S = 2
# What QEMU itself takes, besides the host's memory.
_OVERHEAD_MIB = 150
_BRIDGE_FILE = "etc/systemd/network/10-br0.netdev"


def obstacles(lab_name: str, count: int) -> list[str]:
    """Return why this machine cannot run so many virtual machines as a lab's hosts, a sentence part each."""
    found = [
        f"the program {program} is missing (package {package})"
        for program, package in _PROGRAMS.items()
        if shutil.which(program) is None
    ]
    if not Path("/dev/net/tun").exists():
        found.append("it has no /dev/net/tun, which virtual machines need for their links")
    rows = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free_mib = int(rows["MemAvailable"].split()[0]) // 1024
    needed_mib = count * (MEMORY_MIB + _OVERHEAD_MIB)
    if free_mib < needed_mib:
        found.append(f"{count} virtual machines need {needed_mib} MiB of memory, and {free_mib} MiB are free")
    too_long = vm_channel.path_obstacle(lab_name)
    return [*found, too_long] if too_long else found


def instances_verdict(hosts: Verdict) -> Verdict:
    """Return what instances run on inside hosts that run under ``hosts``' accelerator.

    QEMU emulates AMD's SVM, so that KVM works in emulated hosts too; under KVM the machine must allow nesting.
    """
    if hosts.accelerator == "tcg":
        return Verdict("kvm", "QEMU, which emulates the hosts, emulates SVM too")
    for module in ("kvm_intel", "kvm_amd"):
        with contextlib.suppress(OSError):
            if Path(f"/sys/module/{module}/parameters/nested").read_text().strip() in ("Y", "1"):
                return Verdict("kvm", f"{module} lets virtual machines run others")
    return Verdict("tcg", "KVM on this machine does not let virtual machines run others (option nested)")


def qemu_argv(image: VmImage, host: LabHost, disk: Path, console: Path, accelerator: Accelerator) -> list[str]:
    """Return the words that run a host; all that its saved state depends on is in them and in the image."""
    share = image.picture.root / "usr"
    accel = "tcg,thread=multi,tb-size=256" if accelerator == "tcg" else "kvm"
    # The address of root's disk is fixed by its place; net.ifnames=0 keeps eth0 and eth1.
    cmdline = (
        "root=/dev/vda rw console=ttyS0 quiet mitigations=off net.ifnames=0 systemd.firstboot=off "
        f"systemd.machine_id={host.uuid.hex}"
    )
    words = image.program("qemu-system-x86_64")
    for folder in ("share/qemu", "share/seabios", "lib/ipxe/qemu"):
        words += ["-L", str(share / folder)]
    words += ["-name", host.name, "-accel", accel, "-M", "q35", "-cpu", "max", "-smp", "1", "-m", str(MEMORY_MIB)]
    words += ["-nodefaults", "-no-user-config", "-display", "none", "-uuid", str(host.uuid)]
    words += ["-rtc", "base=utc,clock=host", "-serial", f"file:{console}"]
    # Hosts that go on from one state must not draw the same random numbers.
    words += ["-device", "vmgenid,guid=auto"]
    words += ["-kernel", str(image.kernel), "-initrd", str(image.initramfs), "-append", cmdline]
    words += ["-drive", f"file={disk},format=qcow2,if=virtio,cache=unsafe"]
    for port, mac in (("m", host.management_mac), ("d", host.data_mac)):
        words += ["-netdev", f"tap,id={port},ifname={port}{host.number},script=no,downscript=no"]
        words += ["-device", f"virtio-net-pci,netdev={port},mac={mac},romfile="]
    return words


def disk_argv(image: VmImage, backing: Path, backing_format: str, disk: Path) -> list[str]:
    """Return the words that make a disk over another, which stays as it is."""
    over = ("-F", backing_format, "-b", str(backing))
    return [*image.program("qemu-img"), "create", "-q", "-f", "qcow2", *over, str(disk)]


def start(lab: Lab, host: LabHost, image: VmImage, state: Path) -> int:
    """Start a host and return its QEMU's PID: from the saved ``state`` in a new lab, else from its own disk."""
    folder = folder_of(lab.name)
    disk = folder / "disks" / host.name / "disk.qcow2"
    console = folder / "log" / f"{host.name}-console.log"
    boot = qemu_argv(image, host, disk, console, lab.vm_accelerator or "tcg")
    # The lab's disks are visible in its own mount namespace only.
    create = shlex.join(disk_argv(image, state / "disk.qcow2", "qcow2", disk))
    script = (
        f'if [ -e {disk} ]; then exec "$@"; fi; mkdir -p {disk.parent} && {create} && '
        f'exec "$@" -incoming file:{state}/memory'
    )
    return launch(lab, host, ["sh", "-c", script, "sh", *boot])


def launch(lab: Lab, host: LabHost, argv: list[str]) -> int:
    """Run a host's program in the lab's namespaces and in a cgroup of the host's own; return its PID."""
    _make_taps(lab, host)
    cgroup = namespaces.host_cgroup(lab.name, host.name)
    cgroup.mkdir(exist_ok=True)
    log = host_log(lab, host)
    inside = ["nsenter", "-t", str(lab.supervisor_pid), "--mount", "--net", "--pid", "--"]
    enter = ["sh", "-c", 'echo $$ > "$1/cgroup.procs"; shift; exec "$@"', "sh", str(cgroup)]
    outer = namespaces.spawn([*enter, *inside, *argv], lab.name, log)
    return namespaces.wait_for_descendant(outer, generations=1, log=log)


def host_log(lab: Lab, host: LabHost) -> Path:
    """Return where a host's QEMU complains."""
    return folder_of(lab.name) / "log" / f"{host.name}.log"


def _make_taps(lab: Lab, host: LabHost) -> None:
    inside = ["nsenter", "-t", str(lab.supervisor_pid), "--net", "--"]
    script = (
        'for pair in "m mgmt" "d data"; do set -- $pair "$3"; ip link show "$1$3" >/dev/null 2>&1 && continue; '
        'ip tuntap add "$1$3" mode tap && ip link set "$1$3" master "$2" up || exit 1; done'
    )
    run([*inside, "sh", "-c", script, "sh", "", "", str(host.number)])


def open_connection(
    lab: Lab, host: LabHost, pid: int, place: str, login: vm_channel.Credentials, timeout_s: float
) -> None:
    """Log in and keep the connection for all commands to come; raises LabError if the host does not let root in."""
    close_connection(lab, host)
    socket = vm_channel.control_path(lab, host)
    socket.parent.mkdir(exist_ok=True)
    log = folder_of(lab.name) / "log" / f"{host.name}-ssh.log"
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if namespaces.started_at(pid) is None:
            said = host_log(lab, host).read_text(errors="replace").strip().splitlines()
            raise LabError(f"Host {host.name} ended: {said[-1] if said else 'its QEMU gave no reason'}.")
        client = namespaces.spawn(vm_channel.connection_argv(lab, host, place, login), lab.name, log)
        while namespaces.started_at(client) is not None:
            if socket.exists():
                return
            time.sleep(0.05)
        time.sleep(0.2)
    said = log.read_text(errors="replace").strip().splitlines()
    raise LabError(
        f"Host {host.name} did not let root in within {timeout_s:.0f} s: {said[-1] if said else 'no message'} (its "
        f"console: {log.parent}/{host.name}-console.log)."
    )


def close_connection(lab: Lab, host: LabHost) -> None:
    """End the shared connection to a host, also one whose host is gone.

    Such a one would notice only later, and then remove the socket, which would be its successor's by then.
    """
    socket = vm_channel.control_path(lab, host)
    subprocess.run(["ssh", "-F", "none", "-S", str(socket), "-O", "exit", host.name], capture_output=True, check=False)
    end = time.monotonic() + _CLOSE_TIMEOUT_S
    while socket.exists() and time.monotonic() < end:
        time.sleep(0.02)
    socket.unlink(missing_ok=True)


def set_clock(lab: Lab, host: LabHost) -> None:
    """Give a host this machine's time: one that goes on from a saved state has the time of the save."""
    on(lab, host, "date", "-s", f"@{time.time():.3f}")


def on(lab: Lab, host: LabHost, *words: str, stdin: bytes | None = None, timeout_s: float = 120) -> str:
    """Run a command on a host that has no PID in the lab's state yet; returns and raises as ``run``."""
    try:
        done = subprocess.run(
            [*vm_channel.argv(lab, host), *words],
            input=stdin if stdin is not None else b"",
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"On {host.name}, `{shlex.join(words)[:200]}` did not end within {timeout_s:.0f} s.") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise LabError(f"On {host.name}, `{shlex.join(words)[:200]}` failed: {said[-1] if said else 'no message'}")
    return done.stdout.decode(errors="replace")


def bridge_files(host: LabHost) -> dict[str, File]:
    """Return a host's br0 with its one address, by which the lab reaches it."""
    return {
        _BRIDGE_FILE: File(
            f"[NetDev]\nName=br0\nKind=bridge\nMACAddress={host.bridge_mac}\n[Bridge]\nSTP=no\nForwardDelaySec=0\n"
        ),
        "etc/systemd/network/11-br0.network": File("[Match]\nName=br0\n[Network]\nLinkLocalAddressing=ipv6\n"),
        "etc/systemd/network/12-eth1.network": File(
            "[Match]\nName=eth1\n[Network]\nLinkLocalAddressing=no\nIPv6AcceptRA=no\nBridge=br0\n"
        ),
    }


def start_time_server(lab: Lab) -> None:
    """Serve this machine's time to the lab's hosts, from an address of its own in the lab's network namespace."""
    address = time_server_address(lab.number)
    inside = ["nsenter", "-t", str(lab.supervisor_pid), "--net"]
    run([*inside, "--", "ip", "address", "add", f"{address}/24", "dev", "mgmt"])
    # A closed connection to a host that is gone holds the namespace, and its links, while it is retried: two minutes.
    run([*inside, "--", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/tcp_orphan_retries"])
    # The file, not the module: the process needs nothing of this package's.
    server = [sys.executable, "-I", str(Path(time_server.__file__)), address]
    log = folder_of(lab.name) / "log" / "time-server.log"
    namespaces.spawn([*inside, "--pid", "--", *server], lab.name, log)


def vm_files(lab: Lab, host: LabHost, found: Mapping[str, File]) -> dict[str, File]:
    """Return a virtual machine's own files, from those of the host in namespaces in its place.

    It needs no stand-ins, and all units can run in it.
    """
    kept = {path: file for path, file in found.items() if file.link_to != "/dev/null" and not path.endswith("/meminfo")}
    kept |= bridge_files(host)
    kept["etc/systemd/timesyncd.conf.d/lab.conf"] = File(f"[Time]\nNTP={time_server_address(lab.number)}\n")
    if lab.bare:
        return kept
    # As open to QEMU's user as in namespaces: post-copy needs it.
    kept["etc/udev/rules.d/90-userfaultfd.rules"] = File('KERNEL=="userfaultfd", MODE="0666"\n')
    if lab.storage == "nfs":
        kept["etc/fstab"] = File(f"{ROOT_MOUNT}{nfs_mount(lab)} 0 0\n")
    if lab.storage == "nfs" and host.name == lab.hosts[0].name:
        kept["etc/exports"] = File(f"{nfs_exports(lab)}\n")
        unit = "nfs-server.service"
        kept[f"etc/systemd/system/multi-user.target.wants/{unit}"] = File(link_to=f"/usr/lib/systemd/system/{unit}")
    return kept


def log_in_again(lab: Lab, host: LabHost, pid: int) -> None:
    """Wait until a host that boots from its own disk lets root in, and set its clock."""
    login = vm_channel.credentials(lab, host)
    open_connection(lab, host, pid, vm_channel.address(host), login, BOOT_TIMEOUT_S)
    set_clock(lab, host)


def move_in(
    lab: Lab, host: LabHost, pid: int, image: VmImage, found: Mapping[str, File], groups: Mapping[str, int]
) -> None:
    """Make a host that goes on from a saved state one of the lab: its time, its files, its keys, its address."""
    login = vm_channel.Credentials(image.login_key, image.known_hosts, IMAGE_NAME)
    open_connection(lab, host, pid, vm_channel.address(host), login, _LOAD_TIMEOUT_S)
    set_clock(lab, host)
    on(lab, host, "tar", "-x", "-p", "--no-overwrite-dir", "-C", "/", "-f", "-", stdin=packed(found, groups))
    script = f"""set -e
if [ -f /{FIRST_BOOT} ]; then sh /{FIRST_BOOT}; rm -r /{FIRST_BOOT.rpartition("/")[0]}; chgrp kvm /dev/kvm; fi
systemctl daemon-reload
networkctl reload
systemctl reload ssh
systemctl start sockets.target
systemctl restart systemd-timesyncd.service
if [ -f /etc/udev/rules.d/90-userfaultfd.rules ]; then
    udevadm control --reload
    udevadm trigger --settle /dev/userfaultfd
fi
until ip -4 address show dev eth0 | grep -q "inet $1/"; do sleep 0.1; done"""
    # A bare host renumbers its users first: more than 120 s were seen, emulated on a busy machine.
    on(lab, host, "sh", "-c", script, "sh", host.address, timeout_s=BOOT_TIMEOUT_S)
