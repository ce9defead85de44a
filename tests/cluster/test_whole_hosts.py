"""The parts of the cluster file about whole hosts: rules, zones, how to balance."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotfoot.cluster import load
from hotfoot.errors import HotfootError

HOSTS = "hosts: [{name: n1, address: 10.0.0.1, zone: r1}, {name: n2, address: 10.0.0.2}]\n"


def mistakes(folder: Path, text: str) -> list[str]:
    (folder / "hotfoot.yaml").write_text(HOSTS + text)
    with pytest.raises(HotfootError) as error:
        load(None, folder)
    return [line.partition("hotfoot.yaml:")[2] for line in str(error.value).splitlines()]


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("{name: a, kind: apart, instances: [vm1, vm2], hosts: [n1]}", "rule a is apart, which has no hosts."),
        ("{name: a, kind: only-on, instances: [vm1]}", "rule a needs hosts."),
        ("{name: a, kind: near, instances: [vm1]}", "rule a needs near."),
        ("{name: a, kind: not-on, instances: [vm1], hosts: [n7]}", "rule a names n7, which is no host of this file."),
        (
            "{name: a, kind: spread, instances: [vm1, vm2], zones: 2}",
            "rule a needs 2 zones, and the hosts of this file are in 1; hosts[].zone says which host is in which.",
        ),
        ("{name: a, kind: apart, instances: []}", "rules entry 1: instances needs at least one entry."),
        ("{name: a, kind: togethr, instances: [b]}", "did you mean together?"),
    ],
)
def test_a_rule_that_says_nothing_is_a_mistake_with_its_line(tmp_path: Path, rule: str, sentence: str) -> None:
    (found,) = mistakes(tmp_path, f"rules:\n  - {rule}\n")
    assert found.startswith("3: ")
    assert found.endswith(sentence)


def test_two_rules_of_one_name_are_a_mistake(tmp_path: Path) -> None:
    rule = "  - {name: a, kind: apart, instances: [vm1, vm2]}\n"
    assert mistakes(tmp_path, f"rules:\n{rule}{rule}") == ["4: a second rule is named a, as the one in line 3."]


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ("every: 1s", 'balance.every must be at least 5s, since a look at all hosts takes as long, not "1s".'),
        ("cooldown: 5", "balance.cooldown must be a duration with its unit, such as 500ms or 90s or 10m or 2h."),
        ("threshold: 3", "balance.threshold must be at most 1.0, not 3."),
        ('quiet: ["22-6"]', 'balance.quiet.0 must be a part of the day, such as 22:00-06:00, not "22-6".'),
        ('quiet: ["1:00-1:00"]', 'balance.quiet.0 must be a part of the day, such as 22:00-06:00, not "1:00-1:00".'),
        ("rounds: 0", "balance.rounds must be at least 1, not 0."),
        (
            "load: {prometheus: mon, query: up}",
            'balance.load.prometheus must be a URL such as http://10.0.0.9:9090, not "mon".',
        ),
        (
            "load: {prometheus: 'http://a:b@mon', query: up}",
            "balance.load.prometheus must be a URL without a user and a password.",
        ),
        (
            "load: {prometheus: 'http://mon', query: up, label: a-b}",
            'balance.load.label must be the name of a label, not "a-b".',
        ),
    ],
)
def test_how_to_balance_is_checked(tmp_path: Path, keys: str, sentence: str) -> None:
    assert mistakes(tmp_path, f"balance: {{{keys}}}\n") == [f"2: {sentence}"]


def test_what_is_declared_is_understood(tmp_path: Path) -> None:
    (tmp_path / "hotfoot.yaml").write_text(
        HOSTS + 'rules: [{name: a, kind: apart, instances: [vm1, "6d6"]}]\n'
        'balance: {measured: true, every: 1m, cooldown: 2h, quiet: ["22:00-06:00"], max_moves: 4}\n'
    )
    found = load(None, tmp_path)
    assert found.rules[0].instances == ("vm1", "6d6")
    assert (found.balance.every_ms, found.balance.cooldown_ms, found.balance.max_moves) == (60_000, 7_200_000, 4)
    assert (found.balance.threshold, found.balance.rounds) == (0.05, 3)
