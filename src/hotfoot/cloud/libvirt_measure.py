"""What one host can tell of an instance before it moves: how fast it dirties its memory, and how much it uses.

Blocking functions over an open connection, run in threads by the adapter; and one read-only script.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import libvirt

from hotfoot.cloud.protocol import Usage

_MEASURED = 2
"""VIR_DOMAIN_DIRTYRATE_MEASURED"""
_LATE_S = 5.0
_AGAIN_S = 0.05
_ATTEMPTS = 2
"""Just after a migration, or while another measurement ends, the first is refused."""


def dirty_mib_per_s(connection: Any, uuid: str, period_s: int) -> int | None:
    """Measure for a whole number of seconds by page-sampling; None where libvirt or QEMU cannot.

    Page-sampling compares a few hundred pages per GiB before and after. The other ways are not used: the dirty bitmap
    crashed QEMU 7.2 under TCG and read 0 on 10.0, and the dirty ring has to be configured at the guest's start.
    """
    domain = connection.lookupByUUIDString(uuid)
    for _ in range(_ATTEMPTS):
        with suppress(libvirt.libvirtError, AttributeError):
            domain.startDirtyRateCalc(period_s, 0)
            return _measured(connection, domain, period_s)
        time.sleep(period_s)
    return None


def _measured(connection: Any, domain: Any, period_s: int) -> int | None:
    time.sleep(period_s)
    end_s = time.monotonic() + _LATE_S
    while time.monotonic() < end_s:
        ((_, told),) = connection.domainListGetStats([domain], libvirt.VIR_DOMAIN_STATS_DIRTYRATE)
        if told.get("dirtyrate.calc_status") == _MEASURED and "dirtyrate.megabytes_per_second" in told:
            return int(told["dirtyrate.megabytes_per_second"])
        time.sleep(_AGAIN_S)
    return None


def resident_bytes(connection: Any, uuid: str) -> int | None:
    """Return the resident size of the QEMU process: memory that the guest has touched, and QEMU's own."""
    with suppress(libvirt.libvirtError):
        told = connection.lookupByUUIDString(uuid).memoryStats()
        if "rss" in told:
            return int(told["rss"]) * 1024
    return None


def usage(connection: Any, period_s: float) -> dict[str, Usage]:
    """Return what each running domain (uuid) used in so long a time; its memory alone where that is 0."""
    which = libvirt.VIR_DOMAIN_STATS_CPU_TOTAL | libvirt.VIR_DOMAIN_STATS_BALLOON
    running = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE

    def look() -> dict[str, dict[str, Any]]:
        return {domain.UUIDString(): told for domain, told in connection.getAllDomainStats(which, running)}

    def of(told: dict[str, Any], cpus: float | None) -> Usage:
        rss_kib = told.get("balloon.rss")
        return Usage(cpus=cpus, resident_bytes=None if rss_kib is None else int(rss_kib) * 1024)

    before, began_s = look(), time.monotonic()
    if not period_s:
        return {uuid: of(told, None) for uuid, told in before.items()}
    time.sleep(period_s)
    after, past_s = look(), time.monotonic() - began_s

    def busy_s(uuid: str) -> float:
        earlier_ns, now_ns = (int(told.get("cpu.time", 0)) for told in (before.get(uuid, after[uuid]), after[uuid]))
        return max(0, now_ns - earlier_ns) / 1e9

    return {uuid: of(told, busy_s(uuid) / past_s) for uuid, told in after.items()}


def allocated_bytes(connection: Any, uuid: str, targets: Sequence[str]) -> tuple[int, int]:
    """Return what of these disks is written on the source, and what they could hold."""
    domain = connection.lookupByUUIDString(uuid)
    sizes = [domain.blockInfo(target) for target in targets]  # capacity, allocation, physical
    return sum(allocation for _, allocation, _ in sizes), sum(capacity for capacity, _, _ in sizes)


MEMORY_SCRIPT = r"""
pid=$(cat /run/libvirt/qemu/{name}.pid) && awk -v want={kib} '
  /^[0-9a-f]+-[0-9a-f]+ / {{ mode = $2; size = 0; used = 0 }}
  /^Size:/ {{ size = $2 }}
  /^(Rss|Swap|Shared_Hugetlb|Private_Hugetlb):/ {{ used += $2 }}
  /^VmFlags:/ {{ if (mode ~ /^rw-/ && size >= want && size < want * 1.06 + 65536 && used > most) most = used }}
  END {{ if (most) print "guest_kib", most }}
' "/proc/$pid/smaps"
"""
"""Finds the mapping that is the guest's memory by its size; never writes."""


def memory_question(name: str, memory_bytes: int) -> str:
    """Return the script that finds how much of the guest's memory has been touched."""
    return MEMORY_SCRIPT.format(name=shlex.quote(name), kib=memory_bytes // 1024)


def memory_answer(text: str) -> int | None:
    """Read what the script printed, in bytes; None where it did not find the guest's memory."""
    for line in text.splitlines():
        word, _, number = line.partition(" ")
        if word == "guest_kib" and number.isdecimal():
            return int(number) * 1024
    return None


def memories_question(guests: Iterable[tuple[str, str, int]]) -> str:
    """Return the script that finds it for many guests: uuid, name and memory in bytes of each."""
    asked = [f"echo guest {uuid}\n({memory_question(name, memory_bytes)})" for uuid, name, memory_bytes in guests]
    return "\n".join([*asked, "exit 0", ""])


def memories_answer(text: str) -> dict[str, int]:
    """Read what that script printed: uuid to bytes, of the guests whose memory it found."""
    found, uuid = {}, ""
    for line in text.splitlines():
        word, _, told = line.partition(" ")
        if word == "guest":
            uuid = told
        elif uuid and (touched := memory_answer(line)) is not None:
            found[uuid] = touched
    return found


LINK_SCRIPT = r"""
device=$(ip -o route get "$(getent ahosts {address} | awk '{{ print $1; exit }}')" | sed -n 's/.* dev \([^ ]*\).*/\1/p')
speed=$(cat "/sys/class/net/$device/speed") && echo "link_mbit $speed"
"""


def link_question(address: str) -> str:
    """Return the script that tells the speed of the link towards an address."""
    return LINK_SCRIPT.format(address=shlex.quote(address))


def link_answer(text: str) -> int | None:
    """Read what the script printed, in bytes per second; -1 is the kernel's word for not known."""
    for line in text.splitlines():
        word, _, number = line.partition(" ")
        if word == "link_mbit" and number.isdecimal():
            return int(number) * 1_000_000 // 8
    return None
