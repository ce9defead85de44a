"""Hosts whose own kernel logs in to an iSCSI target: from bare to a move and back, and what is wrong with logins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.command import well
from tests.lab.labs import TestLab
from tests.lab.tree import differences, tree
from tests.lab.vm_labs import HOSTS, TIMEOUT_S, advice, broken, codes, machines, marks

from hotfoot.lab import iscsi, iscsi_hosts, store

NAME = "vmk"
pytestmark = marks(NAME)
NOT_LOGGED_IN = {"iscsi.not-logged-in": 2}


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestLab]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with machines(NAME, "iscsi", "--bare") as lab:
        yield lab


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestLab]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with machines(NAME, "iscsi", "--instances", "1", "--memory", "128") as lab:
        yield lab


def sessions(lab: TestLab, host: str) -> list[str]:
    return lab.on(host, "sh", "-c", "cat /sys/class/iscsi_session/*/targetname 2>/dev/null || :").split()


def test_bare_hosts_log_in_by_their_kernel_and_are_given_back_as_they_were(bare: TestLab) -> None:
    target = iscsi.target(store.load(NAME))
    before = {host: tree(bare, host) for host in HOSTS}
    assert codes(bare, 8) == broken(NOT_LOGGED_IN) | advice()

    prepared = bare.run("prepare", "--yes", "--json", timeout_s=TIMEOUT_S)
    assert prepared.status == 0, prepared.blocking
    run = prepared.json["run"]
    assert codes(bare, 0) == advice()
    for host in HOSTS:
        assert sessions(bare, host) == [target]
        assert "/iscsi_tcp" in bare.on(host, "sh", "-c", "ls -d /sys/module/iscsi_tcp")

    bare.lab("instance", "add", "vm1", "--host", "n1", "--memory", "128")
    moved = bare.run("migrate", "vm1", "n2", "--no-forecast", "--json", timeout_s=TIMEOUT_S)
    assert moved.status == 0, moved.out + moved.err
    assert bare.where("vm1") == "n2"
    bare.verify("vm1")

    again = bare.run("prepare", "--yes", "--json", timeout_s=TIMEOUT_S)
    assert (again.status, again.json["changes"], again.json["run"]) == (0, [], None)

    # The disk is not torn from under an instance.
    refused = bare.run("prepare", "--undo", run, "--json", timeout_s=TIMEOUT_S)
    assert refused.status == 1, refused.out
    assert any("instance vm1 has a disk of" in (change["problem"] or "") for change in refused.json["changes"])
    assert sessions(bare, "n2") == [target]
    bare.verify("vm1")

    bare.lab("instance", "kill", "vm1")
    undone = bare.run("prepare", "--undo", run, "--json", timeout_s=TIMEOUT_S)
    assert undone.status == 0, undone.out + undone.err
    assert {host: sessions(bare, host) for host in HOSTS} == {host: [] for host in HOSTS}
    assert {host: differences(before[host], tree(bare, host)) for host in HOSTS} == {host: [] for host in HOSTS}


def test_a_ready_lab_has_its_disks_after_a_power_cut_too_and_what_would_prevent_that_is_found(ready: TestLab) -> None:
    lab = store.load(NAME)
    device = iscsi_hosts.device(lab, lab.instance("vm1"))
    assert device in ready.on("n1", "virsh", "domblklist", "vm1")
    assert ready.codes("--topic", "iscsi") == {}

    node = ("iscsiadm", "-m", "node", "-T", iscsi.target(lab), "-p", iscsi.address(lab))
    ready.on("n2", *node, "--op", "update", "-n", "node.startup", "-v", "manual")
    assert ready.codes("--topic", "iscsi") == {"iscsi.login-by-hand": 1}
    mended = ready.run("prepare", "--topic", "iscsi", "--yes", "--json", timeout_s=TIMEOUT_S)
    assert mended.status == 0, mended.out + mended.err
    assert ready.codes("--topic", "iscsi") == {}

    ready.on("n2", "sync")
    ready.lab("fault", "kill-host", "n2")
    well("lab", "fault", "start-host", "n2", "--name", NAME, timeout_s=TIMEOUT_S)
    assert sessions(ready, "n2") == [iscsi.target(lab)]
    moved = ready.run("migrate", "vm1", "n2", "--no-forecast", timeout_s=TIMEOUT_S)
    assert moved.status == 0, moved.out + moved.err
    ready.verify("vm1")

    # A LUN that one host does not see.
    ready.on("n1", "sh", "-c", f'echo 1 > /sys/block/$(basename "$(readlink -f {device})")/device/delete')
    assert ready.codes("--topic", "iscsi") == {"iscsi.lun-missing": 1}
    refused = ready.run("migrate", "vm1", "n1", "--no-forecast", timeout_s=TIMEOUT_S)
    assert refused.status != 0
    assert ready.where("vm1") == "n2"
    ready.verify("vm1")
