"""Whole hosts of a real Nova: drained while a move is refused, cancelled midway, restored, evacuated when dead."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from openstack.connection import Connection
from tests.lab.command import Said, finish, hotfoot
from tests.lab.labs import TestLab, bring_up
from tests.lab.openstack_login import connection_to
from tests.lab.test_evacuate import BLOCKS
from tests.lab.waiting import PATIENCE_S, wait_until

from hotfoot.lab import witness

pytestmark = pytest.mark.matrix

NAME = "novahosts"
IMAGES = "/var/lib/nova/instances"
SLOW, FAST = "20mbit", "1gbit"
INSTANCES = ("vm1", "vm2", "vm3")
APART = ("pair1", "pair2")
"""Servers without an address, in one server group (anti-affinity)."""
HOMES = {"vm1": "n1", "vm2": "n1", "vm3": "n2"}
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


def add_pair(cloud: Connection) -> None:
    """Add two servers that Nova keeps apart, on n1 and n2."""
    group = cloud.compute.create_server_group(name="pair", policy="anti-affinity")
    image, flavor = cloud.get_image("witness"), cloud.get_flavor("m96")
    assert image is not None
    assert flavor is not None
    for name, host in zip(APART, ("n1", "n2"), strict=True):
        made = cloud.compute.create_server(
            name=name, image_id=image.id, flavor_id=flavor.id, networks="none", host=host,
            scheduler_hints={"group": group.id},
        )  # fmt: skip
        cloud.compute.wait_for_server(made, wait=PATIENCE_S)


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


def where(lab: TestLab) -> dict[str, str]:
    return {one["name"]: one["host"] for one in lab.run("ls", "--json").json["instances"]}


def service(lab: TestLab, host: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in lab.run("hosts", "--json").json["hosts"] if one["name"] == host)["nova"]
    return found


def check_whole(lab: TestLab) -> None:
    found = lab.lab("verify", *INSTANCES, "--json").json["instances"]
    assert {one["instance"] for one in found if one["whole"] and one["pages"] and one["blocks"]} == {*INSTANCES}


def check_blocks(lab: TestLab, uuid: str, count: int) -> None:
    """Check that the disk that the hosts share has the blocks that its guest wrote."""
    image, raw = f"{IMAGES}/{uuid}/disk", f"/tmp/{uuid}.raw"
    lab.on("n2", "qemu-img", "convert", "-U", "-f", "qcow2", "-O", "raw", image, raw)
    lab.on("n2", "python3", "-c", BLOCKS, raw, str(count))
    lab.on("n2", "rm", raw)


def begin(lab: TestLab, *words: str) -> tuple[Popen[str], list[dict[str, Any]]]:
    """Start a verb, and return with its moves once libvirt on a source shows that one of them copies memory."""
    process: Popen[str] = lab.start(*words, "--yes", "--json")
    moves: list[dict[str, Any]] = []

    def copies() -> bool:
        assert process.poll() is None, process.communicate()
        shown = lab.run("plan", "show", "--json")
        moves[:] = shown.json["moves"] if shown.status == 0 and shown.json["pid"] == process.pid else ()
        seen = lab.run("watch", "--once", "--json").json["migrations"]
        return bool(moves) and any(one["phase"] == "copying memory" for one in seen)

    wait_until(copies, "no move began")
    return process, moves


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


def moved(said: Said) -> dict[str, tuple[str, str | None]]:
    """Return how each move of a verb ended, and whether it was cold."""
    return {move["instance"]: (move["state"], move["cold"]) for move in said.json["moves"]}


def cold_records(cloud: Connection, server: str) -> list[str]:
    """Return the statuses of a server's cold migrations, as Nova has them."""
    return [one.status for one in cloud.compute.migrations(instance_uuid=server, migration_type="migration")]


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


def test_a_killed_host_is_evacuated_with_its_disks_and_comes_back(lab: TestLab, cloud: Connection) -> None:
    add_pair(cloud)
    alive = lab.run("evacuate", "n1", "--fenced", "--yes")
    assert alive.status == 3
    assert "n1 still answers at" in alive.err
    lost = {one["name"]: one for one in lab.lab("status", "--json").json["instances"] if one["host"] == "n1"}
    assert {*lost} == {"vm1", "vm2"}
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
    assert service(lab, "n1")["forced_down"] is True
    lab.lab("fault", "start-host", "n1")
    wait_until(lambda: lab.run("restore", "n1", "--yes", timeout_s=300).status == 0, "n1 does not come back")
    there = where(lab)
    assert {there[name] for name in ("vm1", "vm2", "pair1")} == {"n1"}
    assert (service(lab, "n1")["enabled"], service(lab, "n1")["forced_down"]) == (True, False)
