"""``hotfoot snapshot``: what planning knows of the cluster, as JSON."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from hotfoot.cli.options import CloudOption, ClusterOption
from hotfoot.cli.session import link_trial, told_hosts_out_of, with_cloud

if TYPE_CHECKING:
    from hotfoot.cloud.libvirt_cloud import LibvirtCloud
    from hotfoot.cloud.nova_cloud import NovaCloud
    from hotfoot.cloud.protocol import Cloud
    from hotfoot.cluster import Cluster
    from hotfoot.inventory import Inventory
    from hotfoot.placement.snapshot import Snapshot


def snapshot(
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of a snapshot instead.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it in one line.")] = False,
    cluster: ClusterOption = None,
    cloud_name: CloudOption = None,
) -> None:
    """Print what planning knows of the cluster, as JSON; `hotfoot plan` takes the file by --snapshot."""
    indent = None if as_json else 2
    if schema:
        from hotfoot.placement.snapshot import json_schema

        typer.echo(json.dumps(json_schema(), indent=indent))
    else:
        typer.echo(json.dumps(live_snapshot(cluster, cloud_name, measured=True).as_json(), indent=indent))


def live_snapshot(cluster: Path | None, cloud_name: str | None, *, measured: bool) -> Snapshot:
    """Look at all hosts; those that are silent are told on standard error.

    ``measured``: load counts, and is asked for where the cluster file says that it is known best. Raises HotfootError.
    """

    async def work(declared: Cluster, cloud: Cloud) -> tuple[Snapshot, Inventory]:
        from hotfoot.cli.plan_site import load_of
        from hotfoot.migration.facts import DeclaredStorage
        from hotfoot.migration.whole_cluster import take, take_by_nova
        from hotfoot.placement.declared import declared_of
        from hotfoot.placement.from_nova import taken_out
        from hotfoot.plans.load import with_load
        from hotfoot.plans.planner import Around, within

        trial = link_trial(declared) if declared.hosts else None
        if declared.openstack is None:
            storage = [DeclaredStorage(storage.path, storage.shared) for storage in declared.storage]
            looking = take(cast("LibvirtCloud", cloud), storage, trial, measured=measured)
        else:
            looking = take_by_nova(cast("NovaCloud", cloud), trial, measured=measured)
        (seen, inventory), out = await asyncio.gather(looking, told_hosts_out_of(declared))
        if measured:
            seen = await with_load(seen, inventory, load_of(declared))
        closed = frozenset((*out, *(host.name for host in inventory.hosts if taken_out(host))))
        return within(seen, seen.limits, Around(out=closed, declared=declared_of(declared))), inventory

    taken, inventory = with_cloud(cluster, work, cloud_name)
    for host in inventory.hosts:
        if host.problem:
            typer.secho(host.problem, err=True, fg=typer.colors.YELLOW)
    return taken
