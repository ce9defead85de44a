"""What is planned for when moves that a rule binds to each other were made in a part only. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from hotfoot.placement.passage import breach
from hotfoot.placement.snapshot import Rule, Snapshot
from hotfoot.placement.wish import Repair, Wish


def broken(snapshot: Snapshot, of: Collection[str]) -> tuple[Rule, ...]:
    """Return the hard rules over one of these instances (ids) that are broken now."""
    at = {one.id: one.host for one in snapshot.instances}
    zone = {host.name: host.zone for host in snapshot.hosts}
    return tuple(
        rule
        for rule in snapshot.rules
        if rule.hard and not {*rule.instances, *rule.near}.isdisjoint(of) and breach(rule, at.__getitem__, zone.get)
    )


def narrowed(snapshot: Snapshot, wish: Wish) -> Wish:
    """Return the wish with the bounds that ``Repair.of`` means: any other wish as it is.

    Whatever is in none of the broken rules stays; and instances may come together where one of them is, also when
    others were to go elsewhere only.
    """
    if not isinstance(wish.objective, Repair) or wish.objective.of is None:
        return wish
    bound = {one for rule in broken(snapshot, wish.objective.of) for one in (*rule.instances, *rule.near)}
    there = {one.host for one in snapshot.instances if one.id in bound}
    stays = frozenset(one.id for one in snapshot.instances if one.id not in bound)
    return wish.model_copy(
        update={"fixed": wish.fixed | stays, "to": None if wish.to is None else wish.to | frozenset(there)}
    )


def still_broken(snapshot: Snapshot, of: Collection[str]) -> Mapping[str, str]:
    """Return for these instances, by name, which rule over them is broken, and where its instances are."""
    names = {one.id: one.name for one in snapshot.instances}
    at = {one.id: one.host for one in snapshot.instances}
    found = {}
    for rule in broken(snapshot, of):
        where = ", ".join(f"{names[one]} on {at[one]}" for one in dict.fromkeys((*rule.instances, *rule.near)))
        for one in (*rule.instances, *rule.near):
            if one in of:
                found[names[one]] = f"rule {rule.name} is broken ({where}); `hotfoot plan repair` shows what mends it"
    return found
