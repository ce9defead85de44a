"""What planning knows of a cluster: hosts, instances, rules and links, as one value that can be kept as a file.

``Snapshot.model_json_schema()`` is the documented form of `hotfoot snapshot`: other systems' clusters can be converted
to it, and planned for. Sizes are whole numbers in the unit that the name of the resource tells (``memory_bytes``,
``vcpus``); a resource can have any name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hotfoot.errors import ExitStatus, HotfootError

FORMAT: Literal[1] = 1
MEMORY = "memory_bytes"
VCPUS = "vcpus"
CPU = "cpu"
"""A measured load, in cores."""

Size = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(gt=0, le=1)]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Resource(_Value):
    """What a host has of one resource. Capacity is ``(total - reserved) * overcommit``, as in Nova's Placement."""

    total: Size
    reserved: Size = 0
    """For the host itself."""
    overcommit: Annotated[float, Field(gt=0)] = 1.0

    @property
    def capacity(self) -> int:
        """What instances may be promised of it, in all."""
        return max(0, int((self.total - self.reserved) * self.overcommit))


class Host(_Value):
    """One host."""

    name: str
    resources: Mapping[str, Resource]
    used_by_others: Mapping[str, Size] = {}
    """What is taken by what planning must leave alone and does not know as an instance."""
    safety: Share = 1.0
    """Up to this share of each capacity moves may fill it; what is above already may stay."""
    load: Mapping[str, float] = {}
    """Measured use by the host itself, without its instances: by the names of ``Instance.load``."""
    load_capacity: Mapping[str, Annotated[float, Field(gt=0)]] = {}
    """What of each load it bears: cores for ``cpu``."""
    zone: str | None = None
    aggregates: frozenset[str] = frozenset()
    traits: frozenset[str] = frozenset()
    maintenance: bool = False
    """Out of placement: nothing is moved to it."""
    up: bool = True
    """A host that is down neither gives nor takes instances by migration."""
    link_bytes_per_s: Annotated[int, Field(gt=0)] | None = None
    """What its link carries for migrations in each direction; None: not known, and never the narrowest."""

    def safe_capacity(self, resource: str) -> int:
        """Return up to where newcomers may fill it in a resource: ``safety`` of its capacity, rounded down."""
        capacity = self.resources[resource].capacity if resource in self.resources else 0
        return capacity if self.safety >= 1 else int(capacity * self.safety + 1e-9)


class Cold(StrEnum):
    """What a cold migration means for an instance."""

    STOPPED = "stopped"
    """It runs: it is stopped for the move, and started again."""
    OFF = "shut off"
    """It does not run, neither before nor afterwards."""

    @property
    def seconds(self) -> float:
        """What it takes beside copying disks, so that an end can be told: a guest has 60 s to shut down (Nova)."""
        return 45.0 if self is Cold.STOPPED else 15.0

    @property
    def downtime_ms(self) -> int:
        """For how long a guest that runs is expected to stand still."""
        return round(1000 * self.seconds) if self is Cold.STOPPED else 0


class Instance(_Value):
    """One instance, and what moving it costs."""

    name: str
    id: str
    """Unique in the snapshot: a UUID."""
    host: str
    sizes: Mapping[str, Size]
    """What it takes of each resource, whether it uses it or not."""
    load: Mapping[str, float] = {}
    """Measured: cores of ``cpu``, bytes of ``memory_bytes``."""
    impossible: Mapping[str, str] = {}
    """Hosts where it cannot run at all, each with the reason in words (from readiness)."""
    movable: bool = True
    """Whether it can be moved live."""
    unmovable_because: str | None = None
    cold: Cold | None = None
    """Of one that cannot be moved live: how it can be moved all the same, where that is allowed; None: not at all."""
    transfer_bytes: Size | None = None
    """What a migration would send, from the forecast; None: the memory size."""
    downtime_ms: Size = 0
    """Expected, from the forecast."""
    least_seconds: Annotated[float, Field(ge=0)] = 0.0
    """What a migration takes beside the transfer: preparation and switch-over."""

    @property
    def bytes_to_move(self) -> int:
        """What a migration sends, as far as is known."""
        return self.sizes.get(MEMORY, 0) if self.transfer_bytes is None else self.transfer_bytes


