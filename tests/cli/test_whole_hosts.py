"""``drain``, ``restore``, ``balance``, ``consolidate`` for a snapshot, and ``plan run``, as a user types them."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.cli.test_plan_command import _Done, _hotfoot
from tests.journal.test_plans import plan, step
from tests.placement.test_calm import loaded
from tests.placement.test_recheck import CHAIN

from hotfoot.journal.entries import now_ms
from hotfoot.journal.place import Place
from hotfoot.journal.plan_record import PlanState
from hotfoot.journal.plans import Plans
from hotfoot.journal.store import Store
from hotfoot.placement.course import StepState
from hotfoot.placement.snapshot import Host, Snapshot

LINKED = CHAIN.model_copy(
    update={"hosts": tuple(host.model_copy(update={"link_bytes_per_s": 1 << 26}) for host in CHAIN.hosts)}
)


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOTFOOT_CLUSTER", raising=False)
    found = {}
    for name, snapshot in (("chain", CHAIN), ("linked", LINKED), ("busy", loaded(4.0, 0.0))):
        found[name] = str(tmp_path / f"{name}.json")
        Path(found[name]).write_text(json.dumps(snapshot.as_json()))
    return found


def same(*words: str) -> _Done:
    """The verb for a snapshot says what the plan of the same name says."""
    of_verb, of_plan = _hotfoot(*words), _hotfoot("plan", *words)
    assert of_verb == of_plan
    return of_verb


@pytest.mark.parametrize("json_too", [(), ("--json",)])
def test_for_a_snapshot_a_verb_only_plans_as_the_plan_of_its_name_does(
    saved: dict[str, str], json_too: tuple[str, ...]
) -> None:
    assert "2" in same("drain", "h1", "--snapshot", saved["chain"], *json_too).stdout
    same("drain", "h1", "--to", "h2", "--max-moves", "1", "--snapshot", saved["chain"], *json_too)
    same("consolidate", "--snapshot", saved["chain"], *json_too)
    same("balance", "--threshold", "0", "--snapshot", saved["chain"], *json_too)
    same("balance", "--measured", "--what", "cpu", "--least-gain", "0.5", "--snapshot", saved["busy"], *json_too)
    assert same("drain", "h9", "--snapshot", saved["chain"], *json_too).returncode == 2


def test_a_restore_for_a_snapshot_brings_back_what_the_journal_says_was_drained(
    saved: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOTFOOT_JOURNAL", f"sqlite:///{tmp_path}/journal.sqlite3")
    (tmp_path / "hotfoot.yaml").write_text("name: rack1\nhosts: [{name: h3, address: 10.0.0.1}]\n")
    done = replace(step(1, "small", "h3", "h2", StepState.DONE), uuid="small")
    with closing(Store(Place(file=tmp_path / "journal.sqlite3"))) as store:
        record = Plans(store).open(plan("h3", "h2"), [done])
        Plans(store).put(replace(record, state=PlanState.ENDED, ended_ms=now_ms(), status=0))
    told = json.loads(_hotfoot("restore", "h3", "--snapshot", saved["chain"], "--json").stdout)
    assert [(move["name"], move["destination"]) for move in told["moves"]] == [("small", "h3")]
    assert told["asked"]["wish"]["objective"]["homes"] == {"small": "h3"}


def test_the_expected_end_is_held_against_the_deadline(saved: dict[str, str]) -> None:
    drain = ("drain", "h1", "--snapshot", saved["linked"], "--deadline")
    assert "That is before the deadline, " in _hotfoot(*drain, "2h").stdout
    late = _hotfoot(*drain, "5m").stdout
    assert "comes before that end: 1 move would not be begun (big)." in late
    assert "After the deadline, " in _hotfoot("drain", "h1", "--snapshot", saved["chain"], "--deadline", "2h").stdout
    assert _hotfoot(*drain, "soon").stderr.startswith("--deadline must be such as 90m, 06:00")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--every", "5m"), "are for `hotfoot balance --watch`"),
        (("--watch", "--every", "1s"), "--every must be at least 5s"),
        (("--watch", "--cooldown", "soon"), "--cooldown must be a duration"),
        (("--watch", "--quiet", "9-17"), "--quiet must be a part of the day"),
        (("--watch", "--deadline", "2h"), "takes no --deadline"),
        (("--watch", "--snapshot", "x.json"), "A snapshot does not change"),
    ],
)
def test_options_of_a_watch_that_make_no_sense_are_refused(words: tuple[str, ...], why: str) -> None:
    done = _hotfoot("balance", *words)
    assert (done.returncode, why in done.stderr) == (2, True), done.stderr


def test_what_is_no_plan_is_not_run(saved: dict[str, str]) -> None:
    assert "cannot be read" in _hotfoot("plan", "run", "nowhere.json").stderr
    assert "standard input is not JSON" in _hotfoot("plan", "run", "-", told="x").stderr
    done = _hotfoot("plan", "run", saved["chain"])
    assert (done.returncode, "holds no plan" in done.stderr) == (2, True)


def test_a_plan_as_json_holds_what_it_was_made_for() -> None:
    snapshot = Snapshot(hosts=(Host(name="h1", resources={}),), instances=())
    told = json.loads(
        _hotfoot("plan", "consolidate", "--snapshot", "-", "--json", told=json.dumps(snapshot.as_json())).stdout
    )
    assert told["asked"]["wish"]["objective"] == {"kind": "consolidate"}
    assert told["asked"]["limits"]["per_source"] == 1
