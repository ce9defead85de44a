"""An evacuation as people read it: what is started where, what is not and why, and what to do afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from hotfoot.evacuation.site import Evacuation
    from hotfoot.plans.run import PlanRun


def show(evacuation: Evacuation) -> None:
    """Print what would be started where, what not, and why."""
    from hotfoot.cli.definitions import age
    from hotfoot.cli.tables import print_table
    from hotfoot.sizes import human_bytes

    plan, found = evacuation.planned.plan, evacuation.found
    instances = {one.uuid: one for one in found.start}
    if plan.moves:
        print_table(
            ("START", "INSTANCE", "WAS ON", "ON", "MEMORY", "DEFINITION READ"),
            [
                (
                    str(move.number),
                    move.name,
                    move.source,
                    move.destination,
                    human_bytes(instances[move.instance].memory_bytes),
                    age(found.kept[move.instance].seen_ms),
                )
                for move in plan.moves
            ],
        )
    else:
        typer.secho("Nothing can be started." if plan.stays else "The journal knows of nothing to start.", bold=True)
    if plan.stays:
        typer.echo("What ran, and is not started:")
        for reason in plan.stays.values():
            typer.secho(f"  {reason}", fg=typer.colors.YELLOW)
    for sentence in remarks(evacuation):
        typer.echo(sentence)


def as_json(evacuation: Evacuation) -> dict[str, object]:
    """Return what would be started where, what not, and why, for ``--json``."""
    from hotfoot.journal.record import iso

    plan, found = evacuation.planned.plan, evacuation.found
    starts = [
        {
            "instance": move.name,
            "uuid": move.instance,
            "source": move.source,
            "destination": move.destination,
            "definition_read": iso(found.kept[move.instance].seen_ms),
            "autostart": found.kept[move.instance].definition.autostart,
        }
        for move in plan.moves
    ]
    return {
        "starts": starts,
        "stays": dict(plan.stays),
        "running_elsewhere": dict(found.running),
        "shut_off": [one.name for one in found.off],
        "nowhere": dict(found.nowhere),
        "remarks": remarks(evacuation),
    }


def remarks(evacuation: Evacuation) -> list[str]:
    """Say what the operator has to know beside what is started, and what is not."""
    from hotfoot.cloud.image_locks import untold

    found, moves = evacuation.found, evacuation.planned.plan.moves
    started = {move.instance for move in moves}
    told = [f"{name} runs on {host} already." for name, host in found.running.items()]
    if found.off:
        told.append(f"Shut off when last seen, so not started: {', '.join(one.name for one in found.off)}.")
    told += [
        f"{name} was last seen on {host}, and no host that answers has it: it may have been moved to a dead one;"
        f" `hotfoot definitions {name}` prints its definition."
        for name, host in found.nowhere.items()
    ]
    told += evacuation.lost
    for one in found.start:
        if one.uuid in started and (disks := untold(one.disks)):
            names = ", ".join(disk.target for disk in disks)
            told.append(f"No lock tells whether another host uses {names} of {one.name}: only that its host is off.")
    return told


def afterwards(hosts: tuple[str, ...], evacuation: Evacuation, run: PlanRun) -> list[str]:
    """Say what to do before, and when, the hosts come back."""
    from hotfoot.placement.course import StepState

    done = {step.uuid for step in run.course.in_state(StepState.DONE)}
    if not done:
        return []
    names, are = " and ".join(hosts), "is" if len(hosts) == 1 else "are"
    sentences = [
        f"{names} {are} out of placement; once back, `hotfoot restore {' '.join(hosts)}` removes old definitions."
    ]
    by_themselves = [
        kept.definition.name
        for uuid, kept in evacuation.found.kept.items()
        if uuid in done and kept.definition.autostart
    ]
    if by_themselves:
        sentences.append(
            f"Boot {names} without storage or network first: its libvirt would start {', '.join(by_themselves)} by"
            " itself (remove /etc/libvirt/qemu/autostart/NAME.xml there)."
        )
    return sentences
