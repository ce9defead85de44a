"""Which address a network card has, as this machine's own ARP table knows. Linux only."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

ARP_TABLE = Path("/proc/net/arp")
COMPLETE = 0x2


def addresses_of(macs: Iterable[str], table: str | None = None) -> tuple[str, ...]:
    """Return the IPv4 addresses of these cards; ``table`` has the format of /proc/net/arp."""
    wanted = {mac.lower() for mac in macs}
    if table is None:
        table = ARP_TABLE.read_text() if ARP_TABLE.exists() else ""
    rows = (line.split() for line in table.splitlines()[1:])
    return tuple(row[0] for row in rows if len(row) >= 4 and row[3].lower() in wanted and int(row[2], 16) & COMPLETE)
