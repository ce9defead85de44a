"""``hotfoot drain``, ``restore``, ``balance`` and ``consolidate``: plans for whole hosts, carried out."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from hotfoot.cli.options import ClusterOption, JsonOption, MovesOption, ToOption, names_in
from hotfoot.cli.plan_site import site_of
from hotfoot.cli.session import with_cloud
from hotfoot.errors import ExitStatus, HotfootError

if TYPE_CHECKING:
    from hotfoot.cli.plan_live import PlanView
    from hotfoot.cloud.libvirt_cloud import LibvirtCloud
    from hotfoot.cluster import Cluster
    from hotfoot.placement.wish import Objective, Wish
    from hotfoot.plans.planner import Planned
    from hotfoot.plans.run import PlanRun
    from hotfoot.plans.site import Site

HostsArgument = Annotated[list[str], typer.Argument(metavar="HOST...", help="Names of hosts.")]
AtOnceOption = Annotated[
    int, typer.Option("--at-once", min=1, help="Most migrations at once from each host, and to each host.")
]
PolicyOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="gentle, balanced, must-finish, large-memory, or one of your own."),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show the plan; nothing is moved or kept.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
AT_ONCE = 2
"""One stream fills most links; the second is prepared meanwhile."""


def drain(
    hosts: HostsArgument,
    to: ToOption = None,
    max_moves: MovesOption = None,
    at_once: AtOnceOption = AT_ONCE,
    policy: PolicyOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    cluster: ClusterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Empty hosts for maintenance: take them out of placement, and move every running instance elsewhere."""

    async def work(declared: Cluster, cloud: LibvirtCloud) -> ExitStatus:
        from hotfoot.placement.wish import Drain

        named = _declared(declared, hosts)
        verb = _Verb(
            "drain", named, out=named, to=_to(declared, to), max_moves=max_moves, at_once=at_once, policy=policy
        )
        face = _Face(verb, dry_run=dry_run, yes=yes, as_json=as_json)
        async with site_of(declared, cloud, at_once, policy) as site:
            return await face.run(site, Drain(hosts=frozenset(named)))

    raise typer.Exit(int(with_cloud(cluster, work)))


