"""``hotfoot check --instance`` on OpenStack: where Nova could move an instance, and why not elsewhere."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hotfoot.cli.session import with_cloud
from hotfoot.cli.tables import print_table
from hotfoot.errors import ExitStatus, HotfootError

if TYPE_CHECKING:
    from hotfoot.cloud.protocol import Cloud
    from hotfoot.cluster import Cluster
    from hotfoot.inventory import Instance
    from hotfoot.migration.preflight import Verdict


def tell_places(
    cluster: Path | None, cloud_name: str | None, wanted: str, hosts: Collection[str], *, as_json: bool
) -> ExitStatus:
    """Tell it, for all hosts or for some; the status is that of the best of them. Raises HotfootError."""

    async def work(_: Cluster, cloud: Cloud) -> tuple[Instance, tuple[Verdict, ...]]:
        from hotfoot.migration.options import MigrationOptions
        from hotfoot.migration.prepare import places_by_nova

        return await places_by_nova(cloud, wanted, MigrationOptions())

    instance, verdicts = with_cloud(cluster, work, cloud_name)
    known = {instance.host, *(verdict.destination for verdict in verdicts)}
    for host in hosts:
        if host not in known:
            raise HotfootError(f"Nova has no compute host {host}; `hotfoot hosts` lists them.", ExitStatus.USAGE)
    chosen = [verdict for verdict in verdicts if not hosts or verdict.destination in hosts]
    if as_json:
        typer.echo(json.dumps(_json(instance, chosen)))
    else:
        _print(instance, chosen)
    free = any(not verdict.obstacles for verdict in chosen)
    return ExitStatus.COMPLETED if free else ExitStatus.FINDINGS_BLOCK


def _json(instance: Instance, verdicts: Sequence[Verdict]) -> dict[str, object]:
    return {
        "instance": instance.name,
        "source": instance.host,
        "destinations": [
            {
                "host": verdict.destination,
                "state": "blocks" if verdict.obstacles else "ok",
                "obstacles": list(verdict.obstacles),
            }
            for verdict in verdicts
        ],
    }


def _print(instance: Instance, verdicts: Sequence[Verdict]) -> None:
    rows = [(each.destination, "blocks" if each.obstacles else "ok") for each in verdicts]
    print_table((f"{instance.name} FROM {instance.host or 'no host'} TO", "STATE"), rows)
    everywhere = [one for one in verdicts[0].obstacles if len(verdicts) > 1 and _for_all(one, verdicts)] if rows else []
    for obstacle in everywhere:
        typer.echo(f"everywhere: {obstacle}")
    for verdict in verdicts:
        for obstacle in verdict.obstacles:
            if obstacle not in everywhere:
                typer.echo(f"{verdict.destination}: {obstacle}")
    typer.echo(
        "What a guest's CPU and devices need is judged by Nova's scheduler and by libvirt, when it is asked to move."
    )


def _for_all(obstacle: str, verdicts: Sequence[Verdict]) -> bool:
    return all(obstacle in verdict.obstacles for verdict in verdicts)
