"""Plans with cold moves on an OpenStack cloud: what cannot move live goes only where that is allowed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.cli.test_nova_hosts import CLOUD, cloud, drained
from tests.cli.test_openstack_commands import hotfoot
from tests.cloud.whole_nova_double import WholeNovaDouble, uuid_of
from tests.journal.records import DEAD
from tests.journal.test_plans import plan, step

from hotfoot.errors import ExitStatus
from hotfoot.journal.place import Place
from hotfoot.journal.plans import Plans
from hotfoot.journal.store import Store
from hotfoot.placement.course import StepState
from hotfoot.placement.snapshot import Cold

__all__ = ["cloud"]
OFF = {"status": "SHUTOFF", "OS-EXT-STS:power_state": 4}


@pytest.fixture
def mixed(cloud: WholeNovaDouble) -> WholeNovaDouble:
    """Beside two servers that move live, one that is shut off, and one with a device of its host."""
    cloud.add("off1", "n1", **OFF)
    cloud.add("gpu1", "n1", flavor={"vcpus": 1, "ram": 128, "extra_specs": {"pci_passthrough:alias": "a:1"}})
    return cloud


def by_name(told: dict[str, Any]) -> dict[str, Any]:
    return {move.get("name") or move["instance"]: move for move in told["moves"]}


def test_without_the_option_nothing_is_moved_cold_and_the_option_is_named(mixed: WholeNovaDouble) -> None:
    shown = hotfoot("drain", "n1", "--dry-run", *CLOUD)
    assert shown.status == ExitStatus.REFUSED
    assert "off1 cannot be moved live" in shown.out
    assert "--cold moves it" in shown.out
    assert "--cold stops it for the move" in shown.out
    told = drained("n1")
    assert told["status"] == ExitStatus.FAILED_ON_SOURCE
    assert told["stays"].keys() == {"gpu1"}
    assert "--cold" in told["stays"]["gpu1"]
    assert "Shut off, and still defined there: off1 on n1; --cold moves what is shut off." in told["remark"]
    assert (mixed.cold, mixed.where["off1"], mixed.where["gpu1"]) == ([], "n1", "n1")


def test_a_cold_drain_empties_the_host_and_only_what_cannot_move_live_is_stopped(mixed: WholeNovaDouble) -> None:
    shown = hotfoot("drain", "n1", "--cold", "--dry-run", *CLOUD)
    assert shown.status == 0, shown.out + shown.err
    assert "empties n1, cold (it is shut off)" in shown.out
    assert "empties n1, cold (stops it)" in shown.out
    assert "Stopped while it is moved, and started again there: gpu1." in shown.out
    planned = by_name(json.loads(hotfoot("drain", "n1", "--cold", "--dry-run", "--json", *CLOUD).out))
    assert {name: move["cold"] for name, move in planned.items()} == {
        "web1": None, "web2": None, "off1": "shut off", "gpu1": "stopped",
    }  # fmt: skip
    told = drained("n1", "--cold")
    assert told["status"] == 0, told
    assert {name: move["cold"] for name, move in by_name(told).items()} == {
        "web1": None, "web2": None, "off1": "shut off", "gpu1": "stopped",
    }  # fmt: skip
    assert set(mixed.where.values()) == {"n2", "n3"}
    assert sorted(mixed.cold) == [
        ("gpu1", "confirmResize"), ("gpu1", "migrate"), ("off1", "confirmResize"), ("off1", "migrate"),
    ]  # fmt: skip
    shown = hotfoot("plan", "show", *CLOUD)
    assert "empties n1, cold (stops it)" in shown.out


def test_a_cold_restore_brings_all_home_also_after_one_that_was_not(mixed: WholeNovaDouble) -> None:
    mixed.servers[uuid_of("gpu1")]["OS-EXT-SRV-ATTR:host"] = "n2"
    assert drained("n1", "--cold")["status"] == 0
    live = hotfoot("restore", "n1", "--yes", "--json", *CLOUD)
    told = json.loads(live.out.splitlines()[-1])
    assert (live.status, told["stays"]) == (0, {}), live.out + live.err
    assert "Shut off, and not brought back: off1 on n" in told["remark"]
    assert mixed.where["off1"] != "n1"
    assert {mixed.where["web1"], mixed.where["web2"]} == {"n1"}
    cold = hotfoot("restore", "n1", "--cold", "--yes", "--json", *CLOUD)
    assert cold.status == 0, cold.out + cold.err
    assert mixed.where["off1"] == "n1"
    again = hotfoot("restore", "n1", "--cold", "--yes", *CLOUD).out
    assert "n1 is in placement, as before; no instance is moved." in again


@pytest.fixture
def pinned(cloud: WholeNovaDouble) -> WholeNovaDouble:
    """Nova says of web1, once it is asked, that it moves it live nowhere."""
    for host in ("n2", "n3"):
        cloud.fails["web1", host] = "Instance has an associated NUMA topology. Cannot live migrate."
    return cloud


def tries_of(told: dict[str, Any], name: str) -> list[tuple[str, str | None]]:
    return [(move["state"], move["cold"]) for move in told["moves"] if move["instance"] == name]


def test_what_nova_refuses_to_move_live_is_not_tried_live_elsewhere(pinned: WholeNovaDouble) -> None:
    told = drained("n1")
    assert (told["status"], tries_of(told, "web1")) == (ExitStatus.FAILED_ON_SOURCE, [("failed", None)])
    assert "NUMA topology" in told["stays"]["web1"]
    assert "--cold stops it for the move" in told["stays"]["web1"]
    assert pinned.cold == []


def test_what_nova_refuses_to_move_live_goes_cold_where_allowed(pinned: WholeNovaDouble) -> None:
    told = drained("n1", "--cold")
    assert (told["status"], tries_of(told, "web1")) == (0, [("failed", None), ("done", "stopped")])
    assert tries_of(told, "web2") == [("done", None)]
    assert pinned.cold == [("web1", "migrate"), ("web1", "confirmResize")]


def test_what_was_shut_off_when_planned_and_runs_now_is_not_stopped(mixed: WholeNovaDouble, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(hotfoot("drain", "n1", "--cold", "--dry-run", "--json", *CLOUD).out)
    mixed.servers[uuid_of("off1")].update({"status": "ACTIVE", "OS-EXT-STS:power_state": 1})
    refused = hotfoot("plan", "run", str(file), "--yes", *CLOUD)
    assert (refused.status, "it can be moved live by now" in refused.err) == (ExitStatus.REFUSED, True), refused.err
    mixed.servers[uuid_of("off1")].update(OFF)
    assert hotfoot("plan", "run", str(file), "--yes", *CLOUD).status == 0
    assert ("off1", "migrate") in mixed.cold


def test_a_cold_plan_whose_hotfoot_was_killed_goes_on_cold_and_nothing_is_moved_twice(
    mixed: WholeNovaDouble, tmp_path: Path
) -> None:
    """It died while off1 waited to be confirmed on n2: that is confirmed, and gpu1 is still moved cold."""
    mixed.half_way("off1", "n2")
    wish = {"objective": {"kind": "drain", "hosts": ["n1"]}, "cold": True}
    begun = replace(step(1, "off1", "n1", "n2", StepState.RUNNING), uuid=uuid_of("off1"), cold=Cold.OFF, began_ms=1)
    with closing(Store(Place(file=tmp_path / "journal.sqlite3"))) as store:
        Plans(store).open(replace(plan("n1", cluster="double", owner=DEAD), wish=wish), [begun])
    done = hotfoot("plan", "resume", "--json", *CLOUD)
    assert done.status == 0, done.out + done.err
    told = by_name(json.loads(done.out.splitlines()[-1]))
    assert (told["off1"]["state"], told["off1"]["reason"]) == ("done", "found done")
    assert mixed.cold[0] == ("off1", "confirmResize")
    assert ("off1", "migrate") not in mixed.cold
    assert ("gpu1", "migrate") in mixed.cold
    assert (mixed.where["off1"], mixed.servers[uuid_of("off1")]["status"]) == ("n2", "SHUTOFF")


def test_a_cold_drain_killed_in_the_middle_is_taken_up_and_each_instance_is_moved_once(
    mixed: WholeNovaDouble, tmp_path: Path
) -> None:
    mixed.held = True
    words = ("drain", "n1", "--cold", "--yes", *CLOUD)
    process = subprocess.Popen(
        [sys.executable, "-c", "from hotfoot.cli import main; main()", *words],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env={**os.environ},
    )  # fmt: skip
    try:
        while len(mixed.cold) < 2:
            assert process.poll() is None, "it ended before it began"
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()
    assert sorted(mixed.cold) == [("gpu1", "migrate"), ("off1", "migrate")]
    threading.Timer(2.0, mixed.release).start()
    done = hotfoot("plan", "resume", "--json", *CLOUD)
    assert done.status == 0, done.out + done.err
    assert sorted(mixed.cold) == [
        ("gpu1", "confirmResize"), ("gpu1", "migrate"), ("off1", "confirmResize"), ("off1", "migrate"),
    ]  # fmt: skip
    assert "n1" not in mixed.where.values()
    assert hotfoot("restore", "n1", "--dry-run", *CLOUD).status == ExitStatus.REFUSED, "looks again"
    kept = json.loads(hotfoot("history", "--json", *CLOUD).out)
    told = {record["instance"]: record["outcome"] for record in kept}
    assert told == dict.fromkeys(("web1", "web2", "off1", "gpu1"), "completed")


def test_a_snapshot_is_planned_cold_too(mixed: WholeNovaDouble, tmp_path: Path) -> None:
    file = tmp_path / "cloud.json"
    file.write_text(hotfoot("snapshot", "--json", *CLOUD).out)
    kinds = {one["name"]: one.get("cold") for one in json.loads(file.read_text())["instances"]}
    assert kinds == {"web1": None, "web2": None, "db1": None, "off1": "shut off", "gpu1": "stopped"}
    for words in (("drain", "n1"), ("plan", "drain", "n1")):
        live = json.loads(hotfoot(*words, "--snapshot", str(file), "--json").out)
        assert {move["name"] for move in live["moves"]} == {"web1", "web2"}
        cold = json.loads(hotfoot(*words, "--snapshot", str(file), "--cold", "--json").out)
        assert {move["name"] for move in cold["moves"]} == {"web1", "web2", "off1", "gpu1"}
        assert cold["stays"] == {}


def test_consolidate_empties_hosts_of_what_is_shut_off_only_where_allowed(mixed: WholeNovaDouble) -> None:
    for name in ("web1", "web2", "gpu1"):
        mixed.servers[uuid_of(name)]["OS-EXT-SRV-ATTR:host"] = "n2"
    live = json.loads(hotfoot("consolidate", "--dry-run", "--json", *CLOUD).out)
    assert {move["name"] for move in live["moves"]} != {"off1"}
    cold = json.loads(hotfoot("consolidate", "--cold", "--dry-run", "--json", *CLOUD).out)
    assert {move["name"] for move in cold["moves"]} == {"off1"}
