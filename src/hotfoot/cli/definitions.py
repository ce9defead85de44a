"""``hotfoot definitions``: what the journal keeps of each instance for the day that its host is dead."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from hotfoot.cli.options import ClusterOption, JsonOption
from hotfoot.cli.session import with_libvirt
from hotfoot.errors import ExitStatus, HotfootError

if TYPE_CHECKING:
    from pathlib import Path

    from hotfoot.cloud.libvirt_cloud import LibvirtCloud
    from hotfoot.cluster import Cluster
    from hotfoot.journal.definitions import Kept
    from hotfoot.journal.store import Store


def definitions(
    instance: Annotated[
        str | None,
        typer.Argument(metavar="[INSTANCE]", help="Print the definition that is kept of this one: its name or UUID."),
    ] = None,
    cluster: ClusterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at all hosts, and keep every instance's definition in the journal, for `hotfoot evacuate`; for a timer."""
    if instance is not None:
        _print_one(instance, cluster, as_json=as_json)
        return

    async def work(declared: Cluster, cloud: LibvirtCloud) -> tuple[tuple[Kept, ...], dict[str, str]]:
        from contextlib import closing

        from hotfoot.journal.definitions import Definitions
        from hotfoot.journal.place import place_of
        from hotfoot.journal.store import Store

        with closing(Store(place_of(declared.journal.url))) as store:
            silent = await keep_definitions(declared, cloud, store)
            return Definitions(store).kept(declared.name), silent

    kept, silent = with_libvirt(cluster, work)
    if as_json:
        typer.echo(json.dumps({"definitions": [_json(one) for one in kept], "unreachable": silent}))
    else:
        from hotfoot.cli.tables import print_table

        print_table(
            ("INSTANCE", "HOST", "WAS", "AUTOSTART", "READ"),
            [
                (
                    one.definition.name,
                    one.host,
                    "running" if one.definition.running else "shut off",
                    "yes" if one.definition.autostart else "no",
                    age(one.seen_ms),
                )
                for one in kept
            ],
        )
        for problem in silent.values():
            typer.secho(problem, err=True, fg=typer.colors.YELLOW)


async def keep_definitions(declared: Cluster, cloud: LibvirtCloud, store: Store) -> dict[str, str]:
    """Read the definitions of all hosts that answer, and keep them; returns the others with what is wrong.

    Raises HotfootError where the journal cannot be written.
    """
    import asyncio

    from hotfoot.journal.definitions import Definitions
    from hotfoot.journal.entries import now_ms

    at_ms, names = now_ms(), [host.name for host in declared.hosts]
    told = await asyncio.gather(*(cloud.definitions(name) for name in names), return_exceptions=True)
    seen, silent = {}, {}
    for name, answer in zip(names, told, strict=True):
        if isinstance(answer, HotfootError):
            silent[name] = str(answer)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            seen[name] = answer
    await asyncio.to_thread(Definitions(store).keep, declared.name, seen, at_ms, whole=not silent)
    return silent


def age(at_ms: int) -> str:
    """Return how long ago that was, in words."""
    from hotfoot.journal.entries import now_ms
    from hotfoot.sizes import human_seconds

    return f"{human_seconds(max(0.0, (now_ms() - at_ms) / 1000))} ago"


def _print_one(name: str, cluster: Path | None, *, as_json: bool) -> None:
    from contextlib import closing

    from hotfoot.cli.session import declared_cluster
    from hotfoot.journal.definitions import Definitions
    from hotfoot.journal.place import place_of
    from hotfoot.journal.store import Store

    declared = declared_cluster(cluster, None, certificates=False)
    with closing(Store(place_of(declared.journal.url))) as store:
        kept = [one for one in Definitions(store).kept(declared.name) if name in _names(one)]
    if len(kept) != 1:
        many = "two definitions" if kept else "no definition"
        raise HotfootError(
            f"The journal keeps {many} of {name}; `hotfoot definitions` looks at all hosts, and lists them.",
            ExitStatus.USAGE,
        )
    typer.echo(json.dumps({**_json(kept[0]), "xml": kept[0].definition.xml}) if as_json else kept[0].definition.xml)


def _names(one: Kept) -> tuple[str, str]:
    return one.definition.name, one.definition.uuid


def _json(one: Kept) -> dict[str, object]:
    from hotfoot.journal.record import iso

    definition = one.definition
    return {
        "instance": definition.name,
        "uuid": definition.uuid,
        "host": one.host,
        "running": definition.running,
        "persistent": definition.persistent,
        "autostart": definition.autostart,
        "read": iso(one.seen_ms),
        "placed": iso(one.placed_ms),
    }
