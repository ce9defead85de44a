"""``hotfoot recover``: an instance whose migration broke after the switch to post-copy."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from hotfoot.cli.options import ClusterOption, InstanceArgument, JsonOption
from hotfoot.cli.session import with_libvirt
from hotfoot.errors import ExitStatus, HotfootError

if TYPE_CHECKING:
    from hotfoot.cloud.libvirt_cloud import LibvirtCloud
    from hotfoot.cluster import Cluster
    from hotfoot.inventory import Instance, Inventory
    from hotfoot.migration.options import Order
    from hotfoot.migration.recovery import Assessment, Ends
    from hotfoot.migration.resume import ResumeVerdict


def recover(
    instance: InstanceArgument,
    pause: Annotated[
        bool, typer.Option("--pause", help="Pause the migration, so that only a resume brings it back.")
    ] = False,
    resume_anyway: Annotated[
        bool,
        typer.Option("--resume-anyway", help="Resume also where nobody has seen this libvirt survive it (a risk)."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is where, and what can be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    cluster: ClusterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say where the halves of an instance are after a broken post-copy; wait for them, or resume."""

    async def work(declared: Cluster, cloud: LibvirtCloud) -> ExitStatus:
        from hotfoot.migration.selection import find_instance

        inventory = await cloud.look()
        found = find_instance(inventory, instance)
        command = Recovery(declared, cloud, inventory, found, ask=not yes, as_json=as_json)
        await command.look()
        if not dry_run:
            await (command.pause(anyway=resume_anyway) if pause else command.rejoin(anyway=resume_anyway))
        return command.tell(dry_run=dry_run)

    try:
        status = with_libvirt(cluster, work)
    except KeyboardInterrupt:
        typer.echo(f"Left; `hotfoot recover {instance}` goes on.", err=True)
        status = ExitStatus.INTERRUPTED
    raise typer.Exit(int(status))


