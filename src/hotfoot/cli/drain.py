"""``hotfoot drain``, ``restore`` and ``consolidate``: plans for whole hosts, carried out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hotfoot.cli.made_plan import saved_snapshot, show_plan
from hotfoot.cli.old_definitions import remove_old, told_old
from hotfoot.cli.options import (
    CloudOption,
    ClusterOption,
    ColdOption,
    DeadlineOption,
    JsonOption,
    MovesOption,
    PolicyOption,
    SnapshotOption,
    ToOption,
    asked_deadline,
    names_in,
)
from hotfoot.cli.plan_site import named_hosts, plans_of, site_of
from hotfoot.cli.session import with_cloud
from hotfoot.cli.verb import AT_ONCE, AtOnceOption, DryRunOption, Face, Verb, YesOption, hosts_of, tell
from hotfoot.errors import ExitStatus

if TYPE_CHECKING:
    from hotfoot.cloud.protocol import Cloud
    from hotfoot.cluster import Cluster
    from hotfoot.placement.snapshot import Snapshot
    from hotfoot.plans.homes import Drained

HostsArgument = Annotated[list[str], typer.Argument(metavar="HOST...", help="Names of hosts.")]


def drain(
    hosts: HostsArgument,
    snapshot: SnapshotOption = None,
    to: ToOption = None,
    max_moves: MovesOption = None,
    deadline: DeadlineOption = None,
    at_once: AtOnceOption = AT_ONCE,
    policy: PolicyOption = None,
    cold: ColdOption = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    cluster: ClusterOption = None,
    cloud_name: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Empty hosts for maintenance: take them out of placement, and move every running instance elsewhere."""
    from hotfoot.placement.wish import Drain

    ends_ms = asked_deadline(deadline)
    if snapshot is not None:
        asked = Verb("drain", to=names_in(to or []), max_moves=max_moves, cold=cold)
        wish = asked.wish(Drain(hosts=frozenset(names_in(hosts))))
        show_plan(saved_snapshot(snapshot), wish, as_json=as_json, deadline_ms=ends_ms)
        return

    async def work(declared: Cluster, cloud: Cloud) -> ExitStatus:
        named = await named_hosts(declared, cloud, hosts)
        verb = Verb(
            "drain",
            named,
            out=named,
            to=await named_hosts(declared, cloud, to),
            max_moves=max_moves,
            at_once=at_once,
            policy=policy,
            cold=cold,
            deadline_ms=ends_ms,
        )
        face = Face(verb, dry_run=dry_run, yes=yes, as_json=as_json)
        async with site_of(declared, cloud, at_once, policy) as site:
            return await face.run(site, Drain(hosts=frozenset(named)))

    raise typer.Exit(int(with_cloud(cluster, work, cloud_name)))


def restore(
    hosts: HostsArgument,
    no_moves: Annotated[bool, typer.Option("--no-moves", help="Only put them back into placement.")] = False,
    snapshot: SnapshotOption = None,
    deadline: DeadlineOption = None,
    at_once: AtOnceOption = AT_ONCE,
    policy: PolicyOption = None,
    cold: ColdOption = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    cluster: ClusterOption = None,
    cloud_name: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put hosts back into placement, and bring back what `hotfoot drain` moved from them."""
    from hotfoot.placement.wish import Restore

    ends_ms = asked_deadline(deadline)
    if snapshot is not None:
        known = saved_snapshot(snapshot)
        there = _drained_in(known, hosts, cluster, cloud_name)
        tell(there.moved_since)
        wish = Verb("restore", cold=cold).wish(Restore(homes=there.homes))
        show_plan(known, wish, as_json=as_json, deadline_ms=ends_ms)
        return

    async def work(declared: Cluster, cloud: Cloud) -> ExitStatus:
        named = await named_hosts(declared, cloud, hosts)
        verb = Verb("restore", named, back=named, at_once=at_once, policy=policy, cold=cold, deadline_ms=ends_ms)
        face = Face(verb, dry_run=dry_run, yes=yes, as_json=as_json)
        async with site_of(declared, cloud, at_once, policy) as site:
            old = await told_old(site, named) if declared.openstack is None else ()
            drained = await site.drained(named)
            if no_moves or not drained.homes:
                status = await face.put_back(site, drained.moved_since)
            else:
                tell(drained.moved_since)
                status = await face.run(site, Restore(homes=drained.homes))
            if not dry_run and status is not ExitStatus.ABORTED:
                await remove_old(site, old)
            return status

    raise typer.Exit(int(with_cloud(cluster, work, cloud_name)))


def consolidate(
    snapshot: SnapshotOption = None,
    to: ToOption = None,
    max_moves: MovesOption = None,
    deadline: DeadlineOption = None,
    at_once: AtOnceOption = AT_ONCE,
    policy: PolicyOption = None,
    cold: ColdOption = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    cluster: ClusterOption = None,
    cloud_name: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Empty as many hosts as possible, once; they stay in placement."""
    from hotfoot.placement.wish import Consolidate

    ends_ms = asked_deadline(deadline)
    if snapshot is not None:
        wish = Verb("consolidate", to=names_in(to or []), max_moves=max_moves, cold=cold).wish(Consolidate())
        show_plan(saved_snapshot(snapshot), wish, as_json=as_json, deadline_ms=ends_ms)
        return

    async def work(declared: Cluster, cloud: Cloud) -> ExitStatus:
        verb = Verb(
            "consolidate",
            once=True,
            to=await named_hosts(declared, cloud, to),
            max_moves=max_moves,
            at_once=at_once,
            policy=policy,
            cold=cold,
            deadline_ms=ends_ms,
        )
        face = Face(verb, dry_run=dry_run, yes=yes, as_json=as_json)
        async with site_of(declared, cloud, at_once, policy) as site:
            return await face.run(site, Consolidate())

    raise typer.Exit(int(with_cloud(cluster, work, cloud_name)))


def _drained_in(known: Snapshot, hosts: list[str], cluster: Path | None, cloud_name: str | None) -> Drained:
    """Return what the journal says was drained, as far as it is in a snapshot where it was put; asks no host."""
    from hotfoot.plans.homes import drained_of

    with plans_of(cluster, cloud_name) as (plans, declared):
        named = names_in(hosts) if declared.openstack else hosts_of(declared, hosts)
        places = plans.drained(declared.name, named)
    at = {one.id: one.host for one in known.instances if one.movable or one.cold}
    return drained_of(places, at, {one.id: one.name for one in known.instances})
