"""What stands in the way of a move that Nova is to make, before Nova is asked. Pure: facts in, verdict out.

Nova answers 202 to what it refuses later (a disabled destination, a server group, no room), and its scheduler only
says "no valid host": so the same is looked at here, where it can still be named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from hotfoot.inventory import Instance, InstanceState, Inventory
from hotfoot.migration.facts import NovaFacts
from hotfoot.migration.options import MigrationOptions, Mode, Order
from hotfoot.migration.policy import DEFAULT, Policy
from hotfoot.migration.preflight import Verdict, refuse
from hotfoot.nova_words import NovaHost, ServerGroup, taken_to_be_elsewhere

LIVE_STATUSES = ("ACTIVE", "PAUSED")
COLD_STATUSES = ("ACTIVE", "SHUTOFF")
"""In which Nova takes the request: os-migrateLive, migrate."""
BY_NOVA = Policy(name="nova")
"""Steered by Nova. Its own greatest downtime is that of Hotfoot's policies, 500 ms, unless nova.conf says otherwise."""


def check_nova(
    inventory: Inventory, instance: Instance, destination: str, facts: NovaFacts, options: MigrationOptions
) -> Verdict:
    """Judge one server and one destination; an empty one is Nova's to choose.

    Invariant: an order is given only when no obstacle is known; and every obstacle is reported, not the first. Only
    where Nova is wrong about the source, nothing else that it says of the move is worth a word.
    """
    if there := facts.seen_elsewhere:
        found = replace(instance, host=there[0]) if len(there) == 1 else instance
        return refuse(found, destination, (taken_to_be_elsewhere(instance.name, there, instance.host),))
    obstacles = (
        *_server(instance, facts, options),
        *_here(inventory, instance),
        *(_there(inventory, instance, destination, facts, options) if destination else ()),
    )
    live = Mode.BLOCK if options.block else Mode.LIVE
    mode = Mode.COLD if options.cold else live
    order = Order(
        uuid=instance.uuid,
        name=instance.name,
        source=instance.host,
        destination=destination,
        mode=mode,
        persistent=True,
        options=replace(options, policy=replace(BY_NOVA, deadline_ms=options.policy.deadline_ms)),
        by_nova=True,
    )
    return Verdict(
        instance=instance,
        destination=destination,
        mode=mode,
        obstacles=obstacles,
        remarks=tuple(_remarks(instance, destination, facts, options)),
        order=None if obstacles else order,
        visible=facts.visible,
    )


def _server(instance: Instance, facts: NovaFacts, options: MigrationOptions) -> Iterator[str]:
    nova, name = instance.nova, instance.name
    if nova is None:
        return
    if facts.under_way:
        yield f"{name} is already being migrated: {facts.under_way}; `hotfoot abort {name}` stops it."
    elif nova.task_state:
        yield f"Nova works on {name} ({nova.task_state}): wait until it has ended."
    elif nova.status == "ERROR":
        at = f", and running on {instance.host}" if instance.state is InstanceState.RUNNING else ""
        cause = f" ({nova.fault.rstrip('.')})" if nova.fault else ""
        yield (
            f"Nova shows {name} in ERROR{cause}{at}; `hotfoot repair-state {name}` looks, and sets right what may"
            " be set right."
        )
    elif nova.status not in (COLD_STATUSES if options.cold else LIVE_STATUSES):
        cold = " (--cold does)" if nova.status in COLD_STATUSES else ""
        fits = " or ".join(COLD_STATUSES if options.cold else LIVE_STATUSES)
        yield f"Nova shows {name} as {nova.status}, and moves only what is {fits}{cold}."
    elif options.only_off and nova.status != "SHUTOFF":
        yield f"{name} was shut off when its cold move was planned, and is {nova.status} now: it is not stopped for it."
    if not instance.host:
        yield f"Nova has put {name} on no host, so that there is nothing to move."
    if options.cold and options.block is not None:
        yield "--block and --no-block are for live migrations; a cold one copies what is local anyway."
    elif options.block and instance.disks and all(disk.kind == "cinder" for disk in instance.disks):
        yield f"{name} has no local disk to copy: all are volumes, which stay where they are; leave out --block."


def _here(inventory: Inventory, instance: Instance) -> Iterator[str]:
    if any(host.name == instance.host and host.nova and not host.nova.up for host in inventory.hosts):
        yield (
            f"nova-compute on {instance.host}, the source, is down, so that Nova cannot move {instance.name}; start it"
            " there (`systemctl status nova-compute`)."
        )


