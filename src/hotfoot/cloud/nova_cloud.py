"""Nova as a cloud: moves are Nova's, and libvirt on its hosts shows what Nova does not, where it can be asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from hotfoot.cloud import port_bindings
from hotfoot.cloud.nova_before import Before, look_before
from hotfoot.cloud.nova_migration import (
    ABORTABLE,
    TASK,
    THE_API,
    Json,
    Repair,
    destination_of,
    is_shown_wrongly,
    job_sample,
    why_no_repair,
)
from hotfoot.cloud.nova_move import NovaMove, is_down
from hotfoot.cloud.nova_reasons import log_answer, log_question
from hotfoot.cloud.nova_sightings import elsewhere, everywhere, in_progress
from hotfoot.cloud.openstack_api import OpenStackApi, OpenStackRefusal
from hotfoot.cloud.openstack_inventory import in_detail, look
from hotfoot.cloud.protocol import NO_WAY_BACK, MemoryTouched, Offer, Usage
from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.inventory import Instance, InstanceState, Inventory
from hotfoot.migration.facts import HostFiles, NovaFacts, PairFacts
from hotfoot.migration.options import Order
from hotfoot.migration.page_watch import PageWatch
from hotfoot.migration.proof import Sighting
from hotfoot.migration.result import Attached, JobTotals
from hotfoot.migration.sample import JobSample, Phase

if TYPE_CHECKING:
    from hotfoot.cloud.libvirt_cloud import LibvirtCloud
    from hotfoot.cloud.nova_hosts import NovaHosts
    from hotfoot.placement.from_nova import WrittenDown

CLAIM_KEY = "hotfoot_claim"
"""Of the server's metadata: the claim on a server whose host cannot be asked itself."""
LONGEST_VALUE = 255
"""Of one item of metadata (Nova)."""
JOBS_EVERY_S = 2.0
"""Between two questions for all migrations: Nova renews what it tells every 5 s."""
WATCHED = ("queued", "preparing", "running", "post-migrating")
ABORT_AGAIN_S = 5.0
STEERED_BY_NOVA = "Nova steers this migration by its own configuration."


