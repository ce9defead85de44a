"""Faults times phases: the instance runs once and whole or its death is told, the reports are true, a retry works."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.command import hotfoot
from tests.lab.fault_matrix import breakages, table
from tests.lab.fault_matrix.breakages import BREAKAGES, Breakage, Scene
from tests.lab.fault_matrix.cell import Phase, Row, Seen
from tests.lab.fault_matrix.move import Missed, Move
from tests.lab.fault_matrix.stage import MEMORY_MIB, Around, Stage
from tests.lab.labs import bring_up

_EVERY = [(make, phase) for make in BREAKAGES for phase in make().phases]
_IN_EVERY_RUN = {
    (breakages.StallStorage.name, Phase.LATER),
    (breakages.StarveQemu.name, Phase.FIRST),
    (breakages.FillJournal.name, Phase.LATER),
    ("kill -9 of the source's libvirtd", Phase.POST_COPY),
}
_TRIES = 2
_PAGE = "HOTFOOT_FAULT_TABLE"
"""A page whose table gets the rows of this run."""


def _bring_up(name: str, tmp: Path, *options: str) -> Iterator[Stage]:
    hotfoot("lab", "down", "--name", name)
    lab = bring_up(name, "--instances", "1", "--memory", str(MEMORY_MIB), *options)
    yield Stage(lab, f"sqlite:///{tmp}/{name}.sqlite3")
    hotfoot("lab", "down", "--name", name)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    yield from _bring_up("matrix", tmp_path_factory.mktemp("matrix"), "--hosts", "3")


@pytest.fixture(scope="module")
def unshared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    options = ("--hosts", "2", "--storage", "none")
    yield from _bring_up("matrix-block", tmp_path_factory.mktemp("matrix"), *options)


@pytest.fixture(scope="module")
def rows() -> Iterator[list[Row]]:
    found: list[Row] = []
    yield found
    print(f"\n{table.render(found)}")
    if page := os.environ.get(_PAGE):
        table.keep(Path(page), [(make().name, phase) for make, phase in _EVERY], found)


def _cells() -> Iterator[object]:
    for make, phase in _EVERY:
        name = make().name
        marks = () if (name, phase) in _IN_EVERY_RUN else (pytest.mark.matrix,)
        yield pytest.param(make, phase, id=f"{name}, {phase}", marks=marks)


@pytest.mark.parametrize(("make", "phase"), list(_cells()))
def test_it_runs_once_and_whole_or_its_end_is_told(
    make: type[Breakage], phase: Phase, rows: list[Row], request: pytest.FixtureRequest
) -> None:
    breakage = make()
    breakages.needs(breakage)
    stage: Stage = request.getfixturevalue("unshared" if breakage.block else "shared")
    for _ in range(_TRIES):
        try:
            row, wrong = _try(stage, breakage, phase)
            break
        except Missed as why:
            row, wrong = Row(breakage.name, phase, "phase not reached"), (f"the phase was not reached: {why}",)
    rows.append(row)
    print(f"\n{table.render([row]).splitlines()[-1]}", *wrong, sep="\n  ", flush=True)
    assert wrong == ()


def _try(stage: Stage, breakage: Breakage, phase: Phase) -> tuple[Row, tuple[str, ...]]:
    source = stage.home()
    destination = next(host for host in stage.pair if host != source)
    with breakage.around(stage, destination) as around:
        stage.strain()
        move = Move(stage, around, source, destination, phase)
        scene = Scene(stage, move, source, destination)
        try:
            move.reach()
        except Missed:
            move.give_up()
            stage.relax()
            raise
        struck_s = time.monotonic()
        try:
            breakage.strike(scene)
            if breakage.goes_on:
                stage.relax()
            status, result = move.end()
            seconds = time.monotonic() - struck_s
        finally:
            breakage.mend(scene)
        record = stage.record(around)
    seen = Seen(
        source=source,
        destination=destination,
        status=status,
        running=stage.running(),
        faults=stage.faults(),
        record_status=record.get("status"),
        may_be_lost=phase in breakage.deadly,
    )
    wrong, retry = seen.wrong(), "works"
    if failed := _retry(stage):
        wrong, retry = (*wrong, f"another move fails: {failed}"), "FAILS"
    return Row(
        breakage.name,
        phase,
        f"WRONG: {'; '.join(wrong)}" if wrong else seen.outcome,
        "killed" if status is None else str(status),
        f"{seconds:.0f}",
        retry,
        _in_short(result.get("reason") or record.get("reason") or "", seen),
    ), wrong


def _retry(stage: Stage) -> str:
    """Move it once more, a lost one made anew; return what was said where that fails."""
    home = stage.home()
    said = stage.say(
        Around(), "migrate", "vm1", next(host for host in stage.pair if host != home), "--no-forecast", "--json"
    )
    return "" if said.status == 0 else said.out + said.err


def _in_short(reason: str, seen: Seen) -> str:
    """Leave out who asked, and say source and destination instead of names."""
    reason = reason.rpartition("found afterwards: ")[2]
    for name, word in ((seen.source, "the source"), (seen.destination, "the destination")):
        reason = re.sub(rf"\b{name}\b(, {word},)?", word, reason)
    return reason if len(reason) <= 160 else f"{reason[:157]}..."
