"""``hotfoot plan``: plans for whole hosts, from the cluster as it is or from a snapshot. Nothing is moved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hotfoot.cli.made_plan import saved_snapshot, snapshot_of
from hotfoot.cli.options import (
    CloudOption,
    ClusterOption,
    ColdOption,
    JsonOption,
    MovesOption,
    SnapshotOption,
    ToOption,
    names_in,
)

if TYPE_CHECKING:
    from hotfoot.placement.snapshot import Snapshot
    from hotfoot.placement.wish import Objective

app = typer.Typer(
    name="plan",
    help="Plans for whole hosts: made here without moving anything, or kept while they are carried out.",
    no_args_is_help=True,
)

SecondsOption = Annotated[float, typer.Option("--seconds", min=0.01, help="How long to look for a better plan.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Another number may find another plan that is as good.")]


@app.command()
def drain(
    hosts: Annotated[list[str], typer.Argument(metavar="HOST...", help="Hosts to empty.")],
    snapshot: SnapshotOption = None,
    to: ToOption = None,
    max_moves: MovesOption = None,
    cold: ColdOption = False,
    seconds: SecondsOption = 10.0,
    seed: SeedOption = 0,
    cluster: ClusterOption = None,
    cloud_name: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Empty hosts with the fewest bytes moved; nothing is moved onto them."""
    from hotfoot.placement.wish import Drain

    known = snapshot_of(snapshot, cluster, cloud_name)
    _show(known, Drain(hosts=frozenset(names_in(hosts))), to, max_moves, seconds, seed, cold=cold, as_json=as_json)


@app.command()
def restore(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="A snapshot taken before the instances were moved.")],
    hosts: Annotated[
        list[str] | None, typer.Argument(metavar="[HOST]...", help="Only what was on these hosts [default: all].")
    ] = None,
    snapshot: SnapshotOption = None,
    to: ToOption = None,
    max_moves: MovesOption = None,
    cold: ColdOption = False,
    seconds: SecondsOption = 10.0,
    seed: SeedOption = 0,
    cluster: ClusterOption = None,
    cloud_name: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring instances back to where they were in an earlier snapshot."""
    from hotfoot.placement.wish import Restore

    earlier, known = saved_snapshot(Path(before)), snapshot_of(snapshot, cluster, cloud_name)
    homes = known.homes_in(earlier, names_in(hosts) if hosts else None)
    _show(known, Restore(homes=homes), to, max_moves, seconds, seed, cold=cold, as_json=as_json)


@app.command()
def balance(
    what: Annotated[
        str, typer.Option(help="Resources to balance by, or with --measured loads, with commas between.")
    ] = "",
    measured: Annotated[bool, typer.Option("--measured", help="By what instances use, not by their sizes.")] = False,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Move nothing while no host is further than this from the mean share.")
    ] = 0.05,
    least_gain: Annotated[
        float, typer.Option(min=0, max=1, help="Move nothing unless the score falls by this share of itself.")
    ] = 0.01,
    cost_per_gib: Annotated[float, typer.Option(min=0, help="What each GiB moved adds to the score.")] = 0.0005,
    snapshot: SnapshotOption = None,
    to: ToOption = None,
    max_moves: MovesOption = None,
    seconds: SecondsOption = 10.0,
    seed: SeedOption = 0,
    cluster: ClusterOption = None,
    cloud_name: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make hosts alike in what is allocated, or with --measured in what is used."""
    from hotfoot.placement.wish import Balance, quantities

    known = snapshot_of(snapshot, cluster, cloud_name, measured=measured)
    objective = Balance(
        what=quantities(names_in([what]), known.quantities(measured=measured), measured=measured),
        measured=measured,
        threshold=threshold,
        least_gain=least_gain,
        cost_per_gib=cost_per_gib,
    )
    _show(known, objective, to, max_moves, seconds, seed, as_json=as_json)


@app.command()
def consolidate(
    snapshot: SnapshotOption = None,
    to: ToOption = None,
    max_moves: MovesOption = None,
    cold: ColdOption = False,
    seconds: SecondsOption = 10.0,
    seed: SeedOption = 0,
    cluster: ClusterOption = None,
    cloud_name: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Empty as many hosts as possible, with the fewest bytes moved."""
    from hotfoot.placement.wish import Consolidate

    _show(
        snapshot_of(snapshot, cluster, cloud_name),
        Consolidate(),
        to,
        max_moves,
        seconds,
        seed,
        cold=cold,
        as_json=as_json,
    )


@app.command()
def repair(
    snapshot: SnapshotOption = None,
    to: ToOption = None,
    max_moves: MovesOption = None,
    seconds: SecondsOption = 10.0,
    seed: SeedOption = 0,
    cluster: ClusterOption = None,
    cloud_name: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Mend broken rules, with the fewest bytes moved."""
    from hotfoot.placement.wish import Repair

    _show(snapshot_of(snapshot, cluster, cloud_name), Repair(), to, max_moves, seconds, seed, as_json=as_json)


def _show(
    known: Snapshot,
    objective: Objective,
    to: list[str] | None,
    max_moves: int | None,
    seconds: float,
    seed: int,
    *,
    cold: bool = False,
    as_json: bool,
) -> None:
    from hotfoot.cli.made_plan import show_plan
    from hotfoot.placement.wish import Wish

    wish = Wish(
        objective=objective,
        to=frozenset(names_in(to)) if to else None,
        most_moves=max_moves,
        seconds=seconds,
        seed=seed,
        cold=cold,
    )
    show_plan(known, wish, as_json=as_json)
