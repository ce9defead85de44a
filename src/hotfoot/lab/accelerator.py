"""KVM or TCG: decided by running a vCPU, never by looking at /dev/kvm.

/dev/kvm may exist, open and create a virtual machine, and still not run a guest (seen in nested clouds). So the
probe runs the lab's own QEMU with a firmware of one instruction sequence, which writes to QEMU's debug-exit port:
only a vCPU that truly ran can end QEMU with that status.
"""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hotfoot.lab.command import LabError, run
from hotfoot.lab.image import Image

Accelerator = Literal["kvm", "tcg"]

_FIRMWARE_BYTES = 65536
_RESET_VECTOR = _FIRMWARE_BYTES - 16
# mov dx,0xf4; mov al,0x10; out dx,al; hlt; jmp to the hlt
_CODE = bytes.fromhex("baf400 b010 ee f4 ebfd")
# QEMU's isa-debug-exit ends with (value << 1) | 1.
_EXIT_STATUS = 0x10 << 1 | 1
_PROBE_TIMEOUT_S = 5
_LEAST_QEMU_UNDER_TCG = 9


@dataclass(frozen=True, slots=True)
class Verdict:
    """What instances run on, why, and for TCG what KVM said."""

    accelerator: Accelerator
    reason: str
    detail: str = ""


def firmware() -> bytes:
    """Return the 64 KiB firmware whose reset vector tells QEMU to end."""
    return bytes(_RESET_VECTOR) + _CODE.ljust(16, b"\x90")


def probe(image: Image, device: Path = Path("/dev/kvm")) -> Verdict:
    """Run one vCPU under KVM with the image's QEMU and judge by whether it ran.

    Raises LabError where only TCG is left and the image's QEMU is older than 9: it corrupts busy guests on
    live migration under TCG, silently.
    """
    reason = _why_not_kvm(image, device)
    if reason is None:
        return Verdict("kvm", "a vCPU ran under KVM")
    version = run(["chroot", image.root, "qemu-system-x86_64", "--version"]).split("version ")[1].split(" ")[0]
    if int(version.split(".")[0]) < _LEAST_QEMU_UNDER_TCG:
        raise LabError(
            f"KVM does not run here ({reason}), and the image's QEMU {version} corrupts busy guests under TCG; "
            f"it must be {_LEAST_QEMU_UNDER_TCG} or newer."
        )
    return Verdict("tcg", "KVM does not run a vCPU on this machine", reason)


def _why_not_kvm(image: Image, device: Path) -> str | None:
    if not device.exists():
        return f"there is no {device}"
    with tempfile.NamedTemporaryFile(suffix=".bin", dir=image.root / "tmp") as bios:
        bios.write(firmware())
        bios.flush()
        inside = "/" + str(Path(bios.name).relative_to(image.root))
        # A mount namespace of its own gives the chroot its /dev/kvm and takes it away again by itself.
        script = (
            'mount --bind /dev "$1/dev" && exec chroot "$1" qemu-system-x86_64 -accel kvm -cpu host -machine pc '
            '-nodefaults -display none -m 16 -bios "$2" -device isa-debug-exit,iobase=0xf4,iosize=4'
        )
        argv = ["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child=KILL"]
        try:
            done = subprocess.run(
                [*argv, "sh", "-c", script, "sh", str(image.root), inside],
                capture_output=True,
                text=True,
                timeout=_PROBE_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"a vCPU did not run within {_PROBE_TIMEOUT_S} s"
    if done.returncode == _EXIT_STATUS:
        return None
    complaint = (done.stderr.strip() or f"QEMU ended with {done.returncode}").splitlines()[-1]
    return complaint.removeprefix("qemu-system-x86_64: ").split(": ", 1)[-1]
