"""Hosts that are out of placement: no instance is moved there unless the operator names the host.

libvirt knows no such thing, so the journal keeps it, and every command that chooses a host respects it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

from hotfoot.errors import HotfootError
from hotfoot.journal.entries import Entries
from hotfoot.journal.place import Place

PATIENCE_S = 3.0
"""How long a journal may take to tell; it is not needed for a migration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOut:
    """One host that is out of placement: who took it out, when (ms since 1970 UTC), and why."""

    host: str
    by: str
    since_ms: int
    why: str

    def __str__(self) -> str:
        since = f"{datetime.fromtimestamp(self.since_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
        return f"{self.host} is out of placement since {since}, by {self.by} ({self.why})."

    def as_json(self) -> dict[str, object]:
        """Return the object of ``hotfoot hosts --json``."""
        since = datetime.fromtimestamp(self.since_ms / 1000, UTC).isoformat(timespec="seconds")
        return {"by": self.by, "since": since, "why": self.why}


def hosts_out(place: Place, cluster: str) -> Mapping[str, HostOut]:
    """Return the hosts of a cluster that are out of placement, by name. Blocks; raises HotfootError."""
    with closing(Entries(place)) as entries:
        return {
            host: HostOut(host=host, by=by, since_ms=since, why=why) for host, by, since, why in entries.out(cluster)
        }


async def known_hosts_out(place: Place, cluster: str, say: Callable[[str], None] | None) -> Mapping[str, HostOut]:
    """Return the hosts that are out of placement, by name.

    A journal that cannot tell is no error, but said where ``say`` is given: no host counts as out then.
    """
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await asyncio.to_thread(hosts_out, place, cluster)
    except (HotfootError, TimeoutError) as error:
        if say:
            why = str(error) or f"the journal {place.name} does not answer"
            say(f"Whether a host is out of placement is not known: {why}.")
        return {}


async def told_hosts_out(place: Place, cluster: str, say: Callable[[str], None] | None) -> Mapping[str, str]:
    """Return the sentence about each host that is out of placement, as ``known_hosts_out`` finds them."""
    return {host: str(out) for host, out in (await known_hosts_out(place, cluster, say)).items()}
