"""Which ways of moving Nova has for a server: live, cold, or none, and why. Pure."""

from __future__ import annotations

from hotfoot.inventory import Host, Instance, InstanceState
from hotfoot.migration.nova_preflight import COLD_STATUSES, LIVE_STATUSES
from hotfoot.nova_words import NovaServer, means_yes
from hotfoot.placement.snapshot import Cold

_BINDS = {
    "pci_passthrough:alias": "PCI devices of its host",
    "accel:device_profile": "an accelerator of its host",
    "hw:pmem": "persistent memory of its host",
}
"""What a flavour gives that Nova does not move live (its guide on live migration)."""
_STAYS = "accel:device_profile"
"""Of these, what Nova does not move cold either (its guide on accelerators)."""


def why_not_live(one: Instance, host: Host, *, moving: bool) -> str | None:
    """Return why an instance cannot be moved live; None where it can. ``moving``: it is being migrated."""
    nova = one.nova
    if moving:
        return "it is being migrated"
    if nova is None:
        return "Nova does not say what it is"
    if nova.task_state:
        return f"Nova works on it ({nova.task_state})"
    if nova.status == "ERROR":
        return f"Nova shows it in ERROR; `hotfoot repair-state {one.name}` looks, and sets right what may be set right"
    if nova.status not in LIVE_STATUSES:
        return f"Nova shows it as {nova.status}, and only what is {' or '.join(LIVE_STATUSES)} can move live"
    given = _given(nova)
    return f"its flavour gives it {given}" if given and host.answers else None


def how_cold(one: Instance, host: Host, *, moving: bool) -> Cold | None:
    """Return what a cold migration means for what cannot move live; None where Nova does not take it either."""
    nova = one.nova
    if nova is None or nova.task_state or moving or not host.answers:
        return None
    if nova.status not in COLD_STATUSES or dict(nova.extra_specs).get(_STAYS):
        return None
    return Cold.OFF if one.state is InstanceState.SHUT_OFF else Cold.STOPPED


def local_bytes(one: Instance) -> int:
    """Return what a cold migration sends of disks at most, as far as it is known: nothing where hosts share them."""
    return sum(disk.size_bytes or 0 for disk in one.disks if disk.kind == "local")


def _given(nova: NovaServer) -> str | None:
    """Return what the flavour gives that does not move live."""
    specs = dict(nova.extra_specs)
    if specs.get("hw:tpm_version") and specs.get("hw:tpm_secret_security") != "host":
        return "a virtual TPM whose secret its user alone can open"
    if means_yes(specs.get("hw:mem_encryption", "")):
        return "memory that its host encrypts"
    return next((what for key, what in _BINDS.items() if specs.get(key)), None)
