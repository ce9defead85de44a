"""``hotfoot migrate`` and ``hotfoot abort``."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
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
from hotfoot.cli.session import survey_of, with_cloud
from hotfoot.errors import ExitStatus, HotfootError

if TYPE_CHECKING:
    from hotfoot.cli.live import LiveView
    from hotfoot.cloud.protocol import Cloud
    from hotfoot.cluster import Cluster
    from hotfoot.migration.action import Action
    from hotfoot.migration.options import Order
    from hotfoot.migration.prepare import Preparation, Request
    from hotfoot.migration.result import MigrationResult
    from hotfoot.migration.sample import JobSample
    from hotfoot.migration.survey import Survey


def migrate(
    instance: InstanceArgument,
    destination: Annotated[
        str | None,
        typer.Argument(
            help="Host to move to [default: the one with the most free memory; on OpenStack Nova's choice]."
        ),
    ] = None,
    from_host: FromOption = None,
    block: BlockOption = None,
    cold: Annotated[
        bool, typer.Option("--cold", help="Let Nova stop it, move it and start it again (OpenStack only).")
    ] = False,
    ignore_rules: Annotated[
        bool, typer.Option("--ignore-rules", help="Go to DESTINATION although a rule of the cluster file forbids it.")
    ] = False,
    native_tls: Annotated[
        bool | None, typer.Option("--native-tls/--no-native-tls", help="Encrypt the memory stream by QEMU's TLS.")
    ] = None,
    bandwidth: BandwidthOption = None,
    parallel: Annotated[
        int | None, typer.Option(min=0, max=255, help="Connections for the memory stream; 0: a single plain one.")
    ] = None,
    compress: Annotated[
        bool | None, typer.Option("--compress/--no-compress", help="Compress the memory stream.")
    ] = None,
    policy: PolicyOption = None,
    max_downtime: MaxDowntimeOption = None,
    deadline: Annotated[str | None, typer.Option(metavar="TIME", help="When it must have ended, such as 10m.")] = None,
    watch: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Address to watch for the outage.")] = None,
    no_forecast: Annotated[
        bool, typer.Option("--no-forecast", help="Measure nothing beforehand, and start some seconds earlier.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would happen, and what stands in the way.")
    ] = False,
    cluster: ClusterOption = None,
    cloud_name: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move a running instance to another host, watch it from outside, and prove the result."""
    from hotfoot.cli.asked import Asked

    asked = Asked(
        instance=instance,
        destination=destination,
        from_host=from_host,
        block=block,
        cold=cold,
        ignore_rules=ignore_rules,
        native_tls=native_tls,
        bandwidth=bandwidth,
        parallel=parallel,
        compress=compress,
        policy=policy,
        max_downtime=max_downtime,
        deadline=deadline,
        watch_address=watch,
    )

    async def work(declared: Cluster, cloud: Cloud) -> ExitStatus:
        request = asked.request(declared)
        survey = None if no_forecast else survey_of(declared, cloud)
        if dry_run:
            return await _plan(declared, cloud, request, survey, as_json=as_json)
        result = await _Command(cloud, declared, request, survey).run()
        _print(result, as_json=as_json)
        return result.status

    raise typer.Exit(int(with_cloud(cluster, work, cloud_name)))


