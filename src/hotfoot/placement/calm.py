"""Whether a cluster that is kept balanced is to be balanced now. Pure.

What is measured swings; a balancer that follows each swing moves instances to and fro. So nothing is done before a host
has been too far from the mean in several looks in a row; then the mean of those looks is planned for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hotfoot.placement.room import room_of
from hotfoot.placement.score import levels_of
from hotfoot.placement.snapshot import CPU, MEMORY, Snapshot
from hotfoot.placement.wish import Balance, Wish

_WORDS = {CPU: "CPU", MEMORY: "memory", "vcpus": "vCPUs"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """What has to come together before anything is moved."""

    objective: Balance
    rounds: int
    """Looks in a row with a host beyond the objective's threshold."""
    quiet: tuple[str, ...] = ()
    """Parts of the day in which nothing is moved: ``22:00-06:00``."""


@dataclass(frozen=True, slots=True)
class Far:
    """The host that is furthest from the mean."""

    host: str
    what: str
    share: float
    """Of its capacity; above 0: more than the mean."""

    def __str__(self) -> str:
        more = "above" if self.share > 0 else "below"
        return f"{self.host} is {abs(self.share):.1%} {more} the mean in {_WORDS.get(self.what, self.what)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What follows from a look."""

    why: str
    looks: tuple[Snapshot, ...] = ()
    """What is to be remembered for the next one."""
    mean: Snapshot | None = None
    """What is to be planned for now; None: nothing is to be done."""


def judge(patience: Patience, before: Sequence[Snapshot], seen: Snapshot, minute: int) -> Verdict:
    """Return what follows from a look and from those before it that are remembered; ``minute`` of the day, local time.

    Invariants: nothing is planned unless in each of the last ``rounds`` looks a host was beyond the threshold, and
    never in quiet hours. On loads that do not change, it is planned for exactly what is seen; since each plan makes the
    score lower (``planning.plan``), no placement ever comes back.
    """
    far, threshold = furthest(seen, patience.objective), patience.objective.threshold
    if far is None or abs(far.share) <= threshold:
        what = f"no host is further than {abs(far.share):.1%} from the mean" if far else "there is no load to compare"
        return Verdict(why=f"{what}, and up to {threshold:.1%} is let be" if far else what)
    looks = (*before, seen)[-patience.rounds :]
    if len(looks) < patience.rounds:
        return Verdict(why=f"{far}, in {len(looks)} of {patience.rounds} looks", looks=looks)
    for hours in patience.quiet:
        if _within(hours, minute):
            return Verdict(why=f"{far}, but nothing is moved from {hours.replace('-', ' to ')}", looks=looks)
    return Verdict(why=str(far), mean=mean_of(looks))


def furthest(snapshot: Snapshot, objective: Balance) -> Far | None:
    """Return the host that is furthest from the mean; None where no host is judged.

    Raises HotfootError (usage) when the objective names what no host has.
    """
    room = room_of(snapshot, Wish(objective=objective))
    levels = levels_of(snapshot, room, objective)
    off = np.where(levels.capacity > 0, levels.shares(room.start) - levels.mean, 0.0)
    if not off.size or not np.any(levels.capacity > 0):
        return None
    host, level = np.unravel_index(int(np.abs(off).argmax()), off.shape)
    return Far(room.host_names[int(host)], levels.names[int(level)], float(off[host, level]))


def told_of(snapshot: Snapshot, what: str, told: Mapping[str, float]) -> tuple[Snapshot, int]:
    """Return the snapshot with the load ``what`` as it is told by names or ids of instances, and of how many it is.

    Of the others it stays what was measured.
    """
    loads = {one.id: told[word] for one in snapshot.instances for word in (one.name, one.id) if word in told}
    instances = (
        one.model_copy(update={"load": {**one.load, what: loads[one.id]}}) if one.id in loads else one
        for one in snapshot.instances
    )
    return snapshot.model_copy(update={"instances": tuple(instances)}), len(loads)


def mean_of(looks: Sequence[Snapshot]) -> Snapshot:
    """Return the newest look with the mean of what each host and instance used in all of them."""
    newest = looks[-1]
    hosts = _means((host.name, host.load) for look in looks for host in look.hosts)
    instances = _means((one.id, one.load) for look in looks for one in look.instances)
    return newest.model_copy(
        update={
            "hosts": tuple(host.model_copy(update={"load": hosts[host.name]}) for host in newest.hosts),
            "instances": tuple(one.model_copy(update={"load": instances[one.id]}) for one in newest.instances),
        }
    )


def _means(told: Iterable[tuple[str, Mapping[str, float]]]) -> Mapping[str, Mapping[str, float]]:
    amounts: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for name, load in told:
        amounts[name]
        for what, amount in load.items():
            amounts[name][what].append(amount)
    return {name: {what: sum(of) / len(of) for what, of in load.items()} for name, load in amounts.items()}


def _within(hours: str, minute: int) -> bool:
    """Whether a minute of the day lies in ``22:00-06:00``, which may go over midnight."""
    begins, ends = (int(at[:2]) * 60 + int(at[3:]) for at in hours.split("-"))
    return begins <= minute < ends if begins < ends else minute >= begins or minute < ends
