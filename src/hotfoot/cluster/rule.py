"""A rule over instances, as the cluster file declares it."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict

RuleKind = Literal["together", "apart", "only-on", "not-on", "spread", "near"]
"""As in docs/snapshot.md."""


def _name(text: str) -> str:
    if re.fullmatch(r"[^\x00-\x1f\x7f]{1,253}", text) is None:
        raise ValueError(f'must be a name in one line, not "{text}"')
    return text


_Name = Annotated[str, AfterValidator(_name)]


class Rule(BaseModel):
    """Which instances belong on one host, or must not be on one; respected by all that plans for whole hosts."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: _Name = Field(description="Name of the rule.")
    kind: RuleKind = Field(description="What it wants; docs/snapshot.md explains each kind.")
    instances: Annotated[tuple[_Name, ...], Field(min_length=1)] = Field(
        description="Names or UUIDs; one that is not there does not count."
    )
    hosts: tuple[_Name, ...] = Field(default=(), description="Hosts of this file: of only-on and not-on.")
    near: tuple[_Name, ...] = Field(default=(), description="Instances to whose zones the others belong: of near.")
    zones: Annotated[int, Strict(), Field(ge=1, le=1000)] = Field(
        default=1, description="Over so many zones at least: of spread."
    )
    hard: bool = Field(default=True, description="Whether no move may break it.")
    weight: Annotated[float, Field(ge=0.001, le=1_000_000)] = Field(
        default=1.0, description="What a breach of a rule that is not hard costs."
    )
