"""``hotfoot migrate`` and ``hotfoot abort``."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from hotfoot.cli.options import ClusterOption, JsonOption
from hotfoot.cli.session import with_cloud
from hotfoot.errors import ExitStatus, HotfootError

if TYPE_CHECKING:
    from hotfoot.cli.live import LiveView
    from hotfoot.cloud.libvirt_cloud import LibvirtCloud
    from hotfoot.cluster import Cluster, Policy
    from hotfoot.migration.options import MigrationOptions
    from hotfoot.migration.prepare import Preparation, Request
    from hotfoot.migration.result import MigrationResult
    from hotfoot.migration.run import Run
    from hotfoot.migration.sample import JobSample

InstanceArgument = Annotated[str, typer.Argument(help="Name, UUID, or the first digits of the UUID.")]
FromOption = Annotated[str | None, typer.Option("--from", help="The host it is on, if several instances fit.")]


def migrate(
    instance: InstanceArgument,
    destination: Annotated[
        str | None, typer.Argument(help="Host to move to [default: the one with the most free memory].")
    ] = None,
    from_host: FromOption = None,
    block: Annotated[
        bool | None, typer.Option("--block/--no-block", help="Copy local disks, or not [default: found out].")
    ] = None,
    native_tls: Annotated[
        bool | None, typer.Option("--native-tls/--no-native-tls", help="Encrypt the memory stream by QEMU's TLS.")
    ] = None,
    bandwidth: Annotated[str | None, typer.Option(help="Most to send, such as 800Mbit/s or 100MiB/s.")] = None,
    parallel: Annotated[
        int | None, typer.Option(min=0, max=255, help="Connections for the memory stream; 0: a single plain one.")
    ] = None,
    compress: Annotated[
        bool | None, typer.Option("--compress/--no-compress", help="Compress the memory stream.")
    ] = None,
    watch: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Address to watch for the outage.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would happen, and what stands in the way.")
    ] = False,
    cluster: ClusterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move a running instance to another host, watch it from outside, and prove the result."""

    async def work(declared: Cluster, cloud: LibvirtCloud) -> ExitStatus:
        from hotfoot.migration.facts import DeclaredStorage
        from hotfoot.migration.prepare import Request

        request = Request(
            instance=instance,
            destination=destination,
            from_host=from_host,
            options=_options(declared.policy, block, native_tls, bandwidth, parallel, compress),
            watch_address=watch,
            storage=tuple(DeclaredStorage(storage.path, storage.shared) for storage in declared.storage),
        )
        if dry_run:
            return await _plan(cloud, request, as_json=as_json)
        result = await _Command(cloud, request).run()
        _print(result, as_json=as_json)
        return result.status

    raise typer.Exit(int(with_cloud(cluster, work)))


