"""The whole way with the kernel's own NFS, exports and mounts: hosts that are virtual machines, from bare and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.command import hotfoot, well
from tests.lab.labs import TestLab
from tests.lab.test_bare import ADVICE, BROKEN
from tests.lab.tree import differences, tree

from hotfoot.lab import vm_host

# Where the machine emulates processors this takes minutes.
pytestmark = [
    pytest.mark.matrix,
    pytest.mark.skipif(
        bool(vm_host.obstacles("bare-nfs", 2)),
        reason=f"this machine cannot run virtual machines as hosts: {vm_host.obstacles('bare-nfs', 2)}",
    ),
]
HOSTS = ("n1", "n2")
NFS = {
    "nfs_server.not-running": 1,
    "nfs_server.no-folder": 1,
    "nfs_server.not-exported": 1,
    "shared_path.not-mounted": 2,
}
# Left to a person: what ADVICE tells of every lab, and what a kernel and an AppArmor of its own let be seen.
LEFT = [*ADVICE, "qemu_conf.not-confined", "emulator.no-post-copy"]
_TIMEOUT_S = 900


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestLab]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    hotfoot("lab", "down", "--name", "bare-nfs")
    up = ("lab", "up", "--name", "bare-nfs", "--hosts", "vm:2", "--bare", "--storage", "nfs", "--json")
    yield TestLab("bare-nfs", Path(well(*up, timeout_s=_TIMEOUT_S).json["cluster_file"]), HOSTS)
    hotfoot("lab", "down", "--name", "bare-nfs")


def broken(by_storage: dict[str, int]) -> dict[str, int]:
    """What a bare lab is known to break, on two hosts instead of three."""
    return {code: {6: 4, 3: 2, 2: 1}[count] for code, count in BROKEN.items()} | by_storage


def advice() -> dict[str, int]:
    return dict.fromkeys(LEFT, len(HOSTS))


def codes(lab: TestLab, status: int) -> Counter[str]:
    for host in HOSTS:  # an idle libvirtd ends, and with all other questions beside it is up too late where emulated
        lab.on(host, "virsh", "--connect", "qemu:///system", "version")
    said = lab.run("check", "--json", timeout_s=_TIMEOUT_S)
    assert said.status == status, said.err
    return Counter(finding["code"] for finding in said.json["findings"])


def test_bare_hosts_share_by_nfs_and_are_given_back_as_they_were(bare: TestLab) -> None:
    before = {host: tree(bare, host) for host in HOSTS}
    assert codes(bare, 8) == broken(NFS) | advice()

    prepared = bare.run("prepare", "--yes", "--json", timeout_s=_TIMEOUT_S)
    assert prepared.status == 0, prepared.blocking
    run = prepared.json["run"]
    assert codes(bare, 0) == advice()
    assert bare.on("n2", "findmnt", "-no", "FSTYPE", "/var/lib/nova/instances").startswith("nfs4")

    bare.lab("instance", "add", "vm1", "--host", "n1", "--memory", "128")
    moved = bare.run("migrate", "vm1", "n2", "--no-forecast", "--json", timeout_s=_TIMEOUT_S)
    assert moved.status == 0, moved.out + moved.err
    assert bare.where("vm1") == "n2"
    bare.verify("vm1")

    again = bare.run("prepare", "--yes", "--json", timeout_s=_TIMEOUT_S)
    assert (again.status, again.json["changes"], again.json["run"]) == (0, [], None)

    bare.lab("instance", "kill", "vm1")
    undone = bare.run("prepare", "--undo", run, "--json", timeout_s=_TIMEOUT_S)
    assert undone.status == 0, undone.out + undone.err
    assert {host: differences(before[host], tree(bare, host)) for host in HOSTS} == {host: [] for host in HOSTS}
