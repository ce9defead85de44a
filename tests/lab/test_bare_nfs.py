"""The whole way with the kernel's own NFS, exports and mounts: hosts that are virtual machines, from bare and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.labs import TestLab
from tests.lab.tree import differences, tree
from tests.lab.vm_labs import HOSTS, TIMEOUT_S, advice, broken, codes, machines, marks

NAME = "bare-nfs"
pytestmark = marks(NAME)
NFS = {
    "nfs_server.not-running": 1,
    "nfs_server.no-folder": 1,
    "nfs_server.not-exported": 1,
    "shared_path.not-mounted": 2,
}


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestLab]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with machines(NAME, "nfs", "--bare") as lab:
        yield lab


def test_bare_hosts_share_by_nfs_and_are_given_back_as_they_were(bare: TestLab) -> None:
    before = {host: tree(bare, host) for host in HOSTS}
    assert codes(bare, 8) == broken(NFS) | advice()

    prepared = bare.run("prepare", "--yes", "--json", timeout_s=TIMEOUT_S)
    assert prepared.status == 0, prepared.blocking
    run = prepared.json["run"]
    assert codes(bare, 0) == advice()
    assert bare.on("n2", "findmnt", "-no", "FSTYPE", "/var/lib/nova/instances").startswith("nfs4")

    bare.lab("instance", "add", "vm1", "--host", "n1", "--memory", "128")
    moved = bare.run("migrate", "vm1", "n2", "--no-forecast", "--json", timeout_s=TIMEOUT_S)
    assert moved.status == 0, moved.out + moved.err
    assert bare.where("vm1") == "n2"
    bare.verify("vm1")

    again = bare.run("prepare", "--yes", "--json", timeout_s=TIMEOUT_S)
    assert (again.status, again.json["changes"], again.json["run"]) == (0, [], None)

    bare.lab("instance", "kill", "vm1")
    undone = bare.run("prepare", "--undo", run, "--json", timeout_s=TIMEOUT_S)
    assert undone.status == 0, undone.out + undone.err
    assert {host: differences(before[host], tree(bare, host)) for host in HOSTS} == {host: [] for host in HOSTS}
