"""Which LUN a device name stands for, in one spelling whoever tells it: by World Wide Identifier (WWID).

Sources: udev's links in /dev/disk/by-id, multipath(8), /sys/block/*/device/wwid, scsi_id(8).
"""

from __future__ import annotations

import re

from hotfoot.readiness.facts import HostFacts

_NAA = re.compile(r"[0-9a-f]{32}|[0-9a-f]{16}")


def wwid(text: str) -> str:
    """Return the one spelling of an identifier, empty where there is none in it.

    The same disk is naa.600a in /sys, wwn-0x600a and scsi-3600a in /dev/disk/by-id, 3600a for multipath: the 3 says
    that an NAA number follows.

    >>> wwid("naa.60014051a2b3c4d5e6f7081920a1b2c3") == wwid("scsi-360014051a2b3c4d5e6f7081920a1b2c3")
    True
    """
    word = text.rsplit("/", 1)[-1].lower()
    word = re.sub(r"-part\d+$", "", word)
    for start in ("wwn-0x", "naa.", "0x", "scsi-3", "dm-uuid-mpath-3", "mpath-3", "dm-name-3"):
        if word.startswith(start) and _NAA.fullmatch(word.removeprefix(start)):
            return word.removeprefix(start)
    if word.startswith("3") and _NAA.fullmatch(word[1:]):
        return word[1:]
    if word.startswith(("eui.", "nvme-eui.", "nvme-uuid.", "uuid.")):
        return word.removeprefix("nvme-")
    return ""


def lun_of(host: HostFacts, device: str) -> str:
    """Return the WWID of a device of a host, by its name or by what the host tells of it; empty where not known."""
    named = wwid(device)
    if named or host.storage is None:
        return named
    name = device.rsplit("/", 1)[-1]
    devices = host.storage.block_devices
    return next((wwid(each.wwid) for each in devices if each.name == name or device in each.paths), "")


def luns(host: HostFacts) -> frozenset[str]:
    """Return the WWIDs of all LUNs that a host sees."""
    devices = host.storage.block_devices if host.storage else ()
    return frozenset(found for device in devices if (found := wwid(device.wwid)))
