"""``hotfoot evacuate``: the instances of dead hosts started on others."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from hotfoot.cli import evacuation_view
from hotfoot.cli.options import CloudOption, ClusterOption, JsonOption, ToOption
from hotfoot.cli.plan_site import dead_site_of, named_hosts
from hotfoot.cli.session import with_cloud
from hotfoot.cli.verb import AT_ONCE, YesOption, tell
from hotfoot.errors import ExitStatus, HotfootError

if TYPE_CHECKING:
    from hotfoot.cli.plan_live import PlanView
    from hotfoot.cloud.protocol import Cloud
    from hotfoot.cluster import Cluster, Fence
    from hotfoot.evacuation.fence import Look
    from hotfoot.evacuation.nova_site import DeadNovaSite, NovaEvacuation
    from hotfoot.evacuation.site import DeadSite, Evacuation
    from hotfoot.placement.wish import Wish
    from hotfoot.plans.run import PlanRun

_BY = {"command": "fence command", "redfish": "redfish", "ipmi": "ipmi"}
"""The ways of a fence, as the journal has them."""


def evacuate(
    hosts: Annotated[list[str], typer.Argument(metavar="HOST...", help="Names of dead hosts.")],
    to: ToOption = None,
    fenced: Annotated[
        bool, typer.Option("--fenced", help="You have switched the hosts off yourself: Hotfoot does not.")
    ] = False,
    shared_disks: Annotated[
        bool,
        typer.Option("--shared-disks", help="On OpenStack: the disks that Nova keeps are not on its hosts alone."),
    ] = False,
    at_once: Annotated[
        int, typer.Option("--at-once", min=1, help="Most instances started at once on each host.")
    ] = AT_ONCE,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be started; nothing is, and no host is switched off.")
    ] = False,
    yes: YesOption = False,
    cluster: ClusterOption = None,
    cloud_name: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start the instances of dead hosts on other hosts, from shared storage, once the hosts are proven to be off."""

    async def work(declared: Cluster, cloud: Cloud) -> ExitStatus:
        from hotfoot.placement.wish import Drain, Wish

        if shared_disks and declared.openstack is None:
            raise HotfootError(
                "--shared-disks is for OpenStack; on plain libvirt Hotfoot looks for itself.", ExitStatus.USAGE
            )
        named, there = await named_hosts(declared, cloud, hosts), await named_hosts(declared, cloud, to)
        wish = Wish(objective=Drain(hosts=frozenset(named)), to=frozenset(there) or None)
        proof = Proof(declared, named, fenced=fenced, yes=yes)
        face = _Face(named, proof, at_once=at_once, dry_run=dry_run, as_json=as_json, shared_disks=shared_disks)
        async with dead_site_of(declared, cloud, named, at_once, disks_outlive=shared_disks) as site:
            return await face.run(site, wish)

    raise typer.Exit(int(with_cloud(cluster, work, cloud_name)))


class Proof:
    """That hosts are off: by their fences, or by the operator's word."""

    def __init__(self, declared: Cluster, hosts: tuple[str, ...], *, fenced: bool, yes: bool) -> None:
        self._hosts = hosts
        fences = {host.name: declared.fence_of(host) for host in declared.hosts}
        self._fences: Mapping[str, Fence | None] = {name: fences.get(name) for name in hosts}
        self._looks: dict[str, Look] = {}
        self._fenced = fenced
        self._yes = yes

    async def look(self) -> None:
        """Ask the BMCs whether the hosts are off, and order nothing."""
        from hotfoot.evacuation.fence import look

        for host, fence in self._fences.items():
            if fence is not None and not self._fenced and (seen := await look(fence)) is not None:
                self._looks[host] = seen

    @property
    def in_doubt(self) -> bool:
        """Whether a BMC that was asked did not say how its host is: it could not be switched off."""
        return any(seen.problem for seen in self._looks.values())

    def sentences(self) -> list[str]:
        """Say what would prove it, host by host."""
        return [self._sentence(host) for host in self._hosts]

    def _sentence(self, host: str) -> str:
        from hotfoot.evacuation.fence import asked

        fence, seen = self._fences[host], self._looks.get(host)
        if self._fenced:
            return f"That {host} is off is your word (--fenced)."
        if fence is None:
            return f"Nothing proves that {host} is off: declare a fence, or give --fenced once it is."
        if seen is None:
            return f"{host} will be switched off first, by {asked(fence)}."
        if seen.problem:
            return f"{host} cannot be switched off: {asked(fence)} {seen.problem}."
        if seen.off:
            return f"{host} is off already, says {asked(fence)}."
        return f"{host} will be switched off first, by {asked(fence)}, which says that the power is {seen.power}."

    def looks(self) -> dict[str, object]:
        """Return for each host whose BMC was asked what it said."""
        return {host: {"power": seen.power, "problem": seen.problem} for host, seen in self._looks.items()}

    def as_json(self) -> dict[str, str | None]:
        """Return for each host what proves it; None: nothing does."""
        return {
            name: "operator" if self._fenced else _BY[fence.ways[0]] if fence else None
            for name, fence in self._fences.items()
        }

    def check(self) -> None:
        """Raise HotfootError (refused) where nothing proves it."""
        for host, fence in self._fences.items():
            if fence is None and not self._fenced:
                raise HotfootError(self._sentence(host), ExitStatus.REFUSED)

    def agreed(self, starts: int, *, terminal: bool) -> bool:
        """Ask whether to go on; with the operator's own word for it, by the names of the hosts."""
        if self._yes:
            return True
        if not terminal:
            raise HotfootError(
                f"{starts} instances are to be started, and nobody can be asked here: give --yes to start them,"
                " --dry-run to see them.",
                ExitStatus.USAGE,
            )
        if not self._fenced:
            return typer.confirm("Switch off, and start these instances?")
        typer.echo("An instance that runs on two hosts destroys its disks.")
        return all(
            typer.prompt(f"Type the name of the host that you have switched off ({host})") == host
            for host in self._hosts
        )

    async def establish(self) -> None:
        """Switch the hosts off, and say what proves it. Raises HotfootError (refused)."""
        from hotfoot.evacuation.fence import switch_off

        for host, fence in self._fences.items():
            if fence is not None and not self._fenced:
                typer.echo(await switch_off(host, fence), err=True)


