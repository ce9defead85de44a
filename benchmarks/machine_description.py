"""What a measurement was taken on."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import hotfoot


def machine_description(accelerator: str, storage: str, virsh_version: str) -> dict[str, str | int | float]:
    """Return the machine, what the lab runs on, and all versions; ``virsh_version`` is what ``virsh version`` said."""
    versions = _after_colons(virsh_version)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _after_colons(Path("/proc/cpuinfo").read_text()).get("model name", platform.machine()),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load_average": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "accelerator": accelerator,
        "storage": storage,
        "qemu": versions.get("Running hypervisor", "unknown").removeprefix("QEMU "),
        "libvirt": versions.get("Using library", "unknown").removeprefix("libvirt "),
        "python": platform.python_version(),
        "hotfoot": hotfoot.__version__,
    }


def _after_colons(text: str) -> dict[str, str]:
    rows = (line.partition(":") for line in text.splitlines())
    return {key.strip(): value.strip() for key, _, value in rows}
