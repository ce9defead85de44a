"""Every scenario: what is expected of its plan, and what holds for any plan."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.placement.replay import Leg, faults
from tests.placement.short_form import Scenario, read, size

from hotfoot.placement.plan import Plan
from hotfoot.placement.planning import plan
from hotfoot.placement.snapshot import MEMORY
from hotfoot.placement.verify import faults as unsound

FILES = sorted((Path(__file__).parent / "scenarios").glob("*.yaml"))


def test_there_are_scenarios() -> None:
    assert len(FILES) >= 60


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    scenario = read(path)
    made = plan(scenario.snapshot, scenario.wish, time.monotonic)
    _check_any(scenario, made)
    assert scenario.expect, "a scenario expects something"
    told = _Told(scenario, made)
    for key, wanted in scenario.expect.items():
        check: Callable[[Any], None] = getattr(told, key)
        check(wanted)


def _check_any(scenario: Scenario, made: Plan) -> None:
    """What holds for every plan: nothing is overfilled or broken on the way, and it is no worse than the start."""
    number = {move.number: at for at, move in enumerate(made.moves)}
    legs = [
        Leg(move.instance, move.source, move.destination, frozenset(number[one] for one in move.after), move.temporary)
        for move in made.moves
    ]
    assert faults(scenario.snapshot, scenario.wish, legs) == []
    free = scenario.wish.model_copy(update={"most_moves": None})
    assert unsound(scenario.snapshot, free, _ends(scenario, made)) == ()
    assert made.after.total <= made.before.total + 1e-9
    assert made.bound is None or made.bound <= made.after.total + 1e-6
    assert made.transfer_bytes == sum(move.transfer_bytes for move in made.moves)
    assert made.least_seconds <= made.seconds + 1e-6
    assert [move.number for move in made.moves] == list(range(1, len(made.moves) + 1))
    assert [move.begins_s for move in made.moves] == sorted(move.begins_s for move in made.moves)


def _ends(scenario: Scenario, made: Plan) -> dict[str, str]:
    return {one.id: one.host for one in scenario.snapshot.instances} | {
        move.instance: move.destination for move in made.moves
    }


class _Told:
    """One check for each key of ``expect``."""

    def __init__(self, scenario: Scenario, made: Plan) -> None:
        self._plan = made
        self._snapshot = scenario.snapshot
        self._ends = _ends(scenario, made)
        self._short = [
            f"{move.name} {move.source}>{move.destination}{' for a while' if move.temporary else ''}"
            for move in made.moves
        ]

    def moves(self, wanted: list[str]) -> None:
        assert self._short == wanted

    def moves_in_any_order(self, wanted: list[str]) -> None:
        assert sorted(self._short) == sorted(wanted)

    def count(self, wanted: int) -> None:
        assert len(self._short) == wanted, self._short

    def temporary(self, wanted: int) -> None:
        assert sum(move.temporary for move in self._plan.moves) == wanted, self._short

    def sent(self, wanted: str | int) -> None:
        assert self._plan.transfer_bytes == size(wanted), self._short

    def empty(self, wanted: list[str]) -> None:
        there = set(self._ends.values())
        assert [host.name for host in self._snapshot.hosts if host.name not in there] == wanted

    def at(self, wanted: Mapping[str, str | list[str]]) -> None:
        for one, hosts in wanted.items():
            assert self._ends[one] in ([hosts] if isinstance(hosts, str) else hosts), one

    def on(self, wanted: Mapping[str, int]) -> None:
        """How many instances are on a host in the end."""
        assert {host: Counter(self._ends.values())[host] for host in wanted} == dict(wanted)

    def fullest(self, wanted: float) -> None:
        """The share of its memory that the fullest host has taken is at most this."""
        used: Counter[str] = Counter()
        for one in self._snapshot.instances:
            used[self._ends[one.id]] += one.sizes.get(MEMORY, 0)
        capacity = {host.name: host.resources[MEMORY].capacity for host in self._snapshot.hosts}
        assert max(used[host] / capacity[host] for host in capacity if capacity[host]) <= wanted + 1e-9

    def stays(self, wanted: Mapping[str, str]) -> None:
        """Who is named as staying, each with words that its reason has."""
        told = self._plan.stays
        assert told.keys() == wanted.keys(), told
        for one, words in wanted.items():
            assert words in told[one]

    def remark(self, words: str) -> None:
        assert words in (self._plan.remark or "")

    def after(self, wanted: Mapping[str, float]) -> None:
        """Terms of the score of where the moves lead, without their weights."""
        terms = {term.name: term.value / term.weight for term in self._plan.after.terms}
        assert {name: terms[name] for name in wanted} == {name: pytest.approx(of) for name, of in wanted.items()}

    def after_at_most(self, wanted: Mapping[str, float]) -> None:
        terms = {term.name: term.value / term.weight for term in self._plan.after.terms}
        assert {name: terms[name] for name, most in wanted.items() if terms[name] > most + 1e-9} == {}

    def gap(self, wanted: float) -> None:
        assert self._plan.gap is not None
        assert self._plan.gap <= wanted + 1e-6

    def seconds(self, wanted: float) -> None:
        assert self._plan.seconds == pytest.approx(wanted)

    def least_seconds(self, wanted: float) -> None:
        assert self._plan.least_seconds == pytest.approx(wanted)

    def waits(self, wanted: Mapping[str, list[str]]) -> None:
        """Which moves, by the instances' names, some wait for; each instance moves once here."""
        name = {move.number: move.name for move in self._plan.moves}
        found = {move.name: sorted(name[one] for one in move.after) for move in self._plan.moves}
        assert {one: found[one] for one in wanted} == dict(wanted)

    def reasons(self, wanted: Mapping[str, str]) -> None:
        """What the moves of some instances are for."""
        found = {move.name: move.reason for move in self._plan.moves if not move.temporary}
        assert {one: found.get(one) for one in wanted} == dict(wanted)
