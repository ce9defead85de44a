"""Definitions of instances for tests of evacuations."""

from __future__ import annotations

from typing import Any

from hotfoot.definition import Definition
from hotfoot.journal.definitions import Kept

ON_RBD = "<disk type='network'><source protocol='rbd' name='vms/disk'/><target dev='vda'/></disk>"


def uuid_of(name: str) -> str:
    return f"00000000-0000-4000-8000-{name.encode().hex():0>12}"


def xml_of(name: str, devices: str = ON_RBD, os: str = "") -> str:
    """The persistent definition of an instance with 1 GiB of memory."""
    return (
        f"<domain type='kvm'><name>{name}</name><uuid>{uuid_of(name)}</uuid><memory unit='GiB'>1</memory>"
        f"<vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type>{os}</os><devices>{devices}</devices></domain>"
    )


def definition(name: str, xml: str | None = None, **changes: Any) -> Definition:
    values: dict[str, Any] = {"running": True, "persistent": True, **changes}
    return Definition(uuid=uuid_of(name), name=name, xml=xml or xml_of(name), **values)


def kept(name: str, host: str = "n1", xml: str | None = None, *, placed_ms: int = 1000, **changes: Any) -> Kept:
    return Kept(definition=definition(name, xml, **changes), host=host, seen_ms=1000, placed_ms=placed_ms)
