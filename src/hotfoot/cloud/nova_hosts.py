"""Nova's compute hosts as whole hosts: what is written down of them, and their services switched off and on."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from hotfoot.cloud.openstack_api import OpenStackApi, OpenStackRefusal
from hotfoot.cloud.openstack_inventory import compute_hosts
from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.inventory import Host, Inventory
from hotfoot.placement.from_nova import TAKEN_OUT, Aggregate, Promised, Provider, WrittenDown

_AT_ONCE = 10
LONGEST_REASON = 255
"""Of a disabled service (Nova)."""


class NovaHosts:
    """The compute hosts of one cloud. Raises HotfootError where an API refuses or is silent."""

    def __init__(self, api: OpenStackApi) -> None:
        self._api = api

    async def names(self) -> tuple[str, ...]:
        """Return the names of all compute hosts, as Nova's compute services have them."""
        return tuple(sorted(str(service["host"]) for service in await self._services()))

    async def addresses(self) -> dict[str, str]:
        """Return the addresses of the compute hosts, as far as Nova knows them."""
        return {host.name: host.address for host in await compute_hosts(self._api) if host.address}

    async def written_down(self, inventory: Inventory) -> WrittenDown:
        """Ask Placement, host by host, for what is promised and what is taken, and Nova for its aggregates."""
        turn = asyncio.Semaphore(_AT_ONCE)

        async def one(host: Host) -> tuple[str, Provider | None]:
            async with turn:
                return host.name, await self._provider(host)

        aggregates, found = await asyncio.gather(
            self._api.all("compute", "/os-aggregates", "aggregates"),
            asyncio.gather(*(one(host) for host in inventory.hosts)),
        )
        return WrittenDown(
            providers={name: provider for name, provider in found if provider is not None},
            aggregates=tuple(
                Aggregate(
                    name=str(each["name"]),
                    hosts=frozenset(map(str, each.get("hosts") or ())),
                    metadata={str(key): str(value) for key, value in (each.get("metadata") or {}).items()},
                )
                for each in aggregates
            ),
        )

    async def _provider(self, host: Host) -> Provider | None:
        if host.nova is None or host.nova.hypervisor_id is None:
            return None
        path = f"/resource_providers/{host.nova.hypervisor_id}"
        try:
            inventories, allocations = await asyncio.gather(
                self._api.get("placement", f"{path}/inventories"), self._api.get("placement", f"{path}/allocations")
            )
        except OpenStackRefusal as refusal:
            if refusal.status_code != 404:  # a hypervisor that Placement does not know
                raise
            return None
        return Provider(
            promised={
                str(name): Promised(
                    total=int(each["total"]),
                    reserved=int(each.get("reserved") or 0),
                    ratio=float(each.get("allocation_ratio") or 1.0),
                    most=int(each["max_unit"]) if each.get("max_unit") else None,
                )
                for name, each in (inventories.get("inventories") or {}).items()
            },
            allocations={
                str(consumer): {str(name): int(amount) for name, amount in each["resources"].items()}
                for consumer, each in (allocations.get("allocations") or {}).items()
            },
        )

    async def taken_out(self) -> frozenset[str]:
        """Return the hosts whose compute service Hotfoot has disabled."""
        return frozenset(str(service["host"]) for service in await self._services() if _ours(service))

    async def take_out(self, hosts: Collection[str], reason: str) -> tuple[str, ...]:
        """Disable the compute services that are enabled, and return their hosts; all of them or none."""
        services = _chosen(await self._services(), hosts)
        done: list[str] = []
        try:
            for host, service in services.items():
                if service["status"] != "disabled":
                    told = {"status": "disabled", "disabled_reason": f"{TAKEN_OUT}{reason}"[:LONGEST_REASON]}
                    await self._tell(service, told)
                    done.append(host)
        except HotfootError:
            with suppress(HotfootError):
                await self.put_back(done)
            raise
        return tuple(done)

    async def put_back(self, hosts: Collection[str]) -> tuple[str, ...]:
        """Enable the compute services that Hotfoot has disabled, and return their hosts; others stay as they are.

        One that is forced down is no longer.
        """
        await self.let_up(hosts)
        services = {host: service for host, service in _chosen(await self._services(), hosts).items() if _ours(service)}
        for service in services.values():
            await self._tell(service, {"status": "enabled"})
        return tuple(services)

    async def let_up(self, hosts: Collection[str]) -> None:
        """Have Nova go by what it hears again, of hosts that were evacuated and are disabled by Hotfoot."""
        for service in _chosen(await self._services(), hosts).values():
            if service.get("forced_down") and _ours(service):
                await self._tell(service, {"forced_down": False})

    async def force_down(self, hosts: Collection[str]) -> None:
        """Have Nova take the hosts for dead, which are proven to be: only then, or after a while, it evacuates them."""
        for service in _chosen(await self._services(), hosts).values():
            if not service.get("forced_down"):
                await self._tell(service, {"forced_down": True})

    async def up(self, hosts: Collection[str]) -> tuple[str, ...]:
        """Return those of these hosts whose nova-compute is up, as Nova says."""
        return tuple(
            host for host, service in _chosen(await self._services(), hosts).items() if service["state"] == "up"
        )

    async def check_ours(self, hosts: Collection[str]) -> None:
        """Raise HotfootError (refused) for a host that somebody else has disabled."""
        for host, service in _chosen(await self._services(), hosts).items():
            if service["status"] == "disabled" and not _ours(service):
                why = service.get("disabled_reason")
                raise HotfootError(
                    f"{host} was disabled in Nova by somebody else{f' ({why})' if why else ''}, and Hotfoot enables"
                    f" only what it disabled: `openstack compute service set --enable {host} nova-compute` lets"
                    " instances in.",
                    ExitStatus.REFUSED,
                )

    async def _services(self) -> list[dict[str, Any]]:
        return await self._api.all("compute", "/os-services", "services", binary="nova-compute")

    async def _tell(self, service: dict[str, Any], told: dict[str, Any]) -> None:
        await self._api.put("compute", f"/os-services/{service['id']}", told)


def _chosen(services: list[dict[str, Any]], hosts: Collection[str]) -> dict[str, dict[str, Any]]:
    return {str(service["host"]): service for service in services if str(service["host"]) in hosts}


def _ours(service: dict[str, Any]) -> bool:
    return service["status"] == "disabled" and str(service.get("disabled_reason") or "").startswith(TAKEN_OUT)
