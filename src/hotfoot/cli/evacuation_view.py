"""An evacuation as people read it: what is started where, what is not and why, and what to do afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from hotfoot.evacuation.nova_site import NovaEvacuation
    from hotfoot.evacuation.site import Evacuation
    from hotfoot.inventory import Instance
    from hotfoot.plans.run import PlanRun


def show(evacuation: Evacuation | NovaEvacuation) -> None:
    """Print what would be started where, what not, and why."""
    from hotfoot.cli.tables import print_table
    from hotfoot.sizes import human_bytes

    plan, view = evacuation.planned.plan, _view_of(evacuation)
    if plan.moves:
        print_table(
            ("START", "INSTANCE", "WAS ON", "ON", "MEMORY", view.column),
            [
                (
                    str(move.number),
                    move.name,
                    move.source,
                    move.destination,
                    human_bytes(view.instances[move.instance].memory_bytes),
                    view.cell(move.instance),
                )
                for move in plan.moves
            ],
        )
    else:
        typer.secho("Nothing can be started." if plan.stays else view.nothing, bold=True)
    if plan.stays:
        typer.echo(f"What {view.was}, and is not started:")
        for reason in plan.stays.values():
            typer.secho(f"  {reason}", fg=typer.colors.YELLOW)
    for sentence in view.remarks():
        typer.echo(sentence)


def as_json(evacuation: Evacuation | NovaEvacuation) -> dict[str, object]:
    """Return what would be started where, what not, and why, for ``--json``."""
    plan, view = evacuation.planned.plan, _view_of(evacuation)
    starts = [
        {
            "instance": move.name,
            "uuid": move.instance,
            "source": move.source,
            "destination": move.destination,
            **view.of_start(move.instance),
        }
        for move in plan.moves
    ]
    return {"starts": starts, "stays": dict(plan.stays), **view.of_all()}


def afterwards(hosts: tuple[str, ...], evacuation: Evacuation | NovaEvacuation, run: PlanRun) -> list[str]:
    """Say what to do before, and when, the hosts come back."""
    from hotfoot.placement.course import StepState

    done = {step.uuid for step in run.course.in_state(StepState.DONE)}
    return _view_of(evacuation).afterwards(hosts, done) if done else []


def _view_of(evacuation: Evacuation | NovaEvacuation) -> _ByLibvirt | _ByNova:
    from hotfoot.evacuation.site import Evacuation

    return _ByLibvirt(evacuation) if isinstance(evacuation, Evacuation) else _ByNova(evacuation)


class _ByLibvirt:
    """What is told of an evacuation from the journal's definitions alone."""

    column, nothing, was = "DEFINITION READ", "The journal knows of nothing to start.", "ran"

    def __init__(self, evacuation: Evacuation) -> None:
        self._evacuation = evacuation
        self._found = evacuation.found
        self.instances: Mapping[str, Instance] = {one.uuid: one for one in evacuation.found.start}

    def cell(self, uuid: str) -> str:
        from hotfoot.cli.definitions import age

        return age(self._found.kept[uuid].seen_ms)

    def of_start(self, uuid: str) -> dict[str, object]:
        from hotfoot.journal.record import iso

        kept = self._found.kept[uuid]
        return {"definition_read": iso(kept.seen_ms), "autostart": kept.definition.autostart}

    def of_all(self) -> dict[str, object]:
        return {
            "running_elsewhere": dict(self._found.running),
            "shut_off": [one.name for one in self._found.off],
            "nowhere": dict(self._found.nowhere),
            "remarks": self.remarks(),
        }

    def remarks(self) -> list[str]:
        from hotfoot.cloud.image_locks import untold

        found = self._found
        started = {move.instance for move in self._evacuation.planned.plan.moves}
        told = [f"{name} runs on {host} already." for name, host in found.running.items()]
        if found.off:
            told.append(f"Shut off when last seen, so not started: {', '.join(one.name for one in found.off)}.")
        told += [
            f"{name} was last seen on {host}, and no host that answers has it: it may have been moved to a dead one;"
            f" `hotfoot definitions {name}` prints its definition."
            for name, host in found.nowhere.items()
        ]
        told += self._evacuation.lost
        for one in found.start:
            if one.uuid in started and (disks := untold(one.disks)):
                names = ", ".join(disk.target for disk in disks)
                told.append(
                    f"No lock tells whether another host uses {names} of {one.name}: only that its host is off."
                )
        return told

    def afterwards(self, hosts: tuple[str, ...], done: set[str]) -> list[str]:
        names = " and ".join(hosts)
        sentences = [
            f"{_are(hosts)} out of placement; once back, `hotfoot restore {' '.join(hosts)}` removes old definitions."
        ]
        by_themselves = [
            kept.definition.name
            for uuid, kept in self._found.kept.items()
            if uuid in done and kept.definition.autostart
        ]
        if by_themselves:
            sentences.append(
                f"Boot {names} without storage or network first: its libvirt would start {', '.join(by_themselves)} by"
                " itself (remove /etc/libvirt/qemu/autostart/NAME.xml there)."
            )
        return sentences


class _ByNova:
    """What is told of an evacuation by Nova alone."""

    column, nothing, was = "STATUS", "Nova has no instance there.", "was there"

    def __init__(self, evacuation: NovaEvacuation) -> None:
        self.instances = evacuation.instances

    def cell(self, uuid: str) -> str:
        nova = self.instances[uuid].nova
        return nova.status if nova else ""

    def of_start(self, uuid: str) -> dict[str, object]:
        return {"status": self.cell(uuid)}

    def of_all(self) -> dict[str, object]:
        return {}

    def remarks(self) -> list[str]:
        return []

    def afterwards(self, hosts: tuple[str, ...], _done: set[str]) -> list[str]:
        return [
            f"{_are(hosts)} disabled and forced down in Nova; once back, with nova-compute started anew (it removes"
            f" what was evacuated), `hotfoot restore {' '.join(hosts)}` takes that back."
        ]


def _are(hosts: tuple[str, ...]) -> str:
    return f"{' and '.join(hosts)} {'is' if len(hosts) == 1 else 'are'}"