class Recovery:
    """One ``hotfoot recover``: ``look`` first, then ``pause`` or ``rejoin`` or neither, then ``tell``."""

    def __init__(
        self,
        declared: Cluster,
        cloud: LibvirtCloud,
        inventory: Inventory,
        instance: Instance,
        *,
        ask: bool,
        as_json: bool,
    ) -> None:
        self._declared = declared
        self._cloud = cloud
        self._inventory = inventory
        self._instance = instance
        self._ask = ask
        self._as_json = as_json
        self._found: Assessment | None = None
        self._done: list[str] = []

    @property
    def _now(self) -> Assessment:
        assert self._found is not None
        return self._found

    async def look(self) -> None:
        """Look at every host once."""
        from hotfoot.migration import rejoin

        ends = await asyncio.to_thread(_remembered, self._declared, self._instance.uuid)
        self._found = await rejoin.look(self._cloud, self._instance.uuid, self._instance.name, ends)

    async def pause(self, *, anyway: bool) -> None:
        """Pause the migration. Raises HotfootError (refused) where it cannot be brought back from that."""
        found, verdict = self._now, self._verdict()
        if not found.may_pause:
            raise HotfootError(
                f"There is nothing to pause: that needs both halves of {found.name}, on hosts that answer."
                f" {' '.join(found.in_words)}",
                ExitStatus.REFUSED,
            )
        if not verdict.allowed(anyway=anyway):
            raise HotfootError(
                f"The migration of {found.name} is not paused: only a resume would bring it back, and that is not"
                f" {'possible' if anyway else 'known to work'} here. {verdict.why}",
                ExitStatus.REFUSED,
            )
        self._consent(f"Pause the migration of {found.name}, so that only a resume brings it back?")
        await self._cloud.pause_post_copy(found.source or "", self._instance.uuid)
        self._done.append("paused")
        await self.look()

    async def rejoin(self, *, anyway: bool) -> None:
        """Wait until both halves are one; where they are not, resume if that may be tried."""
        from hotfoot.cli.orphans import tell_orphans
        from hotfoot.migration import rejoin
        from hotfoot.migration.recovery import MAY_COME_BACK, Situation

        found, uuid = self._now, self._instance.uuid
        if found.situation in MAY_COME_BACK:
            ends = (found.source, found.destination) if found.source and found.destination else None
            found = self._found = await rejoin.wait(self._cloud, uuid, found.name, ends, self._say)
            self._done.append("waited")
        order = self._order()
        if order and found.may_resume and self._verdict().allowed(anyway=anyway):
            self._consent(f"Resume the migration of {found.name}?")
            self._found = await rejoin.resume(self._cloud, order, self._say)
            self._done.append("resumed")
        if order and self._now.situation is Situation.WHOLE:
            with suppress(HotfootError):
                if await rejoin.tidy(self._cloud, order):
                    self._done.append("definition removed")
        await tell_orphans(self._declared, self._cloud)
        await self._look_again()

    async def _look_again(self) -> None:
        """End the record of the last migration by what is known now, where it ended in an unknown state."""
        from hotfoot.journal.afterwards import look_again
        from hotfoot.journal.place import place_of
        from hotfoot.journal.store import Store

        place = place_of(self._declared.journal.url)
        if not place.exists:
            return
        store = Store(place)
        try:
            found = await look_again(self._cloud, store, self._declared.name, self._instance.uuid)
        except HotfootError as error:
            self._say(f"The record of the last migration of {self._instance.name} stays as it is: {error}.")
            return
        finally:
            store.close()
        if found:
            self._say(found.sentence)

    def tell(self, *, dry_run: bool) -> ExitStatus:
        """Print what is where and what can be done; return the status: whole, or not."""
        from hotfoot.migration.recovery import Situation
        from hotfoot.migration.resume import offers

        found, verdict = self._now, self._verdict()
        whole = found.situation is Situation.WHOLE
        offered = offers(found, verdict)
        if self._as_json:
            told = {
                "instance": found.name,
                "uuid": self._instance.uuid,
                "situation": found.situation.value,
                "source": found.source,
                "destination": found.destination,
                "sides": list(found.sides),
                "meaning": found.meaning,
                "lost": found.lost,
                "next_step": found.next_step,
                "offers": dict(offered),
                "resume": verdict.did.value,
                "done": self._done,
                "dry_run": dry_run,
            }
            typer.echo(json.dumps(told))
        else:
            typer.secho(f"{found.name}: {found.situation}", bold=True, fg=None if whole else typer.colors.RED)
            for sentence in found.in_words:
                typer.echo(f"  {sentence}")
            for label, words in offered:
                typer.echo(f"  {label:<8}{words}")
            if "definition removed" in self._done:
                typer.echo(f"  libvirt had left its definition on {found.source}; it was removed there.")
        return ExitStatus.COMPLETED if whole else ExitStatus.UNKNOWN_STATE

    def _verdict(self) -> ResumeVerdict:
        from hotfoot.migration.resume import judge_resume

        ends = {self._now.source, self._now.destination}
        hosts = [host for host in self._inventory.hosts if host.name in ends and host.answers]
        return judge_resume({host.name: host.libvirt_version for host in hosts})

    def _order(self) -> Order | None:
        from hotfoot.migration.options import MigrationOptions, Mode, Order

        found = self._now
        if not (found.source and found.destination):
            return None
        return Order(
            uuid=self._instance.uuid,
            name=found.name,
            source=found.source,
            destination=found.destination,
            mode=Mode.LIVE,
            persistent=self._instance.persistent,
            options=MigrationOptions(native_tls=self._declared.policy.native_tls),
            stream_address=self._declared.migration_address_of(self._declared.host(found.destination)),
            post_copy=True,
        )

    def _consent(self, question: str) -> None:
        if not self._ask:
            return
        if self._as_json or not sys.stdin.isatty():
            raise HotfootError(f"{question} Nobody can be asked here: give --yes to do it.", ExitStatus.USAGE)
        if not typer.confirm(question, err=True):
            raise HotfootError("Nothing was done, as you wished.", ExitStatus.ABORTED)

    def _say(self, sentence: str) -> None:
        typer.echo(sentence, err=True)


def _remembered(declared: Cluster, uuid: str) -> Ends | None:
    """Return source and destination of the instance's last migration, where the journal knows it."""
    from hotfoot.journal.place import place_of
    from hotfoot.journal.store import Store, Wanted

    place = place_of(declared.journal.url)
    if not place.exists:
        return None
    store = Store(place)
    try:
        with suppress(HotfootError):  # the hosts tell nearly as much
            for record in store.records(Wanted(cluster=declared.name, instance=uuid, limit=1)):
                if record.source and record.destination:
                    return record.source, record.destination
    finally:
        store.close()
    return None
