"""KVM or TCG: decided by booting a guest, never by looking at /dev/kvm.

/dev/kvm may exist, open, create a virtual machine and even run some code, and still not run a guest: seen in nested
clouds, and with KVM that emulates what the processor cannot do (kvm_pvm), which an ordinary kernel ends with
"emulation failure". So the probe boots what the lab's instances boot, and only the words of the witness, the guest's
one program, prove that it ran.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hotfoot.lab.command import LabError, run
from hotfoot.lab.image import Image

Accelerator = Literal["kvm", "tcg"]

_READY = "hotfoot: witness ready"
_LOST = "KVM internal error"
_PATIENCE_S = 30
_SILENCE_S = 10
_LEAST_QEMU_UNDER_TCG = 9


@dataclass(frozen=True, slots=True)
class Verdict:
    """What instances run on, why, and for TCG what KVM said."""

    accelerator: Accelerator
    reason: str
    detail: str = ""


def probe(image: Image, device: Path = Path("/dev/kvm")) -> Verdict:
    """Boot the lab's guest under KVM with the image's QEMU and judge by whether it came up.

    Raises LabError where only TCG is left and the image's QEMU is older than 9: it corrupts busy guests on
    live migration under TCG, silently.
    """
    reason = not_booted(image, ("-accel", "kvm", "-cpu", "host")) if device.exists() else f"there is no {device}"
    if reason is None:
        return Verdict("kvm", "a guest came up under KVM")
    version = run(["chroot", image.root, "qemu-system-x86_64", "--version"]).split("version ")[1].split(" ")[0]
    if int(version.split(".")[0]) < _LEAST_QEMU_UNDER_TCG:
        raise LabError(
            f"KVM does not run here ({reason}), and the image's QEMU {version} corrupts busy guests under TCG; "
            f"it must be {_LEAST_QEMU_UNDER_TCG} or newer."
        )
    return Verdict("tcg", "KVM runs no guest on this machine", reason)


def not_booted(image: Image, words: Sequence[str]) -> str | None:
    """Boot the lab's guest with these words for QEMU; return why it did not come up, None if it did."""
    # A mount namespace of its own gives the chroot its /dev and the guest, and takes them away again by itself.
    script = (
        'mount --bind /dev "$1/dev" && mount --bind "$2" "$1/mnt" && cd / && shift 2 && exec chroot "$0" '
        "qemu-system-x86_64 -machine pc -nodefaults -display none -no-reboot -m 128 -serial stdio "
        "-drive if=virtio,driver=null-co,size=1M "
        '-kernel /mnt/vmlinuz -initrd /mnt/initramfs.gz -append "console=ttyS0 earlyprintk=ttyS0 panic=-1" "$@"'
    )
    argv = ["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child=KILL"]
    argv += ["sh", "-c", script, str(image.root), str(image.root), str(image.kernel.parent), *words]
    said = ""
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as guest:
        assert guest.stdout is not None
        try:
            end_s = time.monotonic() + _PATIENCE_S
            while time.monotonic() < end_s and select.select([guest.stdout], [], [], _SILENCE_S)[0]:
                told = os.read(guest.stdout.fileno(), 65536)
                said += told.decode(errors="replace")
                if _READY in said:
                    return None
                if not told or _LOST in said:
                    return _complaint(said)
        finally:
            guest.kill()
    return "a guest began, and did not come up" if said.strip() else "a vCPU did not run"


def _complaint(said: str) -> str:
    lines = [line.removeprefix("qemu-system-x86_64: ").strip() for line in said.splitlines() if line.strip()]
    lost = next((line for line in lines if line.startswith(_LOST)), None)
    return lost or (lines[-1].split(": ", 1)[-1] if lines else "QEMU ended without a word")
