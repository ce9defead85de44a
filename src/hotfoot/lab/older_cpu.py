"""A lab of which the last host gives its instances an older CPU than the others.

libvirt asks QEMU what CPUs it can give, and compares guests with the answer: a QEMU that is started with features
switched off in all its CPU models is to libvirt, and to instances, a host on whose processor they are missing.
"""

from __future__ import annotations

from hotfoot.lab.host_files import File
from hotfoot.lab.spec import LabHost

LACKS = ("avx2", "bmi1", "bmi2", "fma", "movbe")
"""What a processor one generation older lacks (Intel's Ivy Bridge against Haswell)."""
_PROGRAM = "qemu-system-x86_64"


def files(host: LabHost, older: LabHost) -> dict[str, File]:
    """Return the QEMU that libvirt finds first; at one path on all hosts, since an instance's definition names it."""
    switches = "".join(f" -global x86_64-cpu.{feature}=off" for feature in LACKS) if host == older else ""
    return {f"usr/local/bin/{_PROGRAM}": File(f'#!/bin/sh\nexec /usr/bin/{_PROGRAM}{switches} "$@"\n', 0o755)}
