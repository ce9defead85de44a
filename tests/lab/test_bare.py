"""The whole way: bare hosts, check, prepare, check, an instance that moves, and every host as it was before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.command import hotfoot
from tests.lab.labs import TestLab, raised
from tests.lab.tree import differences, tree

from hotfoot.lab import storage

HOSTS = ("n1", "n2", "n3")
# What a bare lab is known to break, and how often; each is a step of the operators' guides that nobody has made.
BROKEN = {
    "names.unresolved": 3,
    "names.own-name-on-loopback": 3,
    "identity.nova-uid": 2,  # of three hosts, one has the number that all are to have
    "identity.nova-gid": 2,
    "identity.qemu-uid": 2,
    "identity.qemu-gid": 2,
    "ssh.no-shell": 3,
    "ssh.no-key": 3,
    "ssh.not-authorized": 3,
    "ssh.host-key-unknown": 3,
    "connections.ssh-name-unknown": 3,
    "certificates.missing": 6,  # for libvirt and for QEMU
    "libvirt_daemon.not-listening": 3,
    "ports.libvirt-refused": 3,
}
BROKEN_BY_STORAGE = {
    "glusterfs": {"glusterfs.not-running": 3, "glusterfs.no-volume": 1, "shared_path.not-mounted": 3},
}
# Advice that is no mistake of the hosts, and stays: a lab's network is its own, and nothing filters in it.
ADVICE = {"firewall.none": 3}


@pytest.fixture(scope="module", params=["glusterfs"])
def kind(request: pytest.FixtureRequest) -> str:
    if reason := storage.obstacle(request.param):
        pytest.skip(reason)
    return str(request.param)


@pytest.fixture(scope="module")
def bare(kind: str, state: Path) -> Iterator[TestLab]:
    with raised("bare", "--bare", "--hosts", "3", "--storage", kind) as lab:
        yield lab


def test_bare_hosts_are_made_ready_and_given_back_as_they_were(bare: TestLab, kind: str) -> None:
    before = {host: tree(bare, host) for host in HOSTS}

    checked = bare.run("check", "--json")
    assert checked.status == 8, checked.err
    found = Counter(finding["code"] for finding in checked.json["findings"])
    assert found == BROKEN | BROKEN_BY_STORAGE[kind] | ADVICE

    unasked = bare.run("prepare")
    assert unasked.status == 2
    assert "--yes" in unasked.err
    assert {host: differences(before[host], tree(bare, host)) for host in HOSTS} == {host: [] for host in HOSTS}

    prepared = bare.run("prepare", "--yes", "--json", timeout_s=400)
    assert prepared.status == 0, prepared.blocking
    assert prepared.json["outcome"] == "completed"
    run = prepared.json["run"]

    clean = bare.run("check", "--json")
    assert clean.status == 0, clean.out
    assert Counter(finding["code"] for finding in clean.json["findings"]) == ADVICE
    assert {pair["state"] for pair in clean.json["pairs"]} <= {"ok", "advice"}

    bare.lab("instance", "add", "vm1", "--host", "n1")
    moved = bare.run("migrate", "vm1", "n2", "--native-tls", "--json")
    assert moved.status == 0, moved.out + moved.err
    bare.verify("vm1")
    assert bare.where("vm1") == "n2"

    again = bare.run("prepare", "--yes", "--json")
    assert (again.status, again.json["changes"], again.json["run"]) == (0, [], None)

    # The storage is not pulled from under an instance, and what was refused goes on afterwards.
    refused = bare.run("prepare", "--undo", run, "--json", timeout_s=400)
    assert refused.status == 1, refused.out
    assert any("vm1" in (change["problem"] or "") for change in refused.json["changes"])
    bare.verify("vm1")

    bare.lab("instance", "kill", "vm1")
    undone = bare.run("prepare", "--undo", run, "--json", timeout_s=400)
    assert undone.status == 0, undone.out + undone.err
    assert undone.json["outcome"] == "undone"
    assert {host: differences(before[host], tree(bare, host)) for host in HOSTS} == {host: [] for host in HOSTS}
    assert Counter(finding["code"] for finding in bare.run("check", "--json").json["findings"]) == found


def test_a_bare_lab_starts_without_instances(tmp_path: Path) -> None:
    said = hotfoot("lab", "up", "--name", "bare-full", "--bare", "--instances", "1")
    assert said.status == 2
    assert "instance add" in said.err


def test_the_status_of_a_bare_lab_tells_what_up_told(bare: TestLab) -> None:
    told = bare.lab("status", "--json").json
    assert told["bare"] is True
    assert told["cluster_file"] == str(bare.cluster)
    assert [host["name"] for host in told["hosts"]] == list(HOSTS)
    assert told["instances"] == []


def test_a_first_cluster_file_comes_from_the_hosts(bare: TestLab, tmp_path: Path) -> None:
    status = bare.lab("status", "--json").json
    ssh = bare.cluster.parent / "ssh"
    login = ("--user", "root", "--key", str(ssh / "id_ed25519"), "--known-hosts", str(ssh / "known_hosts"))
    file = tmp_path / "hotfoot.yaml"
    made = hotfoot("init", *(host["address"] for host in status["hosts"]), *login, "--output", str(file))
    assert made.status == 0, made.err
    assert {host["name"] for host in hotfoot("hosts", "--json", cluster=file).json["hosts"]} == set(HOSTS)
    again = hotfoot("init", "n1", *login, "--output", str(file))
    assert again.status == 3
    assert "is there already" in again.err
