"""A dead host evacuated: proof that it is off, instances whole elsewhere, Hotfoot killed meanwhile, the host back."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.evacuation.bmcs import USER, RedfishDouble, password_file, redfish_double
from tests.lab.command import HOTFOOT, hotfoot
from tests.lab.labs import TestLab, bring_up

from hotfoot.lab import witness

pytestmark = pytest.mark.matrix  # two to six minutes
NAME = "evac"
IMAGES = "/var/lib/nova/instances"
LOST = ("vm1", "vm4")
"""What runs on n1."""
BLOCKS = """
import struct, sys
path, count, bits = sys.argv[1], int(sys.argv[2]), 2**64 - 1
with open(path, "rb") as image:
    for n in range(count):
        x = ((~n & bits) * 0x9e3779b97f4a7c15 & bits) ^ (n * 0xc2b2ae3d27d4eb4f & bits)
        seed = x ^ x >> 29
        words = [n] + [seed + i * 0x100000001b3 & bits for i in range(1, 512)]
        if image.read(4096) != struct.pack("<512Q", *words):
            sys.exit(f"block {n} of {count} is not as the guest was told that it lay on the disk")
"""
"""The blocks of a witness as ``src/hotfoot/lab/guest/witness.c`` writes them; after a restart it begins again at 0."""


@dataclass(frozen=True, slots=True)
class Outpost:
    """A lab, and where its fence command says that it was called."""

    lab: TestLab
    fenced: Path

    def declare(self, fence: str) -> None:
        """Let hosts be switched off in this way."""
        text = self.lab.cluster.read_text().partition("\nrules:")[0]
        rules = "[{name: apart, kind: apart, instances: [vm1, vm2]}]"
        self.lab.cluster.write_text(f"{text}\nrules: {rules}\nfence: {fence}\n")

    def declare_for(self, host: str, fence: str) -> None:
        """Let this host, and no other, be switched off in this way."""
        self.declare("null")
        text = re.sub(
            rf"(?m)^(  - {{name: {host}, address: [^,}}]+).*$",
            lambda line: f"{line[1]}, fence: {fence}}}",
            self.lab.cluster.read_text(),
        )
        self.lab.cluster.write_text(text)


@pytest.fixture(scope="module")
def outpost(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outpost]:
    """Three hosts, vm1 and vm4 on n1, vm2 on n2 and vm3 on n3; vm1 and vm2 are kept apart."""
    hotfoot("lab", "down", "--name", NAME)
    with pytest.MonkeyPatch.context() as patched:
        folder: Path = tmp_path_factory.mktemp("evac")
        patched.setenv("HOTFOOT_JOURNAL", f"sqlite:///{folder}/journal.sqlite3")
        lab = bring_up(NAME, "--hosts", "3", "--instances", "4", "--memory", "96")
        yield Outpost(lab, folder / "n1")
    hotfoot("lab", "down", "--name", NAME)


def instances(lab: TestLab) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in lab.lab("status", "--json").json["instances"]}


def where(lab: TestLab) -> dict[str, str | None]:
    return {name: each["host"] for name, each in instances(lab).items()}


def check_disks(lab: TestLab, written: dict[str, int]) -> None:
    """Every block that a guest was told to be on the disk before its host died must be there."""
    for name, count in written.items():
        raw = f"/tmp/{name}.raw"
        lab.on("n2", "qemu-img", "convert", "-U", "-f", "qcow2", "-O", "raw", f"{IMAGES}/{name}.qcow2", raw)
        lab.on("n2", "python3", "-c", BLOCKS, raw, str(count))
        lab.on("n2", "rm", raw)


def test_a_killed_host_is_evacuated_though_hotfoot_was_killed_meanwhile_and_comes_back_clean(outpost: Outpost) -> None:
    lab = outpost.lab
    homes = {"vm1": "n1", "vm2": "n2", "vm3": "n3", "vm4": "n1"}
    assert where(lab) == homes
    assert len(lab.run("definitions", "--json").json["definitions"]) == len(homes)

    alive = lab.run("evacuate", "n1", "--fenced", "--yes")
    assert alive.status == 3
    assert "hotfoot drain n1" in alive.err

    lab.lab("fault", "cut-link", "n1")
    cut_off = lab.run("evacuate", "n1", "--fenced", "--yes")
    assert cut_off.status == 3
    assert "still answers at" in cut_off.err  # its instances do, on their own network
    addresses = {name: instances(lab)[name]["address"] for name in LOST}
    written = {name: witness.ask(address, "stat").blocks_written for name, address in addresses.items()}
    assert all(written.values())
    lab.lab("fault", "kill-host", "n1")

    unproven = lab.run("evacuate", "n1", "--yes")
    assert unproven.status == 3
    assert "Nothing proves that n1 is off" in unproven.err
    outpost.declare(f"{{command: [touch, '{outpost.fenced.parent}/{{host}}'], timeout: 30s}}")
    dry = lab.run("evacuate", "n1", "--dry-run", "--json").json
    assert {each["instance"]: each["destination"] for each in dry["starts"]}["vm1"] == "n3"  # vm2 is on n2
    assert not outpost.fenced.exists()
    assert {where(lab)[name] for name in LOST} == {None}

    lab.on("n2", "qemu-nbd", "--fork", "-k", "/run/vm4.sock", "-f", "qcow2", f"{IMAGES}/vm4.qcow2")  # locks it
    process = lab.start("evacuate", "n1", "--yes")
    deadline = time.monotonic() + 100  # less than the evacuation waits for the lock
    while where(lab)["vm1"] is None:
        assert time.monotonic() < deadline, "nothing was started"
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert outpost.fenced.exists()
    assert where(lab)["vm4"] is None
    lab.on("n2", "pkill", "-x", "qemu-nbd")
    begun = {name: host for name, host in where(lab).items() if name in LOST and host}
    said = lab.run("plan", "resume", "--json")
    assert said.status == 0, said.out + said.err
    there = where(lab)
    assert begun.items() <= there.items()
    assert there["vm1"] == "n3"
    assert {there[name] for name in LOST} <= {"n2", "n3"}
    done = [move["instance"] for move in said.json["moves"] if move["state"] == "done"]
    assert sorted(done) == sorted(LOST)
    for name, host in there.items():
        assert host is not None
        assert "Persistent:     yes" in lab.on(host, "virsh", "dominfo", name)
    for name, address in addresses.items():
        witness.wait(address, 120)
        (found,) = hotfoot("lab", "verify", name, "--name", NAME, "--json").json["instances"]
        assert found["faults"] == ["it was restarted: its kernel has another boot id than at first"]
    check_disks(lab, written)
    for name in ("vm2", "vm3"):
        lab.verify(name)
    assert "evacuate" in str(lab.run("hosts", "--json").json["hosts"][0]["out_of_placement"])
    assert lab.run("evacuate", "n1", "--yes").status == 0  # nothing is left to be started

    lab.lab("fault", "start-host", "n1")
    for name in LOST:
        assert name in lab.on("n1", "virsh", "list", "--all", "--name")
    put_back = lab.run("restore", "n1", "--no-moves")
    assert put_back.status == 0, put_back.out + put_back.err
    assert "The old definition of vm1 on n1 was removed." in put_back.err
    assert lab.on("n1", "virsh", "list", "--all", "--name").split() == []


def redfish(bmc: RedfishDouble) -> str:
    login = f"address: '{bmc.address}', user: {USER}, password_file: {password_file(bmc.folder)}"
    return f"{{redfish: {{{login}, ca_file: {bmc.folder}/ca.pem}}, timeout: 30s}}"


def test_a_host_that_hangs_is_switched_off_by_redfish_before_anything_is_started(
    outpost: Outpost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = outpost.lab
    if where(lab)["vm2"] != "n2":
        assert lab.run("migrate", "vm2", "n2", "--no-forecast").status == 0
    assert lab.run("definitions").status == 0
    lost = {name: each["address"] for name, each in instances(lab).items() if each["host"] == "n2"}
    # Silent and alive: the disks are still in use, and all of it could go on at any moment.
    lab.on("n2", "pkill", "-STOP", "-f", "qemu-system")
    lab.lab("fault", "cut-link", "n2")

    with redfish_double(tmp_path, "ignore") as deaf:
        outpost.declare_for("n2", redfish(deaf))
        still_on = lab.run("evacuate", "n2", "--yes")
        assert still_on.status == 3, still_on.out + still_on.err
        assert "it says that the power is on; nothing was started" in still_on.err
        assert deaf.orders == 1
    assert {where(lab)[name] for name in lost} <= {"n2", None}

    monkeypatch.setenv("POWER_OFF", json.dumps([HOTFOOT, "lab", "fault", "kill-host", "n2", "--name", NAME]))
    with redfish_double(tmp_path, "obey_with_a_real_host") as bmc:
        outpost.declare_for("n2", redfish(bmc))
        dry = lab.run("evacuate", "n2", "--dry-run", "--json")
        assert dry.status == 0, dry.out + dry.err
        assert bmc.orders == 0
        said = lab.run("evacuate", "n2", "--yes", "--json")
        assert said.status == 0, said.out + said.err
        assert bmc.orders == 1
        assert f"n2 is off, says Redfish at {bmc.address}." in said.out + said.err
    there = where(lab)
    assert {there[name] for name in lost} <= {"n1", "n3"}
    assert there["vm1"] != there["vm2"]
    for name, address in lost.items():
        witness.wait(address, 120)
        (found,) = hotfoot("lab", "verify", name, "--name", NAME, "--json").json["instances"]
        assert "it was restarted: its kernel has another boot id than at first" in found["faults"]
    untouched = next(name for name in ("vm3", "vm1", "vm4") if name not in lost)
    assert lab.on(str(there[untouched]), "virsh", "domstate", untouched).strip() == "running"
