"""The libvirt adapter: hosts of a cluster file, each with its own libvirt, moved between peer to peer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, TypeVar

import libvirt

from hotfoot.cloud import dead_stream, image_locks, page_question, qemu_log
from hotfoot.cloud import libvirt_host as asked
from hotfoot.cloud import libvirt_measure as measure
from hotfoot.cloud import libvirt_recovery as recovery
from hotfoot.cloud.host_files import answer, question
from hotfoot.cloud.libvirt_errors import Asked, sentence, stream_was_shut_down
from hotfoot.cloud.libvirt_job import totals_of
from hotfoot.cloud.libvirt_links import HostSilent, Links
from hotfoot.cloud.libvirt_order import flags, parameters
from hotfoot.cloud.libvirt_uri import Endpoint, peer_uri
from hotfoot.cloud.neighbours import addresses_of
from hotfoot.cloud.protocol import NO_WAY_BACK, MemoryTouched, MoveEnded, Offer, Usage
from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.inventory import Disk, Host, Instance, Inventory
from hotfoot.migration.facts import HostFiles, PairFacts
from hotfoot.migration.options import Order
from hotfoot.migration.page_watch import PageWatch
from hotfoot.migration.policy import QEMU_DOWNTIME_MS
from hotfoot.migration.proof import Sighting
from hotfoot.migration.result import Attached, JobTotals
from hotfoot.migration.sample import JobSample

if TYPE_CHECKING:
    from hotfoot.definition import Definition

RemoteShell = Callable[[str, str, float], Awaitable[str]]
"""Runs a shell script on a host (host, script, timeout in s) and returns its output; raises HotfootError."""

Answer = TypeVar("Answer")

LOOK_TIMEOUT_S = 15.0
FILES_TIMEOUT_S = 15.0
AGENT_TIMEOUT_S = 1.5
"""A guest agent that hangs must not hold up the move of its instance."""
JOB_TIMEOUT_S = 5.0
STEER_TIMEOUT_S = 10.0
START_TIMEOUT_S = 60.0
"""QEMU opens all disks before libvirt answers."""
LOCKS_TIMEOUT_S = 40.0


class LibvirtCloud:
    """Hosts that are asked directly; implements ``cloud.protocol.Cloud``."""

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        shell: RemoteShell,
        close_shell: Callable[[], Awaitable[None]],
        stream_network: str | None = None,
    ) -> None:
        self._links = Links(endpoints)
        self._shell = shell
        self._close_shell = close_shell
        self._stream_network = stream_network

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that are asked, in the order of the cluster file."""
        return self._links.names

    async def look(self, wanted: str | None = None, closely: Collection[str] | None = None) -> Inventory:
        """Return all hosts and instances, whichever is wanted: to leave some out would save nothing."""
        seen = await asyncio.gather(*(self._look_at(host) for host in self._links.names))
        return Inventory(
            hosts=tuple(host for host, _ in seen),
            instances=tuple(instance for _, instances in seen for instance in instances),
        )

    async def _look_at(self, name: str) -> tuple[Host, tuple[Instance, ...]]:
        address = self._links.endpoint(name).address
        try:
            return await self._links.ask(name, lambda connection: asked.look(connection, name, address), LOOK_TIMEOUT_S)
        except HostSilent as silent:
            return Host(name=name, address=address, problem=str(silent)), ()
        except libvirt.libvirtError as error:
            return Host(name=name, address=address, problem=self._said(name, error)), ()

    async def examine(self, instance: Instance, destination: str) -> PairFacts:
        """Look at both hosts at the same time."""
        paths = [disk.source for disk in instance.disks if disk.on_host and disk.source]
        bridges = [card.source for card in instance.interfaces if card.kind in ("bridge", "direct") and card.source]
        try:
            xml, job, source_files, destination_files = await asyncio.gather(
                self._links.ask(instance.host, lambda connection: asked.live_xml(connection, instance.uuid)),
                self.job(instance.host, instance.uuid),
                self._files(instance.host, question(paths, ())),
                self._files(destination, question([*paths, *instance.boot_files], bridges)),
            )
            ask = partial(self._links.ask, destination)
            cpu, machine, networks, pools = await asyncio.gather(
                ask(lambda connection: asked.cpu_problem(connection, instance, xml, destination)),
                ask(lambda connection: asked.machine_problem(connection, instance, destination)),
                ask(lambda connection: asked.missing_networks(connection, instance)),
                ask(asked.pool_folders),
            )
        except libvirt.libvirtError as error:
            raise HotfootError(self._said(destination, error)) from error
        return PairFacts(
            destination=destination,
            job_under_way=job is not None,
            source_files=source_files,
            destination_files=destination_files,
            cpu_problem=cpu,
            machine_problem=machine,
            missing_networks=networks,
            pool_folders=pools,
            stream_address=self._stream_address(destination, destination_files),
            stream_network=self._stream_network,
        )

    def _stream_address(self, host: str, files: HostFiles) -> str | None:
        declared = self._links.endpoint(host).stream_address
        if declared or not self._stream_network:
            return declared
        network = ip_network(self._stream_network)
        return next((address for address in files.addresses if ip_address(address) in network), None)

    async def _files(self, host: str, script: str) -> HostFiles:
        try:
            return answer(await self._shell(host, script, FILES_TIMEOUT_S))
        except HotfootError as error:
            return HostFiles(problem=str(error))

    async def said_by(self, host: str, script: str) -> str:
        """Return what a shell script, which only reads, prints on a host, over SSH. Raises HotfootError."""
        return await self._shell(host, script, FILES_TIMEOUT_S)

    async def disk_files(self, instance: Instance) -> HostFiles:
        """Look at the instance's disks on its own host, over SSH."""
        paths = [disk.source for disk in instance.disks if disk.on_host and disk.source]
        return await self._files(instance.host, question(paths, ())) if paths else HostFiles()

    async def addresses(self, instance: Instance) -> tuple[str, ...]:
        """Return what the definition, the agent, leases and ARP tables know."""
        found: tuple[str, ...] = ()
        with suppress(HostSilent, TimeoutError, libvirt.libvirtError):
            async with asyncio.timeout(AGENT_TIMEOUT_S):
                found = await self._links.ask(
                    instance.host, lambda connection: asked.addresses(connection, instance.uuid)
                )
        near = addresses_of(card.mac for card in instance.interfaces)
        return tuple(dict.fromkeys((*instance.addresses, *found, *near)))

    async def sights(self, host: str, paths: Sequence[str], devices: Sequence[str]) -> HostFiles:
        """Look at paths and network devices on a host, over SSH."""
        return await self._files(host, question(paths, devices))

    async def usage(self, host: str, period_s: float) -> Mapping[str, Usage]:
        """Ask libvirt for memory, and twice for the processor time, of all instances."""
        with suppress(HostSilent, libvirt.libvirtError):
            ask = self._links.ask_long if period_s else self._links.ask
            return await ask(host, lambda connection: measure.usage(connection, period_s), LOOK_TIMEOUT_S + period_s)
        return {}

    async def touched(self, host: str, instances: Sequence[Instance]) -> Mapping[str, int]:
        """Look for each guest's memory in that of its QEMU process, all in one round trip over SSH."""
        script = measure.memories_question((one.uuid, one.name, one.memory_bytes) for one in instances)
        with suppress(HotfootError):
            return measure.memories_answer(await self._shell(host, script, FILES_TIMEOUT_S))
        return {}

    async def machines(self, host: str) -> Mapping[str, str]:
        """Return the migratable XML of each running instance."""
        with suppress(HostSilent, libvirt.libvirtError):
            return await self._links.ask(host, asked.machines, LOOK_TIMEOUT_S)
        return {}

    async def offer(self, host: str, machines: Sequence[tuple[Instance, str]]) -> Offer:
        """Ask for active networks and pools, and have the CPU and the machine type of each kind compared."""
        with suppress(HostSilent, libvirt.libvirtError):
            return await self._links.ask(
                host, lambda connection: asked.offer(connection, machines, host), LOOK_TIMEOUT_S
            )
        return Offer(misfits=(None,) * len(machines))

    async def watch_pages(self, instance: Instance, period_s: int) -> PageWatch | None:
        """Look over SSH which pages of the guest's memory change."""
        with suppress(HotfootError):
            script = page_question.question(instance.name, instance.memory_bytes, page_question.looks_s(period_s))
            return page_question.answer(await self._shell(instance.host, script, FILES_TIMEOUT_S + period_s))
        return None

    async def dirty_mib_per_s(self, instance: Instance, period_s: int) -> int | None:
        """Measure how fast the instance dirties its memory."""
        with suppress(HostSilent, libvirt.libvirtError):
            return await self._links.ask_long(
                instance.host,
                lambda connection: measure.dirty_mib_per_s(connection, instance.uuid, period_s),
                JOB_TIMEOUT_S + period_s,
            )
        return None

    async def memory_touched_bytes(self, instance: Instance) -> MemoryTouched:
        """Look for the guest's memory in that of its QEMU process, over SSH; else ask libvirt for the whole process."""
        with suppress(HotfootError):
            script = measure.memory_question(instance.name, instance.memory_bytes)
            found = measure.memory_answer(await self._shell(instance.host, script, FILES_TIMEOUT_S))
            if found is not None:
                return MemoryTouched(guest_bytes=min(found, instance.memory_bytes))
        with suppress(HostSilent, libvirt.libvirtError):
            resident = await self._links.ask(
                instance.host, lambda connection: measure.resident_bytes(connection, instance.uuid)
            )
            return MemoryTouched(process_bytes=resident)
        return MemoryTouched()

    async def link_bytes_per_s(self, source: str, destination: str) -> int | None:
        """Ask the source, over SSH, for the speed of its link towards the destination."""
        with suppress(HotfootError):
            script = measure.link_question(self._links.endpoint(destination).address)
            return measure.link_answer(await self._shell(source, script, FILES_TIMEOUT_S))
        return None

    async def disk_bytes(self, instance: Instance, targets: tuple[str, ...]) -> tuple[int, int]:
        """Return what of these disks is written, and what they could hold."""
        try:
            return await self._links.ask(
                instance.host, lambda connection: measure.allocated_bytes(connection, instance.uuid, targets)
            )
        except libvirt.libvirtError as error:
            raise HotfootError(self._said(instance.host, error)) from error

    def look_ahead(self, order: Order) -> None:
        """Look at nothing: libvirt looks at everything itself."""

    async def migrate(self, order: Order, on_iteration: Callable[[], None], say: Callable[[str], None]) -> None:
        """Move the instance by ``virDomainMigrateToURI3``, which returns when all is done."""
        loop = asyncio.get_running_loop()
        peer = peer_uri(self._links.endpoint(order.destination))
        began = False

        def iteration(*_: object) -> None:
            nonlocal began
            began = True
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(on_iteration)

        def move(connection: Any) -> None:
            domain = connection.lookupByUUIDString(order.uuid)
            # Always: QEMU keeps the limit of an earlier migration that was broken off.
            domain.migrateSetMaxDowntime(order.options.policy.first_downtime_ms)
            event = connection.domainEventRegisterAny(
                domain, libvirt.VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION, iteration, None
            )
            try:
                domain.migrateToURI3(peer, parameters(order), flags(order))
            except libvirt.libvirtError:
                with suppress(libvirt.libvirtError):
                    domain.migrateSetMaxDowntime(QEMU_DOWNTIME_MS)
                raise
            finally:
                with suppress(libvirt.libvirtError):
                    connection.domainEventDeregisterAny(event)

        try:
            await self._links.ask_long(order.source, move, timeout_s=None)
        except libvirt.libvirtError as error:
            aborted = error.get_error_code() == libvirt.VIR_ERR_OPERATION_ABORTED or (
                stream_was_shut_down(str(error)) and await self._outlived_its_stream(order)
            )
            raise MoveEnded(sentence(str(error), self._moving(order, began=began)), aborted=aborted) from error
        except HostSilent as silent:
            raise MoveEnded(sentence(str(silent), self._moving(order, source_lost=True))) from silent

    async def _outlived_its_stream(self, order: Order) -> bool:
        """Ask the destination whether its QEMU was well until the source closed the stream."""
        if await self._links.alive(order.destination):  # libvirt on the source cancels too when it loses it
            with suppress(HotfootError):
                said = await self._shell(order.destination, qemu_log.question(order.name), FILES_TIMEOUT_S)
                return qemu_log.outlived_its_stream(said)
        return False

    async def end_dead_stream(self, order: Order) -> bool | None:
        """Ask the source, over SSH, to end what TCP has sent again and again in vain."""
        hosts = {order.destination, self._links.endpoint(order.destination).address, order.stream_address or ""} - {""}
        with suppress(HotfootError):
            script = dead_stream.question(order.name, sorted(hosts))
            return dead_stream.ended(await self._shell(order.source, script, FILES_TIMEOUT_S))
        return None

    def attached(self, uuid: str) -> tuple[Attached, ...]:
        """Return nothing: disks and network cards are the domain's own."""
        return ()

    async def totals(self, order: Order) -> JobTotals:
        """Return the account that the destination keeps after a migration."""
        with suppress(HostSilent):
            stats = await self._links.ask(
                order.destination,
                lambda connection: asked.completed_stats(connection, order.uuid),
                JOB_TIMEOUT_S,
            )
            return totals_of(stats)
        return JobTotals()

    async def job(self, host: str, uuid: str) -> JobSample | None:
        """Return one look at an outgoing migration."""
        with suppress(HostSilent):
            return await self._links.ask(
                host, lambda connection: asked.job(connection, uuid, time.monotonic()), JOB_TIMEOUT_S
            )
        return None

    async def jobs(self) -> Mapping[tuple[str, str, str], JobSample]:
        """Return all outgoing migrations of hosts that answer."""

        async def of(host: str) -> list[tuple[str, str, JobSample]]:
            with suppress(HostSilent, libvirt.libvirtError):
                return await self._links.ask(
                    host, lambda connection: asked.jobs(connection, time.monotonic()), JOB_TIMEOUT_S
                )
            return []

        names = self._links.names
        found = await asyncio.gather(*(of(host) for host in names))
        return {
            (host, uuid, name): sample
            for host, samples in zip(names, found, strict=True)
            for uuid, name, sample in samples
        }

    async def limit_downtime(self, host: str, uuid: str, downtime_ms: int) -> None:
        """Set QEMU's downtime limit."""
        await self._steer(
            host, lambda connection: connection.lookupByUUIDString(uuid).migrateSetMaxDowntime(downtime_ms)
        )

    async def start_post_copy(self, host: str, uuid: str) -> None:
        """Switch to post-copy, which the order must have prepared."""
        with suppress(HostSilent):  # it may have heard
            await self._steer(host, lambda connection: connection.lookupByUUIDString(uuid).migrateStartPostCopy())

    async def _steer(self, host: str, act: Callable[[Any], object]) -> None:
        try:
            await self._links.ask(host, act, STEER_TIMEOUT_S)
        except libvirt.libvirtError as error:
            raise HotfootError(self._said(host, error)) from error

    async def abort(self, host: str, uuid: str) -> bool:
        """Abort the job of an instance; False when there is none, or it has just ended."""
        try:
            await self._links.ask(host, lambda connection: connection.lookupByUUIDString(uuid).abortJob())
        except libvirt.libvirtError as error:
            if "post-copy" in str(error):
                raise HotfootError(NO_WAY_BACK, ExitStatus.REFUSED) from error
            if error.get_error_code() in (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN):
                return False
            raise HotfootError(self._said(host, error)) from error
        return True

    async def pause_post_copy(self, host: str, uuid: str) -> None:
        """Pause QEMU's post-copy migration, from its source."""
        await self._about_domain(host, lambda connection: recovery.pause(connection, uuid))

    async def resume_post_copy(self, order: Order) -> None:
        """Resume a post-copy migration over a new connection."""
        peer = peer_uri(self._links.endpoint(order.destination))
        try:
            await self._links.ask_long(order.source, lambda connection: recovery.resume(connection, peer, order), None)
        except libvirt.libvirtError as error:
            raise HotfootError(sentence(str(error), self._moving(order))) from error

    async def sightings(self, uuid: str, hosts: Collection[str] | None = None) -> tuple[Sighting, ...]:
        """Ask every host about one UUID, or these alone."""

        async def by(host: str) -> Sighting:
            try:
                return await self._links.ask(host, lambda connection: asked.sighting(connection, host, uuid))
            except HostSilent as silent:
                return Sighting(host=host, problem=str(silent))
            except libvirt.libvirtError as error:
                return Sighting(host=host, problem=self._said(host, error))

        asked_hosts = self._links.names if hosts is None else hosts
        return tuple(await asyncio.gather(*(by(host) for host in asked_hosts)))

    async def claim(self, host: str, uuid: str) -> str | None:
        """Return the claim in the domain's metadata."""
        return await self._about_domain(host, lambda connection: asked.claim(connection, uuid))

    async def set_claim(self, host: str, uuid: str, claim: str | None) -> None:
        """Write the claim into the domain's metadata."""
        await self._about_domain(host, lambda connection: asked.set_claim(connection, uuid, claim))

    async def forget(self, host: str, uuid: str) -> None:
        """Undefine a domain that is shut off."""
        if not await self._about_domain(host, lambda connection: asked.forget(connection, uuid)):
            raise HotfootError(f"{host} has it active, so its definition stays.")

    async def definitions(self, host: str) -> tuple[Definition, ...]:
        """Return what each instance of a host will be started from. Raises HotfootError."""
        from hotfoot.cloud import libvirt_definitions as kept

        return await self._about_domain(host, kept.definitions)

    async def start(self, host: str, xml: str) -> None:
        """Start an instance that runs nowhere.

        Raises MoveEnded where it was refused, so that nothing is left of it; HotfootError (unknown state) where the
        host fell silent meanwhile.
        """
        from hotfoot.cloud import libvirt_definitions as kept

        try:
            await self._links.ask_long(host, lambda connection: kept.start(connection, xml), START_TIMEOUT_S)
        except HostSilent as silent:
            raise HotfootError(f"Whether it was started is not known: {silent}", ExitStatus.UNKNOWN_STATE) from silent
        except libvirt.libvirtError as error:
            raise MoveEnded(self._said(host, error)) from error

    async def define(self, host: str, xml: str, *, autostart: bool) -> None:
        """Define an instance persistently on a host. Raises HotfootError."""
        from hotfoot.cloud import libvirt_definitions as kept

        await self._about_domain(host, lambda connection: kept.define(connection, xml, autostart=autostart))

    async def image_locks(self, host: str, disks: Sequence[Disk]) -> Mapping[str, image_locks.Lock]:
        """Ask a host, over SSH, who has images open: path to lock. Raises HotfootError."""
        return image_locks.answer(await self._shell(host, image_locks.question(disks), LOCKS_TIMEOUT_S))

    async def _about_domain(self, host: str, ask: Callable[[Any], Answer]) -> Answer:
        try:
            return await self._links.ask(host, ask)
        except HostSilent as silent:
            raise HotfootError(str(silent)) from silent
        except libvirt.libvirtError as error:
            raise HotfootError(self._said(host, error)) from error

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(self._links.close(), self._close_shell())

    def _said(self, host: str, error: libvirt.libvirtError) -> str:
        endpoint = self._links.endpoint(host)
        return sentence(str(error), Asked(host=host, transport=endpoint.transport, port=endpoint.port_in_use))

    def _moving(self, order: Order, *, began: bool = True, source_lost: bool = False) -> Asked:
        source, destination = self._links.endpoint(order.source), self._links.endpoint(order.destination)
        return Asked(
            host=order.source,
            transport=source.transport,
            port=source.port_in_use,
            destination=order.destination,
            destination_port=destination.port_in_use,
            instance=order.name,
            began=began,
            native_tls=order.options.native_tls,
            source_lost=source_lost,
        )
