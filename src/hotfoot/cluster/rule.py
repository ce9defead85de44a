"""A rule over instances, as the cluster file declares it."""

import re
from dataclasses import dataclass, field
from typing import Annotated, Literal

from hotfoot.cluster.keys import Checked, Section, Whole, told

RuleKind = Literal["together", "apart", "only-on", "not-on", "spread", "near"]
"""As in docs/snapshot.md."""


def _name(text: str) -> str:
    if re.fullmatch(r"[^\x00-\x1f\x7f]{1,253}", text) is None:
        raise ValueError(f'must be a name in one line, not "{text}"')
    return text


_Name = Annotated[str, Checked(_name)]


@dataclass(frozen=True, kw_only=True)
class Rule(Section):
    """Which instances belong on one host, or must not be on one; respected by all that plans for whole hosts."""

    name: _Name = field(metadata=told("Name of the rule."))
    kind: RuleKind = field(metadata=told("What it wants; docs/snapshot.md explains each kind."))
    instances: tuple[_Name, ...] = field(
        metadata=told("Names or UUIDs; one that is not there does not count.", min_length=1)
    )
    hosts: tuple[_Name, ...] = field(default=(), metadata=told("Hosts of this file: of only-on and not-on."))
    near: tuple[_Name, ...] = field(default=(), metadata=told("Instances to whose zones the others belong: of near."))
    zones: Annotated[int, Whole(1, 1000)] = field(default=1, metadata=told("Over so many zones at least: of spread."))
    hard: bool = field(default=True, metadata=told("Whether no move may break it."))
    weight: float = field(
        default=1.0, metadata=told("What a breach of a rule that is not hard costs.", ge=0.001, le=1_000_000)
    )
