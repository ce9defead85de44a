"""A snapshot and a wish as arrays: what hosts bear, what instances take, and where each may go. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.placement.rules import Bond, bonds_of
from hotfoot.placement.snapshot import RuleKind, Snapshot
from hotfoot.placement.wish import Balance, Drain, Restore, Wish

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
_LARGEST = 1 << 53
"""8 PiB: sums of a thousand such sizes still fit 64 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What can be placed where: H hosts, I instances, R resources, in the order of the snapshot.

    A placement is an array of I host numbers. ``start`` is always one that may be kept.
    """

    host_names: tuple[str, ...]
    ids: tuple[str, ...]
    resources: tuple[str, ...]
    capacity: Ints
    """[H, R]: what instances may be promised, in all."""
    safe: Ints
    """[H, R]: up to where newcomers may fill it; at most the capacity."""
    others: Ints
    """[H, R]: taken by what is no instance of the snapshot."""
    sizes: Ints
    """[I, R]"""
    start: Ints
    """[I]: the number of the host where it is."""
    transfer_bytes: Ints
    """[I]: what moving it sends."""
    movable: Flags
    """[I]: it may leave: not pinned by the snapshot, not fixed by the wish, not on a host that is down."""
    open_to: Flags
    """[I, H]: it may be moved there as far as the two alone are concerned: the host is up and takes instances, the
    instance can run there, no hard rule forbids that host, and it fits while nothing else is there."""
    takes: Flags
    """[H]: up, not in maintenance, not to be drained, and among those that the wish names."""
    zones: Ints
    """[H]: number of its zone, -1: it has none."""
    up: Flags
    maintenance: Flags
    drained: Flags
    """[H]: the wish is to empty it."""
    home: Ints
    """[I]: where the wish is to have it back, -1: anywhere."""
    bonds: tuple[Bond, ...]
    """The rules, by numbers."""

    @property
    def used_at_start(self) -> Ints:
        """[H, R]: what is taken now."""
        return self.used(self.start)

    def used(self, at: Ints) -> Ints:
        """[H, R]: what is taken of each resource with this placement."""
        used = self.others.copy()
        np.add.at(used, at, self.sizes)
        return used


def room_of(snapshot: Snapshot, wish: Wish) -> Room:
    """Return the arrays.

    Raises HotfootError when the wish names a host or an instance that the snapshot has not.
    """
    _check_names(snapshot, wish)
    hosts, instances, objective = snapshot.hosts, snapshot.instances, wish.objective
    host_number = {host.name: number for number, host in enumerate(hosts)}
    number = {instance.id: at for at, instance in enumerate(instances)}
    resources = tuple(
        sorted(
            {name for host in hosts for name in (*host.resources, *host.used_by_others)}
            | {name for instance in instances for name in instance.sizes}
        )
    )
    capacity = _table(
        [[host.resources[r].capacity if r in host.resources else 0 for r in resources] for host in hosts],
        len(resources),
    )
    shares = np.array([host.safety for host in hosts], dtype=np.float64).reshape(-1, 1)
    safe = np.where(shares >= 1, capacity, np.floor(capacity * shares + 1e-9).astype(np.int64))
    others = _table([[host.used_by_others.get(r, 0) for r in resources] for host in hosts], len(resources))
    sizes = _table([[instance.sizes.get(r, 0) for r in resources] for instance in instances], len(resources))
    start = _row(host_number[instance.host] for instance in instances)
    up = np.array([host.up for host in hosts], dtype=bool)
    maintenance = np.array([host.maintenance for host in hosts], dtype=bool)
    drained = np.array([isinstance(objective, Drain) and host.name in objective.hosts for host in hosts], dtype=bool)
    chosen = np.array([wish.to is None or host.name in wish.to for host in hosts], dtype=bool)
    zone_names = sorted({host.zone for host in hosts if host.zone is not None})
    zones = _row(-1 if host.zone is None else zone_names.index(host.zone) for host in hosts)
    bonds = bonds_of(snapshot, host_number, number, zones)
    takes = up & ~maintenance & ~drained & chosen
    movable = np.array([wish.moves(instance) and instance.id not in wish.fixed for instance in instances], dtype=bool)
    movable &= up[start] if len(instances) else True
    homes = objective.homes if isinstance(objective, Restore) else {}
    return Room(
        host_names=tuple(host_number),
        ids=tuple(number),
        resources=resources,
        capacity=capacity,
        safe=safe,
        others=others,
        sizes=sizes,
        start=start,
        transfer_bytes=_row(instance.bytes_to_move for instance in instances),
        movable=movable,
        open_to=_open_to(snapshot, host_number, sizes, safe - others, bonds) & takes & movable[:, None],
        takes=takes,
        zones=zones,
        up=up,
        maintenance=maintenance,
        drained=drained,
        home=_row(host_number.get(homes.get(instance.id, ""), -1) for instance in instances),
        bonds=bonds,
    )


def _open_to(
    snapshot: Snapshot, host_number: dict[str, int], sizes: Ints, free: Ints, bonds: tuple[Bond, ...]
) -> Flags:
    # There are few different sizes: what fits where is looked at once for each.
    different, which = np.unique(sizes, axis=0, return_inverse=True)
    fits = ((different[:, None, :] <= free[None, :, :]) | (different == 0)[:, None, :]).all(axis=2)
    open_to: Flags = fits[which.reshape(-1)]
    for number, instance in enumerate(snapshot.instances):
        for name in instance.impossible:
            if name in host_number:
                open_to[number, host_number[name]] = False
    for bond in bonds:
        if bond.hard and bond.kind in (RuleKind.ONLY_ON, RuleKind.NOT_ON):
            open_to[bond.members] &= bond.hosts if bond.kind is RuleKind.ONLY_ON else ~bond.hosts
    return open_to


def _check_names(snapshot: Snapshot, wish: Wish) -> None:
    hosts = {host.name for host in snapshot.hosts}
    objective = wish.objective
    drained = objective.hosts if isinstance(objective, Drain) else frozenset()
    for what, names in (("to be drained", drained), ("named as a destination", wish.to or frozenset())):
        if lacking := sorted(names - hosts):
            raise HotfootError(
                f"{lacking[0]} is {what}, but the snapshot has no such host: check its name", ExitStatus.USAGE
            )
    if lacking := sorted(wish.fixed - {instance.id for instance in snapshot.instances}):
        raise HotfootError(
            f"{lacking[0]} is to stay where it is, but the snapshot has no instance of this id", ExitStatus.USAGE
        )
    if isinstance(objective, Balance) and not objective.measured:
        known = {name for host in snapshot.hosts for name, of in host.resources.items() if of.capacity}
        if lacking := sorted(set(objective.what) - known):
            raise HotfootError(
                f"no host of the snapshot has {lacking[0]} to balance by: name a resource that they have",
                ExitStatus.USAGE,
            )
    if isinstance(objective, Balance) and objective.measured:
        known = {name for host in snapshot.hosts for name in host.load_capacity}
        if lacking := sorted(set(objective.what) - known):
            raise HotfootError(
                f"no host of the snapshot tells its load_capacity of {lacking[0]}: add it, or balance by sizes",
                ExitStatus.USAGE,
            )


def _table(rows: list[list[int]], columns: int) -> Ints:
    _check_sizes(size for row in rows for size in row)
    return np.array(rows, dtype=np.int64) if rows else np.zeros((0, columns), dtype=np.int64)


def _row(values: Iterable[int]) -> Ints:
    row = list(values)
    _check_sizes(row)
    return np.array(row, dtype=np.int64)


def _check_sizes(sizes: Iterable[int]) -> None:
    if (largest := max(sizes, default=0)) > _LARGEST:
        raise HotfootError(f"a size in the snapshot is {largest}, more than {_LARGEST}: check its unit")
