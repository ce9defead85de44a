"""``hotfoot plan`` and ``hotfoot snapshot``, from files."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.placement.short_form import read
from typer.testing import CliRunner

from hotfoot.cli.app import command_line
from hotfoot.errors import HotfootError

SCENARIOS = Path(__file__).parents[1] / "placement" / "scenarios"


@dataclass(frozen=True)
class _Done:
    returncode: int
    stdout: str
    stderr: str


def _hotfoot(*words: str, told: str = "") -> _Done:
    """Run a command in this process: to load the solver anew for each would take a second."""
    done = CliRunner().invoke(command_line(words), words, input=told)
    if isinstance(done.exception, HotfootError):
        return _Done(int(done.exception.status), done.stdout, str(done.exception))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return _Done(done.exit_code, done.stdout, "")


@pytest.fixture
def saved(tmp_path: Path) -> dict[str, str]:
    found = {}
    for name in ("drain-chain", "drain-no-room", "balance-within-threshold", "restore-brings-home"):
        found[name] = str(tmp_path / f"{name}.json")
        snapshot = read(SCENARIOS / f"{name}.yaml").snapshot
        Path(found[name]).write_text(json.dumps(snapshot.as_json()))
    return found


def test_a_drain_shows_moves_in_order_with_what_each_waits_for(saved: dict[str, str]) -> None:
    done = _hotfoot("plan", "drain", "h1", "--snapshot", saved["drain-chain"])
    assert done.returncode == 0
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[1][:4] == ["1", "small", "h2", "h3"]
    assert rows[2][:4] == ["2", "big", "h1", "h2"]
    assert rows[2][-3:] == ["1", "empties", "h1"]
    assert "No placement is better: proved." in done.stdout
    assert "When it ends is not known" in done.stdout


def test_json_has_moves_scores_bound_and_reasons(saved: dict[str, str]) -> None:
    told = json.loads(_hotfoot("plan", "drain", "h1", "--json", "--snapshot", saved["drain-no-room"]).stdout)
    assert [(move["number"], move["name"], move["source"]) for move in told["moves"]] == [(1, "web4", "h1")]
    assert told["before"]["total"] > told["after"]["total"] >= told["bound"]
    assert told["stays"]["web3"] == "web3 fits nowhere else: needs 64 GiB, most free is 48 GiB on h2"


def test_nothing_worth_moving_is_said_with_its_reason(saved: dict[str, str]) -> None:
    done = _hotfoot("plan", "balance", "--what", "memory", "--snapshot", saved["balance-within-threshold"])
    assert done.returncode == 0
    assert done.stdout.startswith("Nothing is worth moving: no host is further than")


def test_a_snapshot_can_come_by_standard_input(saved: dict[str, str]) -> None:
    text = Path(saved["drain-chain"]).read_text()
    told = json.loads(_hotfoot("plan", "consolidate", "--json", "--snapshot", "-", told=text).stdout)
    assert told["after"]["total"] <= told["before"]["total"]


def test_restore_takes_homes_from_an_earlier_snapshot(saved: dict[str, str], tmp_path: Path) -> None:
    now = json.loads(Path(saved["restore-brings-home"]).read_text())
    before = json.loads(json.dumps(now))
    before["instances"][0]["host"] = "h1"
    earlier = tmp_path / "before.json"
    earlier.write_text(json.dumps(before))
    words = ("--json", "--snapshot", saved["restore-brings-home"])
    moves = json.loads(_hotfoot("plan", "restore", str(earlier), *words).stdout)["moves"]
    assert [(move["name"], move["destination"], move["reason"]) for move in moves] == [("a", "h1", "brings it home")]
    assert json.loads(_hotfoot("plan", "restore", str(earlier), "h2", *words).stdout)["moves"] == []
    wrong = _hotfoot("plan", "restore", str(earlier), "h2,h99", *words)
    assert wrong.returncode == 2
    assert "has no host h99" in wrong.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("drain", "h9"), "h9 is to be drained, but the snapshot has no such host"),
        (("drain", "h1", "--to", "h2,h9"), "h9 is named as a destination"),
        (("balance", "--what", "gpus"), "gpus"),
        (("balance", "--measured", "--what", "cpu"), "load_capacity of cpu"),
    ],
)
def test_names_that_are_not_there_are_told(saved: dict[str, str], words: tuple[str, ...], sentence: str) -> None:
    done = _hotfoot("plan", *words, "--snapshot", saved["drain-chain"])
    assert done.returncode == 2
    assert sentence in done.stderr


def test_a_bad_snapshot_is_one_sentence(tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    assert "No such file" in _hotfoot("plan", "repair", "--snapshot", str(bad)).stderr
    bad.write_bytes(b"\xff\xfe")
    assert "UTF-8" in _hotfoot("plan", "repair", "--snapshot", str(bad)).stderr
    bad.write_text('{"hosts": [], "instances": [{}]}')
    done = _hotfoot("plan", "repair", "--snapshot", str(bad))
    assert done.returncode == 2
    assert "instances[0].name: this key is missing" in done.stderr
    assert "\n" not in done.stderr


def test_an_empty_cluster_needs_nothing(tmp_path: Path) -> None:
    empty = tmp_path / "empty.json"
    empty.write_text('{"hosts": [], "instances": []}')
    for verb in ("repair", "consolidate"):
        assert "Nothing is worth moving" in _hotfoot("plan", verb, "--snapshot", str(empty)).stdout


def test_the_schema_is_printed_without_a_cluster() -> None:
    told = json.loads(_hotfoot("snapshot", "--schema").stdout)
    assert told["title"] == "Snapshot"
    assert {"hosts", "instances", "rules"} <= told["properties"].keys()


def _loads(code: str) -> set[str]:
    """Return the modules that a program of this Python has loaded at its end."""
    argv = [sys.executable, "-c", f"import sys; {code}; print(*sys.modules)"]
    return set(subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout.split())


def test_help_and_migrate_load_no_solver() -> None:
    loaded = _loads("from hotfoot.cli.app import command_line; command_line([]); import hotfoot.migration.run")
    assert "hotfoot.cli.plan" in loaded
    assert not loaded & {"ortools", "numpy", "pandas"}


def test_a_verb_loads_no_other_verb() -> None:
    loaded = _loads("from hotfoot.cli.app import command_line; command_line(['migrate', 'vm1'])")
    assert "hotfoot.cli.migrate" in loaded
    assert not loaded & {"hotfoot.cli.plan", "hotfoot.cli.prepare", "hotfoot.cli.lab"}
