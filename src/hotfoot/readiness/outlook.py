"""What a look at the hosts comes to for some topics and hosts: what is wrong there, and what would mend it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hotfoot.cluster import Cluster
from hotfoot.cluster.text import ClusterText
from hotfoot.readiness.facts import Facts
from hotfoot.readiness.finding import Finding, Topic
from hotfoot.readiness.judge import judge
from hotfoot.readiness.plan import Plan, plan
from hotfoot.readiness.summary import concerning


@dataclass(frozen=True, slots=True)
class Outlook:
    """Findings and the plan that mends them."""

    findings: tuple[Finding, ...]
    plan: Plan

    @property
    def passing(self) -> tuple[Finding, ...]:
        """What may pass by itself within seconds, since something was changed just now."""
        return tuple(finding for finding in self.findings if finding.passes)

    def is_new(self, tried: Collection[tuple[str, str]]) -> bool:
        """Whether the plan has a change that was not tried: the others did not mend what asks for them."""
        return any(key not in tried for key in self.keys())

    def keys(self) -> list[tuple[str, str]]:
        """Return what tells the plan's changes from others: host, and the step itself."""
        return [(change.host, change.step.model_dump_json()) for change in self.plan.changes]


def outlook(
    cluster: Cluster,
    facts: Facts,
    topics: Sequence[Topic],
    hosts: Sequence[str] | None = None,
    declared: ClusterText | None = None,
) -> Outlook:
    """Judge all hosts together, and plan; with ``hosts`` only what is found on those, and done on those.

    ``declared`` is the cluster file's text, which what concerns all hosts may change.
    """
    findings = judge(cluster, facts, topics)
    if hosts:
        findings = concerning(findings, hosts)
    planned = plan(findings, facts, declared)
    if hosts:
        planned = Plan(
            changes=tuple(change for change in planned.changes if change.host in hosts),
            obstacles=tuple(obstacle for obstacle in planned.obstacles if obstacle.host in hosts),
        )
    return Outlook(findings, planned)
