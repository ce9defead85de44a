"""Nova's services: compute hosts and the control plane are up, and why a host is disabled.

Source: the Compute API reference (os-services), Nova's guide on its services and cells, and nova/conductor/tasks/
live_migrate.py. The API tells no version of a service; what differs with it is judged by the hosts' traits.
"""

from __future__ import annotations

from collections.abc import Iterator

from hotfoot.readiness.cloud_facts import COMPUTE, CloudFacts, ServiceFact, in_words, stamp
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.listing import listed

_TASKS = {
    "nova-conductor": "carries every migration out",
    "nova-scheduler": "chooses or checks the destination of every migration",
}


def judge(facts: CloudFacts) -> Iterator[Finding]:
    """Yield what is wrong with the services of a cloud."""
    known = facts.by_host
    for service in facts.services:
        if service.up is None:
            yield _silent(service)
        elif service.binary != COMPUTE:
            yield from _control(facts, service)
        else:
            yield from _compute(facts, service)
            if service.up and service.host not in known:
                yield _unmapped(service)


def _silent(service: ServiceFact) -> Finding:
    return Finding(
        code="cloud_services.silent-cell",
        severity=Severity.BLOCKS,
        host=service.host,
        what=f"The cell of {service.host} does not answer, so that Nova knows nothing of {service.binary} there.",
        evidence=f"{service.binary} on {service.host}: status UNKNOWN",
        why="Nova's API lists what it can without the cell's database; nothing in that cell can be moved meanwhile.",
        remedy="Look after the cell's database and message queue; `nova-manage cell_v2 list_cells` names them.",
    )


def _control(facts: CloudFacts, service: ServiceFact) -> Iterator[Finding]:
    if service.up:
        return
    task = _TASKS.get(service.binary)
    others = [each.host for each in facts.services if each.binary == service.binary and each.up]
    left = f"{service.binary} is up on {listed(others)}" if others else f"no {service.binary} is up"
    severity = Severity.ADVICE if task is None else Severity.DANGEROUS if others else Severity.BLOCKS
    yield Finding(
        code="cloud_services.control-down",
        severity=severity,
        host=service.host,
        what=f"{service.binary} on {service.host} is down.",
        evidence=f"{_last(facts, service)}; {left}",
        why=f"It {task}; with none in a cell, requests are accepted and nothing happens."
        if task
        else "No migration needs it; a record that is left over hides the day on which one matters.",
        remedy=f"Start it on {service.host} (`systemctl start {service.binary}`); where it is gone for good, `openstack"
        f" compute service delete {service.id}` removes its record.",
    )


def _compute(facts: CloudFacts, service: ServiceFact) -> Iterator[Finding]:
    host = service.host
    if service.forced_down:
        yield Finding(
            code="cloud_services.forced-down",
            severity=Severity.BLOCKS,
            host=host,
            what=f"{host} is forced down in Nova.",
            evidence=f"nova-compute on {host}: forced_down true; {_last(facts, service)}",
            why="Nova takes the host for dead, whatever it does: nothing is moved from or to it, and its instances may"
            " be evacuated.",
            remedy=f"When {host} is known to be well, and what was evacuated from it no longer runs there: `openstack"
            f" compute service set --up {host} nova-compute`.",
        )
    elif not service.up:
        yield Finding(
            code="cloud_services.compute-down",
            severity=Severity.BLOCKS,
            host=host,
            what=f"nova-compute on {host} is down.",
            evidence=_last(facts, service),
            why="Nova refuses to move instances from or to a host whose nova-compute does not report; the guests there"
            " may run on.",
            remedy=f"Start it on {host} (`systemctl start nova-compute`), and look into its log there: why did it end?",
        )
    if not service.enabled:
        reason = service.disabled_reason
        yield Finding(
            code="cloud_services.disabled",
            severity=Severity.ADVICE,
            host=host,
            what=f"{host} is disabled in Nova{f': {reason}' if reason else ', and nobody said why'}.",
            evidence=f"nova-compute on {host}: status disabled, disabled_reason {reason or 'not given'}",
            why="The scheduler passes a disabled host over: nothing is started or moved there. What runs there can"
            " leave.",
            remedy=f"When the reason no longer holds: `openstack compute service set --enable {host} nova-compute`.",
        )


def _unmapped(service: ServiceFact) -> Finding:
    return Finding(
        code="cloud_services.unmapped",
        severity=Severity.BLOCKS,
        host=service.host,
        what=f"nova-compute on {service.host} is up, but Nova lists no hypervisor there.",
        evidence=f"nova-compute on {service.host}: up; os-hypervisors has none of it",
        why="A host that no cell has mapped, or whose nova-compute does not reach its hypervisor, is not given any"
        " instance.",
        remedy=f"`nova-manage cell_v2 discover_hosts --verbose` on the control plane; if it stays so, the log of"
        f" nova-compute on {service.host} tells why.",
    )


def _last(facts: CloudFacts, service: ServiceFact) -> str:
    age = facts.age(service.updated_at)
    return (
        f"{service.binary} on {service.host}: state {'up' if service.up else 'down'}, last sign of life"
        f" {stamp(service.updated_at)}{f', {in_words(age)} ago' if age else ''}"
    )
