"""What earlier migrations tell of the way between two hosts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.journal.records import completed, failed, record

from hotfoot.errors import ExitStatus
from hotfoot.journal.place import Place
from hotfoot.journal.record import Record
from hotfoot.journal.store import Store
from hotfoot.journal.throughput import earlier_throughputs


def moved(throughput: int, asked: dict[str, Any] | None = None, **changes: Any) -> Record:
    of = record(asked=asked or {}, **changes)
    done = completed(of)
    return replace(done, result={**(done.result or {}), "throughput_bytes_per_s": throughput})


def test_plain_moves_the_same_way_count(store: Store) -> None:
    records = [
        moved(300),
        moved(1, source="n2", destination="n1"),
        moved(2, destination="n3"),
        moved(3, mode="block"),
        moved(4, asked={"bandwidth_bytes_per_s": 5}),
        moved(5, asked={"parallel": 4}),
        moved(6, asked={"native_tls": True}),
        moved(7, cluster="rack2"),
        failed(record(), ExitStatus.FAILED_ON_SOURCE, "The link was cut."),
        completed(record()),
        moved(200, asked={"parallel": 0, "native_tls": False, "bandwidth_bytes_per_s": None}),
    ]
    newest_ms = records[0].started_ms
    for age_ms, each in enumerate(records):
        store.entries.open(replace(each, started_ms=newest_ms - age_ms))
    assert earlier_throughputs(store.place, "rack1", "n1", "n2") == (300, 200)


def test_where_there_is_no_journal_nothing_is_known(tmp_path: Path) -> None:
    place = Place(file=tmp_path / "none.sqlite3")
    assert earlier_throughputs(place, "rack1", "n1", "n2") == ()
    assert place.file is not None
    assert not place.file.exists()
    (tmp_path / "broken.sqlite3").write_text("not a database, and long enough to be taken for one" * 100)
    assert earlier_throughputs(Place(file=tmp_path / "broken.sqlite3"), "rack1", "n1", "n2") == ()
