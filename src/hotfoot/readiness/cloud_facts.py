"""What Nova and Placement told in one look at a cloud, for its checks. Values only.

Times are Nova's own (UTC). Hosts are named as Nova's compute services are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

COMPUTE = "nova-compute"
UNFINISHED = (
    "accepted",
    "queued",
    "preparing",
    "pre-migrating",
    "running",
    "migrating",
    "post-migrating",
    "finished",
    "confirming",
    "reverting",
)
"""States of a migration record that has not ended (nova/compute/manager.py, conductor, resource_tracker.py).

``finished`` is a resize or cold migration that waits to be confirmed.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFact:
    """One service of Nova, as ``os-services`` lists it."""

    id: str
    binary: str
    host: str
    enabled: bool = True
    up: bool | None = True
    """None where its cell does not answer."""
    disabled_reason: str | None = None
    forced_down: bool = False
    updated_at: datetime | None = None
    """Its last sign of life."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HypervisorFact:
    """The hypervisor of a compute host."""

    host: str
    id: str
    """UUID; that of its resource provider too."""
    hostname: str
    address: str = ""
    kind: str
    """``QEMU`` (with KVM too), ``VMware vCenter Server`` ..."""
    version: int = 0
    """As Nova compares it: of QEMU 10.0.13 it is 10000013."""
    cpu_arch: str = ""
    cpu_vendor: str = ""
    cpu_model: str = ""
    cpu_features: frozenset[str] = frozenset()

    @property
    def version_words(self) -> str:
        """The version as people write it."""
        number = self.version
        if self.kind not in ("QEMU", "KVM"):
            return f"{self.kind} {number}"
        return f"QEMU {number // 1_000_000}.{number // 1_000 % 1_000}.{number % 1_000}"

    @property
    def cpu_words(self) -> str:
        """The CPU in words."""
        return f"{self.cpu_model or 'CPU'} ({self.cpu_vendor or self.cpu_arch})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderFact:
    """A resource provider of Placement."""

    id: str
    name: str
    root_id: str
    """That of the whole tree's first; its own for a compute host."""
    traits: frozenset[str] = frozenset()
    capacity: Mapping[str, int] = field(default_factory=dict)
    """After the reserve and with overcommitment, by resource class; empty where it was not asked."""
    used: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationFact:
    """What one consumer (an instance, or a migration that holds its place) takes from one provider."""

    consumer: str
    provider: str
    resources: Mapping[str, int] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """The resources in words."""
        return ", ".join(f"{amount} {name}" for name, amount in sorted(self.resources.items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFact:
    """One server, as far as the checks of a whole cloud need it."""

    uuid: str
    name: str
    host: str
    """Empty where Nova has put it on none."""
    status: str
    task_state: str | None = None
    vm_state: str | None = None
    runs: bool = False
    """Whether its guest ran when the hypervisor last told Nova (power state)."""
    updated_at: datetime | None = None
    fault: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationFact:
    """One migration record."""

    id: int
    uuid: str | None
    """None before microversion 2.59."""
    instance: str
    kind: str
    """``live-migration``, ``migration``, ``resize`` or ``evacuation``."""
    status: str
    source: str
    destination: str
    """Empty until it is chosen."""
    updated_at: datetime | None = None
    """When the record last changed; that of one that copies memory does every 5 s."""

    @property
    def unfinished(self) -> bool:
        """Whether it has not ended."""
        return self.status in UNFINISHED

    @property
    def words(self) -> str:
        """The record in words, without its time."""
        return f"{self.kind} {self.id} from {self.source} to {self.destination or 'a host to be chosen'}: {self.status}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregateFact:
    """A host aggregate with its metadata."""

    name: str
    hosts: frozenset[str]
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudFacts:
    """One look at a cloud.

    ``providers`` is None where Placement is too old to tell its trees (before Rocky): nothing is then known of
    allocations. ``migrations`` holds all that have not ended, and older ones of instances that were looked at twice.
    """

    services: tuple[ServiceFact, ...] = ()
    hypervisors: tuple[HypervisorFact, ...] = ()
    aggregates: tuple[AggregateFact, ...] = ()
    providers: tuple[ProviderFact, ...] | None = None
    allocations: tuple[AllocationFact, ...] = ()
    instances: tuple[InstanceFact, ...] = ()
    migrations: tuple[MigrationFact, ...] = ()

    @property
    def computes(self) -> Mapping[str, ServiceFact]:
        """The compute services by host."""
        return {service.host: service for service in self.services if service.binary == COMPUTE}

    @property
    def hosts(self) -> tuple[str, ...]:
        """All compute hosts, by name."""
        return tuple(sorted({*self.computes, *(hypervisor.host for hypervisor in self.hypervisors)}))

    @property
    def by_host(self) -> Mapping[str, HypervisorFact]:
        """The hypervisors by host; of a host with several, such as one of Ironic, the first."""
        found: dict[str, HypervisorFact] = {}
        for hypervisor in self.hypervisors:
            found.setdefault(hypervisor.host, hypervisor)
        return found

    @property
    def now(self) -> datetime | None:
        """Nova's clock: the newest sign of life of any service, some seconds old. So this machine's does not matter."""
        return max((service.updated_at for service in self.services if service.updated_at), default=None)

    def age(self, since: datetime | None) -> timedelta | None:
        """Return how long ago something was, by Nova's clock; None where that is not known."""
        now = self.now
        return None if now is None or since is None else now - since

    @property
    def in_motion(self) -> frozenset[str]:
        """The instances (UUID) that a migration is at work on."""
        return frozenset(migration.instance for migration in self.migrations if migration.unfinished)


def in_words(age: timedelta) -> str:
    """Say how long something has lasted.

    >>> in_words(timedelta(seconds=90)), in_words(timedelta(hours=5)), in_words(timedelta(days=3))
    ('1 min', '5 h', '3 days')
    """
    seconds = round(age.total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 2 * 3600:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h" if seconds < 48 * 3600 else f"{seconds // 86400} days"


def stamp(moment: datetime | None) -> str:
    """Return a time of Nova's as people read it."""
    return "never" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"
