"""What a plan leaves behind at its end, and why. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from hotfoot.inventory import Instance, Inventory
from hotfoot.placement.course import Course, StepState
from hotfoot.placement.plan import Plan
from hotfoot.placement.wish import Drain, Restore, Wish


def left_behind(
    wish: Wish, course: Course, last: Plan | None, inventory: Inventory, *, stopped: bool
) -> Mapping[str, str]:
    """Return what should have been moved and is not where it should be: name to reason.

    Invariant: a drain leaves nothing behind only when every drained host answers, and none has an active instance.
    """
    reasons = _Reasons(course, last, stopped=stopped)
    match wish.objective:
        case Drain(hosts=hosts):
            silent = {host.name: host.problem for host in inventory.hosts if host.name in hosts and host.problem}
            silent |= {
                host: f"{host} is not in the cluster file." for host in hosts - {h.name for h in inventory.hosts}
            }
            there = [one for one in inventory.instances if one.host in hosts and one.running]
            return {**silent, **{one.name: reasons.of(one.uuid) for one in there}}
        case Restore(homes=homes):
            at = {one.uuid: one for one in inventory.instances if one.movable}
            names = {step.uuid: step.name for step in course.steps}
            return {
                at[uuid].name if uuid in at else names.get(uuid, uuid): reasons.of(uuid)
                for uuid, home in homes.items()
                if uuid not in at or at[uuid].host != home
            }
        case _:
            ends = {step.uuid: step for step in course.steps}
            return {step.name: reasons.of(uuid) for uuid, step in ends.items() if step.state is not StepState.DONE}


def would_stay(plan: Plan, inventory: Inventory) -> bool:
    """Whether an instance that runs, and should be moved, would stay where it is."""
    running = {one.uuid for one in inventory.instances if one.running}
    return not running.isdisjoint(plan.stays)


def defined_there(wish: Wish, inventory: Inventory) -> str | None:
    """Return the sentence about instances that are shut off on drained hosts; None where there are none.

    They do not run there, so that the host counts as empty.
    """
    if not isinstance(wish.objective, Drain):
        return None
    off = [one for one in inventory.instances if one.host in wish.objective.hosts and not one.running]
    return f"Shut off, and still defined there: {', '.join(map(_named, off))}." if off else None


def _named(one: Instance) -> str:
    return f"{one.name} on {one.host}"


class _Reasons:
    def __init__(self, course: Course, last: Plan | None, *, stopped: bool) -> None:
        self._alone = course.alone()
        self._failed = {uuid: [*hosts.values()][-1] for uuid, hosts in course.impossible().items()}
        self._planned = last.stays if last else {}
        self._stopped = stopped

    def of(self, uuid: str) -> str:
        """Return why an instance was not moved: what was tried last, what planning says, or that it was stopped."""
        if uuid in self._alone:
            return self._alone[uuid]
        if self._stopped:
            return self._failed.get(uuid, "stopped before it was moved")
        if uuid in self._planned:
            tried = f" (tried: {self._failed[uuid]})" if uuid in self._failed else ""
            return f"{self._planned[uuid]}{tried}"
        return self._failed.get(uuid, "it was not there yet when it was last planned")