def _there(
    inventory: Inventory, instance: Instance, destination: str, facts: NovaFacts, options: MigrationOptions
) -> Iterator[str]:
    if destination == instance.host:
        yield f"{instance.name} is already on {destination}: source and destination are the same host."
        return
    if options.cold and not facts.names_cold_host:
        yield "This Nova takes no destination for a cold migration (from microversion 2.56 on); leave it out."
    host = inventory.host(destination).nova
    if host is None:
        yield f"Nova has no compute service on {destination}."
        return
    if host.forced_down:
        yield f"{destination} is forced down in Nova (`openstack compute service set --up {destination} nova-compute`)."
    elif not host.up:
        yield (
            f"nova-compute on {destination} is not up; start it there (`systemctl status nova-compute`), or choose"
            " another host."
        )
    if not host.enabled:
        why = f" ({host.disabled_reason})" if host.disabled_reason else ""
        yield (
            f"{destination} is disabled in Nova{why}, so that its scheduler accepts nothing there;"
            f" `openstack compute service set --enable {destination} nova-compute` lets it in."
        )
    if ports := _left_bound(facts, options).get(destination):
        yield (
            f"A move that was broken off has left {_ports(ports)} of {instance.name} bound to {destination}, so that"
            f" Neutron refuses to bind {'it' if len(ports) == 1 else 'them'} there again, and Nova would find no valid"
            f" host; `hotfoot repair-state {instance.name}` removes that."
        )
    yield from _room(instance, destination, facts, host)
    yield from _rules(inventory, instance, destination)


def _left_bound(facts: NovaFacts, options: MigrationOptions) -> Mapping[str, tuple[str, ...]]:
    """Return the leftovers that matter: a move that goes on has its own, and a cold one binds what it has moved."""
    return {} if facts.under_way or options.cold else facts.leftover_bindings


def _ports(ports: tuple[str, ...]) -> str:
    return f"the port {ports[0]}" if len(ports) == 1 else f"{len(ports)} ports"


def _room(instance: Instance, destination: str, facts: NovaFacts, host: NovaHost) -> Iterator[str]:
    short = []
    for resource_class, needed in sorted(facts.needs.items()):
        free = host.free(resource_class)
        if free is not None and free < needed:
            short.append(f"{needed} {resource_class} are needed, and {max(0, free)} are free")
    if short:
        yield f"There is no room on {destination} for {instance.name}, says Placement: {'; '.join(short)}."


def _rules(inventory: Inventory, instance: Instance, destination: str) -> Iterator[str]:
    """Name the server groups that forbid the destination: the soft ones only advise the scheduler."""
    for group in instance.nova.server_groups if instance.nova else ():
        others = [other for other in inventory.instances if _is_member(other, group) and other.uuid != instance.uuid]
        there = sorted(other.name for other in others if other.host == destination)
        if group.policy == "anti-affinity" and there:
            yield (
                f"The server group {group.name} (anti-affinity) forbids {destination} for {instance.name}:"
                f" {', '.join(there)} {'is' if len(there) == 1 else 'are'} there."
            )
        if group.policy == "affinity" and others and not there:
            yield (
                f"The server group {group.name} (affinity) keeps {instance.name} with"
                f" {', '.join(sorted(other.name for other in others))}, of which none is on {destination}."
            )


def _is_member(instance: Instance, group: ServerGroup) -> bool:
    return instance.nova is not None and group.id in {each.id for each in instance.nova.server_groups}


def _remarks(instance: Instance, destination: str, facts: NovaFacts, options: MigrationOptions) -> Iterator[str]:
    for host, ports in _left_bound(facts, options).items() if not destination else ():
        yield (
            f"Nova would fail to move {instance.name} to {host}, to which a move that was broken off has left"
            f" {_ports(ports)} bound; `hotfoot repair-state {instance.name}` removes that."
        )
    if instance.nova and instance.nova.locked:
        yield f"{instance.name} is locked, which holds back its project, but no administrator."
    if untold := tuple(_untold(options)):
        yield (
            f"Nova cannot be told {', '.join(untold)}: it goes by nova.conf of its compute hosts ([libvirt]"
            " live_migration_*)."
        )
    if not facts.visible and not options.cold:
        yield (
            f"libvirt on {instance.host} is not declared, so that only what Nova tells is seen: bytes every 5 s,"
            " neither downtime nor dirty rate."
        )


def _untold(options: MigrationOptions) -> Iterator[str]:
    """Name what was asked for beyond the defaults and Nova has no word for."""
    policy = options.policy
    if options.bandwidth_bytes_per_s is not None:
        yield "the bandwidth"
    if options.parallel:
        yield "the number of connections"
    if options.compress:
        yield "compression"
    if options.native_tls:
        yield "native TLS"
    if policy.name != DEFAULT.name or policy.max_downtime_ms != DEFAULT.max_downtime_ms:
        yield f"the policy {policy.name} with its downtime limit"
