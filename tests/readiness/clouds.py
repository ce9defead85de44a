"""Facts of small clouds, by hand: a sound one, and what a test changes of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hotfoot.readiness.cloud_facts import (
    COMPUTE,
    AllocationFact,
    CloudFacts,
    HypervisorFact,
    InstanceFact,
    MigrationFact,
    ProviderFact,
    ServiceFact,
)

NOW = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
TRAITS = frozenset({"COMPUTE_NODE", "COMPUTE_RESCUE_BFV", "COMPUTE_VOLUME_MULTI_ATTACH", "HW_CPU_X86_SSE42"})


def ago(**span: float) -> datetime:
    """Return a time so long before the services' last sign of life."""
    return NOW - timedelta(**span)


def uuid(number: int) -> str:
    """Return the UUID of the instance ``web<number>``."""
    return f"00000000-0000-4000-8000-{number:012d}"


def service(host: str, binary: str = COMPUTE, **changed: Any) -> ServiceFact:
    """Return a service that is up."""
    plain: dict[str, Any] = {"id": f"s-{binary}-{host}", "binary": binary, "host": host, "updated_at": NOW}
    return ServiceFact(**{**plain, **changed})


def hypervisor(host: str, **changed: Any) -> HypervisorFact:
    """Return the hypervisor of a host; its provider is ``p-HOST``."""
    plain: dict[str, Any] = {
        "host": host,
        "id": f"p-{host}",
        "hostname": f"{host}.lan",
        "kind": "QEMU",
        "version": 10_000_013,
        "cpu_arch": "x86_64",
        "cpu_vendor": "AMD",
        "cpu_model": "EPYC",
        "cpu_features": frozenset({"sse4.2", "avx2"}),
    }
    return HypervisorFact(**{**plain, **changed})


def provider(host: str, **changed: Any) -> ProviderFact:
    """Return the provider of a host, with room."""
    plain: dict[str, Any] = {
        "id": f"p-{host}",
        "name": f"{host}.lan",
        "root_id": f"p-{host}",
        "traits": TRAITS,
        "capacity": {"VCPU": 32, "MEMORY_MB": 2048},
        "used": {"VCPU": 1, "MEMORY_MB": 128},
    }
    return ProviderFact(**{**plain, **changed})


def instance(number: int, host: str = "n1", **changed: Any) -> InstanceFact:
    """Return an instance that runs on a host."""
    plain: dict[str, Any] = {
        "uuid": uuid(number),
        "name": f"web{number}",
        "host": host,
        "status": "ACTIVE",
        "vm_state": "active",
        "runs": True,
        "updated_at": ago(hours=5),
    }
    return InstanceFact(**{**plain, **changed})


def allocation(consumer: str, host: str = "n1", **resources: int) -> AllocationFact:
    """Return what an instance holds of a host."""
    return AllocationFact(consumer=consumer, provider=f"p-{host}", resources=resources or {"VCPU": 1, "MEMORY_MB": 128})


def migration(status: str, number: int = 1, **changed: Any) -> MigrationFact:
    """Return a live migration of ``web<number>`` from n1 to n2."""
    plain: dict[str, Any] = {
        "id": 7,
        "uuid": "77777777-0000-4000-8000-000000000007",
        "instance": uuid(number),
        "kind": "live-migration",
        "status": status,
        "source": "n1",
        "destination": "n2",
        "updated_at": ago(seconds=5),
    }
    return MigrationFact(**{**plain, **changed})


def sound(*hosts: str, instances: int = 2) -> CloudFacts:
    """Return a cloud in which nothing is wrong: instances on the first host, control services on ``ctl``."""
    names = hosts or ("n1", "n2")
    servers = tuple(instance(number, names[0]) for number in range(1, instances + 1))
    return CloudFacts(
        services=(
            service("ctl", "nova-conductor"),
            service("ctl", "nova-scheduler"),
            *(service(name) for name in names),
        ),
        hypervisors=tuple(hypervisor(name) for name in names),
        providers=tuple(provider(name) for name in names),
        allocations=tuple(allocation(each.uuid, each.host) for each in servers),
        instances=servers,
    )


def with_service(facts: CloudFacts, host: str, binary: str = COMPUTE, **changed: Any) -> CloudFacts:
    """Return the cloud with one service changed."""
    services = (
        replace(each, **changed) if (each.host, each.binary) == (host, binary) else each for each in facts.services
    )
    return replace(facts, services=tuple(services))


def with_instance(facts: CloudFacts, number: int, **changed: Any) -> CloudFacts:
    """Return the cloud with one instance changed."""
    instances = (replace(each, **changed) if each.uuid == uuid(number) else each for each in facts.instances)
    return replace(facts, instances=tuple(instances))
