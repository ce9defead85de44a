"""What every command that looks at a cluster tells first: what became of migrations whose Hotfoot was killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from hotfoot.cloud.protocol import Cloud
    from hotfoot.cluster import Cluster


async def tell_orphans(declared: Cluster, cloud: Cloud, *, stopped: str | None = None) -> None:
    """Look for open records whose Hotfoot is dead, end those that have ended, and say so, one line each.

    Trouble with the journal is told as well, and stops no command. ``stopped``: the UUID of an instance whose
    migration has just been stopped.
    """
    from hotfoot.errors import HotfootError
    from hotfoot.journal.place import place_of

    place = place_of(declared.journal.url)
    if not place.may_hold_open:
        return
    from hotfoot.journal.afterwards import look_afterwards
    from hotfoot.journal.store import Store

    store = Store(place)
    try:
        for found in await look_afterwards(cloud, store, declared.name, declared.host_names, stopped=stopped):
            typer.secho(found.sentence, err=True, fg=typer.colors.YELLOW)
    except HotfootError as error:
        typer.secho(f"Whether a migration was left unfinished is not known: {error}.", err=True, fg=typer.colors.YELLOW)
    finally:
        store.close()
