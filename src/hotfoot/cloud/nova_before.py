"""How a server is just before its move: by this the move's own record, its own action and its end are told."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from hotfoot.cloud.nova_migration import Belongings, Json
from hotfoot.cloud.openstack_api import OpenStackApi
from hotfoot.cloud.openstack_values import instance_of
from hotfoot.inventory import InstanceState

FRESH_S = 2.0
"""For how long what was looked at ahead of a move is still taken for how the server is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """A server before its move, as Nova told it from ``at_s`` (``time.monotonic()``) on."""

    at_s: float = float("-inf")
    records: frozenset[int] = frozenset()
    """Numbers of its earlier migrations."""
    actions: frozenset[str] = frozenset()
    """Ids of the requests of its earlier actions."""
    state: InstanceState = InstanceState.UNKNOWN
    belongings: Belongings = field(default_factory=Belongings)

    @property
    def is_fresh(self) -> bool:
        """Whether a move may still be judged by it.

        Nothing is mistaken meanwhile: Nova takes up one migration of a server at a time, so that another one had to
        begin and end after the look, and before the move, to count as the move's own.
        """
        return time.monotonic() - self.at_s < FRESH_S


async def look_before(api: OpenStackApi, uuid: str) -> Before:
    """Ask Nova for it. Raises HotfootError."""
    at_s = time.monotonic()
    records, actions, server, belongings = await asyncio.gather(
        records_of(api, uuid), actions_of(api, uuid), api.get("compute", f"/servers/{uuid}"), belongings_of(api, uuid)
    )
    return Before(
        at_s=at_s,
        records=frozenset(int(one["id"]) for one in records),
        actions=frozenset(str(one["request_id"]) for one in actions),
        state=instance_of(server["server"], {}).state,
        belongings=belongings,
    )


async def records_of(api: OpenStackApi, uuid: str) -> list[Json]:
    """Return all records of a server's migrations, ended ones too. Raises HotfootError."""
    answer = await api.get("compute", "/os-migrations", instance_uuid=uuid)
    return list(answer["migrations"])


async def actions_of(api: OpenStackApi, uuid: str) -> list[Json]:
    """Return what was ever asked of a server. Raises HotfootError."""
    answer = await api.get("compute", f"/servers/{uuid}/os-instance-actions")
    return list(answer["instanceActions"])


async def belongings_of(api: OpenStackApi, uuid: str) -> Belongings:
    """Return a server's volumes and ports. Raises HotfootError."""
    attachments, interfaces = await asyncio.gather(
        api.get("compute", f"/servers/{uuid}/os-volume_attachments"),
        api.get("compute", f"/servers/{uuid}/os-interface"),
    )
    return Belongings.of(attachments["volumeAttachments"], interfaces["interfaceAttachments"])