def restore(
    hosts: HostsArgument,
    no_moves: Annotated[bool, typer.Option("--no-moves", help="Only put them back into placement.")] = False,
    at_once: AtOnceOption = AT_ONCE,
    policy: PolicyOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    cluster: ClusterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put hosts back into placement, and bring back what `hotfoot drain` moved from them."""

    async def work(declared: Cluster, cloud: LibvirtCloud) -> ExitStatus:
        from hotfoot.placement.wish import Restore

        named = _declared(declared, hosts)
        verb = _Verb("restore", named, back=named, at_once=at_once, policy=policy)
        face = _Face(verb, dry_run=dry_run, yes=yes, as_json=as_json)
        async with site_of(declared, cloud, at_once, policy) as site:
            drained = await site.drained(named)
            if no_moves or not drained.homes:
                return await face.put_back(site, drained.moved_since)
            face.tell(drained.moved_since)
            return await face.run(site, Restore(homes=drained.homes))

    raise typer.Exit(int(with_cloud(cluster, work)))


def balance(
    what: Annotated[
        str, typer.Option(metavar="NAMES", help="What to make even, with commas between.")
    ] = "memory_bytes,vcpus",
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Move nothing while no host's share is further than this from the mean.")
    ] = 0.05,
    to: ToOption = None,
    max_moves: MovesOption = None,
    at_once: AtOnceOption = AT_ONCE,
    policy: PolicyOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    cluster: ClusterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make hosts alike in what their instances are promised, once."""

    async def work(declared: Cluster, cloud: LibvirtCloud) -> ExitStatus:
        from hotfoot.placement.snapshot import MEMORY, VCPUS
        from hotfoot.placement.wish import Balance, quantities

        names = quantities(names_in([what]), (MEMORY, VCPUS), measured=False)
        verb = _Verb(
            "balance", (), once=True, to=_to(declared, to), max_moves=max_moves, at_once=at_once, policy=policy
        )
        face = _Face(verb, dry_run=dry_run, yes=yes, as_json=as_json)
        async with site_of(declared, cloud, at_once, policy) as site:
            return await face.run(site, Balance(what=names, threshold=threshold))

    raise typer.Exit(int(with_cloud(cluster, work)))


def consolidate(
    to: ToOption = None,
    max_moves: MovesOption = None,
    at_once: AtOnceOption = AT_ONCE,
    policy: PolicyOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    cluster: ClusterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Empty as many hosts as possible, once; they stay in placement."""

    async def work(declared: Cluster, cloud: LibvirtCloud) -> ExitStatus:
        from hotfoot.placement.wish import Consolidate

        verb = _Verb(
            "consolidate", (), once=True, to=_to(declared, to), max_moves=max_moves, at_once=at_once, policy=policy
        )
        face = _Face(verb, dry_run=dry_run, yes=yes, as_json=as_json)
        async with site_of(declared, cloud, at_once, policy) as site:
            return await face.run(site, Consolidate())

    raise typer.Exit(int(with_cloud(cluster, work)))


@dataclass(frozen=True, slots=True)
class _Verb:
    """What was typed."""

    name: str
    hosts: tuple[str, ...]
    out: tuple[str, ...] = ()
    """Hosts to take out of placement."""
    back: tuple[str, ...] = ()
    """Hosts to put back."""
    once: bool = False
    to: tuple[str, ...] = ()
    max_moves: int | None = None
    at_once: int = AT_ONCE
    policy: str | None = None

    @property
    def title(self) -> str:
        return f"{self.name} {', '.join(self.hosts)}".strip()

    def wish(self, objective: Objective) -> Wish:
        from hotfoot.placement.wish import Wish

        return Wish(objective=objective, to=frozenset(self.to) or None, most_moves=self.max_moves)

    def as_json(self) -> dict[str, object]:
        """What a plan keeps beside its wish, for the day that it is taken up again."""
        return {"hosts": list(self.hosts), "policy": self.policy, "at_once": self.at_once, "once": self.once}


class _Face:
    """One verb on the terminal: the plan shown, the question, the live view, the end."""

    def __init__(self, verb: _Verb, *, dry_run: bool, yes: bool, as_json: bool) -> None:
        self._verb = verb
        self._dry_run = dry_run
        self._yes = yes
        self._as_json = as_json

    async def run(self, site: Site, objective: Objective) -> ExitStatus:
        from hotfoot.plans.ending import would_stay

        verb, wish = self._verb, self._verb.wish(objective)
        planned = await site.first_plan(wish, verb.hosts, verb.back)
        made = planned.plan
        for host in planned.inventory.hosts:
            if host.problem:
                typer.secho(host.problem, err=True, fg=typer.colors.YELLOW)
                if host.name in verb.hosts:
                    raise HotfootError(f"{host.name} does not answer, so nothing can be moved.", ExitStatus.REFUSED)
        if not self._as_json:
            self._show(planned)
        if self._dry_run:
            if self._as_json:
                typer.echo(
                    json.dumps({"dry_run": True, "verb": verb.name, "hosts": list(verb.hosts), **made.as_json()})
                )
            return ExitStatus.REFUSED if would_stay(made, planned.inventory) else ExitStatus.COMPLETED
        if not made.moves and not verb.hosts:  # nothing is worth moving, and nothing else is to be done
            if self._as_json:
                typer.echo(json.dumps({"id": None, "verb": verb.name, "status": 0, "moves": [], "remark": made.remark}))
            return ExitStatus.COMPLETED
        if not self._agreed(len(made.moves)):
            typer.echo("Nothing was moved.")
            return ExitStatus.ABORTED
        return await self._carry_out(site, wish, planned)

    async def put_back(self, site: Site, moved_since: Collection[str]) -> ExitStatus:
        """Put the hosts back into placement: nothing is to be moved, or nothing shall be."""
        hosts = self._verb.hosts
        put = hosts if self._dry_run else await site.put_back(hosts)
        if self._as_json:
            told = {
                "id": None,
                "verb": "restore",
                "hosts": list(put),
                "status": 0,
                "moves": [],
                "dry_run": self._dry_run,
            }
            typer.echo(json.dumps(told))
            return ExitStatus.COMPLETED
        self.tell(moved_since)
        would = "would be" if self._dry_run else "is"
        for host in hosts:
            typer.echo(
                f"{host} {would} in placement{' again' if host in put else ', as before'}; no instance is moved."
            )
        return ExitStatus.COMPLETED

    def tell(self, sentences: Collection[str]) -> None:
        """Say what will not be brought back."""
        for sentence in sentences:
            typer.secho(sentence, err=True, fg=typer.colors.YELLOW)

    def _show(self, planned: Planned) -> None:
        from hotfoot.cli.moves_view import print_moves

        verb = self._verb
        print_moves(planned.plan, planned.snapshot)
        for hosts, what in ((verb.out, "taken out of"), (verb.back, "put back into")):
            if hosts:
                typer.echo(f"{', '.join(hosts)} will be {what} placement first.")

    def _agreed(self, moves: int) -> bool:
        if self._yes:
            return True
        if self._as_json or not sys.stdin.isatty():
            raise HotfootError(
                f"{moves} moves are to be made, and nobody can be asked here: give --yes to make them, --dry-run to see"
                " them.",
                ExitStatus.USAGE,
            )
        return typer.confirm("Carry out this plan?")

    async def _carry_out(self, site: Site, wish: Wish, planned: Planned) -> ExitStatus:
        from hotfoot.cli.plan_live import carry_out, print_end
        from hotfoot.plans.run import PlanRun

        verb = self._verb

        async def make(view: PlanView) -> PlanRun:
            record, course = await site.open(verb.name, wish, verb.as_json(), planned, verb.out, verb.back)
            view.say(f"Plan {record.id}: `hotfoot plan show` from anywhere, `hotfoot plan pause` or `cancel` stops it.")
            return PlanRun(site.means(), record, course, view, once=verb.once)

        run = await carry_out(verb.title, make)
        if self._as_json:
            typer.echo(json.dumps(run.record.as_json(run.course.steps)))
        else:
            print_end(run.record, run.course)
        return ExitStatus(run.record.status or 0)


def _declared(declared: Cluster, names: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(declared.host(name).name for name in names_in(names)))


def _to(declared: Cluster, names: list[str] | None) -> tuple[str, ...]:
    return _declared(declared, names or [])