class RuleKind(StrEnum):
    """What a rule wants of its instances."""

    TOGETHER = "together"
    """All on one host."""
    APART = "apart"
    """No two on one host (anti-affinity)."""
    ONLY_ON = "only-on"
    """On these hosts alone (pinned, when there is one)."""
    NOT_ON = "not-on"
    """On none of these hosts (excluded)."""
    SPREAD = "spread"
    """Over at least ``zones`` zones."""
    NEAR = "near"
    """In the zones of another group: each instance in a zone where one of ``near`` is."""


class Rule(_Value):
    """One rule over some instances (their ids)."""

    name: str
    kind: RuleKind
    instances: tuple[str, ...]
    hosts: frozenset[str] = frozenset()
    near: tuple[str, ...] = ()
    zones: Annotated[int, Field(ge=1)] = 1
    hard: bool = True
    """A hard rule is never broken by a move; one that is broken already is repaired where possible."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Of a soft one: what a breach adds to the score."""


class Limits(_Value):
    """How many migrations may run at once; None: as many as the plan finds good."""

    per_source: Annotated[int, Field(ge=1)] | None = 1
    per_destination: Annotated[int, Field(ge=1)] | None = 1
    at_once: Annotated[int, Field(ge=1)] | None = None
    network_bytes_per_s: Annotated[int, Field(gt=0)] | None = None
    """What all of them together may send, where hosts share a link."""


class Snapshot(_Value):
    """A whole cluster at one moment."""

    format: Literal[1] = FORMAT
    taken_at: str | None = None
    """ISO 8601, UTC."""
    hosts: tuple[Host, ...]
    instances: tuple[Instance, ...]
    rules: tuple[Rule, ...] = ()
    limits: Limits = Limits()
    held_on_both: frozenset[str] = frozenset({MEMORY, VCPUS})
    """Resources that an instance takes on source and destination at once while it is moved; of others (a licence, an
    address) only one at a time."""

    @property
    def tells_links(self) -> bool:
        """Whether the speed of any link is known; without, a plan's times are not."""
        return self.limits.network_bytes_per_s is not None or any(host.link_bytes_per_s for host in self.hosts)

    def quantities(self, *, measured: bool) -> frozenset[str]:
        """Return the resources, or the loads, that some host has."""
        of = [host.load_capacity if measured else host.resources for host in self.hosts]
        return frozenset(name for each in of for name in each)

    def homes_in(self, earlier: Snapshot, hosts: Collection[str] | None) -> dict[str, str]:
        """Return where the instances that are here were earlier, by id; of these hosts alone, if given.

        Raises HotfootError (usage) for a host that was not there.
        """
        known = {host.name for host in earlier.hosts}
        if missing := sorted(set(hosts or ()) - known):
            raise HotfootError(
                f"The earlier snapshot has no host {missing[0]}; it has {', '.join(sorted(known))}.", ExitStatus.USAGE
            )
        here = {instance.id for instance in self.instances}
        return {
            one.id: one.host for one in earlier.instances if one.id in here and (hosts is None or one.host in hosts)
        }

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values, without those that are as usual."""
        return {"format": self.format, **self.model_dump(mode="json", exclude_defaults=True)}

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        """Names are unique, and every name that is referred to is there."""
        hosts = [host.name for host in self.hosts]
        ids = [instance.id for instance in self.instances]
        for what, names in (("host", hosts), ("instance id", ids), ("rule", [rule.name for rule in self.rules])):
            if twice := {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set():
                raise ValueError(f"{what} {sorted(twice)[0]} is there twice")
        known_hosts, known = frozenset(hosts), frozenset(ids)
        for instance in self.instances:
            if instance.host not in known_hosts:
                raise ValueError(f"instance {instance.name} is on {instance.host}, which is no host of the snapshot")
        for rule in self.rules:
            if missing := [one for one in (*rule.instances, *rule.near) if one not in known]:
                raise ValueError(f"rule {rule.name} names the instance {missing[0]}, which is not there")
            if lacking := sorted(rule.hosts - known_hosts):
                raise ValueError(f"rule {rule.name} names the host {lacking[0]}, which is not there")
        return self


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a snapshot; docs/snapshot.schema.json is its text."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Snapshot.model_json_schema()}
