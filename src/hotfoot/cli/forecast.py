"""``hotfoot forecast``: what a migration would take."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from hotfoot.cli.options import (
    BandwidthOption,
    BlockOption,
    CloudOption,
    ClusterOption,
    FromOption,
    InstanceArgument,
    JsonOption,
    MaxDowntimeOption,
    PolicyOption,
)
from hotfoot.cli.session import with_cloud
from hotfoot.errors import ExitStatus

if TYPE_CHECKING:
    from hotfoot.cloud.protocol import Cloud
    from hotfoot.cluster import Cluster
    from hotfoot.migration.forecast import Forecast
    from hotfoot.migration.prepare import Preparation


def forecast(
    instance: InstanceArgument,
    destination: Annotated[
        str | None, typer.Argument(help="Host to move to [default: the one with the most free memory].")
    ] = None,
    from_host: FromOption = None,
    block: BlockOption = None,
    bandwidth: BandwidthOption = None,
    policy: PolicyOption = None,
    max_downtime: MaxDowntimeOption = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Measure only as long as hotfoot migrate does, for some seconds at most.")
    ] = False,
    cluster: ClusterOption = None,
    cloud_name: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure, and say what a migration would take: time, bytes, downtime, and whether it ends by itself."""
    from hotfoot.cli.asked import Asked

    asked = Asked(
        instance=instance,
        destination=destination,
        from_host=from_host,
        block=block,
        bandwidth=bandwidth,
        policy=policy,
        max_downtime=max_downtime,
    )

    async def work(declared: Cluster, cloud: Cloud) -> Preparation:
        from hotfoot.cli.session import survey_of, told_hosts_out_of
        from hotfoot.migration.prepare import prepare

        survey = survey_of(declared, cloud, thorough=not quick)
        return await prepare(cloud, asked.request(declared), survey, told_hosts_out_of(declared))

    preparation = with_cloud(cluster, work, cloud_name)
    verdict, told = preparation.verdict, preparation.forecast
    if as_json:
        about = {
            "instance": verdict.instance.name,
            "uuid": verdict.instance.uuid,
            "source": verdict.instance.host,
            "destination": verdict.destination or None,
            "problem": " ".join(verdict.obstacles) or preparation.no_forecast,
        }
        typer.echo(json.dumps({**about, **(told.as_json() if told else {})}))
    elif verdict.order is None:
        typer.secho(f"{verdict.instance.name} cannot move.", err=True, fg=typer.colors.RED, bold=True)
        for obstacle in verdict.obstacles:
            typer.echo(f"  {obstacle}", err=True)
    elif told is None:
        typer.echo(f"No forecast: {preparation.no_forecast}.", err=True)
    else:
        typer.secho(
            f"{verdict.instance.name} from {verdict.instance.host} to {verdict.destination}: {told.verdict.value}.",
            bold=True,
        )
        for label, value in _figures(told):
            typer.echo(f"  {label:<12}{value}")
    if told is None:
        raise typer.Exit(int(ExitStatus.REFUSED))


def _figures(told: Forecast) -> list[tuple[str, str]]:
    from hotfoot.sizes import human_bytes, human_duration

    rows = []
    if told.total_ms and told.downtime_ms and told.transferred_bytes and told.iterations:
        for label, band in (("total", told.total_ms), ("downtime", told.downtime_ms)):
            low, high = human_duration(band.low), human_duration(band.high)
            rows.append((label, f"{human_duration(band.expected)} ({low} to {high})"))
        sent, passes = told.transferred_bytes, told.iterations
        rows.append(("sent", f"{human_bytes(sent.expected)} ({human_bytes(sent.low)} to {human_bytes(sent.high)})"))
        rows.append(("iterations", f"{passes.expected} ({passes.low} to {passes.high})"))
    return [*rows, ("reason", told.reason)]
