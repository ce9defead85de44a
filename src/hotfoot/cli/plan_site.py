"""From the cluster file and a cloud to where plans are made and carried out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from hotfoot.cloud.libvirt_cloud import LibvirtCloud
    from hotfoot.cloud.nova_cloud import NovaCloud
    from hotfoot.cloud.protocol import Cloud
    from hotfoot.cluster import Cluster
    from hotfoot.evacuation.life import HostAddresses
    from hotfoot.evacuation.nova_site import DeadNovaSite
    from hotfoot.evacuation.site import DeadSite
    from hotfoot.journal.plan_record import PlanRecord
    from hotfoot.journal.plans import Plans
    from hotfoot.migration.prepare import Request
    from hotfoot.placement.course import Step
    from hotfoot.plans.load import AskLoad
    from hotfoot.plans.nova_site import NovaSite
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
    from hotfoot.placement.snapshot import Cold, Limits
    from hotfoot.plans.nova_site import NovaSite
    from hotfoot.plans.site import Site

    asked = Asked(instance="", destination=None, from_host=None, policy=policy, planned=True)
    asked.request(declared)  # a policy that does not exist is an error of the call, not of a move

    def request_of(step: Step) -> Request:
        return replace(
            asked,
            instance=step.uuid,
            destination=step.destination,
            from_host=step.source,
            cold=step.cold is not None,
            only_off=step.cold is Cold.OFF,
        ).request(declared)

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
            load=load_of(declared),
            trial=link_trial(declared) if declared.hosts else None,
        )
        yield site if declared.openstack is None else NovaSite.of(site, cast("NovaCloud", cloud))
    finally:
        store.close()


@asynccontextmanager
async def dead_site_of(
    declared: Cluster, cloud: Cloud, dead: tuple[str, ...], at_once: int, *, disks_outlive: bool
) -> AsyncIterator[DeadSite | DeadNovaSite]:
    """Yield the site on which these hosts are dead; no definition is read anew. Raises HotfootError.

    ``disks_outlive``: the operator's word that what Nova keeps of disks is not on its hosts alone.
    """
    from hotfoot.evacuation.life import HostAddresses

    addresses = _addresses(declared, dead)
    async with site_of(declared, cloud, at_once, None, keep=False) as site:
        if declared.openstack is None:
            from hotfoot.evacuation.site import DeadSite

            yield DeadSite.of(site, cast("LibvirtCloud", cloud), addresses)
            return
        from hotfoot.evacuation.nova_site import DeadNovaSite

        nova = cast("NovaCloud", cloud)
        known, told = {host.name for host in addresses}, await nova.compute.addresses()
        others = tuple(
            HostAddresses(name=name, addresses=tuple(filter(None, [told.get(name)])), ports=(22,))
            for name in dead
            if name not in known
        )
        yield DeadNovaSite.over(cast("NovaSite", site), nova, (*addresses, *others), disks_outlive=disks_outlive)


def kept_site_of(declared: Cluster, cloud: Cloud, record: PlanRecord) -> AbstractAsyncContextManager[Site]:
    """Return the site on which a kept plan goes on, as it was made for. Raises HotfootError."""
    from hotfoot.cli.verb import AT_ONCE
    from hotfoot.evacuation.site import VERB

    at_once, policy = record.asked.get("at_once"), record.asked.get("policy")
    at_once, policy = at_once if isinstance(at_once, int) else AT_ONCE, policy if isinstance(policy, str) else None
    if record.verb != VERB:
        return site_of(declared, cloud, at_once, policy)
    outlive = bool(record.asked.get("shared_disks"))
    return dead_site_of(declared, cloud, record.asked_hosts, at_once, disks_outlive=outlive)


def _addresses(declared: Cluster, names: tuple[str, ...]) -> tuple[HostAddresses, ...]:
    """Return where those of these hosts that are declared would answer."""
    from hotfoot.evacuation.life import HostAddresses

    dead = []
    for host in declared.hosts:
        if host.name in names:
            ports = [declared.ssh_of(host).port or 22]
            if declared.libvirt.transport != "ssh":
                ports.append(declared.libvirt.port or (16514 if declared.libvirt.transport == "tls" else 16509))
            addresses = dict.fromkeys(filter(None, (host.address, declared.migration_address_of(host))))
            dead.append(HostAddresses(name=host.name, addresses=tuple(addresses), ports=tuple(ports)))
    return tuple(dead)


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


def load_of(declared: Cluster) -> AskLoad | None:
    """Return what asks for measured load, where the cluster file says where that is known."""
    section = declared.balance.load
    if section is None:
        return None

    async def ask() -> tuple[str, Mapping[str, float]]:
        from hotfoot.placement.snapshot import CPU, MEMORY
        from hotfoot.reach.metrics import asked

        return {"cpu": CPU, "memory": MEMORY}[section.of], await asked(section.prometheus, section.query, section.label)

    return ask
