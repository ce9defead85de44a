"""Whole hosts of a real Nova: drained while a move is refused or fails, paused, cancelled, aborted midway, restored,
kept balanced, evacuated when dead.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest
from openstack.connection import Connection
from tests.lab.command import finish, hotfoot
from tests.lab.labs import TestLab, bring_up
from tests.lab.nova_hosts import (
    FAST,
    INSTANCES,
    SLOW,
    begin,
    check_blocks,
    check_whole,
    cold_records,
    copying,
    history,
    moved,
    service,
    set_right,
    where,
)
from tests.lab.openstack_login import connection_to
from tests.lab.waiting import PATIENCE_S, wait_until

from hotfoot.lab import witness

pytestmark = pytest.mark.matrix

NAME = "novahosts"
HOMES = {"vm1": "n1", "vm2": "n1", "vm3": "n2"}
CROWD = {"pair1": "n1", "pair2": "n2", "busy1": "n1", "busy2": "n1", "busy3": "n1"}
"""More instances: with them n1 has six."""
APART = ("pair1", "pair2")
"""Of these, what Nova keeps apart: they are in one server group."""
BUSY = ("--rate", "8", "--area", "16")
OFF = "off1"
"""An instance that is shut off."""


@dataclass(frozen=True, slots=True)
class ShutOff:
    """A server by its uuid, the address it had, and how many blocks it wrote at least."""

    uuid: str
    address: str
    blocks: int


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestLab]:
    """Three hosts with a journal of their own: vm1 and vm2 on n1 and vm3 on n2, by way of their first moves."""
    hotfoot("lab", "down", "--name", NAME)
    with pytest.MonkeyPatch.context() as patched:
        folder: Path = tmp_path_factory.mktemp("novahosts")
        patched.setenv("HOTFOOT_JOURNAL", f"sqlite:///{folder}/journal.sqlite3")
        small = ("--memory", "96", "--rate", "2", "--area", "16")
        lab = bring_up(NAME, "--openstack", "--hosts", "3", "--instances", str(len(INSTANCES)), *small)
        bring_home(lab)
        yield lab
    hotfoot("lab", "down", "--name", NAME)


@pytest.fixture(scope="module")
def cloud(lab: TestLab) -> Connection:
    found = connection_to(lab)
    found.compute.default_microversion = "2.96"
    return found


@pytest.fixture(scope="module")
def crowd(lab: TestLab) -> None:
    """Six busy instances on n1, one of them kept apart from one on n2; from here on they are there."""
    for name, host in CROWD.items():
        group = ("--group", "pair") if name in APART else ()
        lab.lab("instance", "add", name, "--memory", "96", "--host", host, *BUSY, *group)
    for name in INSTANCES:
        lab.lab("instance", "load", name, *BUSY)


@pytest.fixture
def apart(lab: TestLab, crowd: None) -> Iterator[None]:
    """Checks afterwards that no move has brought together what is kept apart, and that every instance is whole."""
    at, known = where(lab), {record["id"] for record in history(lab)}
    yield
    for record in (each for each in reversed(history(lab)) if each["id"] not in known):
        if record["outcome"] == "completed":
            at[record["instance"]] = record["destination"]
            assert at["pair1"] != at["pair2"]
    assert at == where(lab)
    check_whole(lab, *CROWD)


@pytest.fixture
def off(lab: TestLab, cloud: Connection) -> Iterator[ShutOff]:
    """An instance on n1 that has written to its disk, and is shut off."""
    lab.lab("instance", "add", OFF, "--memory", "96", "--host", "n1")
    told = next(one for one in lab.lab("status", "--json").json["instances"] if one["name"] == OFF)
    blocks = witness.ask(told["address"], "stat").blocks_written
    cloud.compute.stop_server(told["uuid"])
    wait_until(lambda: cloud.compute.get_server(told["uuid"]).status == "SHUTOFF", "Nova does not shut it off")
    yield ShutOff(told["uuid"], told["address"], blocks)
    lab.lab("instance", "kill", OFF)
    bring_home(lab)


def bring_home(lab: TestLab) -> None:
    for instance, host in HOMES.items():
        if where(lab)[instance] != host:
            said = lab.run("migrate", instance, host, "--no-forecast")
            assert said.status == 0, said.out + said.err


def test_a_drain_goes_elsewhere_when_a_destination_is_disabled_meanwhile(lab: TestLab, cloud: Connection) -> None:
    lab.lab("shape", "n1", SLOW)
    process, moves = begin(lab, "drain", "n1", "--at-once", "1")
    waiting = next(move for move in moves if move["state"] == "waiting")
    closed = next(one for one in cloud.compute.services(binary="nova-compute") if one.host == waiting["destination"])
    cloud.compute.disable_service(closed, disabled_reason="new disks")
    try:
        assert service(lab, "n1")["disabled_reason"].startswith("hotfoot drain, plan ")
        assert lab.run("drain", "n1", "--yes").status == 3
        lab.lab("shape", "n1", FAST)
        said = finish(process, timeout_s=300)
        assert said.status == 0, said.out + said.err
    finally:
        cloud.compute.enable_service(closed)
    tries = [move for move in said.json["moves"] if move["instance"] == waiting["instance"]]
    assert [move["state"] for move in tries] == ["failed", "done"]
    assert "disabled in Nova (new disks)" in tries[0]["reason"]
    assert tries[1]["destination"] != waiting["destination"]
    assert "n1" not in where(lab).values()
    assert service(lab, "n1")["enabled"] is False
    check_whole(lab)


def test_a_restore_is_cancelled_in_the_middle_and_the_next_brings_the_rest_home(lab: TestLab) -> None:
    sources = {where(lab)[name] for name in ("vm1", "vm2")}
    for host in sources:
        lab.lab("shape", host, SLOW)
    try:
        process, _ = begin(lab, "restore", "n1", "--at-once", "1")
        assert lab.run("plan", "cancel").status == 0
    finally:
        for host in sources:
            lab.lab("shape", host, FAST)
    said = finish(process)
    assert said.status == 5, said.out + said.err
    assert {move["state"] for move in said.json["moves"]} == {"done", "left out"}
    again = lab.run("restore", "n1", "--yes", "--json")
    assert again.status == 0, again.out + again.err
    assert where(lab) == {"vm1": "n1", "vm2": "n1", "vm3": "n2"}
    assert service(lab, "n1")["enabled"] is True
    check_whole(lab)


def test_killed_in_the_middle_a_drain_is_taken_up_and_loses_nothing(lab: TestLab, tmp_path: Path) -> None:
    lab.lab("shape", "n1", SLOW)
    process, _ = begin(lab, "drain", "n1")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert lab.run("plan", "show", "--json").json["state"] == "orphaned"
    lab.lab("shape", "n1", FAST)
    said = lab.run("plan", "resume", "--json", timeout_s=300)
    assert said.status == 0, said.out + said.err
    done = [move["instance"] for move in said.json["moves"] if move["state"] == "done"]
    assert sorted(done) == ["vm1", "vm2"]
    assert "n1" not in where(lab).values()
    blind = tmp_path / "hotfoot.yaml"
    blind.write_text(f"name: blind\nopenstack: {{cloud: lab, clouds_file: {lab.cluster.parent}/clouds.yaml}}\n")
    seen = hotfoot("snapshot", "--json", cluster=blind).json
    n1 = next(host for host in seen["hosts"] if host["name"] == "n1")
    assert n1["maintenance"] is True
    assert "used_by_others" not in n1, "Placement has nothing allocated on an empty host"
    back = lab.run("restore", "n1", "--yes")
    assert back.status == 0, back.out + back.err
    check_whole(lab)


def test_what_is_shut_off_leaves_a_drained_host_and_comes_home_where_cold_is_allowed(
    lab: TestLab, cloud: Connection, off: ShutOff
) -> None:
    assert f"{OFF} cannot be moved live" in (live := lab.run("drain", "n1", "--dry-run").out)
    assert "--cold moves it" in live
    said = lab.run("drain", "n1", "--cold", "--yes", "--json", timeout_s=400)
    assert said.status == 0, said.out + said.err
    assert moved(said) == {"vm1": ("done", None), "vm2": ("done", None), OFF: ("done", "shut off")}
    assert "n1" not in where(lab).values()
    assert (cloud.compute.get_server(off.uuid).status, cold_records(cloud, off.uuid)) == ("SHUTOFF", ["confirmed"])
    check_blocks(lab, off.uuid, off.blocks)
    assert OFF not in lab.on("n1", "virsh", "list", "--all", "--uuid")
    left = lab.run("restore", "n1", "--yes", "--json", timeout_s=400)
    assert left.status == 0, left.out + left.err
    assert f"Shut off, and not brought back: {OFF}" in left.json["remark"]
    assert where(lab)[OFF] != "n1"
    back = lab.run("restore", "n1", "--cold", "--yes", "--json", timeout_s=400)
    assert back.status == 0, back.out + back.err
    assert moved(back) == {OFF: ("done", "shut off")}
    assert where(lab) == {**HOMES, OFF: "n1"}
    check_blocks(lab, off.uuid, off.blocks)
    cloud.compute.start_server(off.uuid)
    witness.wait(off.address, PATIENCE_S)
    check_whole(lab)


def test_killed_in_the_middle_of_a_cold_move_a_drain_is_taken_up_and_confirms_it(
    lab: TestLab, cloud: Connection, off: ShutOff
) -> None:
    process = lab.start("drain", "n1", "--cold", "--yes", "--json")
    wait_until(lambda: cold_records(cloud, off.uuid) != [], "the cold move does not begin")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    said = lab.run("plan", "resume", "--json", timeout_s=400)
    assert said.status == 0, said.out + said.err
    assert "n1" not in where(lab).values()
    assert (cloud.compute.get_server(off.uuid).status, cold_records(cloud, off.uuid)) == ("SHUTOFF", ["confirmed"])
    check_blocks(lab, off.uuid, off.blocks)
    assert lab.run("restore", "n1", "--no-moves").status == 0
    check_whole(lab)


def test_hosts_are_freed_by_consolidate_filled_by_balance_and_a_kept_plan_is_run(
    lab: TestLab, off: ShutOff, tmp_path: Path
) -> None:
    said = lab.run("consolidate", "--cold", "--yes", "--json", timeout_s=400)
    assert said.status == 0, said.out + said.err
    assert len(set(where(lab).values())) == 1
    spread = lab.run("balance", "--what", "vcpus", "--threshold", "0", "--yes", "--json", timeout_s=400)
    assert spread.status == 0, spread.out + spread.err
    assert {cold for _, cold in moved(spread).values()} == {None}
    assert len(set(where(lab).values())) == len(lab.hosts)
    host = where(lab)[OFF]
    kept = tmp_path / "plan.json"
    kept.write_text(lab.run("drain", host, "--cold", "--dry-run", "--json").out)
    run = lab.run("plan", "run", str(kept), "--yes", "--json", timeout_s=400)
    assert run.status == 0, run.out + run.err
    assert moved(run)[OFF] == ("done", "shut off")
    assert host not in where(lab).values()
    check_blocks(lab, off.uuid, off.blocks)
    again = lab.run("plan", "run", str(kept), "--yes")
    assert again.status == 3, again.out
    assert lab.run("restore", host, "--no-moves").status == 0
    check_whole(lab)


def test_a_watch_evens_out_says_why_it_rests_and_ends_with_ctrl_c(lab: TestLab, off: ShutOff) -> None:
    often = ("--rounds", "2", "--every", "5s", "--cooldown", "1s")
    process = lab.start("balance", "--watch", "--what", "vcpus", "--threshold", "0", *often, "--yes", "--json")
    seen = [json.loads(line) for line in islice(process.stdout, 4)]
    process.send_signal(signal.SIGINT)
    said = finish(process)
    assert said.status == 0, said.err
    assert [each["why"].endswith("in 1 of 2 looks") for each in seen] == [True, False, True, False]
    assert [len(each["moves"]) for each in seen] == [0, 1, 0, 0]
    assert seen[1]["plan"]["status"] == 0
    assert "in vCPUs, but no allowed move makes it better" in seen[3]["why"]
    assert sorted(where(lab).values()) == ["n1", "n1", "n2", "n3"]
    assert where(lab)[OFF] == "n1"
    check_whole(lab)


def test_aborted_what_is_under_way_lives_on_its_source_and_what_nova_made_of_it_is_said(
    lab: TestLab, apart: None
) -> None:
    process, _ = begin(lab, "drain", "n1", slow="n1")
    assert lab.run("plan", "cancel", "--abort").status == 0
    said = finish(process)
    lab.lab("shape", "n1", FAST)
    assert said.status == 5, said.out + said.err
    aborted = [move["instance"] for move in said.json["moves"] if (move["state"], move["status"]) == ("left out", 5)]
    assert aborted
    why = {name: said.json["stays"][name] for name in aborted}
    under_way = [name for name in aborted if why[name] != "Stopped before it began."]  # that one was judged, and held
    assert under_way
    assert all("Stopped as you asked" in why[name] for name in under_way)
    assert {where(lab)[name] for name in aborted} == {"n1"}
    set_right(lab, said)
    assert lab.run("restore", "n1", "--yes", timeout_s=400).status == 0


def test_a_full_host_is_drained_in_parts_though_a_move_fails_and_it_is_cancelled_and_paused(
    lab: TestLab, apart: None
) -> None:
    lab.lab("shape", "n1", SLOW)
    process, moves = begin(lab, "drain", "n1")
    first = copying(lab)[0]
    there = next(move["destination"] for move in moves if move["instance"] == first)
    lab.lab("fault", "kill-qemu", first, "--host", there)
    lab.lab("shape", "n1", FAST)

    def in_the_middle() -> bool:
        return {"failed", "done"} <= {move["state"] for move in lab.run("plan", "show", "--json").json["moves"]}

    wait_until(in_the_middle, "no move fails, or none is made")
    assert lab.run("plan", "cancel").status == 0
    said = finish(process)
    assert said.status == 5, said.out + said.err
    states = {move["instance"]: move["state"] for move in said.json["moves"]}
    assert states[first] == "failed"
    assert {*states.values()} == {"failed", "done", "left out"}
    assert {name for name, host in where(lab).items() if host == "n1"} == {*said.json["stays"]}
    set_right(lab, said)

    lab.lab("shape", "n1", SLOW)
    process, _ = begin(lab, "drain", "n1")
    assert lab.run("plan", "pause").status == 0
    lab.lab("shape", "n1", FAST)
    said = finish(process)
    assert said.status == 5, said.out + said.err
    assert {move["state"] for move in said.json["moves"]} == {"done", "waiting"}
    assert lab.run("plan", "show", "--json").json["state"] == "paused"
    assert service(lab, "n1")["enabled"] is False
    assert lab.run("restore", "n1", "--yes").status == 3, "the paused plan holds its hosts"
    resumed = lab.run("plan", "resume", "--json", timeout_s=400)
    assert resumed.status == 0, resumed.out + resumed.err
    assert "n1" not in where(lab).values()
    back = lab.run("restore", "n1", "--yes", timeout_s=400)
    assert back.status == 0, back.out + back.err
    assert where(lab) == HOMES | CROWD
    assert service(lab, "n1")["enabled"] is True


def test_a_killed_host_is_evacuated_with_its_disks_and_comes_back(lab: TestLab, crowd: None) -> None:
    alive = lab.run("evacuate", "n1", "--fenced", "--yes")
    assert alive.status == 3
    assert "n1 still answers at" in alive.err
    lost = {one["name"]: one for one in lab.lab("status", "--json").json["instances"] if one["host"] == "n1"}
    assert {*lost} == {name for name, host in (HOMES | CROWD).items() if host == "n1"}
    written = {name: witness.ask(one["address"], "stat").blocks_written for name, one in lost.items()}
    assert all(written.values())
    lab.lab("fault", "kill-host", "n1")
    unproven = lab.run("evacuate", "n1", "--yes")
    assert unproven.status == 3
    assert "Nothing proves that n1 is off" in unproven.err
    said = lab.run("evacuate", "n1", "--fenced", "--yes", "--json", timeout_s=400)
    assert said.status == 0, said.out + said.err
    there = where(lab)
    assert "n1" not in there.values()
    assert [there[name] for name in APART] == ["n3", "n2"]
    for name, count in written.items():
        witness.wait(lost[name]["address"], PATIENCE_S)
        (found,) = hotfoot("lab", "verify", name, "--name", NAME, "--json").json["instances"]
        assert found["faults"] == ["it was restarted: its kernel has another boot id than at first"]
        check_blocks(lab, lost[name]["uuid"], count)
    lab.verify("vm3")
    lab.verify("pair2")
    assert service(lab, "n1")["forced_down"] is True
    lab.lab("fault", "start-host", "n1")
    wait_until(lambda: lab.run("restore", "n1", "--yes", timeout_s=300).status == 0, "n1 does not come back")
    there = where(lab)
    assert {name for name, host in there.items() if host == "n1"} == {*lost}
    assert (service(lab, "n1")["enabled"], service(lab, "n1")["forced_down"]) == (True, False)
