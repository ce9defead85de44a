"""What Nova and Placement say of a cloud as a snapshot for planning. Pure.

Sizes are what Placement has written down: an instance takes its own allocation on its host, and what others have
allocated there (migrations under way, consumers that no server is) is left alone. While an instance is moved Placement
holds all of it on both hosts. Where an instance may not go is what Nova's scheduler would refuse, as far as the APIs
tell; each move is looked at again before Nova is asked for it, and the scheduler has the last word.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from hotfoot.inventory import Host as SeenHost
from hotfoot.inventory import Instance as SeenInstance
from hotfoot.inventory import Inventory
from hotfoot.migration.forecast import SETUP_MS, SWITCH_MS
from hotfoot.nova_words import ServerGroup
from hotfoot.placement.from_inventory import InstanceSeen
from hotfoot.placement.nova_ways import how_cold, local_bytes, why_not_live
from hotfoot.placement.snapshot import CPU, MEMORY, VCPUS, Host, Instance, Resource, Rule, RuleKind, Snapshot

_MIB = 1 << 20
_NAMES = {"MEMORY_MB": MEMORY, "VCPU": VCPUS}
"""Resource classes that planning calls by another name; of memory it counts bytes."""
_RULES = {
    "anti-affinity": (RuleKind.APART, True),
    "affinity": (RuleKind.TOGETHER, True),
    "soft-anti-affinity": (RuleKind.APART, False),
    "soft-affinity": (RuleKind.TOGETHER, False),
}
_AGGREGATE_SPEC = "aggregate_instance_extra_specs:"
_TENANTS = "filter_tenant_id"
"""Metadata of aggregates that keeps other projects out; keys that begin so count too."""
TAKEN_OUT = "hotfoot "
"""How the reason of a compute service begins that Hotfoot disabled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promised:
    """What a host has of one resource class, in the class's own unit."""

    total: int
    reserved: int = 0
    ratio: float = 1.0
    most: int | None = None
    """What one instance may have of it at most (``max_unit``); None: not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """What Placement has written down of one host."""

    promised: Mapping[str, Promised]
    """By resource class."""
    allocations: Mapping[str, Mapping[str, int]]
    """Consumer (the uuid of a server, a migration ...) to resource class to amount."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """A host aggregate."""

    name: str
    hosts: frozenset[str]
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenDown:
    """What a plan for whole hosts needs beside the inventory."""

    providers: Mapping[str, Provider] = field(default_factory=dict)
    """By host; one that Placement does not know is not there."""
    aggregates: tuple[Aggregate, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NovaSight:
    """All that was seen of a cloud at one moment."""

    inventory: Inventory
    written: WrittenDown = field(default_factory=WrittenDown)
    measured: Mapping[str, InstanceSeen] = field(default_factory=dict)
    """By uuid; of instances on hosts that can be asked."""
    links: Mapping[str, int | None] = field(default_factory=dict)
    """What each host's link carries, in bytes per second."""
    moving: frozenset[str] = frozenset()
    """Instances (uuid) that are being migrated."""
    taken_at: str | None = None


def taken_out(host: SeenHost) -> bool:
    """Whether Hotfoot has disabled this compute service."""
    return host.nova is not None and not host.nova.enabled and (host.nova.disabled_reason or "").startswith(TAKEN_OUT)


def let_up(inventory: Inventory, hosts: Collection[str]) -> Inventory:
    """Return the inventory in which these hosts, where Hotfoot had Nova take them for dead, are up again."""
    return replace(inventory, hosts=tuple(_up(host) if host.name in hosts else host for host in inventory.hosts))


def _up(host: SeenHost) -> SeenHost:
    if host.nova is None or not host.nova.forced_down or not taken_out(host):
        return host
    return replace(host, problem=None, nova=replace(host.nova, forced_down=False, up=True))


