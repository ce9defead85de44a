"""Rules and zones of a cluster file, put on a snapshot."""

from __future__ import annotations

from pathlib import Path

from tests.placement.small import host, instance, rule

from hotfoot.cluster import load
from hotfoot.placement.declared import declared_of
from hotfoot.placement.snapshot import RuleKind, Snapshot

FILE = """\
hosts: [{name: h1, address: 10.0.0.1, zone: r1}, {name: h2, address: 10.0.0.2, zone: r2}, {name: h3, address: 10.0.0.3}]
rules:
  - {name: pair, kind: together, instances: [a, b, gone]}
  - {name: home, kind: only-on, instances: [a], hosts: [h1, h3], hard: false, weight: 3}
  - {name: none, kind: apart, instances: [gone, away]}
  - {name: by, kind: near, instances: [a], near: [gone]}
"""


def test_rules_name_instances_by_name_or_uuid_and_what_is_not_there_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(FILE)
    seen = Snapshot(
        hosts=(host("h1"), host("h2")),
        instances=(instance("a", "h1"), instance("b", "h2").model_copy(update={"id": "b-1"})),
        rules=(rule("pair", RuleKind.APART, "a", "b-1"), rule("kept", RuleKind.APART, "a", "b-1")),
    )
    found = declared_of(load(tmp_path / "c.yaml", tmp_path)).on(seen)
    assert [(one.name, one.kind, one.instances) for one in found.rules] == [
        ("kept", RuleKind.APART, ("a", "b-1")),
        ("pair", RuleKind.TOGETHER, ("a", "b-1")),
        ("home", RuleKind.ONLY_ON, ("a",)),
    ]
    assert (found.rules[2].hosts, found.rules[2].hard, found.rules[2].weight) == (frozenset({"h1"}), False, 3.0)
    assert [one.zone for one in found.hosts] == ["r1", "r2"]
    assert Snapshot.model_validate(found.as_json()) == found


def test_of_two_instances_with_one_name_a_rule_means_both(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(FILE)
    twins = tuple(instance("a", on).model_copy(update={"id": f"a-{on}"}) for on in ("h1", "h2"))
    seen = Snapshot(hosts=(host("h1"), host("h2")), instances=twins)
    found = declared_of(load(tmp_path / "c.yaml", tmp_path)).on(seen)
    assert found.rules[0].instances == ("a-h1", "a-h2")
