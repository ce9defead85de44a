"""Which instances a dead host had, and which of them are to be started elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hotfoot.cloud.libvirt_xml import instance_of
from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.inventory import Instance, InstanceState, Inventory
from hotfoot.journal.definitions import Kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """What the journal and the living hosts say of the instances of dead hosts."""

    start: tuple[Instance, ...] = ()
    """Were running when they were last seen, and run nowhere now; ``host`` is the dead one."""
    kept: Mapping[str, Kept] = field(default_factory=dict)
    """Their definitions, by uuid."""
    stranded: tuple[Instance, ...] = ()
    """Were running too, and are not to be started."""
    left: Mapping[str, str] = field(default_factory=dict)
    """Why, by uuid, in sentences."""
    running: Mapping[str, str] = field(default_factory=dict)
    """Run elsewhere already: name to host."""
    off: tuple[Instance, ...] = ()
    """Were shut off when they were last seen."""
    nowhere: Mapping[str, str] = field(default_factory=dict)
    """Were last seen on a living host, and no host that answers has them now: name to that host."""


def check_silence(inventory: Inventory, dead: Collection[str]) -> None:
    """Raise HotfootError (refused) unless the dead hosts are silent, and all the others answer.

    Invariant: no instance is started while a host that may run it cannot be asked.
    """
    for host in inventory.hosts:
        if host.name in dead and host.answers:
            raise HotfootError(
                f"{host.name} answers: evacuate is for a dead host, and `hotfoot drain {host.name}` empties a living"
                " one.",
                ExitStatus.REFUSED,
            )
    for host in inventory.hosts:
        if host.name not in dead and host.problem:
            raise HotfootError(
                f"{host.name} does not answer either, and may run the instances: bring it back, or evacuate both"
                f" (`hotfoot evacuate {' '.join(sorted({*dead, host.name}))}`) once both are off. {host.problem}",
                ExitStatus.REFUSED,
            )


def candidates(kept: Sequence[Kept], inventory: Inventory, dead: Collection[str]) -> Candidates:
    """Sort what was last seen on dead hosts, by what the others say now."""
    start, stranded, off = [], [], []
    chosen: dict[str, Kept] = {}
    left: dict[str, str] = {}
    running: dict[str, str] = {}
    there = {other.uuid for other in inventory.instances}
    nowhere = {
        one.definition.name: one.host for one in kept if one.host not in dead and one.definition.uuid not in there
    }
    for one in kept:
        if one.host not in dead:
            continue
        definition = one.definition
        state = InstanceState.RUNNING if definition.running else InstanceState.SHUT_OFF
        instance = instance_of(definition.xml, one.host, state, persistent=definition.persistent)
        elsewhere = next(
            (
                other
                for other in inventory.instances
                if other.uuid == instance.uuid and other.running and other.host not in dead
            ),
            None,
        )
        if elsewhere is not None and elsewhere.movable:
            running[instance.name] = elsewhere.host
        elif not definition.running and elsewhere is None:
            off.append(instance)
        elif definition.persistent and elsewhere is None:
            start.append(instance)
            chosen[instance.uuid] = one
        else:
            stranded.append(instance)
            left[instance.uuid] = _why_left(instance, elsewhere)
    return Candidates(
        start=tuple(start),
        kept=chosen,
        stranded=tuple(stranded),
        left=left,
        running=running,
        off=tuple(off),
        nowhere=nowhere,
    )


def _why_left(instance: Instance, elsewhere: Instance | None) -> str:
    if elsewhere is not None:
        return f"{elsewhere.host} has {instance.name} {elsewhere.state}: look at it there first."
    return f"{instance.name} was transient on {instance.host}: whoever made it starts it, from a definition of his own."


def with_dead(inventory: Inventory, dead: Collection[str], instances: Sequence[Instance]) -> Inventory:
    """Return the inventory as planning is to see it: dead hosts as places that instances only leave."""
    return Inventory(
        hosts=tuple(replace(host, problem=None) if host.name in dead else host for host in inventory.hosts),
        instances=(*(one for one in inventory.instances if one.host not in dead), *instances),
    )
