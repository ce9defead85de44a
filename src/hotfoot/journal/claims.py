"""Taking an instance for one migration, so that two Hotfoots do not fight over it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from hotfoot.cloud.protocol import Cloud
from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.inventory import Instance
from hotfoot.journal.claim import Claim, from_xml, to_xml
from hotfoot.journal.living import lives
from hotfoot.journal.owner import Owner

RENEW_S = 1.0
STRANGER_S = 5.0
"""How long the claim of a process on another machine is looked at: several times as long as its owner lets it rest."""
SETTLE_S = 0.2
"""After writing a claim, before looking whether it is still there: longer than from another's look to its writing."""


async def claimed_by(cloud: Cloud, instance: Instance) -> Claim | None:
    """Return the claim on an instance if its owner lives; of a dead one, or none, return None.

    Invariant: a claim counts as dead only when its process is gone from this machine, or when, on another machine,
    it was not renewed for ``STRANGER_S`` although no migration was under way; a clock is never asked. (A domain
    under migration takes no new metadata, so that a claim rests then.)
    """
    claim = from_xml(await cloud.claim(instance.host, instance.uuid))
    if claim is None:
        return None
    alive = lives(claim.owner)
    if alive is None:
        alive = await _under_way_or_renewed(cloud, instance, claim)
    return claim if alive else None


async def _under_way_or_renewed(cloud: Cloud, instance: Instance, claim: Claim) -> bool:
    for _ in range(round(STRANGER_S / RENEW_S)):
        if await cloud.job(instance.host, instance.uuid) is not None:
            return True
        await asyncio.sleep(RENEW_S)
        now = from_xml(await cloud.claim(instance.host, instance.uuid))
        if now is None or now != claim:
            return now is not None
    return False


def refusal(instance: Instance, claim: Claim) -> HotfootError:
    """Return what the second one is told."""
    return HotfootError(
        f"{instance.name} is being moved already, by {claim};"
        f" `hotfoot watch` shows it, `hotfoot abort {instance.name}` stops it.",
        ExitStatus.REFUSED,
    )


class Held:
    """A claim that is held: renewed by itself until the move begins, and given back afterwards."""

    def __init__(self, cloud: Cloud, instance: Instance, claim: Claim) -> None:
        self._cloud = cloud
        self._instance = instance
        self._claim = claim
        self._renewing = asyncio.create_task(self._renew())

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            with suppress(HotfootError):
                self._claim = self._claim.renewed()
                await self._cloud.set_claim(self._instance.host, self._instance.uuid, to_xml(self._claim))

    async def rest(self) -> None:
        """Stop renewing: the move begins, and speaks for itself."""
        self._renewing.cancel()
        await asyncio.gather(self._renewing, return_exceptions=True)

    async def give_back(self, *hosts: str | None) -> None:
        """Take the claim away wherever the instance is now; a host that cannot be asked keeps a dead claim."""
        await self.rest()
        await clear(self._cloud, self._instance.uuid, self._claim.owner, self._instance.host, *hosts)


async def clear(cloud: Cloud, uuid: str, owner: Owner, *hosts: str | None) -> None:
    """Take an owner's claim away on these hosts."""
    for host in filter(None, dict.fromkeys(hosts)):
        with suppress(HotfootError):
            found = from_xml(await cloud.claim(host, uuid))
            if found is not None and found.owner == owner:
                await cloud.set_claim(host, uuid, None)


async def take(cloud: Cloud, instance: Instance, me: Owner, now_ms: int) -> Held:
    """Claim an instance, or refuse with the name of the one who has it. Raises HotfootError (refused).

    Invariant: of two that claim at the same time at most one is let go on, as long as the other's writing follows
    its look within ``SETTLE_S``; and where even that fails, the hypervisor runs one migration of an instance at a
    time, whatever is claimed.
    """
    other = await claimed_by(cloud, instance)
    if other is not None and other.owner != me:
        raise refusal(instance, other)
    claim = Claim(owner=me, since_ms=now_ms)
    await cloud.set_claim(instance.host, instance.uuid, to_xml(claim))
    await asyncio.sleep(SETTLE_S)
    found = from_xml(await cloud.claim(instance.host, instance.uuid))
    if found is not None and found.owner != me:
        raise refusal(instance, found)
    return Held(cloud, instance, claim)
