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
    from hotfoot.cloud.nova_migration import Repair
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
    """Set right what Nova shows wrongly of a server, and what a broken-off move has left of its ports.

    Only where its guest is seen running on the host that Nova has it on.
    """

    async def work(_: Cluster, cloud: Cloud) -> tuple[str, str, Repair]:
        nova, found = await _server(cloud, instance, from_host, "repair-state")
        wrong = await nova.to_repair(found)
        if wrong.why_not is None and not dry_run:
            await nova.repair(found, wrong)
        return found.name, found.host, wrong

    name, host, wrong = with_cloud(cluster, work, cloud_name)
    if as_json:
        repaired = wrong.why_not is None and not dry_run
        bindings = {where: list(ports) for where, ports in wrong.bindings.items()}
        told = {"instance": name, "host": host, "repaired": repaired, "dry_run": dry_run, "why_not": wrong.why_not}
        typer.echo(json.dumps({**told, "leftover_bindings": bindings}))
    elif wrong.why_not is None:
        _say_repaired(name, host, wrong, dry_run=dry_run)
    if wrong.why_not is not None:
        if as_json:
            raise typer.Exit(int(ExitStatus.REFUSED))
        raise HotfootError(wrong.why_not, ExitStatus.REFUSED)


def _say_repaired(name: str, host: str, wrong: Repair, *, dry_run: bool) -> None:
    from hotfoot.cloud.port_bindings import in_words

    seen = f"{name} was seen running on {host}, as Nova has it"
    if wrong.state:
        typer.echo(f"{seen}: its state would be set to active." if dry_run else f"{seen}: its state is active again.")
    if wrong.bindings:
        done = "would be removed" if dry_run else "were removed"
        typer.echo(f"What a broken-off move has left of its ports {done}: bindings to {in_words(wrong.bindings)}.")


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
    return cloud, find_instance(await cloud.look(wanted, closely=()), wanted, from_host)
