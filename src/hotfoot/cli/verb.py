"""What the verbs of whole hosts share on the terminal: their options, the plan shown, the question, the end."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from hotfoot.cli.options import names_in
from hotfoot.errors import ExitStatus, HotfootError

if TYPE_CHECKING:
    from hotfoot.cli.plan_live import PlanView
    from hotfoot.cluster import Cluster
    from hotfoot.placement.wish import Objective, Wish
    from hotfoot.plans.planner import Planned
    from hotfoot.plans.run import PlanRun
    from hotfoot.plans.site import Site

AtOnceOption = Annotated[
    int, typer.Option("--at-once", min=1, help="Most migrations at once from each host, and to each host.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show the plan; nothing is moved or kept.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
AT_ONCE = 2
"""One stream fills most links; the second is prepared meanwhile."""


@dataclass(frozen=True, slots=True)
class Verb:
    """What was typed."""

    name: str
    hosts: tuple[str, ...] = ()
    out: tuple[str, ...] = ()
    """Hosts to take out of placement."""
    back: tuple[str, ...] = ()
    """Hosts to put back."""
    once: bool = False
    """It is planned once; what fails is named."""
    to: tuple[str, ...] = ()
    max_moves: int | None = None
    at_once: int = AT_ONCE
    policy: str | None = None
    cold: bool = False
    """What cannot be moved live may be moved by a cold migration."""
    deadline_ms: int | None = None
    """Since 1970 UTC."""

    @property
    def title(self) -> str:
        """``drain n1, n2``."""
        return f"{self.name} {', '.join(self.hosts)}".strip()

    def wish(self, objective: Objective) -> Wish:
        """Return the objective with the bounds that were typed."""
        from hotfoot.placement.wish import Wish

        to = frozenset(self.to) or None
        return Wish(objective=objective, to=to, most_moves=self.max_moves, cold=self.cold)

    def as_json(self) -> dict[str, object]:
        """What a plan keeps beside its wish, for the day that it is taken up again."""
        kept = {"hosts": list(self.hosts), "policy": self.policy, "at_once": self.at_once, "once": self.once}
        return {**kept, "deadline_ms": self.deadline_ms}


class Face:
    """One verb on the terminal: the plan shown, the question, the live view, the end."""

    def __init__(self, verb: Verb, *, dry_run: bool, yes: bool, as_json: bool) -> None:
        self._verb = verb
        self._dry_run = dry_run
        self._yes = yes
        self._as_json = as_json

    async def run(self, site: Site, objective: Objective) -> ExitStatus:
        """Plan, show, ask, carry out."""
        wish = self._verb.wish(objective)
        return await self.run_planned(site, wish, await site.first_plan(wish, self._verb.hosts, self._verb.back))

    async def run_planned(self, site: Site, wish: Wish, planned: Planned) -> ExitStatus:
        """Show a plan that was made, ask, and carry it out."""
        from hotfoot.plans.ending import would_stay

        verb, made = self._verb, planned.plan
        for host in planned.inventory.hosts:
            if host.problem:
                typer.secho(host.problem, err=True, fg=typer.colors.YELLOW)
                if host.name in verb.hosts:
                    raise HotfootError(f"{host.name} does not answer, so nothing can be moved.", ExitStatus.REFUSED)
        if not self._as_json:
            self._show(planned)
        if self._dry_run:
            if self._as_json:
                from hotfoot.cli.made_plan import plan_json

                told = plan_json(made, planned.snapshot, wish, verb.deadline_ms)
                typer.echo(json.dumps({"dry_run": True, "verb": verb.name, "hosts": list(verb.hosts), **told}))
            return ExitStatus.REFUSED if would_stay(made, wish, planned.inventory) else ExitStatus.COMPLETED
        if not made.moves and not verb.hosts:  # nothing is worth moving, and nothing else is to be done
            if self._as_json:
                typer.echo(json.dumps({"id": None, "verb": verb.name, "status": 0, "moves": [], "remark": made.remark}))
            return ExitStatus.COMPLETED
        if not self.agreed(f"{len(made.moves)} moves are to be made", "to make them", "Carry out this plan?"):
            typer.echo("Nothing was moved.")
            return ExitStatus.ABORTED
        run = await self.carry_out(site, wish, planned)
        if self._as_json:
            typer.echo(json.dumps(run.record.as_json(run.course.steps)))
        else:
            from hotfoot.cli.plan_live import print_end

            print_end(run.record, run.course)
        return ExitStatus(run.record.status or 0)

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
        tell(moved_since)
        would = "would be" if self._dry_run else "is"
        for host in hosts:
            typer.echo(
                f"{host} {would} in placement{' again' if host in put else ', as before'}; no instance is moved."
            )
        return ExitStatus.COMPLETED

    def agreed(self, what: str, to_do_so: str, question: str) -> bool:
        """Ask, unless ``--yes`` was given. Raises HotfootError (usage) where nobody can be asked."""
        if self._yes:
            return True
        if self._as_json or not sys.stdin.isatty():
            raise HotfootError(
                f"{what}, and nobody can be asked here: give --yes {to_do_so}, --dry-run to see them.",
                ExitStatus.USAGE,
            )
        return typer.confirm(question)

    async def carry_out(self, site: Site, wish: Wish, planned: Planned) -> PlanRun:
        """Keep the plan, and carry it out with a live view."""
        from hotfoot.cli.plan_live import carry_out
        from hotfoot.plans.run import PlanRun

        verb = self._verb

        async def make(view: PlanView) -> PlanRun:
            record, course = await site.open(verb.name, wish, verb.as_json(), planned, verb.out, verb.back)
            view.say(f"Plan {record.id}: `hotfoot plan show` from anywhere, `hotfoot plan pause` or `cancel` stops it.")
            return PlanRun(site.means(), record, course, view, once=verb.once)

        return await carry_out(verb.title, make)

    def _show(self, planned: Planned) -> None:
        from hotfoot.cli.moves_view import print_deadline, print_moves

        verb = self._verb
        print_moves(planned.plan, planned.snapshot)
        print_deadline(planned.plan, planned.snapshot, verb.deadline_ms)
        for hosts, what in ((verb.out, "taken out of"), (verb.back, "put back into")):
            if hosts:
                typer.echo(f"{', '.join(hosts)} will be {what} placement first.")


def tell(sentences: Collection[str]) -> None:
    """Say what the operator has to know beside the plan."""
    for sentence in sentences:
        typer.secho(sentence, err=True, fg=typer.colors.YELLOW)


def hosts_of(declared: Cluster, names: list[str] | None) -> tuple[str, ...]:
    """Return hosts by the names that were typed, each once. Raises HotfootError (usage)."""
    return tuple(dict.fromkeys(declared.host(name).name for name in names_in(names or [])))