def abort(
    instance: InstanceArgument,
    from_host: FromOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be stopped.")] = False,
    cluster: ClusterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop the migration of an instance; it goes on running on its source."""

    async def work(_declared: Cluster, cloud: LibvirtCloud) -> tuple[str, str, bool]:
        from hotfoot.migration import abort as aborting
        from hotfoot.migration.selection import find_instance

        found = find_instance(await cloud.look(), instance, from_host)
        if dry_run:
            return found.name, found.host, await cloud.job(found.host, found.uuid) is not None
        return found.name, found.host, await aborting.abort(cloud, found)

    name, host, stopped = with_cloud(cluster, work)
    if as_json:
        typer.echo(
            json.dumps({"instance": name, "source": host, "aborted": stopped and not dry_run, "dry_run": dry_run})
        )
    elif not stopped:
        typer.echo(f"No migration of {name} is under way on {host}: nothing to stop.")
    elif dry_run:
        typer.echo(f"Would stop the migration of {name} from {host}.")
    else:
        typer.echo(f"Stopped the migration of {name}; it runs on {host}, as before.")


class _Command:
    """One ``hotfoot migrate`` on the terminal: the live view, and what Ctrl-C does."""

    def __init__(self, cloud: LibvirtCloud, request: Request) -> None:
        self._cloud = cloud
        self._request = request
        self._run: Run | None = None
        self._view: LiveView | None = None
        self._leave_word = "Left at once: nothing had been started."
        self._signals = 0

    async def run(self) -> MigrationResult:
        """Prepare and move; whatever stands in the way becomes a result too."""
        from hotfoot.migration.prepare import prepare

        loop = asyncio.get_running_loop()
        preparing = asyncio.ensure_future(prepare(self._cloud, self._request))
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupt, preparing)
        try:
            preparation = await preparing
        except asyncio.CancelledError:
            return self._refused(ExitStatus.ABORTED, "Stopped as you asked, before anything was started.")
        except HotfootError as error:
            return self._refused(error.status, str(error))
        return await self._move(preparation)

    async def _move(self, preparation: Preparation) -> MigrationResult:
        from hotfoot.cli.live import LiveView
        from hotfoot.migration.progress import Progress
        from hotfoot.migration.run import Run

        verdict = preparation.verdict
        order = verdict.order
        if order is None:
            return self._refused(ExitStatus.REFUSED, " ".join(verdict.obstacles), preparation)
        title = f"{order.name}  {order.source} → {order.destination}"
        progress = Progress(memory_bytes=verdict.instance.memory_bytes)

        def show(sample: JobSample) -> None:
            nonlocal progress
            progress = progress.advance(sample)
            view.update({title: progress})

        with LiveView() as view:
            self._view = view
            for remark in verdict.remarks:
                view.say(remark)
            if preparation.seat is None:
                view.say(f"No address of {order.name} is known that answers from here: no outage watch (see --watch).")
            self._leave_word = (
                f"Left at once: the migration of {order.name} from {order.source} to {order.destination} may still run;"
                f" `hotfoot watch` shows it, `hotfoot abort {order.name}` stops it."
            )
            self._run = Run(self._cloud, verdict, order, preparation.seat, show)
            return await self._run.execute()

    def _refused(self, status: ExitStatus, reason: str, preparation: Preparation | None = None) -> MigrationResult:
        from hotfoot.migration.result import MigrationResult, Outcome

        instance = preparation.verdict.instance if preparation else None
        return MigrationResult(
            instance=instance.name if instance else self._request.instance,
            uuid=instance.uuid if instance else None,
            source=instance.host if instance else self._request.from_host,
            destination=(preparation.verdict.destination if preparation else None) or self._request.destination,
            memory_bytes=instance.memory_bytes if instance else None,
            outcome=Outcome.ABORTED if status is ExitStatus.ABORTED else Outcome.FAILED,
            status=status,
            reason=reason,
        )

    def _interrupt(self, preparing: asyncio.Future[Preparation]) -> None:
        self._signals += 1
        if self._signals > 1:
            if self._view:
                self._view.__exit__(None, None, None)
            typer.echo(self._leave_word, err=True)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(ExitStatus.INTERRUPTED)  # the threads in libvirt's calls would hold up any other exit
        if self._run:
            if self._view:
                self._view.say("Stopping; the instance goes on running on the source. Ctrl-C again leaves at once.")
            self._run.request_abort()
        else:
            preparing.cancel()


async def _plan(cloud: LibvirtCloud, request: Request, *, as_json: bool) -> ExitStatus:
    from hotfoot.cli.closing import plan_json, print_plan
    from hotfoot.migration.prepare import prepare

    try:
        preparation = await prepare(cloud, request)
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


def _options(
    policy: Policy,
    block: bool | None,
    native_tls: bool | None,
    bandwidth: str | None,
    parallel: int | None,
    compress: bool | None,
) -> MigrationOptions:
    """Put the command's options above the cluster file's policy."""
    from hotfoot.cluster import parse_rate
    from hotfoot.migration.options import MigrationOptions

    try:
        rate = policy.bandwidth_bytes_per_s if bandwidth is None else parse_rate(bandwidth)
    except ValueError as error:
        raise HotfootError(f"--bandwidth {error}.", ExitStatus.USAGE) from None
    return MigrationOptions(
        block=block,
        native_tls=policy.native_tls if native_tls is None else native_tls,
        bandwidth_bytes_per_s=rate,
        parallel=policy.parallel if parallel is None else parallel,
        compress=policy.compress if compress is None else compress,
        max_downtime_ms=policy.max_downtime_ms,
    )
