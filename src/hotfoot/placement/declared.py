"""What the cluster file says about placement, put on a snapshot: rules by names of instances, zones of hosts. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from hotfoot.cluster import Cluster
from hotfoot.cluster import Rule as DeclaredRule
from hotfoot.placement.snapshot import Rule, RuleKind, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """Rules and zones; nothing is declared unless given."""

    rules: tuple[DeclaredRule, ...] = ()
    zones: Mapping[str, str] = field(default_factory=dict)
    """Host to zone."""

    def on(self, snapshot: Snapshot) -> Snapshot:
        """Return the snapshot with what is declared, which comes before what a rule of the same name says there.

        Instances are named by name or UUID; of two with one name a rule means both. What is not there does not count,
        and a rule of which nothing is there is left out.
        """
        ids: dict[str, list[str]] = defaultdict(list)
        for one in snapshot.instances:
            for word in dict.fromkeys((one.name, one.id)):
                ids[word].append(one.id)
        hosts = {host.name for host in snapshot.hosts}
        rules = [rule for declared in self.rules if (rule := _rule(declared, ids, hosts)) is not None]
        named = {rule.name for rule in self.rules}
        return snapshot.model_copy(
            update={
                "hosts": tuple(
                    host.model_copy(update={"zone": self.zones[host.name]}) if host.name in self.zones else host
                    for host in snapshot.hosts
                ),
                "rules": (*(rule for rule in snapshot.rules if rule.name not in named), *rules),
            }
        )


NOTHING = Declared()


def declared_of(cluster: Cluster) -> Declared:
    """Return what a cluster file declares."""
    zones = {host.name: host.zone for host in cluster.hosts if host.zone is not None}
    return Declared(rules=cluster.rules, zones=zones)


def _rule(declared: DeclaredRule, ids: Mapping[str, list[str]], hosts: set[str]) -> Rule | None:
    def found(words: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one for word in words for one in ids.get(word, ())))

    instances, near = found(declared.instances), found(declared.near)
    if not instances or (declared.near and not near):
        return None
    return Rule(
        name=declared.name,
        kind=RuleKind(declared.kind),
        instances=instances,
        hosts=frozenset(declared.hosts) & hosts,
        near=near,
        zones=declared.zones,
        hard=declared.hard,
        weight=declared.weight,
    )
