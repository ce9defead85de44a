"""Saved states of virtual machines: each host is booted once, and every lab goes on from there.

A first boot takes half a minute and more where the machine emulates processors; going on takes seconds. A state is
a memory image and the disk as it then was, of one host: its UUID, MAC addresses, name and machine-id are in it and
the same in every lab. They lie with the image that they were made from, and are not made anew while it is there.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hotfoot.lab import namespaces, vm_channel, vm_host
from hotfoot.lab.command import LabError, run
from hotfoot.lab.host_files import File
from hotfoot.lab.spec import Lab, LabHost
from hotfoot.lab.store import folder_of
from hotfoot.lab.vm_image import IMAGE_NAME, VmImage, packed

_SAVE_TIMEOUT_S = 120
# Each keeps a core busy while it boots.
_BOOTS_AT_ONCE = 2
_SETTLE = """set -e
hostname "$1"
printf '%s\\n' "$2" > /etc/machine-id
networkctl reload
systemctl is-system-running --wait >/dev/null || :
# KVM's module comes by udev, after sshd.
if grep -qwE 'svm|vmx' /proc/cpuinfo; then until [ -c /dev/kvm ]; do sleep 0.2; done; fi
until ip -6 address show dev br0 scope link | grep inet6 | grep -qv tentative; do sleep 0.2; done
# libvirt keeps what it finds out here, which takes long, in its cache.
for kind in kvm qemu; do virsh -q domcapabilities --virttype "$kind" >/dev/null || :; done
systemctl stop libvirtd.service
sync"""


def folder(image: VmImage, lab: Lab, host: LabHost) -> Path:
    """Return where a host's state is kept, there or not.

    A state fits one way to run a host only: one made by emulation, say, is no good under KVM.
    """
    place = Path("disk")
    recipe = [_SETTLE, *vm_host.qemu_argv(image, host, place, place, lab.vm_accelerator or "tcg")]
    recipe += [f"{path} {file}" for path, file in vm_host.bridge_files(host).items()]
    return image.folder / "states" / f"{host.name}-{hashlib.sha256(' '.join(recipe).encode()).hexdigest()[:12]}"


def ensure(image: VmImage, lab: Lab, say: Callable[[str], None]) -> None:
    """Make the saved states that a lab's hosts lack, in the lab's own namespaces; raises LabError."""
    with image.lock():
        missing = [host for host in lab.hosts if not folder(image, lab, host).is_dir()]
        if not missing:
            return
        say(f"booting {', '.join(host.name for host in missing)} for the first time, to keep the booted state")
        started = time.monotonic()
        with ThreadPoolExecutor(_BOOTS_AT_ONCE) as pool:
            list(pool.map(lambda host: _make(image, lab, host), missing))
        say(f"states saved after {time.monotonic() - started:.0f} s")


def _make(image: VmImage, lab: Lab, host: LabHost) -> None:
    final = folder(image, lab, host)
    work = final.with_name(f"making-{host.name}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    disk, control = work / "disk.qcow2", folder_of(lab.name) / "ssh" / f"qmp-{host.name}"
    control.parent.mkdir(exist_ok=True)
    run(vm_host.disk_argv(image, image.disk, "raw", disk))
    console = folder_of(lab.name) / "log" / f"{host.name}-first-console.log"
    words = vm_host.qemu_argv(image, host, disk, console, lab.vm_accelerator or "tcg")
    pid = vm_host.launch(lab, host, [*words, "-qmp", f"unix:{control},server=on,wait=off"])
    try:
        login = vm_channel.Credentials(image.login_key, image.known_hosts, IMAGE_NAME)
        place = vm_channel.first_address(host)
        vm_host.open_connection(lab, host, pid, place, login, vm_host.BOOT_TIMEOUT_S)
        _settle(lab, host)
        _save(control, work / "memory", host)
    finally:
        vm_host.close_connection(lab, host)
        namespaces.kill(pid)
        control.unlink(missing_ok=True)
    while namespaces.started_at(pid) is not None:
        time.sleep(0.05)
    for path in work.iterdir():
        path.chmod(0o600)
    work.rename(final)


def _settle(lab: Lab, host: LabHost) -> None:
    """Give a host that has just booted its name and its bridge, and wait until it has nothing left to start."""
    found = {"etc/hostname": File(f"{host.name}\n"), **vm_host.bridge_files(host)}
    vm_host.set_clock(lab, host)
    vm_host.on(lab, host, "tar", "-x", "-p", "--no-overwrite-dir", "-C", "/", "-f", "-", stdin=packed(found, {}))
    vm_host.on(lab, host, "sh", "-c", _SETTLE, "sh", host.name, host.uuid.hex, timeout_s=180)


def _save(control: Path, memory: Path, host: LabHost) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_SAVE_TIMEOUT_S)
        connection.connect(str(control))
        with connection.makefile("rw") as lines:

            def ask(command: str, **arguments: object) -> dict[str, object]:
                lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
                lines.flush()
                while True:
                    answer = json.loads(lines.readline())
                    if "error" in answer:
                        raise LabError(f"The state of {host.name} could not be saved: {answer['error']['desc']}.")
                    if "return" in answer:
                        found: dict[str, object] = answer["return"]
                        return found

            lines.readline()  # the greeting
            ask("qmp_capabilities")
            ask("migrate", uri=f"file:{memory}")
            end = time.monotonic() + _SAVE_TIMEOUT_S
            while (status := ask("query-migrate").get("status")) != "completed":
                if status in ("failed", "cancelled") or time.monotonic() > end:
                    raise LabError(f"The state of {host.name} could not be saved: QEMU says {status}.")
                time.sleep(0.1)
