"""From the cluster file and a cloud to where plans are made and carried out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from hotfoot.cloud.libvirt_cloud import LibvirtCloud
    from hotfoot.cloud.nova_cloud import NovaCloud
    from hotfoot.cloud.protocol import Cloud
    from hotfoot.cluster import Cluster
    from hotfoot.journal.plans import Plans
    from hotfoot.migration.prepare import Request
    from hotfoot.plans.site import Site


@contextmanager
def plans_of(cluster: Path | None, cloud_name: str | None = None) -> Iterator[tuple[Plans, Cluster]]:
    """Yield the kept plans of the cluster that a file declares, or of a cloud; asks no host.

    Raises HotfootError (usage).
    """
    from hotfoot.cli.session import declared_cluster
    from hotfoot.journal.place import place_of
    from hotfoot.journal.plans import Plans
    from hotfoot.journal.store import Store

    declared = declared_cluster(cluster, cloud_name, certificates=False)
    with closing(Store(place_of(declared.journal.url))) as store:
        yield Plans(store), declared


@asynccontextmanager
async def site_of(
    declared: Cluster, cloud: Cloud, at_once: int, policy: str | None, *, keep: bool = True
) -> AsyncIterator[Site]:
    """Yield the site; what became of migrations whose Hotfoot was killed is told first. Raises HotfootError.

    ``keep``: the definitions that the journal keeps are read anew; of an OpenStack cloud it keeps none.
    """
    from hotfoot.cli.asked import Asked
    from hotfoot.cli.definitions import keep_definitions
    from hotfoot.cli.orphans import tell_orphans
    from hotfoot.cli.session import link_trial
    from hotfoot.journal.place import place_of
    from hotfoot.journal.store import Store
    from hotfoot.migration.facts import DeclaredStorage
    from hotfoot.placement.declared import declared_of
    from hotfoot.placement.snapshot import Limits
    from hotfoot.plans.nova_site import NovaSite
    from hotfoot.plans.site import Site

    def request_of(uuid: str, source: str, destination: str) -> Request:
        return Asked(instance=uuid, destination=destination, from_host=source, policy=policy, planned=True).request(
            declared
        )

    request_of("", "", "")  # a policy that does not exist is an error of the call, not of a move
    await tell_orphans(declared, cloud)
    place = place_of(declared.journal.url)
    store = Store(place)
    try:
        if keep and declared.openstack is None:
            await keep_definitions(declared, cast("LibvirtCloud", cloud), store)
        site = Site(
            cloud=cast("LibvirtCloud | NovaCloud", cloud),
            place=place,
            cluster=declared.name,
            hosts=declared.host_names,
            storage=tuple(DeclaredStorage(storage.path, storage.shared) for storage in declared.storage),
            limits=Limits(per_source=at_once, per_destination=at_once),
            request_of=request_of,
            store=store,
            declared=declared_of(declared),
            load=_load_of(declared),
            trial=link_trial(declared) if declared.hosts else None,
        )
        yield site if declared.openstack is None else NovaSite.of(site, cast("NovaCloud", cloud))
    finally:
        store.close()


async def named_hosts(declared: Cluster, cloud: Cloud, names: list[str] | None) -> tuple[str, ...]:
    """Return hosts by the names that were typed, each once, as the cluster file or Nova has them.

    Raises HotfootError (usage) for one that is not there.
    """
    from hotfoot.cli.options import names_in
    from hotfoot.cli.verb import hosts_of

    wanted = tuple(dict.fromkeys(names_in(names or [])))
    if declared.openstack is None or not wanted:
        return hosts_of(declared, names)
    from hotfoot.plans.nova_site import unknown_host

    known = await cast("NovaCloud", cloud).compute.names()
    for name in wanted:
        if name not in known:
            raise unknown_host(name, known)
    return wanted


def _load_of(declared: Cluster) -> Callable[[], Awaitable[tuple[str, Mapping[str, float]]]] | None:
    """Return what asks for measured load, where the cluster file says where that is known."""
    section = declared.balance.load
    if section is None:
        return None

    async def ask() -> tuple[str, Mapping[str, float]]:
        from hotfoot.placement.snapshot import CPU, MEMORY
        from hotfoot.reach.metrics import asked

        return {"cpu": CPU, "memory": MEMORY}[section.of], await asked(section.prometheus, section.query, section.label)

    return ask
