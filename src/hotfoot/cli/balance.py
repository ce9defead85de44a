"""``hotfoot balance``: hosts made alike, once or from now on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hotfoot.cli.made_plan import saved_snapshot, show_plan
from hotfoot.cli.options import (
    CloudOption,
    ClusterOption,
    DeadlineOption,
    JsonOption,
    MovesOption,
    PolicyOption,
    SnapshotOption,
    ToOption,
    asked_deadline,
    names_in,
)
from hotfoot.cli.plan_site import named_hosts, site_of
from hotfoot.cli.session import with_cloud
from hotfoot.cli.verb import AT_ONCE, AtOnceOption, DryRunOption, Face, Verb, YesOption
from hotfoot.errors import ExitStatus, HotfootError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from hotfoot.cloud.protocol import Cloud
    from hotfoot.cluster import Balance as Section
    from hotfoot.cluster import Cluster
    from hotfoot.placement.wish import Balance


def balance(
    what: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="What to make even, with commas between [default: memory,vcpus; with --measured cpu,memory].",
        ),
    ] = None,
    measured: Annotated[
        bool | None,
        typer.Option("--measured/--promised", help="By what instances use, or by what they are promised [default]."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Move nothing while no host's share is further than this from the mean [default: 0.05]."
        ),
    ] = None,
    least_gain: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Move nothing unless the score falls by this share of itself [default: 0.01]."),
    ] = None,
    cost_per_gib: Annotated[
        float | None, typer.Option(min=0, help="What each GiB moved adds to the score [default: 0.0005].")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again, and keep it balanced.")] = False,
    every: Annotated[
        str | None, typer.Option(metavar="TIME", help="With --watch: from one look to the next [default: 5m].")
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            min=1, help="With --watch: looks in a row with a host beyond the threshold, before any move [default: 3]."
        ),
    ] = None,
    cooldown: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="With --watch: how long a moved instance stays where it is [default: 1h]."),
    ] = None,
    quiet: Annotated[
        list[str] | None,
        typer.Option(metavar="HOURS", help="With --watch: move nothing in this part of the day, such as 08:00-18:00."),
    ] = None,
    snapshot: SnapshotOption = None,
    to: ToOption = None,
    max_moves: MovesOption = None,
    deadline: DeadlineOption = None,
    at_once: AtOnceOption = AT_ONCE,
    policy: PolicyOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    cluster: ClusterOption = None,
    cloud_name: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make hosts alike in what their instances are promised, or use; once, or with --watch from now on."""
    from hotfoot.cluster import Balance as Section

    given: dict[str, Any] = {
        "what": None if what is None else names_in([what]),
        "measured": measured,
        "threshold": threshold,
        "least_gain": least_gain,
        "cost_per_gib": cost_per_gib,
        "every_ms": _read("--every", every),
        "rounds": rounds,
        "cooldown_ms": _read("--cooldown", cooldown),
        "quiet": tuple(map(_hours, quiet)) if quiet else None,
        "max_moves": max_moves,
    }
    given = {key: value for key, value in given.items() if value is not None}
    _refuse(given, watch=watch, snapshot=snapshot is not None, deadline=deadline is not None)
    ends_ms = asked_deadline(deadline)
    if snapshot is not None:
        known, section = saved_snapshot(snapshot), replace(Section(), **given)
        asked = Verb("balance", to=names_in(to or []), max_moves=max_moves)
        wish = asked.wish(_objective(section, known.quantities(measured=section.measured)))
        show_plan(known, wish, as_json=as_json, deadline_ms=ends_ms)
        return

    async def work(declared: Cluster, cloud: Cloud) -> ExitStatus:
        section = replace(declared.balance, **given)
        if section.measured != declared.balance.measured and "what" not in given:
            section = replace(section, what=())  # the file's are of the other kind
        verb = Verb(
            "balance",
            once=True,
            to=await named_hosts(declared, cloud, to),
            max_moves=section.max_moves,
            at_once=at_once,
            policy=policy,
            deadline_ms=ends_ms,
        )
        face = Face(verb, dry_run=dry_run, yes=yes, as_json=as_json)
        objective = _objective(section, None)
        async with site_of(declared, cloud, at_once, policy) as site:
            if watch:
                from hotfoot.cli.balance_watch import keep_balanced

                return await keep_balanced(site, face, section, verb.wish(objective), as_json=as_json, dry_run=dry_run)
            return await face.run(site, objective)

    raise typer.Exit(int(with_cloud(cluster, work, cloud_name)))


def _objective(section: Section, known: Collection[str] | None) -> Balance:
    """``known``: what some host has; None: what every live look tells."""
    from hotfoot.placement.snapshot import CPU, MEMORY, VCPUS
    from hotfoot.placement.wish import Balance, quantities

    told = known if known is not None else (CPU, MEMORY) if section.measured else (MEMORY, VCPUS)
    return Balance(
        what=quantities(section.what, told, measured=section.measured),
        measured=section.measured,
        threshold=section.threshold,
        least_gain=section.least_gain,
        cost_per_gib=section.cost_per_gib,
    )


def _refuse(given: Mapping[str, object], *, watch: bool, snapshot: bool, deadline: bool) -> None:
    if not watch and not given.keys().isdisjoint(("every_ms", "rounds", "cooldown_ms", "quiet")):
        raise HotfootError(
            "--every, --rounds, --cooldown and --quiet are for `hotfoot balance --watch`.", ExitStatus.USAGE
        )
    if watch and snapshot:
        raise HotfootError("A snapshot does not change: --watch and --snapshot do not go together.", ExitStatus.USAGE)
    if watch and deadline:
        raise HotfootError("--watch goes on until it is stopped, and takes no --deadline.", ExitStatus.USAGE)


def _read(option: str, text: str | None) -> int | None:
    from hotfoot.cluster.balance import parse_every_ms
    from hotfoot.cluster.duration import parse_duration_ms

    try:
        return None if text is None else (parse_every_ms if option == "--every" else parse_duration_ms)(text)
    except ValueError as error:
        raise HotfootError(f"{option} {error}.", ExitStatus.USAGE) from None


def _hours(text: str) -> str:
    from hotfoot.cluster.balance import parse_hours

    try:
        return parse_hours(text)
    except ValueError as error:
        raise HotfootError(f"--quiet {error}.", ExitStatus.USAGE) from None
