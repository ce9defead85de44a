"""The memory stream dies while the guest stands still for it: QEMU tells nobody, and the guest runs on all the same."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from tests.lab.command import finish
from tests.lab.labs import TestLab, raised

from hotfoot.lab import store, witness
from hotfoot.lab.command import LabError, run
from hotfoot.lab.namespaces import host_argv

SLOW, FAST = "60mbit", "1gbit"
CHAIN = "nft add table inet dead; nft 'add chain inet dead in { type filter hook input priority 0; }'"
DROP = "nft add rule inet dead in tcp dport 49152-49215 drop"


@pytest.fixture(scope="module")
def pair() -> Iterator[TestLab]:
    with raised("dead", "--hosts", "2", "--instances", "1", "--memory", "128") as lab:
        yield lab


def on(lab: TestLab, host: str, *words: str) -> str:
    """Run a command; nothing where it fails (no job yet)."""
    spec = store.load(lab.name)
    try:
        return run([*host_argv(spec, spec.host(host)), *words])
    except LabError:
        return ""


def virsh(lab: TestLab, host: str, *words: str) -> str:
    return on(lab, host, "virsh", "-q", *words)


@pytest.mark.matrix
def test_a_guest_that_stands_still_for_a_dead_stream_runs_on(pair: TestLab) -> None:
    for host in pair.hosts:
        pair.lab("shape", host, SLOW)
    pair.on("n2", "sh", "-ec", CHAIN)
    guest = store.load(pair.name).instance("vm1").address
    witness.ask(guest, "dirty 40 48")
    process = pair.start("migrate", "vm1", "n2", "--no-forecast", "--json", "--policy", "gentle")
    deadline = time.monotonic() + 90
    while not virsh(pair, "n1", "domstate", "vm1").startswith("paused"):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the guest never stood still"
        iteration = re.search(r"Iteration: +(\d+)", virsh(pair, "n1", "domjobinfo", "vm1"))
        if iteration and int(iteration[1]) >= 2:  # what remains takes seconds over this link
            virsh(pair, "n1", "migrate-setmaxdowntime", "vm1", "60000")
    on(pair, "n2", *DROP.split())
    said = finish(process, 120)
    assert said.status == 4, said.out + said.err
    assert "stands still for it: the stream is ended" in said.err
    assert "The dead memory stream to n2 was ended." in said.json["reason"]
    assert pair.where("vm1") == "n1"
    witness.ask(guest, "dirty 0 48")
    pair.verify("vm1")
    pair.on("n2", "nft", "delete", "table", "inet", "dead")
    for host in pair.hosts:
        pair.lab("shape", host, FAST)
    again = pair.run("migrate", "vm1", "n2", "--no-forecast", "--json")
    assert again.status == 0, again.out + again.err
