"""``hotfoot force-complete`` and ``hotfoot repair-state``: what there is on OpenStack only."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from hotfoot.cli.options import CloudOption, ClusterOption, FromOption, InstanceArgument, JsonOption
from hotfoot.cli.session import with_cloud
from hotfoot.errors import ExitStatus, HotfootError

if TYPE_CHECKING:
    from hotfoot.cloud.nova_cloud import NovaCloud
    from hotfoot.cloud.protocol import Cloud
    from hotfoot.cluster import Cluster
    from hotfoot.inventory import Instance


def force_complete(
    instance: InstanceArgument,
    from_host: FromOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be completed.")] = False,
    cluster: ClusterOption = None,
    cloud_name: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have Nova end a live migration now: by post-copy where its hosts permit it, else by a pause of the guest."""

    async def work(_: Cluster, cloud: Cloud) -> tuple[str, str]:
        nova, found = await _server(cloud, instance, from_host, "force-complete")
        await nova.force_complete(found, dry_run=dry_run)
        return found.name, found.host

    name, host = with_cloud(cluster, work, cloud_name)
    if as_json:
        typer.echo(json.dumps({"instance": name, "source": host, "forced": not dry_run, "dry_run": dry_run}))
    elif dry_run:
        typer.echo(
            f"Would have Nova complete the migration of {name} from {host}; the guest stands still until the rest is"
            " copied, unless Nova's hosts permit post-copy."
        )
    else:
        typer.echo(
            f"Nova was told to complete the migration of {name} from {host}; `hotfoot watch {name}` shows how it ends."
        )


def repair_state(
    instance: InstanceArgument,
    from_host: FromOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look, and say what would be done.")] = False,
    cluster: ClusterOption = None,
    cloud_name: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set a server that Nova shows in ERROR to active, if its guest is seen running where Nova has it."""

    async def work(_: Cluster, cloud: Cloud) -> tuple[str, str, str | None]:
        nova, found = await _server(cloud, instance, from_host, "repair-state")
        why_not = await nova.why_no_repair(found)
        if why_not is None and not dry_run:
            await nova.repair(found)
        return found.name, found.host, why_not

    name, host, why_not = with_cloud(cluster, work, cloud_name)
    if as_json:
        repaired = why_not is None and not dry_run
        told = {"instance": name, "host": host, "repaired": repaired, "dry_run": dry_run, "why_not": why_not}
        typer.echo(json.dumps(told))
    elif why_not is None:
        seen = f"{name} was seen running on {host}, as Nova has it"
        typer.echo(f"{seen}: its state would be set to active." if dry_run else f"{seen}: its state is active again.")
    if why_not is not None:
        if as_json:
            raise typer.Exit(int(ExitStatus.REFUSED))
        raise HotfootError(why_not, ExitStatus.REFUSED)


async def _server(cloud: Cloud, wanted: str, from_host: str | None, verb: str) -> tuple[NovaCloud, Instance]:
    from hotfoot.cloud.nova_cloud import NovaCloud
    from hotfoot.migration.selection import find_instance

    if not isinstance(cloud, NovaCloud):
        raise HotfootError(
            f"`hotfoot {verb}` is for OpenStack, and the cluster file declares plain libvirt; there the policy"
            " must-finish (`hotfoot migrate --policy must-finish`) ends what does not end by itself."
            if verb == "force-complete"
            else f"`hotfoot {verb}` is for OpenStack, and the cluster file declares plain libvirt, which keeps no state"
            " of its own.",
            ExitStatus.REFUSED,
        )
    return cloud, find_instance(await cloud.look(wanted), wanted, from_host)
