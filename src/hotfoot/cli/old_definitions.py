"""Old definitions of what left a host: told before it takes instances again, and removed afterwards."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from hotfoot.cli.verb import tell

if TYPE_CHECKING:
    from hotfoot.evacuation.old import OldDefinition
    from hotfoot.plans.site import Site


async def told_old(site: Site, hosts: tuple[str, ...]) -> tuple[OldDefinition, ...]:
    """Return the definitions that are shut off on these hosts, of what lives elsewhere by now; say which.

    Raises HotfootError (unknown state) for an instance that is active on both.
    """
    from hotfoot.evacuation.old import old_definitions

    found = await old_definitions(site, hosts)
    tell([f"{one.host} has an old definition of {one.name}, which lives on {one.lives_on}." for one in found])
    return found


async def remove_old(site: Site, old: Collection[OldDefinition]) -> None:
    """Remove those of them that are still old, and say so."""
    from hotfoot.evacuation.old import remove

    removed = await remove(site, old) if old else ()
    tell([f"The old definition of {one.name} on {one.host} was removed." for one in removed])