def snapshot_by_nova(sight: NovaSight) -> Snapshot:
    """Return the snapshot. A host that Nova's operator disabled is in maintenance; one that Hotfoot did is not.

    Whether the latter counts as out of placement is the plan's to say. Instances that Nova has put on no host are left
    out.
    """
    hosts = {host.name: host for host in sight.inventory.hosts}
    instances = [one for one in sight.inventory.instances if one.host in hosts]
    here = {(one.uuid, one.host) for one in instances}
    limits = _Limits(sight, instances)
    made = tuple(_instance(sight, one, hosts[one.host], limits) for one in instances)
    resources = {name for one in made for name in one.sizes}
    return Snapshot(
        taken_at=sight.taken_at,
        hosts=tuple(_host(sight, host, here) for host in sight.inventory.hosts),
        instances=made,
        rules=tuple(_rules(instances)),
        held_on_both=frozenset({MEMORY, VCPUS, *resources}),
    )


def _host(sight: NovaSight, host: SeenHost, here: Collection[tuple[str, str]]) -> Host:
    nova, provider = host.nova, sight.written.providers.get(host.name)
    resources: dict[str, Resource] = {}
    others: dict[str, int] = {}
    load_capacity: dict[str, float] = {}
    if provider is not None:
        resources = {
            _NAMES.get(name, name): Resource(
                total=_amount(name, one.total), reserved=_amount(name, one.reserved), overcommit=one.ratio
            )
            for name, one in provider.promised.items()
        }
        for consumer, taken in provider.allocations.items():
            if (consumer, host.name) not in here:
                for name, amount in taken.items():
                    key = _NAMES.get(name, name)
                    others[key] = others.get(key, 0) + _amount(name, amount)
        cores = sum(provider.promised[name].total for name in ("VCPU", "PCPU") if name in provider.promised)
        memory = provider.promised["MEMORY_MB"].total * _MIB if "MEMORY_MB" in provider.promised else 0
        load_capacity = {name: float(size) for name, size in ((CPU, cores), (MEMORY, memory)) if size}
    return Host(
        name=host.name,
        resources=resources,
        used_by_others=others,
        load_capacity=load_capacity,
        zone=nova.availability_zone if nova else None,
        aggregates=frozenset(nova.aggregates if nova else ()),
        traits=frozenset(nova.traits if nova else ()),
        maintenance=nova is None or (not nova.enabled and not taken_out(host)),
        up=host.answers,
        link_bytes_per_s=sight.links.get(host.name),
    )


def _amount(resource_class: str, amount: int) -> int:
    return amount * _MIB if resource_class == "MEMORY_MB" else amount


def _instance(sight: NovaSight, one: SeenInstance, host: SeenHost, limits: _Limits) -> Instance:
    moving = one.uuid in sight.moving
    bound = why_not_live(one, host, moving=moving)
    cold = how_cold(one, host, moving=moving) if bound else None
    seen = sight.measured.get(one.uuid, InstanceSeen())
    load = {CPU: seen.cpus, MEMORY: None if seen.resident_bytes is None else float(seen.resident_bytes)}
    return Instance(
        name=one.name,
        id=one.uuid,
        host=one.host,
        sizes={_NAMES.get(name, name): _amount(name, amount) for name, amount in limits.taken(one).items()},
        load={name: amount for name, amount in load.items() if amount is not None},
        impossible=limits.impossible(one),
        movable=bound is None,
        unmovable_because=bound,
        cold=cold,
        transfer_bytes=local_bytes(one) if cold else seen.transfer_bytes,
        downtime_ms=cold.downtime_ms if cold else SWITCH_MS.expected,
        least_seconds=cold.seconds if cold else (SETUP_MS.expected + SWITCH_MS.expected) / 1000,
    )


@dataclass(frozen=True, slots=True)
class _Demand:
    """What of an instance decides where it may be; many instances have the same."""

    zone: str | None
    project: str
    specs: tuple[tuple[str, str], ...]
    sizes: tuple[tuple[str, int], ...]


