"""A look at a whole OpenStack cloud, and at one instance of it: what is asked, all at the same time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Iterable, Mapping

from hotfoot.cloud.openstack_api import Json, OpenStackApi, OpenStackRefusal
from hotfoot.cloud.openstack_values import hosts_of, inventory_of, with_attachments
from hotfoot.inventory import Host, Instance, Inventory
from hotfoot.migration.selection import SHORTEST_UUID_PREFIX

_GROUPS_AT_ONCE = 1000
_UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_PROVIDERS_AT_ONCE = 10


_Servers = tuple[list[Json], list[Json], list[Json]]
"""Servers, server groups and projects."""
_Hosts = tuple[list[Json], Mapping[str, Json]]
"""Hypervisors, and what Placement says each has, uses and can do, by its UUID."""


async def look(api: OpenStackApi, wanted: str | None = None, closely: Collection[str] | None = None) -> Inventory:
    """Return all compute hosts, and the instances of all projects, or those that ``wanted`` can mean.

    What is meant is a name, a UUID, or how one begins; the members of its groups are there too. Where no name fits, all
    instances are there by name alone, so that near names can be told. ``closely``: the hosts of which more is told than
    the service tells, since Nova takes its time for each hypervisor (None: all). With one instance and one such host
    the costs are the same in a cloud of any size.

    Needs the role admin. Only the names of projects are left out where Keystone does not tell them. Raises
    HotfootError.
    """
    (servers, groups, projects), services, (hypervisors, providers), aggregates = await asyncio.gather(
        _all(api) if wanted is None else _fitting(api, wanted),
        api.all("compute", "/os-services", "services", binary="nova-compute"),
        hypervisors_and_providers(api) if closely is None else _named_hosts(api, closely),
        api.all("compute", "/os-aggregates", "aggregates"),
    )
    return inventory_of(
        servers,
        hypervisors,
        services,
        aggregates=aggregates,
        groups=groups,
        projects=projects,
        providers=providers,
    )


async def _all(api: OpenStackApi) -> _Servers:
    servers, groups, projects = await asyncio.gather(
        # Without a limit, so that Nova tells of instances in a cell that does not answer (2.69).
        api.all("compute", "/servers/detail", "servers", all_tenants="1"),
        _server_groups(api),
        _projects(api),
    )
    return servers, groups, projects


async def compute_hosts(api: OpenStackApi) -> tuple[Host, ...]:
    """Return the compute hosts alone, without what Placement knows of them. Raises HotfootError."""
    hypervisors, services = await asyncio.gather(
        api.all("compute", "/os-hypervisors/detail", "hypervisors"),
        api.all("compute", "/os-services", "services", binary="nova-compute"),
    )
    return hosts_of(hypervisors, services, (), {})


async def in_detail(api: OpenStackApi, instance: Instance) -> Instance:
    """Return the instance with the device names of its volumes and the state of its ports. Raises HotfootError."""
    path = f"/servers/{instance.uuid}"
    attachments, ports = await asyncio.gather(
        api.all("compute", f"{path}/os-volume_attachments", "volumeAttachments"),
        api.all("compute", f"{path}/os-interface", "interfaceAttachments"),
    )
    return with_attachments(instance, attachments, ports)


async def _fitting(api: OpenStackApi, wanted: str) -> _Servers:
    """Return the servers that may be meant with the members of their groups, these groups, and their projects."""
    named = await api.all("compute", "/servers", "servers", all_tenants="1", name=f"^{re.escape(wanted)}$")
    found = [str(server["id"]) for server in named if server.get("name") == wanted]  # MySQL's pattern ignores case
    if not found and re.fullmatch(_UUID, wanted.lower()):
        found = [wanted.lower()]
    if not found:
        known = await api.all("compute", "/servers", "servers", all_tenants="1")
        found = [str(server["id"]) for server in known if str(server["id"]).startswith(wanted.lower())]
        if not found or len(wanted) < SHORTEST_UUID_PREFIX:
            return known, [], []
    servers = await _servers(api, found)
    groups, projects = await asyncio.gather(
        _groups_of(api, servers), _named_projects(api, {str(server.get("tenant_id")) for server in servers})
    )
    others = {str(member) for group in groups for member in group.get("members") or ()} - {*found}
    return [*servers, *await _servers(api, sorted(others))], groups, projects


async def _servers(api: OpenStackApi, uuids: Iterable[str]) -> list[Json]:
    """Return what is there of these servers."""

    async def one(uuid: str) -> list[Json]:
        try:
            return [(await api.get("compute", f"/servers/{uuid}"))["server"]]
        except OpenStackRefusal as refusal:
            if refusal.status_code != 404:
                raise
            return []

    return [server for found in await asyncio.gather(*(one(uuid) for uuid in uuids)) for server in found]


async def _groups_of(api: OpenStackApi, servers: Iterable[Json]) -> list[Json]:
    """Return the server groups of these; before microversion 2.71 a server does not tell them."""
    if not api.offers("2.71"):
        return await _server_groups(api)
    ids = sorted({str(group) for server in servers for group in server.get("server_groups") or ()})
    answers = await asyncio.gather(*(api.get("compute", f"/os-server-groups/{each}") for each in ids))
    return [answer["server_group"] for answer in answers]


async def _named_projects(api: OpenStackApi, ids: Iterable[str]) -> list[Json]:
    async def one(project: str) -> list[Json]:
        try:
            return [(await api.get("identity", f"/projects/{project}"))["project"]]
        except OpenStackRefusal as refusal:
            if refusal.status_code not in (403, 404):
                raise
            return []

    return [project for found in await asyncio.gather(*(one(each) for each in ids)) for project in found]


async def hypervisors_and_providers(api: OpenStackApi) -> _Hosts:
    """Return all hypervisors, and what Placement says each has, uses and can do, by its UUID. Raises HotfootError."""
    hypervisors, summaries = await asyncio.gather(
        api.all("compute", "/os-hypervisors/detail", "hypervisors"), _summaries(api)
    )
    return hypervisors, await _completed(api, summaries, (str(hypervisor["id"]) for hypervisor in hypervisors))


async def _named_hosts(api: OpenStackApi, hosts: Collection[str]) -> _Hosts:
    """Ask for the hypervisors that are named as these hosts are; for all where that does not find each host's own."""
    found = await asyncio.gather(*(_named_host(api, host) for host in hosts))
    if not all(found):
        return await hypervisors_and_providers(api)
    hypervisors = [each for own in found for each in own]
    return hypervisors, await _completed(api, {}, (str(each["id"]) for each in hypervisors))


