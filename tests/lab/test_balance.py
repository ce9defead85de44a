"""A lopsided cluster: snapshot, a plan kept and carried out later, balanced by a watch, a rule kept throughout."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lab.command import finish, hotfoot
from tests.lab.labs import TestLab, bring_up

pytestmark = pytest.mark.matrix  # two to three minutes
NAME = "balance"
INSTANCES = ("vm1", "vm2", "vm3", "vm4")
APART = "rules: [{name: far, kind: apart, instances: [vm1, vm2]}]\n"
"""``vm1`` begins on n1, ``vm2`` on n2."""


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestLab]:
    """Three hosts, four small instances (two of them on n1), a rule, and a journal of their own."""
    hotfoot("lab", "down", "--name", NAME)
    with pytest.MonkeyPatch.context() as patched:
        folder: Path = tmp_path_factory.mktemp("balance")
        patched.setenv("HOTFOOT_JOURNAL", f"sqlite:///{folder}/journal.sqlite3")
        small = ("--memory", "96", "--rate", "4", "--area", "16")
        lab = bring_up(NAME, "--hosts", "3", "--instances", str(len(INSTANCES)), *small)
        lab.cluster.write_text(lab.cluster.read_text() + APART)
        yield lab
    hotfoot("lab", "down", "--name", NAME)


@pytest.fixture
def apart(rack: TestLab) -> Iterator[TestLab]:
    """Holds every test to the rule, and to whole instances, afterwards: in all that was moved, move by move."""
    at = rack.places()
    known = {record["id"] for record in json.loads(rack.run("history", "--json").out)}
    yield rack
    moved = [record for record in json.loads(rack.run("history", "--json").out) if record["id"] not in known]
    for record in reversed(moved):
        assert record["outcome"] == "completed", record
        at[record["instance"]] = record["destination"]
        assert at["vm1"] != at["vm2"]
    assert at == rack.places()
    found = rack.lab("verify", "--json").json["instances"]
    assert {each["instance"] for each in found if each["whole"] and each["pages"] and each["blocks"]} == {*INSTANCES}


def moves(told: dict[str, Any]) -> list[tuple[str, str, str]]:
    return sorted((move["name"], move["source"], move["destination"]) for move in told["moves"])


def test_a_snapshot_tells_the_rule_and_a_plan_for_it_is_the_plan_for_the_cluster(rack: TestLab, tmp_path: Path) -> None:
    saved = tmp_path / "snapshot.json"
    saved.write_text(rack.run("snapshot").out)
    assert [rule["name"] for rule in json.loads(saved.read_text())["rules"]] == ["far"]
    asked = ("plan", "drain", "n1", "--to", "n3", "--json")
    of_file = hotfoot(*asked, "--snapshot", str(saved))
    live = rack.run(*asked)
    assert moves(of_file.json) == moves(live.json) == [("vm1", "n1", "n3"), ("vm4", "n1", "n3")]
    assert of_file.json["before"] == live.json["before"]


def test_a_plan_is_kept_carried_out_later_and_refused_once_the_world_differs(apart: TestLab, tmp_path: Path) -> None:
    made = apart.run("consolidate", "--to", "n1", "--dry-run", "--json").json
    assert moves(made) == [("vm3", "n3", "n1")]  # vm2 must not be where vm1 is
    kept = tmp_path / "plan.json"
    kept.write_text(json.dumps(made))
    said = apart.run("plan", "run", str(kept), "--yes", "--json")
    assert said.status == 0, said.out + said.err
    assert [(move["instance"], move["state"]) for move in said.json["moves"]] == [("vm3", "done")]
    assert apart.places() == {"vm1": "n1", "vm2": "n2", "vm3": "n1", "vm4": "n1"}
    again = apart.run("plan", "run", str(kept), "--yes")
    assert again.status == 3
    assert "move 1, vm3 from n3 to n1: vm3 is on n1" in again.err


def test_what_would_end_after_the_deadline_is_not_begun(apart: TestLab) -> None:
    said = apart.run("drain", "n2", "--deadline", "1s", "--yes", "--json")
    assert said.status == 4, said.out + said.err
    assert {move["state"] for move in said.json["moves"]} == {"left out"}
    assert "would not have ended before" in said.json["stays"]["vm2"]
    assert apart.run("restore", "n2", "--no-moves").status == 0


def test_a_watch_waits_evens_out_rests_and_ends_with_ctrl_c(apart: TestLab) -> None:
    by_promise = ("--what", "vcpus", "--threshold", "0", "--rounds", "2", "--every", "5s", "--cooldown", "1s")
    process = apart.start("balance", "--watch", *by_promise, "--yes", "--json")
    seen = []
    for line in process.stdout:
        seen.append(json.loads(line))
        if "no allowed move makes it better" in seen[-1]["why"]:
            break
    process.send_signal(signal.SIGINT)
    said = finish(process)
    assert said.status == 0, said.err
    assert [each["why"].endswith("in 1 of 2 looks") for each in seen] == [True, False, True, False]
    acts = seen[1]
    assert acts["plan"]["status"] == 0
    assert len(acts["moves"]) == 1
    assert [each["moves"] for each in (seen[0], *seen[2:])] == [[], [], []]
    assert sorted(filter(None, apart.places().values())) == ["n1", "n1", "n2", "n3"]
    shown = apart.run("plan", "show", "--json").json
    assert (shown["id"], shown["verb"], shown["state"]) == (acts["plan"]["id"], "balance", "ended")


def test_what_instances_use_is_measured(rack: TestLab) -> None:
    said = rack.run("balance", "--measured", "--threshold", "0", "--least-gain", "1", "--dry-run", "--json")
    terms = {term["name"]: term["value"] for term in said.json["before"]["terms"]}
    assert terms["spread_cpu"] > 0
    assert said.json["moves"] == []