class _Limits:
    """What Nova's scheduler would refuse, looked up once for all instances that are alike."""

    def __init__(self, sight: NovaSight, instances: Collection[SeenInstance]) -> None:
        self._sight = sight
        self._zones = {host.name: host.nova.availability_zone for host in sight.inventory.hosts if host.nova}
        self._aggregates = {
            host.name: [each for each in sight.written.aggregates if host.name in each.hosts]
            for host in sight.inventory.hosts
        }
        self._known: dict[_Demand, Mapping[str, str]] = {}
        self._members: dict[str, list[SeenInstance]] = {}
        for one in instances:
            for group in _groups(one):
                self._members.setdefault(group.id, []).append(one)

    def taken(self, one: SeenInstance) -> Mapping[str, int]:
        """Return what an instance takes of its host, by resource class.

        Of one that is being moved the allocation on its source is its migration's; of one that Placement knows nothing
        of it is what its flavour says.
        """
        provider = self._sight.written.providers.get(one.host)
        own = provider.allocations.get(one.uuid) if provider else None
        if own is not None:
            return own
        if provider and one.uuid in self._sight.moving:
            return {}
        return {"VCPU": one.vcpus, "MEMORY_MB": one.memory_bytes // _MIB}

    def impossible(self, one: SeenInstance) -> dict[str, str]:
        """Return the hosts that it may not go to, each with the reason."""
        nova = one.nova
        demand = _Demand(
            zone=self._zones.get(one.host),
            project=nova.project_id if nova else "",
            specs=tuple(sorted(nova.extra_specs)) if nova else (),
            sizes=tuple(sorted(self.taken(one).items())),
        )
        if demand not in self._known:
            self._known[demand] = dict(self._by_demand(demand))
        found = {host: why for host, why in self._known[demand].items() if host != one.host}
        for group in _groups(one):
            if group.policy == "affinity":
                there = {other.host for other in self._members[group.id] if other.uuid != one.uuid}
                why = f"Nova keeps it with the server group {group.name} (affinity), of which nobody is there"
                found |= {host: why for host in self._zones if host not in there and host != one.host}
        return found

    def _by_demand(self, demand: _Demand) -> Iterator[tuple[str, str]]:
        for host in self._sight.inventory.hosts:
            if why := self._why_not(demand, host):
                yield host.name, why

    def _why_not(self, demand: _Demand, host: SeenHost) -> str | None:
        if host.nova is None:
            return "Nova has no compute service there"
        if demand.zone and host.nova.availability_zone != demand.zone:
            return f"its availability zone is {demand.zone}"
        provider = self._sight.written.providers.get(host.name)
        for name, amount in demand.sizes:
            most = provider.promised[name].most if provider and name in provider.promised else None
            if most is not None and amount > most:
                return f"it has {amount} {name}, more than one instance may have there"
        return self._by_traits(demand, host.nova.traits) or self._by_aggregates(demand, host.name)

    def _by_traits(self, demand: _Demand, traits: Collection[str]) -> str | None:
        for key, value in demand.specs:
            if key.startswith("trait:"):
                trait = key.removeprefix("trait:")
                if value == "required" and trait not in traits:
                    return f"its flavour requires the trait {trait}"
                if value == "forbidden" and trait in traits:
                    return f"its flavour forbids the trait {trait}"
        return None

    def _by_aggregates(self, demand: _Demand, host: str) -> str | None:
        member_of = self._aggregates[host]
        tenants = {
            tenant.strip()
            for each in member_of
            for key, value in each.metadata.items()
            if key.startswith(_TENANTS)
            for tenant in value.split(",")
        }
        if tenants and demand.project not in tenants:
            return "an aggregate there is for other projects"
        for key, value in demand.specs:
            if key.startswith(_AGGREGATE_SPEC) and "<" not in value and "=" not in value and ">" not in value:
                wanted = key.removeprefix(_AGGREGATE_SPEC)
                has = {part.strip() for each in member_of for part in each.metadata.get(wanted, "").split(",")}
                if value not in has:
                    return f"its flavour requires an aggregate with {wanted}={value}"
        return None


def _groups(one: SeenInstance) -> tuple[ServerGroup, ...]:
    return one.nova.server_groups if one.nova else ()


def _rules(instances: Collection[SeenInstance]) -> Iterator[Rule]:
    """Return a rule for each server group of which two are there; of two groups with one name both carry their id."""
    members: dict[ServerGroup, list[str]] = {}
    for one in instances:
        for group in _groups(one):
            members.setdefault(group, []).append(one.uuid)
    names = [group.name for group in members]
    for group, uuids in members.items():
        if group.policy in _RULES and len(uuids) > 1:
            kind, hard = _RULES[group.policy]
            name = group.name if names.count(group.name) == 1 else f"{group.name} ({group.id})"
            yield Rule(name=name, kind=kind, instances=tuple(uuids), hard=hard)
