"""A snapshot as a file: what is written can be read, what is wrong is told with its place, and the schema is true."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.placement.short_form import read

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.placement.snapshot import Snapshot, json_schema
from hotfoot.placement.snapshot_text import read_snapshot

ROOT = Path(__file__).parents[2]
GOOD: dict[str, Any] = {
    "hosts": [{"name": "h1", "resources": {"memory_bytes": {"total": 8}}}],
    "instances": [{"name": "web1", "id": "1", "host": "h1", "sizes": {"memory_bytes": 4}}],
}


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "scenarios").glob("*.yaml")), ids=lambda one: one.stem)
def test_what_is_written_is_read_again(path: Path) -> None:
    snapshot = read(path).snapshot
    assert read_snapshot(json.dumps(snapshot.as_json()), "it") == snapshot


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda of: of["hosts"][0].pop("resources"), "hosts[0] (h1).resources: this key is missing"),
        (lambda of: of["hosts"][0].update(maintenace=True), "hosts[0] (h1).maintenace: there is no such key"),
        (lambda of: of["instances"][0]["sizes"].update(memory_bytes=-1), "instances[0] (web1).sizes.memory_bytes: "),
        (lambda of: of["instances"][0].update(host="h9"), "web1 is on h9, which is no host of the snapshot"),
        (lambda of: of.update(hosts=of["hosts"] * 2), "host h1 is there twice"),
        (lambda of: of.update(instances=of["instances"] * 2), "instance id 1 is there twice"),
        (lambda of: of.update(format=2), "format: should be 1"),
        (lambda of: of.update(hosts={"h1": {}}), "hosts: should be"),
        (
            lambda of: of.update(rules=[{"name": "r", "kind": "apart", "instances": ["1", "7"]}]),
            "rule r names the instance 7, which is not there",
        ),
        (
            lambda of: of.update(rules=[{"name": "r", "kind": "apart", "instances": ["1"]}] * 2),
            "rule r is there twice",
        ),
    ],
)
def test_a_mistake_is_one_sentence_with_its_place(change: Any, words: str) -> None:
    told = json.loads(json.dumps(GOOD))
    assert read_snapshot(json.dumps(told), "c.json")
    change(told)
    with pytest.raises(HotfootError) as caught:
        read_snapshot(json.dumps(told), "c.json")
    assert str(caught.value).startswith("c.json")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.status is ExitStatus.USAGE


def test_text_that_is_no_json_is_told_with_its_line() -> None:
    with pytest.raises(HotfootError, match=r"c\.json is not JSON: line 2, column 1"):
        read_snapshot("{\n", "c.json")


def test_the_schema_in_docs_is_the_models() -> None:
    assert json.loads((ROOT / "docs" / "snapshot.schema.json").read_text()) == json_schema()


def test_the_example_in_docs_is_a_snapshot() -> None:
    text = (ROOT / "docs" / "snapshot.md").read_text()
    example = text.split("```json\n", 1)[1].split("```", 1)[0]
    snapshot = read_snapshot(example, "docs/snapshot.md")
    assert isinstance(snapshot, Snapshot)
    assert snapshot.rules