def abort(
    instance: InstanceArgument,
    from_host: FromOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be stopped.")] = False,
    cluster: ClusterOption = None,
    cloud_name: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop the migration of an instance; it goes on running on its source."""

    async def work(declared: Cluster, cloud: Cloud) -> tuple[str, str, tuple[str, ...] | None]:
        from hotfoot.cli.orphans import tell_orphans
        from hotfoot.migration import abort as aborting
        from hotfoot.migration.selection import find_instance

        found = find_instance(await cloud.look(instance, closely=()), instance, from_host)
        if dry_run:
            under_way = await cloud.job(found.host, found.uuid) is not None
            return found.name, found.host, () if under_way else None
        remarks = await aborting.abort(cloud, found)
        await tell_orphans(declared, cloud, stopped=None if remarks is None else found.uuid)
        return found.name, found.host, remarks

    name, host, remarks = with_cloud(cluster, work, cloud_name)
    if as_json:
        aborted = remarks is not None and not dry_run
        told = {"instance": name, "source": host, "aborted": aborted, "dry_run": dry_run}
        typer.echo(json.dumps({**told, "remarks": list(remarks or ())}))
    elif remarks is None:
        typer.echo(f"No migration of {name} is under way on {host}: nothing to stop.")
    elif dry_run:
        typer.echo(f"Would stop the migration of {name} from {host}.")
    else:
        typer.echo(f"Stopped the migration of {name}; it runs on {host}, as before.")
        for remark in remarks:
            typer.secho(remark, err=True, fg=typer.colors.YELLOW)


class _Command:
    """One ``hotfoot migrate`` on the terminal: the live view, and what Ctrl-C does."""

    def __init__(self, cloud: Cloud, declared: Cluster, request: Request, survey: Survey | None) -> None:
        from hotfoot.journal.carrying import Carrying
        from hotfoot.journal.place import place_of

        self._cloud = cloud
        self._declared = declared
        names = declared.host_names
        place = place_of(declared.journal.url)
        self._carrying = Carrying(cloud, place, declared.name, names, request, survey, self._say)
        self._view: LiveView | None = None
        self._leave_word = "Left at once: nothing had been started."
        self._signals = 0

    async def run(self) -> MigrationResult:
        """Prepare and move; whatever stands in the way becomes a result too."""
        loop = asyncio.get_running_loop()
        preparing = asyncio.ensure_future(self._prepare())
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupt, preparing)
        try:
            preparation = await preparing
        except asyncio.CancelledError:
            return await self._carrying.give_up("Stopped as you asked, before anything was started.")
        except HotfootError as error:
            return await self._carrying.refuse(error.status, str(error))
        verdict = preparation.verdict
        if verdict.order is None:
            return await self._pick_up(preparation) or await self._carrying.refuse(
                ExitStatus.REFUSED, " ".join(verdict.obstacles)
            )
        return await self._move(preparation, verdict.order)

    async def _prepare(self) -> Preparation:
        from hotfoot.cli.orphans import tell_orphans

        preparation = await self._carrying.prepare()
        if preparation.verdict.order:
            await tell_orphans(self._declared, self._cloud)
            await self._carrying.claim()
        return preparation

    def _say(self, sentence: str) -> None:
        if self._view:
            self._view.say(sentence)
        else:
            typer.echo(sentence, err=True)

    async def _pick_up(self, preparation: Preparation) -> MigrationResult | None:
        """Follow the migration of the same instance that goes on without its Hotfoot, if there is one."""
        from hotfoot.cli.live import LiveView
        from hotfoot.migration.progress import Progress

        instance = preparation.verdict.instance
        progress = Progress(memory_bytes=instance.memory_bytes)
        title = instance.name

        def show(sample: JobSample) -> None:
            nonlocal progress
            progress = progress.advance(sample)
            view.update({title: progress})

        with LiveView() as view:
            self._view = view
            try:
                following = await self._carrying.pick_up(show)
            except HotfootError as error:
                return await self._carrying.refuse(error.status, str(error))
            if following is None:
                return None
            title = f"{instance.name}  {instance.host} → {following.record.destination}"
            view.say(f"The migration {following.record.id} goes on although its Hotfoot has ended: picked up.")
            return await following.execute()

    async def _move(self, preparation: Preparation, order: Order) -> MigrationResult:
        from hotfoot.cli.live import LiveView
        from hotfoot.migration.action import ActionKind
        from hotfoot.migration.progress import Progress

        verdict = preparation.verdict
        title = f"{order.name}  {order.source} → {order.destination or 'where Nova chooses'}"
        progress = Progress(memory_bytes=verdict.instance.memory_bytes, outlook=preparation.outlook)

        def show(sample: JobSample) -> None:
            nonlocal progress
            progress = progress.advance(sample)
            view.update({title: progress})

        def act(action: Action) -> None:
            nonlocal progress
            if action.kind is ActionKind.DOWNTIME_LIMIT and action.value:
                progress = progress.with_downtime_limit(action.value)
            view.say(action.in_words)

        with LiveView() as view:
            self._view = view
            if told := preparation.forecast:
                view.say(f"Forecast: {told.in_words()}")
            elif preparation.no_forecast:
                view.say(f"No forecast: {preparation.no_forecast}.")
            for remark in verdict.remarks:
                view.say(remark)
            if preparation.seat is None:
                view.say(f"No address of {order.name} is known that answers from here: no outage watch (see --watch).")
            self._leave_word = (
                f"Left at once: the migration of {order.name} from {order.source} may still run;"
                f" `hotfoot watch` shows it, `hotfoot abort {order.name}` stops it."
            )
            return await self._carrying.move(show, act)

    def _interrupt(self, preparing: asyncio.Future[Preparation]) -> None:
        self._signals += 1
        if self._signals > 1:
            if self._view:
                self._view.__exit__(None, None, None)
            typer.echo(self._leave_word, err=True)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(ExitStatus.INTERRUPTED)  # the threads in libvirt's calls would hold up any other exit
        if self._carrying.under_way:
            why_not = self._carrying.request_abort()
            if self._view:
                stopping = "Stopping; the instance goes on running on the source."
                self._view.say(f"{why_not or stopping} Ctrl-C again leaves at once.")
        else:
            preparing.cancel()


async def _plan(
    declared: Cluster, cloud: Cloud, request: Request, survey: Survey | None, *, as_json: bool
) -> ExitStatus:
    from hotfoot.cli.closing import plan_json, print_plan
    from hotfoot.cli.session import told_hosts_out_of
    from hotfoot.migration.prepare import prepare

    try:
        preparation = await prepare(cloud, request, survey, told_hosts_out_of(declared))
    except HotfootError as error:
        if not as_json:
            raise
        typer.echo(json.dumps({"dry_run": True, "instance": request.instance, "obstacles": [str(error)]}))
        return error.status
    if as_json:
        typer.echo(json.dumps(plan_json(preparation)))
    else:
        print_plan(preparation)
    return ExitStatus.COMPLETED if preparation.verdict.order else ExitStatus.REFUSED


def _print(result: MigrationResult, *, as_json: bool) -> None:
    from hotfoot.cli.closing import print_result

    if as_json:
        typer.echo(json.dumps(result.as_json()))
    else:
        print_result(result)
