"""What is wanted of a cluster: the objectives of planning, and the bounds within which it looks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from hotfoot.placement.snapshot import CPU, MEMORY, VCPUS, Cold, Instance

GIB = 1 << 30


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Drain(_Value):
    """Empty these hosts, with the fewest bytes moved; nothing is moved onto them."""

    kind: Literal["drain"] = "drain"
    hosts: frozenset[str]


class Restore(_Value):
    """Bring instances back to where they were: instance id to host."""

    kind: Literal["restore"] = "restore"
    homes: Mapping[str, str]


class Balance(_Value):
    """Make hosts alike in ``what``: a resource that is allocated, or a load that is measured."""

    kind: Literal["balance"] = "balance"
    what: tuple[str, ...] = (MEMORY, VCPUS)
    measured: bool = False
    """Judge by ``load``, not by sizes."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Nothing is moved while no host's share of its capacity is further than this from the mean."""
    least_gain: Annotated[float, Field(ge=0)] = 0.01
    """The score must fall by this share of itself, or nothing is moved."""
    cost_per_gib: Annotated[float, Field(ge=0)] = 0.0005
    """What a GiB moved adds to the score: a move has to gain more than it costs."""


class Consolidate(_Value):
    """Empty as many hosts as possible; among plans that empty as many, the one with the fewest bytes."""

    kind: Literal["consolidate"] = "consolidate"


class Repair(_Value):
    """Mend broken rules, with the fewest bytes moved."""

    kind: Literal["repair"] = "repair"
    of: frozenset[str] | None = None
    """Only rules over one of these instances (ids), and only by moves of instances of such rules; None: all."""


Objective = Annotated[Drain | Restore | Balance | Consolidate | Repair, Field(discriminator="kind")]


class Wish(_Value):
    """An objective and its bounds."""

    objective: Objective
    to: frozenset[str] | None = None
    """Only to these hosts; None: to any."""
    most_moves: Annotated[int, Field(ge=0)] | None = None
    fixed: frozenset[str] = frozenset()
    """Ids of instances that stay where they are: moved a short while ago, or being moved."""
    seconds: Annotated[float, Field(gt=0)] = 10.0
    """How long the solver may look."""
    seed: int = 0
    cold: bool = False
    """What cannot be moved live may be moved by a cold migration."""

    def moves(self, instance: Instance) -> bool:
        """Whether an instance may be moved at all."""
        return instance.movable or (self.cold and instance.cold is not None)

    def how(self, instance: Instance) -> Cold | None:
        """Return what the cold migration of an instance means for it; None: it is moved live."""
        return None if instance.movable else instance.cold


def quantities(names: tuple[str, ...], known: Collection[str], *, measured: bool) -> tuple[str, ...]:
    """Return what to balance by, from an operator's words; none: what is usual, as far as it is known of the hosts."""
    usual = (CPU, MEMORY) if measured else (MEMORY, VCPUS)
    chosen = tuple({"memory": MEMORY, "cpus": CPU if measured else VCPUS}.get(name, name) for name in names)
    return chosen or tuple(name for name in usual if name in known) or usual
