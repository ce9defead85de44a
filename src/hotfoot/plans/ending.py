"""What a plan leaves behind at its end, and why. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from hotfoot.inventory import Instance, Inventory
from hotfoot.placement.course import Course, StepState
from hotfoot.placement.plan import Plan
from hotfoot.placement.wish import Drain, Restore, Wish
from hotfoot.plans.whereabouts import lives


def left_behind(
    wish: Wish, course: Course, last: Plan | None, inventory: Inventory, *, stopped: bool
) -> Mapping[str, str]:
    """Return what should have been moved and is not where it should be: name to reason.

    Invariant: a drain leaves nothing behind only when every drained host answers, and none has an active instance; or,
    where cold moves are allowed, none at all.
    """
    reasons = _Reasons(course, last, stopped=stopped)
    match wish.objective:
        case Drain(hosts=hosts):
            silent = {host.name: host.problem for host in inventory.hosts if host.name in hosts and host.problem}
            silent |= {
                host: f"{host} is not in the cluster file." for host in hosts - {h.name for h in inventory.hosts}
            }
            there = [one for one in inventory.instances if one.host in hosts and _counts(one, wish)]
            return {**silent, **{one.name: reasons.of(one.uuid) for one in there}}
        case Restore(homes=homes):
            at = {one.uuid: one for one in inventory.instances if lives(one)}
            names = {step.uuid: step.name for step in course.steps}
            return {
                at[uuid].name if uuid in at else names.get(uuid, uuid): reasons.of(uuid)
                for uuid, home in homes.items()
                if uuid not in at or (at[uuid].host != home and _counts(at[uuid], wish))
            }
        case _:
            ends = {step.uuid: step for step in course.steps}
            return {step.name: reasons.of(uuid) for uuid, step in ends.items() if step.state is not StepState.DONE}


def would_stay(plan: Plan, wish: Wish, inventory: Inventory) -> bool:
    """Whether an instance that counts, and should be moved, would stay where it is."""
    counted = {one.uuid for one in inventory.instances if _counts(one, wish)}
    return not counted.isdisjoint(plan.stays)


def _counts(one: Instance, wish: Wish) -> bool:
    """Whether an instance has to be moved: what is shut off only where cold moves are allowed."""
    return one.running or wish.cold


def left_off(wish: Wish, inventory: Inventory) -> str | None:
    """Return the sentence about instances that are shut off where they should not be; None where there are none.

    They do not run there, so that a drained host counts as empty, unless cold moves are allowed.
    """
    if wish.cold:
        return None
    match wish.objective:
        case Drain(hosts=hosts):
            off, what = [one for one in inventory.instances if one.host in hosts], "still defined there"
        case Restore(homes=homes):
            off = [one for one in inventory.instances if homes.get(one.uuid, one.host) != one.host and lives(one)]
            what = "not brought back"
        case _:
            return None
    off = [one for one in off if not one.running]
    hint = "; --cold moves what is shut off" if any(one.nova for one in off) else ""
    return f"Shut off, and {what}: {', '.join(map(_named, off))}{hint}." if off else None


def _named(one: Instance) -> str:
    return f"{one.name} on {one.host}"


class _Reasons:
    def __init__(self, course: Course, last: Plan | None, *, stopped: bool) -> None:
        self._alone = course.alone()
        self._failed = {uuid: [*hosts.values()][-1] for uuid, hosts in course.impossible().items()}
        aborted = (step for step in course.in_state(StepState.LEFT_OUT) if step.status is not None)
        self._aborted = {step.uuid: step.why for step in aborted if step.why}
        self._planned = last.stays if last else {}
        self._stopped = stopped

    def of(self, uuid: str) -> str:
        """Return why an instance was not moved: what was tried last, what planning says, or that it was stopped.

        Of a move that was aborted its own end: that may be all that says in which state Nova has left the server.
        """
        if uuid in self._alone:
            return self._alone[uuid]
        if self._stopped:
            return self._aborted.get(uuid) or self._failed.get(uuid, "stopped before it was moved")
        if uuid in self._planned:
            tried = f" (tried: {self._failed[uuid]})" if uuid in self._failed else ""
            return f"{self._planned[uuid]}{tried}"
        return self._failed.get(uuid, "it was not there yet when it was last planned")
