"""Where an instance is after a migration, judged from what every host says. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from hotfoot.inventory import MOVABLE_STATES, InstanceState
from hotfoot.migration.options import Order

ALIVE = MOVABLE_STATES


class PostCopy(StrEnum):
    """How far a post-copy migration is from the one host's view; the value is libvirt's word for it."""

    UNDER_WAY = "post-copy"
    BROKEN = "post-copy failed"
    """libvirt there has given it up; QEMU may not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What one host says about one UUID. ``state`` is None where the host does not have it."""

    host: str
    problem: str | None = None
    state: InstanceState | None = None
    persistent: bool = False
    post_copy: PostCopy | None = None
    """In post-copy the memory is on two hosts; None where it is all on this one, or none of it."""
    remark: str | None = None
    """What else the operator has to know about it, a sentence."""

    @property
    def half(self) -> bool:
        """Whether it is only one half of a migration; in post-copy the one that runs is a half too."""
        return self.state is InstanceState.IN_TRANSIT or self.post_copy is not None

    @property
    def alive(self) -> bool:
        """Whether the host says that the guest lives there, with all its memory."""
        return self.state in ALIVE and self.post_copy is None

    @property
    def in_words(self) -> str:
        """The state, as `virsh domstate --reason` has it where it is a half in post-copy."""
        if self.post_copy is None:
            return str(self.state)
        return f"{'paused' if self.state is InstanceState.IN_TRANSIT else self.state} ({self.post_copy})"


class Place(StrEnum):
    """Where the instance is, as far as it is proven."""

    DESTINATION = "destination"
    SOURCE = "source"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Proof:
    """The place, and what is not as it should be, in sentences; empty when all is."""

    place: Place
    remarks: tuple[str, ...] = ()
    host: str | None = None
    """The host that it is proven to live on; None where that is unclear."""


def judge(order: Order, sightings: Sequence[Sighting], state_before: InstanceState) -> Proof:
    """Say where the instance is.

    Invariant: DESTINATION or SOURCE only when that host itself says that the instance is alive there, and no
    other host that answered says so; a host that does not answer is named, never taken for empty. Alive is
    the state before the migration (a paused instance stays paused, and one that was shut off is there where it is
    defined); a half of a migration is not alive, also where it runs in post-copy: the rest of its memory may never
    come. An order whose destination was left to the cloud has any host but the source for its destination.
    """
    was_off = state_before is InstanceState.SHUT_OFF
    alive = [seen for seen in sightings if seen.alive or (was_off and seen.state is InstanceState.SHUT_OFF)]
    silent = [seen for seen in sightings if seen.problem]
    hosts = {seen.host for seen in alive}
    remarks: list[str] = []
    at_home = alive[0] if len(hosts) == 1 else None
    if at_home is not None and at_home.host == order.source:
        place = Place.SOURCE
    elif at_home is not None and at_home.host == (order.destination or at_home.host):
        place = Place.DESTINATION
    else:
        return Proof(Place.UNCLEAR, (_what_is_where(order, sightings), *_told(sightings)))
    if order.persistent and not at_home.persistent:
        remarks.append(f"It is not persistent on {at_home.host} any more; define it there (`virsh define`).")
    if at_home.state is not state_before:
        remarks.append(f"It was {state_before} before, and is {at_home.state} now.")
    for seen in sightings:
        if seen.state is None or seen.host == at_home.host:
            continue
        what = "a half of the migration" if seen.half else f"a definition ({seen.state})"
        cure = "virsh destroy" if seen.half else "virsh undefine"
        remarks.append(f"{what.capitalize()} is left on {seen.host}; remove it there (`{cure} {order.uuid}`).")
    remarks += [f"Whether anything is left on {seen.host} is not known: {seen.problem}" for seen in silent]
    return Proof(place, (*remarks, *_told(sightings)), at_home.host)


def _told(sightings: Sequence[Sighting]) -> tuple[str, ...]:
    return tuple(seen.remark for seen in sightings if seen.remark)


def left_at_home(order: Order, proof: Proof, sightings: Sequence[Sighting]) -> bool:
    """Tell whether the source keeps a definition that the migration should have taken along, and that may go.

    libvirt leaves one when the source's daemon ends in the middle (seen after a switch to post-copy). Invariant: True
    only when the instance is proven to live on the destination, is defined there, and the source says that it is shut
    off.
    """
    by_host = {seen.host: seen for seen in sightings}
    there, here = by_host.get(order.destination), by_host.get(order.source)
    moved = proof.place is Place.DESTINATION and there is not None and there.persistent
    left = here is not None and here.state is InstanceState.SHUT_OFF and here.persistent
    return order.persistent and moved and left


def _what_is_where(order: Order, sightings: Sequence[Sighting]) -> str:
    parts = []
    for seen in sightings:
        if seen.problem:
            parts.append(f"{seen.host} does not answer: {seen.problem.rstrip('.')}")
        elif seen.state is not None:
            parts.append(f"{seen.host} has it {seen.in_words}")
    return f"Where {order.name} is cannot be proven: {'; '.join(parts) or 'no host has it'}."
