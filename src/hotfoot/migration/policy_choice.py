"""Which policy a migration has: the command's, else the instance's, else that of the cluster file. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches

from hotfoot.cluster import Cluster, NamedPolicy
from hotfoot.cluster import Policy as Section
from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.migration.action import ActionKind
from hotfoot.migration.policy import BUILT_IN, Policy

_GOALS = ("max_downtime_ms", "deadline_ms", "throttle_percent", "parallel", "compress")


def known_policies(cluster: Cluster) -> Mapping[str, Policy]:
    """Return all policies by name: the built-in ones, and those that the cluster file declares."""
    own = {declared.name: _over(BUILT_IN[declared.base], declared) for declared in cluster.policies}
    return {**BUILT_IN, **{name: replace(policy, name=name) for name, policy in own.items()}}


def policy_named(cluster: Cluster, name: str | None) -> Policy:
    """Return the policy of this name; for None that of the section ``policy``.

    Connections and compression that a named policy leaves open are those of the section ``policy``. Raises
    HotfootError (USAGE) for an unknown name.
    """
    known, section = known_policies(cluster), cluster.policy
    if name is None:
        return _settled(_over(known[section.base], section), section)
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}."
        raise HotfootError(f'--policy: there is no policy "{name}"; {hint}', ExitStatus.USAGE)
    return _settled(known[name], section)


def _over(base: Policy, declared: Section | NamedPolicy) -> Policy:
    """Return the base with each key that the file itself gives."""
    given = {key: value for key in _GOALS if (value := getattr(declared, key)) is not None}
    if declared.steps is not None:
        given["steps"] = tuple(ActionKind(step) for step in declared.steps)
    return replace(base, **given)


def _settled(policy: Policy, section: Section) -> Policy:
    parallel = (section.parallel or 0) if policy.parallel is None else policy.parallel
    compress = bool(section.compress) if policy.compress is None else policy.compress
    return replace(policy, parallel=parallel, compress=compress)
