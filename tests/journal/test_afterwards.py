"""After Hotfoot was killed: the record is ended by what the hosts say, and never by a guess."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.journal.cloud_double import INSTANCE, CloudDouble
from tests.journal.records import DEAD, STRANGER, UUID, completed, failed, record

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.journal import afterwards, following
from hotfoot.journal.afterwards import is_orphan, look_afterwards, look_again
from hotfoot.journal.claim import Claim, to_xml
from hotfoot.journal.keeping import Keeping
from hotfoot.journal.living import myself
from hotfoot.journal.place import Place
from hotfoot.journal.record import Record
from hotfoot.journal.store import Open, Store
from hotfoot.migration.prepare import Request
from hotfoot.migration.result import MigrationResult, Outcome

HOSTS = ("n1", "n2", "n3")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(Place(file=tmp_path / "migrations.sqlite3"))
    yield store
    store.close()


@pytest.fixture
def orphan(store: Store) -> Record:
    return store.find(store.entries.open(record(owner=DEAD)))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(afterwards, "PATIENCE_S", 0.05)
    monkeypatch.setattr(afterwards, "AGAIN_S", 0.01)
    monkeypatch.setattr(following, "LOOK_S", 0.01)


async def settle(store: Store, double: CloudDouble, **how: str) -> tuple[afterwards.Found, ...]:
    return await look_afterwards(double.cloud, store, "rack1", HOSTS, **how)


async def test_an_instance_on_the_destination_has_moved(store: Store, orphan: Record) -> None:
    double = CloudDouble(at="n2", text=to_xml(Claim(owner=DEAD, since_ms=0)))
    (found,) = await settle(store, double)
    assert "ann@ctl1" in found.sentence
    assert "vm1 lives on n2" in found.sentence
    ended = store.find(orphan.id)
    assert (ended.word, ended.found_afterwards) == ("completed", True)
    assert (ended.number("downtime_ms"), ended.number("total_ms")) == (80, 2000)
    assert double.text is None
    assert await settle(store, double) == ()


async def test_an_instance_on_the_source_has_not_moved(store: Store, orphan: Record) -> None:
    await settle(store, CloudDouble(at="n1"))
    ended = store.find(orphan.id)
    assert (ended.word, ended.status) == ("failed", ExitStatus.FAILED_ON_SOURCE)
    assert ended.number("downtime_ms") is None


async def test_what_was_stopped_is_told_as_stopped(store: Store, orphan: Record) -> None:
    await settle(store, CloudDouble(at="n1"), stopped=INSTANCE.uuid)
    assert store.find(orphan.id).word == "aborted"


async def test_an_instance_that_no_host_has_is_unknown(store: Store, orphan: Record) -> None:
    await settle(store, CloudDouble(at="nowhere"))
    ended = store.find(orphan.id)
    assert (ended.word, ended.status) == ("unknown", ExitStatus.UNKNOWN_STATE)


async def test_what_could_not_be_known_is_ended_by_what_is_known_later_with_what_was_measured(store: Store) -> None:
    unknown = failed(record(), ExitStatus.UNKNOWN_STATE, "n2 does not answer.")
    unknown = replace(unknown, result={**(unknown.result or {}), "outage_ms": 700})
    name = store.entries.open(unknown)
    store.entries.open(failed(record(started_ms=unknown.started_ms + 1), ExitStatus.REFUSED, "n2 does not answer."))
    assert await look_again(CloudDouble(at="nowhere", silent=("n2",)).cloud, store, "rack1", UUID)
    assert store.find(name).word == "unknown"
    found = await look_again(CloudDouble(at="n2").cloud, store, "rack1", UUID)
    assert found
    assert "vm1 lives on n2" in found.sentence
    assert (store.find(name).word, store.find(name).number("outage_ms")) == ("completed", 700)
    assert await look_again(CloudDouble(at="n1").cloud, store, "rack1", UUID) is None


async def test_only_the_last_migration_of_an_instance_is_looked_at_again(store: Store) -> None:
    store.entries.open(failed(record(started_ms=1_000), ExitStatus.UNKNOWN_STATE, "n2 does not answer."))
    store.entries.open(completed(record(started_ms=2_000)))
    assert await look_again(CloudDouble(at="n2").cloud, store, "rack1", UUID) is None


async def test_as_long_as_a_host_is_silent_and_nothing_is_proven_the_record_stays_open(
    store: Store, orphan: Record
) -> None:
    (found,) = await settle(store, CloudDouble(at="nowhere", silent=("n2",)))
    assert "n2 does not answer" in found.sentence
    assert store.find(orphan.id).ended_ms is None
    await settle(store, CloudDouble(at="n2"))
    assert store.find(orphan.id).word == "completed"


async def test_a_migration_that_goes_on_is_left_alone(store: Store, orphan: Record) -> None:
    (found,) = await settle(store, CloudDouble(samples_left=1))
    assert found.under_way
    assert "`hotfoot watch vm1`" in found.sentence
    assert store.find(orphan.id).ended_ms is None


async def test_the_records_of_the_living_and_of_other_clusters_are_left_alone(store: Store) -> None:
    store.entries.open(record())
    store.entries.open(record(owner=DEAD, cluster="rack2"))
    store.entries.open(record(owner=DEAD, destination="n9"))
    assert await settle(store, CloudDouble()) == ()


def test_an_owner_on_another_machine_is_dead_when_it_has_been_silent() -> None:
    stranger = record(owner=STRANGER)
    assert not is_orphan(Open(stranger, 5_000))
    assert is_orphan(Open(stranger, 60_000))
    assert not is_orphan(Open(record(), 60_000))


def keeping(store: Store, double: CloudDouble, said: list[str]) -> Keeping:
    return Keeping(double.cloud, store.place, "rack1", HOSTS, said.append)


async def test_a_migration_is_picked_up_and_followed_to_its_end(store: Store, orphan: Record) -> None:
    double = CloudDouble(samples_left=4, at="n2")
    taken = await keeping(store, double, []).pick_up(INSTANCE, "n2", lambda _: None)
    assert taken is not None
    assert store.find(orphan.id).owner == myself()
    result = await taken.execute()
    assert (result.outcome, result.id) == (Outcome.COMPLETED, orphan.id)
    assert "Picked up" in (result.reason or "")
    ended = store.find(orphan.id)
    assert (ended.word, ended.found_afterwards) == ("completed", True)
    assert len(store.samples(orphan.id)) == 3


async def test_a_migration_that_was_picked_up_can_be_stopped(store: Store, orphan: Record) -> None:
    double = CloudDouble(samples_left=1_000, at="n1")
    taken = await keeping(store, double, []).pick_up(INSTANCE, None, lambda _: None)
    assert taken is not None
    taken.request_abort()
    assert (await taken.execute()).outcome is Outcome.ABORTED
    assert double.aborted
    assert store.find(orphan.id).word == "aborted"


async def test_nothing_is_picked_up_on_the_way_to_another_host_or_when_nothing_is_under_way(
    store: Store, orphan: Record
) -> None:
    assert await keeping(store, CloudDouble(), []).pick_up(INSTANCE, "n2", lambda _: None) is None
    assert await keeping(store, CloudDouble(samples_left=9), []).pick_up(INSTANCE, "n3", lambda _: None) is None
    assert store.find(orphan.id).owner == DEAD


async def test_the_migration_of_a_living_one_is_refused_by_name(store: Store) -> None:
    double = CloudDouble(samples_left=9, text=to_xml(Claim(owner=replace(myself(), user="ann"), since_ms=0)))
    with pytest.raises(HotfootError, match="ann@"):
        await keeping(store, double, []).pick_up(INSTANCE, None, lambda _: None)


async def test_a_refusal_is_kept_with_its_reason(store: Store) -> None:
    refused = MigrationResult(
        instance="vm1", outcome=Outcome.FAILED, status=ExitStatus.REFUSED, reason="no room on n2", destination="n2"
    )
    kept = await keeping(store, CloudDouble(), []).refused(INSTANCE, Request(instance="vm1"), refused)
    assert kept.id is not None
    found = store.find(kept.id)
    assert (found.word, found.reason, found.destination, found.uuid) == (
        "refused", "no room on n2", "n2", INSTANCE.uuid,
    )  # fmt: skip


async def test_a_journal_that_cannot_be_written_stops_no_refusal(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    said: list[str] = []
    kept = keeping(Store(Place(file=tmp_path / "file" / "x.sqlite3")), CloudDouble(), said)
    refused = MigrationResult(instance="vm1", outcome=Outcome.FAILED, status=ExitStatus.REFUSED, reason="no room")
    assert await kept.refused(INSTANCE, Request(instance="vm1"), refused) == refused
    assert len(said) == 1
    assert "cannot be used" in said[0]
