"""Whole hosts: drained while a move fails, Hotfoot killed in the middle and taken up again, cancelled, restored."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from tests.lab.command import finish
from tests.lab.labs import TestLab, raised

NAME = "fleet"
SLOW, FAST = "40mbit", "1gbit"
INSTANCES = tuple(f"vm{number}" for number in range(1, 7))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestLab]:
    """Three hosts with two small busy instances each, and a journal of their own."""
    with pytest.MonkeyPatch.context() as patched:
        folder: Path = tmp_path_factory.mktemp("fleet")
        patched.setenv("HOTFOOT_JOURNAL", f"sqlite:///{folder}/journal.sqlite3")
        small = ("--memory", "96", "--rate", "8", "--area", "16")
        with raised(NAME, "--hosts", "3", "--instances", str(len(INSTANCES)), *small) as lab:
            yield lab


def check_whole(lab: TestLab) -> None:
    found = lab.lab("verify", "--json").json["instances"]
    assert {each["instance"] for each in found if each["whole"] and each["pages"] and each["blocks"]} == {*INSTANCES}


def plan(lab: TestLab) -> dict[str, Any]:
    return lab.run("plan", "show", "--json").json


def start(lab: TestLab, *words: str) -> tuple[Popen[str], dict[str, Any]]:
    """Start a verb; return once a move of it copies memory, as the source's libvirt says, with that move."""
    process: Popen[str] = lab.start(*words, "--yes", "--json")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        shown = lab.run("plan", "show", "--json")
        running = shown.json["moves"] if shown.status == 0 and shown.json["pid"] == process.pid else ()
        for move in running:
            asked = f"virsh domjobinfo {move['instance']} || true"
            if move["state"] == "running" and "Memory processed" in lab.on(move["source"], "sh", "-c", asked):
                return process, move
    raise AssertionError("no move began")


def test_a_drained_host_is_empty_and_out_of_placement_though_a_move_failed(fleet: TestLab) -> None:
    fleet.lab("shape", "n1", SLOW)
    process, move = start(fleet, "drain", "n1")
    fleet.lab("fault", "kill-qemu", move["instance"], "--host", move["destination"])
    second = fleet.run("drain", "n1", "--yes")
    assert second.status == 3
    assert plan(fleet)["id"] in second.err
    fleet.lab("shape", "n1", FAST)
    said = finish(process)
    assert said.status == 0, said.out + said.err
    tries = [each for each in said.json["moves"] if each["instance"] == move["instance"]]
    assert [each["state"] for each in tries] == ["failed", "done"]
    assert len({each["destination"] for each in tries}) == 2
    assert said.json["stays"] == {}
    assert "n1" not in fleet.places().values()
    check_whole(fleet)
    hosts = {host["name"]: host for host in fleet.run("hosts", "--json").json["hosts"]}
    assert "drain" in hosts["n1"]["out_of_placement"]["why"]
    assert hosts["n2"]["out_of_placement"] is None
    dry = fleet.run("migrate", "vm3", "--dry-run", "--no-forecast", "--json")
    assert dry.json["destination"] != "n1"
    assert "out of placement" in dry.json["passed_over"]["n1"]
    named = fleet.run("migrate", "vm3", "n1", "--dry-run", "--no-forecast", "--json")
    assert named.status == 0
    assert any("out of placement" in remark for remark in named.json["remarks"])


def test_killed_in_the_middle_a_drain_is_taken_up_and_loses_nothing(fleet: TestLab) -> None:
    fleet.lab("shape", "n2", SLOW)
    process, _ = start(fleet, "drain", "n2")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert plan(fleet)["state"] == "orphaned"
    assert fleet.run("drain", "n3", "--yes").status == 3
    fleet.lab("shape", "n2", FAST)
    said = fleet.run("plan", "resume", "--json")
    assert said.status == 0, said.out + said.err
    assert set(fleet.places().values()) == {"n3"}
    done = [move["instance"] for move in said.json["moves"] if move["state"] == "done"]
    assert len(done) == len(set(done))
    assert all(record["outcome"] for record in json.loads(fleet.run("history", "--json").out))
    check_whole(fleet)
    assert fleet.run("plan", "resume").status == 3


def test_a_restore_is_cancelled_in_the_middle_and_the_next_brings_the_rest_home(fleet: TestLab) -> None:
    fleet.lab("shape", "n3", SLOW)
    process, _ = start(fleet, "restore", "n1", "n2")
    assert fleet.run("plan", "cancel").status == 0
    fleet.lab("shape", "n3", FAST)
    said = finish(process)
    assert said.status == 5, said.out + said.err
    states = {move["state"] for move in said.json["moves"]}
    assert states == {"done", "left out"}
    again = fleet.run("restore", "n1", "n2", "--yes", "--json")
    assert again.status == 0, again.out + again.err
    homes = {"n1": ("vm1", "vm4"), "n2": ("vm2", "vm5"), "n3": ("vm3", "vm6")}
    assert fleet.places() == {instance: host for host, instances in homes.items() for instance in instances}
    check_whole(fleet)
    assert all(host["out_of_placement"] is None for host in fleet.run("hosts", "--json").json["hosts"])
    even = fleet.run("balance", "--yes", "--json")
    assert even.status == 0
    assert even.json["moves"] == []