class _Face:
    """An evacuation on the terminal: what was found, the question, the live view, the end."""

    def __init__(
        self,
        hosts: tuple[str, ...],
        proof: Proof,
        *,
        at_once: int,
        dry_run: bool,
        as_json: bool,
        shared_disks: bool,
    ) -> None:
        self._hosts = hosts
        self._shared_disks = shared_disks
        self._proof = proof
        self._at_once = at_once
        self._dry_run = dry_run
        self._as_json = as_json

    async def run(self, site: DeadSite | DeadNovaSite, wish: Wish) -> ExitStatus:
        """Plan, show, ask, switch the hosts off, start."""
        from hotfoot.cli.plan_live import print_end

        if self._dry_run:
            return await self._rehearse(site, wish)
        self._proof.check()
        evacuation = await site.first_evacuation(wish)
        plan = evacuation.planned.plan
        if not self._as_json:
            evacuation_view.show(evacuation)
        if not plan.moves:
            if self._as_json:
                typer.echo(json.dumps({"id": None, "status": int(_nothing(evacuation)), **self._json(evacuation)}))
            return _nothing(evacuation)
        if not self._proof.agreed(len(plan.moves), terminal=sys.stdin.isatty() and not self._as_json):
            typer.echo("Nothing was started.")
            return ExitStatus.ABORTED
        await self._proof.establish()
        run = await self._carry_out(site, wish, evacuation)
        if self._as_json:
            typer.echo(json.dumps(run.record.as_json(run.course.steps)))
        else:
            print_end(run.record, run.course)
            tell(evacuation_view.afterwards(self._hosts, evacuation, run))
        return ExitStatus(run.record.status or 0)

    async def _rehearse(self, site: DeadSite | DeadNovaSite, wish: Wish) -> ExitStatus:
        """Plan, ask the BMCs, show."""
        await self._proof.look()
        try:
            evacuation = await site.first_evacuation(wish)
        except HotfootError:
            if not self._as_json:
                tell(self._proof.sentences())  # whether a host that lives could be switched off is worth knowing too
            raise
        if self._as_json:
            typer.echo(json.dumps({"dry_run": True, "bmcs": self._proof.looks(), **self._json(evacuation)}))
        else:
            evacuation_view.show(evacuation)
            tell(self._proof.sentences())
        in_doubt = evacuation.planned.plan.stays or self._proof.in_doubt
        return ExitStatus.REFUSED if in_doubt else ExitStatus.COMPLETED

    async def _carry_out(
        self, site: DeadSite | DeadNovaSite, wish: Wish, evacuation: Evacuation | NovaEvacuation
    ) -> PlanRun:
        from hotfoot.cli.plan_live import carry_out
        from hotfoot.evacuation.site import VERB
        from hotfoot.plans.run import PlanRun

        asked = {
            "hosts": list(self._hosts),
            "policy": None,
            "at_once": self._at_once,
            "once": False,
            "proof": self._proof.as_json(),
            "shared_disks": self._shared_disks,
        }

        async def make(view: PlanView) -> PlanRun:
            record, course = await site.open(VERB, wish, asked, evacuation.planned, self._hosts)
            view.say(f"Plan {record.id}: `hotfoot plan show` from anywhere, `hotfoot plan pause` or `cancel` stops it.")
            return PlanRun(site.means(), record, course, view, once=False)

        return await carry_out(f"{VERB} {', '.join(self._hosts)}", make)

    def _json(self, evacuation: Evacuation | NovaEvacuation) -> dict[str, object]:
        from hotfoot.evacuation.site import VERB

        told = {"verb": VERB, "hosts": list(self._hosts), "proof": self._proof.as_json()}
        return {**told, **evacuation_view.as_json(evacuation)}


def _nothing(evacuation: Evacuation | NovaEvacuation) -> ExitStatus:
    return ExitStatus.REFUSED if evacuation.planned.plan.stays else ExitStatus.COMPLETED
