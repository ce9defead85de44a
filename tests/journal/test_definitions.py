"""Definitions in the journal, on SQLite and on PostgreSQL; what a look changes of them."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.evacuation.definitions import definition, kept, uuid_of
from tests.journal.records import record

from hotfoot.definition import Definition
from hotfoot.journal.definitions import Definitions, Kept, settle
from hotfoot.journal.store import Store

HOSTS = ("n1", "n2", "n3")


def places(definitions: Definitions) -> dict[str, tuple[str, bool]]:
    return {one.definition.name: (one.host, one.definition.running) for one in definitions.kept("rack1")}


def test_definitions_are_kept_changed_and_forgotten(store: Store) -> None:
    definitions = Definitions(store)
    definitions.keep("rack1", {"n1": (definition("a"), definition("b")), "n2": ()}, 100, whole=True)
    assert definitions.kept("other") == ()
    changed = replace(definition("a"), xml="<domain>more</domain>", autostart=True)
    definitions.keep("rack1", {"n1": (changed,), "n2": ()}, 200, whole=True)
    (left,) = definitions.kept("rack1")
    assert (left.definition, left.host, left.seen_ms) == (changed, "n1", 200)


def test_what_a_silent_host_had_stays_and_an_old_definition_elsewhere_does_not_replace_it(store: Store) -> None:
    definitions = Definitions(store)
    definitions.keep("rack1", {"n1": (definition("a"),), "n2": (definition("b"),)}, 100, whole=True)
    definitions.keep("rack1", {"n2": (definition("a", running=False),)}, 200, whole=False)
    assert places(definitions) == {"a": ("n1", True), "b": ("n2", True)}
    definitions.keep("rack1", {"n2": (definition("a"),)}, 300, whole=False)
    assert places(definitions)["a"] == ("n2", True)


def test_a_look_that_began_before_a_start_does_not_take_it_back(store: Store) -> None:
    definitions = Definitions(store)
    definitions.keep("rack1", {"n1": (definition("a"),)}, 100, whole=True)
    definitions.place("rack1", uuid_of("a"), "n2", 300)
    definitions.keep("rack1", {"n1": (definition("a"),), "n2": ()}, 200, whole=True)
    assert places(definitions) == {"a": ("n2", True)}


def test_a_completed_migration_takes_the_definition_to_its_destination(store: Store) -> None:
    definitions = Definitions(store)
    definitions.keep("rack1", {"n1": (definition("a"),)}, 100, whole=True)
    moved = record(uuid=uuid_of("a"), source="n1", destination="n2")
    opened = replace(moved, id=store.entries.open(moved))
    store.entries.end(replace(opened, ended_ms=5_000, outcome="failed", status=4))
    assert places(definitions) == {"a": ("n1", True)}
    again = replace(moved, id=store.entries.open(moved))
    store.entries.end(replace(again, ended_ms=6_000, outcome="completed", status=0))
    assert places(definitions) == {"a": ("n2", True)}


rows = st.dictionaries(
    st.sampled_from("abc"), st.tuples(st.sampled_from(HOSTS), st.booleans(), st.integers(0, 20)), max_size=3
)
looks = st.dictionaries(st.sampled_from(HOSTS), st.dictionaries(st.sampled_from("abc"), st.booleans()))


@given(rows, looks, st.integers(0, 20))
def test_nothing_that_may_run_on_a_silent_host_is_forgotten_or_taken_for_off(
    rows: dict[str, tuple[str, bool, int]], looks: dict[str, dict[str, bool]], at_ms: int
) -> None:
    before: list[Kept] = [
        kept(name, host, running=running, placed_ms=placed) for name, (host, running, placed) in rows.items()
    ]
    seen: dict[str, list[Definition]] = {
        host: [definition(name, running=running) for name, running in found.items()] for host, found in looks.items()
    }
    whole = set(seen) == set(HOSTS)
    settled = settle(before, seen, at_ms, whole=whole)
    assert whole or not settled.gone
    for one in before:
        uuid = one.definition.uuid
        if one.placed_ms > at_ms:
            assert uuid not in settled.put
            assert uuid not in settled.gone
        if one.host not in seen and one.definition.running and uuid in settled.put:
            assert settled.put[uuid][1].running
    for uuid, (host, one_seen) in settled.put.items():
        assert one_seen in seen[host]
        runs = [other for found in seen.values() for other in found if other.uuid == uuid and other.running]
        assert one_seen.running == bool(runs)