async def _named_host(api: OpenStackApi, host: str) -> list[Json]:
    try:
        named = await api.all("compute", "/os-hypervisors/detail", "hypervisors", hypervisor_hostname_pattern=host)
    except OpenStackRefusal as refusal:
        if refusal.status_code != 404:
            raise
        return []
    return [each for each in named if (each.get("service") or {}).get("host") == host]


async def _summaries(api: OpenStackApi) -> Mapping[str, Json]:
    """Ask Placement for all hosts that have any memory free, in one question; nothing where it is too old for that."""
    try:
        answer = await api.get("placement", "/allocation_candidates", resources="MEMORY_MB:1")
    except OpenStackRefusal as refusal:
        if refusal.status_code not in (404, 406):
            raise
        return {}
    summaries: Mapping[str, Json] = answer.get("provider_summaries") or {}
    return summaries


async def _completed(api: OpenStackApi, summaries: Mapping[str, Json], wanted: Iterable[str]) -> Mapping[str, Json]:
    """Ask for each host that the one question left out: one that is full, for the most part."""
    missing = [provider for provider in wanted if provider not in summaries]
    turn = asyncio.Semaphore(_PROVIDERS_AT_ONCE)

    async def one(provider: str) -> Json:
        async with turn:
            return await _provider(api, provider)

    found = await asyncio.gather(*(one(provider) for provider in missing))
    return {**summaries, **{provider: each for provider, each in zip(missing, found, strict=True) if each}}


async def _provider(api: OpenStackApi, provider: str) -> Json:
    path = f"/resource_providers/{provider}"
    try:
        inventories, usages, traits = await asyncio.gather(
            api.get("placement", f"{path}/inventories"),
            api.get("placement", f"{path}/usages"),
            api.get("placement", f"{path}/traits"),
        )
    except OpenStackRefusal as refusal:
        if refusal.status_code != 404:  # a hypervisor that Placement does not know
            raise
        return {}
    used = usages.get("usages") or {}
    return {
        "resources": {
            name: {
                "capacity": int((each["total"] - each["reserved"]) * each["allocation_ratio"]),
                "used": used.get(name, 0),
            }
            for name, each in (inventories.get("inventories") or {}).items()
        },
        "traits": traits.get("traits") or [],
    }


async def _server_groups(api: OpenStackApi) -> list[Json]:
    """Nova has no links between pages of server groups: ask on while pages are full."""
    found: list[Json] = []
    while True:
        page = await api.all(
            "compute",
            "/os-server-groups",
            "server_groups",
            all_projects="1",
            limit=str(_GROUPS_AT_ONCE),
            offset=str(len(found)),
        )
        found += page
        if len(page) < _GROUPS_AT_ONCE:
            return found


async def _projects(api: OpenStackApi) -> list[Json]:
    try:
        return await api.all("identity", "/projects", "projects")
    except OpenStackRefusal as refusal:
        if refusal.status_code not in (403, 404):
            raise
        return []
