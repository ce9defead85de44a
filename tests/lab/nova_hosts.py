"""What the tests of whole hosts under Nova share: who is where, what Nova says of it, verbs caught in the middle."""

from __future__ import annotations

import json
from subprocess import Popen
from typing import Any

from openstack.connection import Connection
from tests.lab.command import Said
from tests.lab.labs import TestLab
from tests.lab.test_evacuate import BLOCKS
from tests.lab.waiting import wait_until

IMAGES = "/var/lib/nova/instances"
SLOW, FAST = "20mbit", "1gbit"
INSTANCES = ("vm1", "vm2", "vm3")


def where(lab: TestLab) -> dict[str, str]:
    return {one["name"]: one["host"] for one in lab.run("ls", "--json").json["instances"]}


def history(lab: TestLab) -> list[dict[str, Any]]:
    """Return what was moved, the newest first."""
    found: list[dict[str, Any]] = json.loads(lab.run("history", "--json").out)
    return found


def service(lab: TestLab, host: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in lab.run("hosts", "--json").json["hosts"] if one["name"] == host)["nova"]
    return found


def check_whole(lab: TestLab, *more: str) -> None:
    found = lab.lab("verify", *INSTANCES, *more, "--json").json["instances"]
    assert {one["instance"] for one in found if one["whole"] and one["pages"] and one["blocks"]} == {*INSTANCES, *more}


def set_right(lab: TestLab, said: Said) -> None:
    """Set right what Nova shows in ERROR, having checked that a plan's end says so of each, and how."""
    servers = {one["name"]: one["nova"]["status"] for one in lab.run("ls", "--json").json["instances"]}
    for name in (name for name, status in servers.items() if status == "ERROR"):
        assert f"`hotfoot repair-state {name}` sets that right" in said.json["stays"][name]
        assert lab.run("repair-state", name).status == 0
        servers[name] = "ACTIVE"
    assert {*servers.values()} == {"ACTIVE"}


def check_blocks(lab: TestLab, uuid: str, count: int) -> None:
    """Check that the disk that the hosts share has the blocks that its guest wrote."""
    image, raw = f"{IMAGES}/{uuid}/disk", f"/tmp/{uuid}.raw"
    lab.on("n2", "qemu-img", "convert", "-U", "-f", "qcow2", "-O", "raw", image, raw)
    lab.on("n2", "python3", "-c", BLOCKS, raw, str(count))
    lab.on("n2", "rm", raw)


def begin(lab: TestLab, *words: str, slow: str | None = None) -> tuple[Popen[str], list[dict[str, Any]]]:
    """Start a verb, and return with its moves once libvirt on a source shows that one of them copies memory.

    ``slow``: the host whose link becomes slow when the plan is kept, which takes the links for fast then: more than one
    move is under way.
    """
    process: Popen[str] = lab.start(*words, "--yes", "--json")
    moves: list[dict[str, Any]] = []

    def kept() -> bool:
        assert process.poll() is None, process.communicate()
        shown = lab.run("plan", "show", "--json")
        moves[:] = shown.json["moves"] if shown.status == 0 and shown.json["pid"] == process.pid else ()
        return bool(moves)

    wait_until(kept, "no plan was kept")
    if slow:
        lab.lab("shape", slow, SLOW)
    wait_until(lambda: kept() and bool(copying(lab)), "no move began")
    return process, moves


def copying(lab: TestLab) -> list[str]:
    """Return the instances whose memory is being copied."""
    seen = lab.run("watch", "--once", "--json").json["migrations"]
    return [one["instance"] for one in seen if one["phase"] == "copying memory"]


def moved(said: Said) -> dict[str, tuple[str, str | None]]:
    """Return how each move of a verb ended, and whether it was cold."""
    return {move["instance"]: (move["state"], move["cold"]) for move in said.json["moves"]}


def cold_records(cloud: Connection, server: str) -> list[str]:
    """Return the statuses of a server's cold migrations, as Nova has them."""
    return [one.status for one in cloud.compute.migrations(instance_uuid=server, migration_type="migration")]
