"""``hotfoot check --instance`` on OpenStack: where Nova could move an instance, and why not elsewhere."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hotfoot.cli.session import with_cloud
from hotfoot.cli.tables import print_table
from hotfoot.errors import ExitStatus, HotfootError

if TYPE_CHECKING:
    from hotfoot.cloud.protocol import Cloud
    from hotfoot.inventory import Instance
    from hotfoot.migration.preflight import Verdict
    from hotfoot.readiness.finding import Finding
    from hotfoot.readiness.summary import Mark


@dataclass(frozen=True, slots=True)
class _Place:
    """One destination: what forbids it for certain, and what else was found on the way there."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    state: Mark

    @property
    def host(self) -> str:
        return self.verdict.destination


def tell_places(
    cluster: Path | None, cloud_name: str | None, wanted: str, hosts: Collection[str], *, as_json: bool
) -> ExitStatus:
    """Tell it, for all hosts or for some; the status is that of the best of them. Raises HotfootError."""
    from hotfoot.readiness.summary import Mark

    instance, places = with_cloud(cluster, lambda _, cloud: _look(cloud, wanted), cloud_name)
    known = {instance.host, *(place.host for place in places)}
    for host in hosts:
        if host not in known:
            raise HotfootError(f"Nova has no compute host {host}; `hotfoot hosts` lists them.", ExitStatus.USAGE)
    chosen = [place for place in places if not hosts or place.host in hosts]
    # What is so everywhere is found for each destination, and told once.
    found = tuple(dict.fromkeys(finding for place in chosen for finding in place.findings))
    found = tuple(sorted(found, key=lambda each: each.severity))
    if as_json:
        typer.echo(json.dumps(_json(instance, chosen, found)))
    else:
        _print(instance, chosen, found)
    best = {Mark.BLOCKS: ExitStatus.FINDINGS_BLOCK, Mark.DANGEROUS: ExitStatus.FINDINGS_DANGEROUS}
    return min((best.get(place.state, ExitStatus.COMPLETED) for place in chosen), default=ExitStatus.FINDINGS_BLOCK)


async def _look(cloud: Cloud, wanted: str) -> tuple[Instance, tuple[_Place, ...]]:
    from hotfoot.cloud.nova_cloud import NovaCloud
    from hotfoot.cloud.openstack_check import look_at_move
    from hotfoot.migration.options import MigrationOptions
    from hotfoot.migration.prepare import places_by_nova
    from hotfoot.readiness.cloud_judge import judge_move
    from hotfoot.readiness.summary import Mark, worst

    assert isinstance(cloud, NovaCloud)
    instance, verdicts = await places_by_nova(cloud, wanted, MigrationOptions())
    facts, move = await look_at_move(cloud.api, instance.uuid)
    found = judge_move(facts, move)

    def state(verdict: Verdict) -> Mark:
        marks = [Mark(finding.severity.name.lower()) for finding in found.get(verdict.destination, ())]
        return worst([*marks, Mark.BLOCKS if verdict.obstacles else Mark.OK])

    return instance, tuple(_Place(verdict, found.get(verdict.destination, ()), state(verdict)) for verdict in verdicts)


def _json(instance: Instance, places: Sequence[_Place], findings: Sequence[Finding]) -> dict[str, object]:
    from hotfoot.cli.findings import finding_json

    return {
        "instance": instance.name,
        "source": instance.host,
        "destinations": [
            {"host": place.host, "state": place.state, "obstacles": list(place.verdict.obstacles)} for place in places
        ],
        "findings": [finding_json(finding) for finding in findings],
    }


def _print(instance: Instance, places: Sequence[_Place], findings: Sequence[Finding]) -> None:
    from hotfoot.cli.findings import print_group
    from hotfoot.readiness.summary import grouped

    rows = [(place.host, str(place.state)) for place in places]
    print_table((f"{instance.name} FROM {instance.host or 'no host'} TO", "STATE"), rows)
    verdicts = [place.verdict for place in places]
    everywhere = [one for one in verdicts[0].obstacles if len(verdicts) > 1 and _for_all(one, verdicts)] if rows else []
    for obstacle in everywhere:
        typer.echo(f"everywhere: {obstacle}")
    for verdict in verdicts:
        for obstacle in verdict.obstacles:
            if obstacle not in everywhere:
                typer.echo(f"{verdict.destination}: {obstacle}")
    for group in grouped(findings):
        typer.echo()
        print_group(group)
    if findings:
        typer.echo()
    typer.echo(
        "What a guest's CPU and devices need is judged by Nova's scheduler and by libvirt, when it is asked to move."
    )


def _for_all(obstacle: str, verdicts: Sequence[Verdict]) -> bool:
    return all(obstacle in verdict.obstacles for verdict in verdicts)