class NovaCloud:
    """Implements ``cloud.protocol.Cloud``.

    Invariant: Nova alone starts, stops and confirms moves; libvirt on its hosts is only asked, and never told, except
    for the claim that is written on the domain.
    """

    def __init__(self, api: OpenStackApi, hosts: LibvirtCloud | None) -> None:
        """``hosts``: those compute hosts that can be reached by libvirt and SSH, named as Nova names them."""
        self._api = api
        self._hosts = hosts
        self._moves: dict[str, NovaMove] = {}
        self._ahead: dict[str, asyncio.Task[Before | None]] = {}
        self._seen_in_libvirt: set[str] = set()
        self._libvirt_names: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._told_to_stop: dict[str, tuple[int, float]] = {}
        """Migration's number, and when Nova was told (``time.monotonic()``), by the server's uuid."""
        self._jobs: tuple[float, Mapping[tuple[str, str, str], JobSample]] = (float("-inf"), {})

    async def look(self, wanted: str | None = None, closely: Collection[str] | None = None) -> Inventory:
        """Return all compute hosts and the servers of all projects; or only those that are wanted."""
        inventory = await look(self._api, wanted, closely)
        self._names = {instance.uuid: instance.name for instance in inventory.instances}
        self._libvirt_names = {
            instance.uuid: instance.nova.libvirt_name
            for instance in inventory.instances
            if instance.nova and instance.nova.libvirt_name
        }
        return inventory

    async def in_detail(self, instance: Instance) -> Instance:
        """Return a server with the device names of its volumes, and its ports."""
        return await in_detail(self._api, instance)

    @property
    def api(self) -> OpenStackApi:
        """The APIs that it works with."""
        return self._api

    @property
    def compute(self) -> NovaHosts:
        """Its compute hosts as whole hosts; imported only for plans, which need more than a single migration."""
        from hotfoot.cloud.nova_hosts import NovaHosts

        return NovaHosts(self._api)

    async def written_down(self, inventory: Inventory) -> WrittenDown:
        """Return what Placement and Nova's aggregates say beside the inventory."""
        return await self.compute.written_down(inventory)

    def visible(self, host: str) -> LibvirtCloud | None:
        """Return what asks libvirt on a host; None where it cannot be asked."""
        return self._hosts if self._hosts and host in self._hosts.hosts else None

    async def examine(self, instance: Instance, destination: str) -> PairFacts:
        """Ask Nova and Placement what a move of the server depends on."""
        moving, needs, left, others = await asyncio.gather(
            in_progress(self._api, instance.uuid),
            self._needs(instance.uuid),
            port_bindings.leftovers(self._api, instance.uuid, instance.host),
            self.seen_elsewhere(instance),
        )
        return PairFacts(
            destination=destination,
            job_under_way=bool(moving),
            nova=NovaFacts(
                under_way=_in_words(moving[0]) if moving else None,
                needs=needs,
                names_cold_host=self._api.offers("2.56"),
                visible=self.visible(instance.host) is not None,
                leftover_bindings=left,
                seen_elsewhere=others,
            ),
        )

    async def _needs(self, uuid: str) -> Mapping[str, int]:
        """Return what the server takes of its host; what comes from other providers (ports, shared pools) is not."""
        needs: dict[str, int] = {}
        with suppress(HotfootError):
            answer = await self._api.get("placement", f"/allocations/{uuid}")
            for allocation in answer.get("allocations", {}).values():
                resources = allocation["resources"]
                if "MEMORY_MB" in resources:
                    needs.update(resources)
        return needs

    async def addresses(self, instance: Instance) -> tuple[str, ...]:
        """Return floating addresses, fixed ones, and what libvirt on its host knows."""
        hosts = self.visible(instance.host)
        found = await hosts.addresses(self._in_libvirt(instance)) if hosts else ()
        return tuple(dict.fromkeys((*instance.addresses, *found)))

    async def watch_pages(self, instance: Instance, period_s: int) -> PageWatch | None:
        """Look on the host, where it can be asked."""
        hosts = self.visible(instance.host)
        return await hosts.watch_pages(self._in_libvirt(instance), period_s) if hosts else None

    async def dirty_mib_per_s(self, instance: Instance, period_s: int) -> int | None:
        """Measure by libvirt, where it can be asked."""
        hosts = self.visible(instance.host)
        return await hosts.dirty_mib_per_s(instance, period_s) if hosts else None

    async def memory_touched_bytes(self, instance: Instance) -> MemoryTouched:
        """Look on the host, where it can be asked."""
        hosts = self.visible(instance.host)
        return await hosts.memory_touched_bytes(self._in_libvirt(instance)) if hosts else MemoryTouched()

    async def link_bytes_per_s(self, source: str, destination: str) -> int | None:
        """Ask the source, where both hosts are known."""
        hosts = self.visible(source) if self.visible(destination) else None
        return await hosts.link_bytes_per_s(source, destination) if hosts else None

    async def disk_bytes(self, instance: Instance, targets: tuple[str, ...]) -> tuple[int, int]:
        """Ask libvirt; raises HotfootError where it cannot be asked."""
        hosts = self.visible(instance.host)
        if hosts is None:
            raise HotfootError(f"how much of the disks of {instance.name} is written is not known without its host")
        return await hosts.disk_bytes(instance, targets)

    async def disk_files(self, instance: Instance) -> HostFiles:
        """Look at the disks on their host, where it can be asked."""
        hosts = self.visible(instance.host)
        return await hosts.disk_files(instance) if hosts else HostFiles()

    def look_ahead(self, order: Order) -> None:
        """Begin to ask Nova how the server is, which a move asks first of all."""

        async def looking() -> Before | None:
            with suppress(HotfootError):  # the move asks again, and says it then
                return await look_before(self._api, order.uuid)
            return None

        self._ahead[order.uuid] = asyncio.create_task(looking())

    async def _before(self, uuid: str) -> Before:
        """Return how the server is, as it was looked at ahead where that was just now. Raises HotfootError."""
        ahead = self._ahead.pop(uuid, None)
        before = await ahead if ahead else None
        return before if before and before.is_fresh else await look_before(self._api, uuid)

    async def migrate(self, order: Order, on_iteration: Callable[[], None], say: Callable[[str], None]) -> None:
        """Have Nova move the server, and follow it until Nova says that it is done. Raises MoveEnded."""
        move = self._moves[order.uuid] = self._move(order, say)
        self._told_to_stop.pop(order.uuid, None)
        self._seen_in_libvirt.discard(order.uuid)
        try:
            await move.start(await self._before(order.uuid))
            on_iteration()
            await move.follow()
        finally:
            move.over = True

    async def settle(self, order: Order, state_before: InstanceState) -> None:
        """Follow a cold migration whose Hotfoot was killed until it is confirmed or reverted. Raises MoveEnded."""
        move = self._move(order, lambda _sentence: None)
        await move.take_up(state_before)
        await move.follow()

    def _move(self, order: Order, say: Callable[[str], None]) -> NovaMove:
        return NovaMove(self._api, order, self._log_of, partial(self._still_runs, order), say)

    async def _still_runs(self, order: Order) -> bool | None:
        hosts = self.visible(order.source)
        if hosts is None:
            return None
        sample = await hosts.job(order.source, order.uuid)
        # Two halves are waited for by the proof, which knows when they can never become one.
        return sample is not None and sample.phase is not Phase.POST_COPY

    async def _log_of(self, host: str, uuid: str, age_s: float) -> tuple[str, ...]:
        hosts = self.visible(host)
        return log_answer(await hosts.said_by(host, log_question(uuid, age_s))) if hosts else ()

    async def totals(self, order: Order) -> JobTotals:
        """Return the account that libvirt on the destination keeps; Nova keeps none."""
        hosts = self.visible(order.destination)
        return await hosts.totals(order) if hosts else JobTotals()

    def attached(self, uuid: str) -> tuple[Attached, ...]:
        """Return the volumes and ports of a server that was moved, as they were before and are after."""
        return self._moves[uuid].attached() if uuid in self._moves else ()

    async def job(self, host: str, uuid: str) -> JobSample | None:
        """Return what libvirt on the source shows; else what Nova tells.

        Where libvirt can be asked and shows none, Nova has not begun yet; or, when the guest has left the source, it
        has something left to do. A source that is silent for once tells neither: None.
        """
        hosts, move = self.visible(host), self._under_way(uuid)
        if hosts and (sample := await hosts.job(host, uuid)) is not None:
            self._seen_in_libvirt.add(uuid)
            return replace(sample, elapsed_ms=move.elapsed_ms) if move else sample  # Nova took its time before
        if move:
            told = move.sample()
            if told is None or hosts is None or move.cold:
                return told
            phase = Phase.PREPARING
            if uuid in self._seen_in_libvirt:
                here = await hosts.sightings(uuid, (host,))
                if any(one.problem or one.alive for one in here):
                    return None
                phase = Phase.FINISHING
            return JobSample(at_s=told.at_s, phase=phase, elapsed_ms=told.elapsed_ms)
        with suppress(HotfootError):
            for migration in await in_progress(self._api, uuid):
                # Of one whose nova-compute is down the record goes on for ever: libvirt alone tells.
                return None if await is_down(self._api, host) else job_sample(migration, time.monotonic())
        return None

    def _under_way(self, uuid: str) -> NovaMove | None:
        """Return this process's own move of a server, until it is over."""
        move = self._moves.get(uuid)
        return None if move is None or move.over else move

    async def jobs(self) -> Mapping[tuple[str, str, str], JobSample]:
        """Return all live migrations now, whoever started them."""
        told_s, told = self._jobs
        if time.monotonic() - told_s > JOBS_EVERY_S:
            told = await self._jobs_of_nova()
            self._jobs = (time.monotonic(), told)
        found = dict(told)
        for (host, uuid, name), sample in (await self._hosts.jobs()).items() if self._hosts else ():
            # Nova may have given up, or not begun to list, what libvirt does: its name is the server's all the same.
            found[host, uuid, await self._name_of(uuid, name)] = sample
        return found

    async def _jobs_of_nova(self) -> Mapping[tuple[str, str, str], JobSample]:
        lists = await asyncio.gather(
            *(
                self._api.all("compute", "/os-migrations", "migrations", status=status, migration_type="live-migration")
                for status in WATCHED
            )
        )
        records = [record for one in lists for record in one]

        async def sampled(record: Json) -> tuple[tuple[str, str, str], JobSample]:
            uuid = str(record["instance_uuid"])
            name = await self._name_of(uuid)
            with suppress(HotfootError):
                for migration in await in_progress(self._api, uuid):
                    record = migration
            return (str(record["source_compute"]), uuid, name), job_sample(record, time.monotonic())

        return dict(await asyncio.gather(*(sampled(record) for record in records)))

    async def _name_of(self, uuid: str, otherwise: str | None = None) -> str:
        if uuid not in self._names:
            with suppress(HotfootError):
                self._names[uuid] = str((await self._api.get("compute", f"/servers/{uuid}"))["server"]["name"])
        return self._names.get(uuid, otherwise or uuid)

    async def limit_downtime(self, host: str, uuid: str, downtime_ms: int) -> None:
        """Refuse: Nova would set its own again."""
        raise HotfootError(STEERED_BY_NOVA, ExitStatus.REFUSED)

    async def start_post_copy(self, host: str, uuid: str) -> None:
        """Refuse: whether it is post-copy or a pause is Nova's to say (``force_complete``)."""
        raise HotfootError(STEERED_BY_NOVA, ExitStatus.REFUSED)

    async def pause_post_copy(self, host: str, uuid: str) -> None:
        """Refuse: Nova would take the migration for failed."""
        raise HotfootError(STEERED_BY_NOVA, ExitStatus.REFUSED)

    async def resume_post_copy(self, order: Order) -> None:
        """Refuse: Nova would not know of it."""
        raise HotfootError(STEERED_BY_NOVA, ExitStatus.REFUSED)

    async def abort(self, host: str, uuid: str) -> bool:
        """Have Nova abort the migration; False when there is none, or it cannot be yet.

        Nova loses an abort that comes before libvirt's job has begun, though it says 202: so it is told again, but not
        sooner than after a while, since each time adds to the server's list of actions.
        """
        move = self._under_way(uuid)
        if move and move.migration_id is None:
            return False
        told_id, told_s = self._told_to_stop.get(uuid, (None, 0.0))
        if move and told_id == move.migration_id and time.monotonic() - told_s < ABORT_AGAIN_S:
            return True
        migrations = await in_progress(self._api, uuid)
        if not migrations:
            return False
        migration, hosts = migrations[0], self.visible(host)
        sample = await hosts.job(host, uuid) if hosts else None
        if sample and sample.phase is Phase.POST_COPY:  # Nova would answer 202
            raise HotfootError(NO_WAY_BACK, ExitStatus.REFUSED)
        self._told_to_stop[uuid] = int(migration["id"]), time.monotonic()
        if migration["status"] not in ABORTABLE:
            return False
        try:
            await self._api.delete("compute", f"/servers/{uuid}/migrations/{migration['id']}")
        except OpenStackRefusal as refusal:
            if refusal.status_code in (400, 404):
                return False
            raise
        return True

    async def force_complete(self, instance: Instance, *, dry_run: bool = False) -> None:
        """Have Nova end the migration of a server, by post-copy or a pause; raises HotfootError (refused).

        With ``dry_run`` only whether that can be asked for is looked at.
        """
        migrations = await in_progress(self._api, instance.uuid)
        if not migrations:
            raise HotfootError(
                f"No migration of {instance.name} is under way: there is nothing to complete.", ExitStatus.REFUSED
            )
        if migrations[0]["status"] != "running":
            raise HotfootError(
                f"The migration of {instance.name} is {migrations[0]['status']}; only one that is running can be"
                " completed by force.",
                ExitStatus.REFUSED,
            )
        path = f"/servers/{instance.uuid}/migrations/{migrations[0]['id']}/action"
        if not dry_run:
            await self._api.post("compute", path, {"force_complete": None})

    async def end_dead_stream(self, order: Order) -> bool | None:
        """Leave it to Nova's own time limits."""
        return None

    async def sightings(self, uuid: str) -> tuple[Sighting, ...]:
        """Ask every host that can be asked, and Nova."""
        seen = await everywhere(self._api, self._hosts, uuid)
        if uuid not in self._moves or any(one.host == THE_API for one in seen):
            return seen
        return (*seen, *(Sighting(host=THE_API, remark=remark) for remark in await self._moves[uuid].remarks()))

    async def seen_elsewhere(self, instance: Instance) -> tuple[str, ...]:
        """Return the hosts on which libvirt has a server alive, where it is not on the host that Nova names."""
        return await elsewhere(self._api, self._hosts, instance)

    async def to_repair(self, instance: Instance) -> Repair:
        """Say what may be set right of a server, or why nothing may."""
        server, moving, seen, left = await asyncio.gather(
            self._api.get("compute", f"/servers/{instance.uuid}"),
            in_progress(self._api, instance.uuid),
            self.sightings(instance.uuid),
            port_bindings.leftovers(self._api, instance.uuid, instance.host),
        )
        why_not = why_no_repair(server["server"], seen, moving, leftovers=bool(left))
        return Repair(why_not=why_not, state=is_shown_wrongly(server["server"]), bindings=left)

    async def repair(self, instance: Instance, wrong: Repair) -> None:
        """Set the server to active, let go of what Nova still works on, and remove leftovers. Raises HotfootError."""
        if wrong.state:
            await self._set_active(instance)
        await port_bindings.remove(self._api, wrong.bindings)

    async def _set_active(self, instance: Instance) -> None:
        path = f"/servers/{instance.uuid}"
        await self._api.post("compute", f"{path}/action", {"os-resetState": {"state": "active"}})
        server = (await self._api.get("compute", path))["server"]
        if server["status"] != "ACTIVE" or server.get(TASK) is not None:
            raise HotfootError(
                f"Nova took the new state of {instance.name}, and shows it as {server['status']} all the same.",
                ExitStatus.UNKNOWN_STATE,
            )

    async def forget(self, host: str, uuid: str) -> None:
        """Refuse: definitions on Nova's hosts are Nova's."""
        raise HotfootError(f"What is defined on {host} is Nova's to remove.", ExitStatus.REFUSED)

    async def claim(self, host: str, uuid: str) -> str | None:
        """Return the claim: on the domain, where its host can be asked, else in the server's metadata."""
        if hosts := self.visible(host):
            return await hosts.claim(host, uuid)
        answer = await self._api.get("compute", f"/servers/{uuid}/metadata")
        claim = answer["metadata"].get(CLAIM_KEY)
        return None if claim is None else str(claim)

    async def set_claim(self, host: str, uuid: str, claim: str | None) -> None:
        """Write the claim where ``claim`` reads it."""
        if hosts := self.visible(host):
            await hosts.set_claim(host, uuid, claim)
        elif claim is None:
            await self._api.delete("compute", f"/servers/{uuid}/metadata/{CLAIM_KEY}")
        elif len(claim) > LONGEST_VALUE:
            raise HotfootError(f"The claim on it is longer than Nova's metadata can hold ({LONGEST_VALUE} characters).")
        else:
            await self._api.post("compute", f"/servers/{uuid}/metadata", {"metadata": {CLAIM_KEY: claim}})

    async def usage(self, host: str, period_s: float) -> Mapping[str, Usage]:
        """Measure by libvirt, where it can be asked."""
        hosts = self.visible(host)
        return await hosts.usage(host, period_s) if hosts else {}

    async def touched(self, host: str, instances: Sequence[Instance]) -> Mapping[str, int]:
        """Look on the host, where it can be asked."""
        hosts = self.visible(host)
        return await hosts.touched(host, [self._in_libvirt(one) for one in instances]) if hosts else {}

    async def machines(self, host: str) -> Mapping[str, str]:
        """Ask libvirt, where it can be asked."""
        hosts = self.visible(host)
        return await hosts.machines(host) if hosts else {}

    async def offer(self, host: str, machines: Sequence[tuple[Instance, str]]) -> Offer:
        """Ask libvirt, where it can be asked."""
        hosts = self.visible(host)
        return await hosts.offer(host, machines) if hosts else Offer(misfits=(None,) * len(machines))

    async def sights(self, host: str, paths: Sequence[str], devices: Sequence[str]) -> HostFiles:
        """Look on the host, where it can be asked."""
        hosts = self.visible(host)
        return await hosts.sights(host, paths, devices) if hosts else HostFiles()

    async def close(self) -> None:
        """Let go of the API and of all hosts."""
        for ahead in self._ahead.values():
            ahead.cancel()
        await asyncio.gather(*self._ahead.values(), return_exceptions=True)
        await self._api.close()
        if self._hosts:
            await self._hosts.close()

    def _in_libvirt(self, instance: Instance) -> Instance:
        """Return the instance under the name of its domain, as QEMU has it."""
        return replace(instance, name=self._libvirt_names.get(instance.uuid, instance.name))


def _in_words(migration: Json) -> str:
    to = destination_of(migration) or "a host that is being chosen"
    who = migration.get("user_id")
    by = f", asked for by user {who}" if who else ""
    return f"to {to}, {migration['status']} since {migration['created_at']} UTC{by} (migration {migration['id']})"
