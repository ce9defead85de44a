"""All topics of a cloud together: facts in, findings out, the worst first; and a mark for each topic and host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hotfoot.readiness import cloud_hosts, cloud_instances, cloud_move, cloud_placement, cloud_services
from hotfoot.readiness.cloud_facts import CloudFacts
from hotfoot.readiness.cloud_move import MoveFacts
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.summary import Mark, worst


@dataclass(frozen=True, slots=True)
class CloudTopic:
    """One subject of a cloud's readiness, by the facts that its APIs tell."""

    name: str
    judge: Callable[[CloudFacts], Iterable[Finding]]


CLOUD_TOPICS = (
    CloudTopic("cloud_services", cloud_services.judge),
    CloudTopic("cloud_hosts", cloud_hosts.judge),
    CloudTopic("cloud_placement", cloud_placement.judge),
    CloudTopic("cloud_instances", cloud_instances.judge),
)
"""In the order in which they are shown."""


def judge_cloud(facts: CloudFacts, topics: Sequence[CloudTopic] = CLOUD_TOPICS) -> tuple[Finding, ...]:
    """Return everything that is wrong, the worst first, then by topic, host and code.

    Invariant: the same facts give the same findings, whatever order the APIs answered in.
    """
    order = {topic.name: number for number, topic in enumerate(topics)}
    found = [finding for topic in topics for finding in topic.judge(facts)]
    return tuple(
        sorted(
            found,
            key=lambda each: (each.severity, order[each.topic], each.host, each.peer or "", each.code, each.evidence),
        )
    )


def judge_move(facts: CloudFacts, move: MoveFacts) -> Mapping[str, tuple[Finding, ...]]:
    """Return for each other compute host what stands in the way of one instance, by its facts and by Placement's."""
    closed = [each for each in cloud_placement.judge(facts) if each.severity is Severity.BLOCKS]
    return {
        host: (*found, *(each for each in closed if each.host == host))
        for host, found in cloud_move.judge(facts, move).items()
    }


def suspects(facts: CloudFacts) -> frozenset[str]:
    """Return the instances and consumers (UUID) to be asked for again before something is said of them."""
    return cloud_placement.suspects(facts) | cloud_instances.suspects(facts)


def cloud_marks(
    findings: Iterable[Finding], facts: CloudFacts, topics: Sequence[CloudTopic], hosts: Sequence[str]
) -> dict[tuple[str, str], Mark]:
    """Return the mark of each topic on each host, as ``summary.topic_marks`` does; a pair's counts for both.

    Not known of a host that Nova does not list, whose cell is silent, or of which Placement or Nova tell nothing.
    """
    known, registered = facts.computes, facts.by_host

    def told(topic: str, host: str) -> bool:
        if host not in known or known[host].up is None:
            return False
        if topic == "cloud_placement":
            return facts.providers is not None
        return topic != "cloud_hosts" or host in registered

    cells = {
        (topic.name, host): Mark.OK if told(topic.name, host) else Mark.UNKNOWN for topic in topics for host in hosts
    }
    for finding in findings:
        for name in {finding.host, finding.peer} - {None}:
            cell = (finding.topic, str(name))
            if cell in cells:
                cells[cell] = worst((cells[cell], Mark(finding.severity.name.lower())))
    return cells
