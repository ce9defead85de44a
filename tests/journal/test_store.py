"""The journal on SQLite and on PostgreSQL: what was written is read again, and nothing is lost or doubled."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from tests.journal.records import DEAD, UUID, completed, failed, record

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.journal.database import connect
from hotfoot.journal.living import myself
from hotfoot.journal.place import Place
from hotfoot.journal.record import Timed
from hotfoot.journal.store import Store, Wanted
from hotfoot.journal.tables import METADATA


def test_a_record_comes_back_as_it_was_written(store: Store) -> None:
    opened = record(forecast={"total_ms": 900, "verdict": "converges"}, asked_from="10.0.0.7")
    name = store.entries.open(opened)
    found = store.find(name)
    assert replace(found, id="", heartbeat_ms=0) == opened
    assert store.left_open("rack1")[0].record == found
    assert store.left_open("rack1")[0].silent_ms < 60_000
    assert store.left_open("rack2") == ()


def test_it_ends_once_and_the_owners_word_stands_above_what_others_found(store: Store) -> None:
    opened = record()
    opened = replace(opened, id=store.entries.open(opened))
    guessed = replace(failed(opened, ExitStatus.UNKNOWN_STATE, "not known"), found_afterwards=True)
    assert store.entries.end(guessed)
    assert not store.entries.end(replace(guessed, ended_ms=1))
    assert store.entries.end(completed(opened))
    assert not store.entries.end(failed(opened, ExitStatus.FAILED_ON_SOURCE, "late"))
    found = store.find(opened.id)
    assert (found.word, found.number("downtime_ms"), found.found_afterwards) == ("completed", 90, False)
    assert store.left_open("rack1") == ()


def test_where_the_cloud_chose_the_destination_it_is_kept_with_the_end(store: Store) -> None:
    opened = record(destination=None)
    opened = replace(opened, id=store.entries.open(opened))
    assert store.entries.end(completed(opened, destination="n3"))
    (found,) = store.records(Wanted(host="n3"))
    assert (found.destination, found.word) == ("n3", "completed")


def test_looks_and_actions_are_kept_in_order_and_never_twice(store: Store) -> None:
    name = store.entries.open(record())
    looks = [(n, Timed(1000 * n, {"iteration": n})) for n in range(5)]
    store.entries.add(name, looks[:3], [(0, Timed(700, {"kind": "throttle"}))])
    store.entries.add(name, looks[1:], [(0, Timed(700, {"kind": "throttle"}))])
    assert [timed.what["iteration"] for timed in store.samples(name)] == [0, 1, 2, 3, 4]
    assert len(store.actions(name)) == 1
    assert store.entries.counts(name) == {"samples": 5, "actions": 1}


def test_history_is_narrowed_and_the_newest_comes_first(store: Store) -> None:
    first = record(started_ms=1_000)
    store.entries.open(completed(first))
    store.entries.open(failed(replace(first, started_ms=2_000, instance="vm2"), ExitStatus.REFUSED, "no room"))
    store.entries.open(replace(first, started_ms=3_000, source="n3", cluster="rack2"))

    def found(wanted: Wanted) -> list[int]:
        return [each.started_ms for each in store.records(wanted)]

    assert found(Wanted()) == [3_000, 2_000, 1_000]
    assert found(Wanted(cluster="rack1")) == [2_000, 1_000]
    assert found(Wanted(instance="vm2")) == [2_000]
    assert found(Wanted(instance=UUID[:6].upper())) == [3_000, 2_000, 1_000]
    assert found(Wanted(instance="%")) == []
    assert found(Wanted(host="n3")) == [3_000]
    assert found(Wanted(since_ms=2_000)) == [3_000, 2_000]
    assert found(Wanted(failed=True)) == [2_000]
    assert found(Wanted(limit=1)) == [3_000]


def test_pruning_forgets_what_is_old_and_ended_with_all_that_belongs_to_it(store: Store) -> None:
    old = record(started_ms=1_000)
    name = store.entries.open(completed(old))
    store.entries.add(name, [(0, Timed(1, {}))], [])
    left_open = store.entries.open(old)
    store.entries.open(completed(replace(old, cluster="rack2")))
    store.entries.open(completed(record()))
    assert store.prune("rack1", 2_000, dry_run=True) == 1
    assert store.prune("rack1", 2_000) == 1
    assert store.prune("rack1", 2_000) == 0
    assert store.samples(name) == ()
    assert len(store.records()) == 3
    assert store.find(left_open).ended_ms is None


def test_an_orphan_is_taken_over_by_one_process_only(store: Store) -> None:
    name = store.entries.open(record(owner=DEAD))
    orphan = store.find(name)
    taken = store.adopt(orphan, myself())
    assert taken is not None
    assert store.find(name).owner == myself()
    assert store.adopt(orphan, myself()) is None


def test_many_that_open_a_new_file_at_once_all_can(tmp_path: Path) -> None:
    def opened(n: int) -> None:
        connect(Place(file=tmp_path / str(n // 6) / "migrations.sqlite3")).close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(opened, range(600)))


def test_several_threads_of_one_process_end_their_records_at_once(store: Store) -> None:
    opened = [replace(each, id=store.entries.open(each)) for each in [record(owner=DEAD)] * 60]

    def end(number: int) -> bool:
        if number % 20 == 7:
            store.entries.close()  # as a command does that gives up while a thread of its own still writes
        return store.entries.end(failed(opened[number], ExitStatus.FAILED_ON_SOURCE, "found afterwards"))

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(end, range(60)))
    assert store.left_open("rack1") == ()


def test_two_that_find_no_tables_make_them_once(place: Place) -> None:
    stores = [Store(place) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        names = list(pool.map(lambda store: store.entries.open(record()), stores))
    assert len({*names}) == 4
    assert len(stores[0].records()) == 4
    for store in stores:
        store.close()


def test_the_tables_are_what_the_steps_of_the_schema_make(store: Store) -> None:
    store.entries.open(record())
    with store.transaction() as database:
        context = MigrationContext.configure(database, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_a_journal_of_a_newer_hotfoot_is_refused(store: Store) -> None:
    store.entries.open(record())
    with store.transaction() as database:
        database.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(HotfootError, match="newer Hotfoot"):
        Store(store.place).records()


def test_an_id_that_fits_none_or_two_is_told(store: Store) -> None:
    for _ in range(2):
        store.entries.open(record(started_ms=1_000))
    with pytest.raises(HotfootError, match="two migrations 1970"):
        store.find("1970")
    with pytest.raises(HotfootError, match="no migration %"):
        store.find("%")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "migrations.sqlite3"


def test_reading_makes_no_file(file: Path) -> None:
    store = Store(Place(file=file))
    assert store.records() == ()
    assert store.left_open("rack1") == ()
    assert not store.place.may_hold_open
    assert not file.parent.exists()


def test_a_first_look_tells_whether_anything_is_open(file: Path) -> None:
    store = Store(Place(file=file))
    opened = record()
    opened = replace(opened, id=store.entries.open(opened))
    assert store.place.may_hold_open
    store.entries.end(completed(opened))
    assert not store.place.may_hold_open
    store.close()


def test_a_file_that_is_no_database_is_told_in_one_line(file: Path) -> None:
    file.parent.mkdir()
    file.write_text("something else, long enough to be looked at as the header of a database file; " * 20)
    assert Place(file=file).may_hold_open
    with pytest.raises(HotfootError, match=r"cannot be used: file is not a database$"):
        Store(Place(file=file)).records()
    assert file.read_text().startswith("something else")


def test_a_server_that_is_not_there_is_told_without_its_password() -> None:
    store = Store(Place(url="postgresql://hotfoot:secret@127.0.0.1:1/journal"))
    with pytest.raises(HotfootError) as caught:
        store.records()
    assert "127.0.0.1" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_reader_sees_the_write_ahead_log(file: Path) -> None:
    store = Store(Place(file=file))
    store.entries.open(record())
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("SELECT count(*) FROM migrations").fetchone() == (1,)
    store.close()
