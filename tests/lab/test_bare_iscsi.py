"""Instances on LUNs that QEMU itself logs in to: from bare hosts to a move and back, and what goes wrong with CHAP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.labs import TestLab, raised
from tests.lab.test_bare import ADVICE, BROKEN, HOSTS
from tests.lab.tree import differences, tree

NO_SECRET = {"iscsi.no-secret": 3}
REFUSED = "Failed to log in to target. Status: Authentication failure(513)"


@pytest.fixture(scope="module")
def bare(state: Path) -> Iterator[TestLab]:
    with raised("bare-iscsi", "--bare", "--hosts", "3", "--storage", "iscsi") as lab:
        yield lab


@pytest.fixture(scope="module")
def san(state: Path) -> Iterator[TestLab]:
    """Two hosts that are ready, and an instance on a LUN."""
    with raised("iscsi", "--hosts", "2", "--storage", "iscsi", "--instances", "1") as lab:
        yield lab


def chap(lab: TestLab) -> Path:
    return lab.cluster.parent / "chap"


def test_bare_hosts_are_made_ready_and_given_back_as_they_were(bare: TestLab, state: Path) -> None:
    before = {host: tree(bare, host) for host in HOSTS}
    checked = bare.run("check", "--json")
    assert checked.status == 8, checked.err
    found = Counter(finding["code"] for finding in checked.json["findings"])
    assert found == BROKEN | NO_SECRET | ADVICE

    prepared = bare.run("prepare", "--yes", "--json", timeout_s=400)
    assert prepared.status == 0, prepared.blocking
    run = prepared.json["run"]
    clean = bare.run("check", "--json")
    assert clean.status == 0, clean.out
    assert Counter(finding["code"] for finding in clean.json["findings"]) == ADVICE

    bare.lab("instance", "add", "vm1", "--host", "n1")
    for destination in ("n2", "n3"):
        moved = bare.run("migrate", "vm1", destination, "--native-tls", "--no-forecast", "--json")
        assert moved.status == 0, moved.out + moved.err
        bare.verify("vm1")
        assert bare.where("vm1") == destination
    assert bare.codes() == ADVICE
    again = bare.run("prepare", "--yes", "--json")
    assert (again.status, again.json["changes"], again.json["run"]) == (0, [], None)

    # The secret is not taken from under an instance.
    refused = bare.run("prepare", "--undo", run, "--json", timeout_s=400)
    assert refused.status == 1, refused.out
    assert any("vm1 runs with the secret" in (change["problem"] or "") for change in refused.json["changes"])
    bare.verify("vm1")

    password = chap(bare).read_text().strip()
    told = [prepared.out, prepared.err, clean.out, refused.out]
    told += [path.read_bytes().decode(errors="replace") for path in state.rglob("*") if path.is_file()]
    told += [bare.on(host, "sh", "-c", "cat /var/lib/hotfoot/runs/*/journal.jsonl") for host in HOSTS]
    assert any("secret" in text for text in told[-3:])
    assert [text for text in told if password in text] == []

    bare.lab("instance", "kill", "vm1")
    undone = bare.run("prepare", "--undo", run, "--json", timeout_s=400)
    assert undone.status == 0, undone.out + undone.err
    assert {host: differences(before[host], tree(bare, host)) for host in HOSTS} == {host: [] for host in HOSTS}
    assert bare.codes() == found


def test_a_ready_lab_moves_an_instance_between_its_hosts(san: TestLab) -> None:
    assert san.codes("--topic", "iscsi") == {}
    source = san.where("vm1")
    assert san.run("migrate", "vm1", "--no-forecast").status == 0
    san.verify("vm1")
    assert san.where("vm1") != source


def test_a_secret_with_another_value_is_found_and_mended_and_given_back(san: TestLab) -> None:
    uuid = san.on("n2", "sh", "-c", "virsh -q secret-list | awk '{print $1}'").strip()
    stored = f"/etc/libvirt/secrets/{uuid}.base64"
    right = san.on("n2", "cat", stored)
    san.on("n2", "virsh", "-q", "secret-set-value", uuid, "--base64", "b3RoZXI=")
    assert san.codes("--topic", "iscsi") == {"iscsi.other-secret": 1}
    mended = san.run("prepare", "--topic", "iscsi", "--yes", "--json")
    assert mended.status == 0, mended.out + mended.err
    assert san.on("n2", "cat", stored) == right
    assert san.codes("--topic", "iscsi") == {}
    san.empty("n2")
    undone = san.run("prepare", "--undo", mended.json["run"], "--json")
    assert undone.status == 0, undone.out + undone.err
    assert san.on("n2", "cat", stored) == "b3RoZXI="
    assert san.run("prepare", "--topic", "iscsi", "--yes").status == 0


def test_a_wrong_password_is_named_as_such(san: TestLab) -> None:
    right = chap(san).read_text()
    chap(san).write_text("wrong\n")
    try:
        said = san.run("check", "--topic", "iscsi", "--json")
        assert said.status == 8
        findings = [each for each in said.json["findings"] if each["code"] == "iscsi.login-refused"]
        assert sorted(each["host"] for each in findings) == ["n1", "n2"]
        assert all(REFUSED in each["evidence"] for each in findings)
        chap(san).chmod(0o644)
        open_to_all = san.run("check")
        assert open_to_all.status == 2
        assert "others may read" in open_to_all.err
    finally:
        chap(san).chmod(0o600)
        chap(san).write_text(right)
    san.verify("vm1")


def test_a_closed_door_to_the_target_is_found_on_the_host_that_has_it(san: TestLab) -> None:
    san.empty("n2")
    san.on("n2", "nft", "add table inet shut; add chain inet shut out { type filter hook output priority 0; }; "
           "add rule inet shut out tcp dport 3260 reject with tcp reset")  # fmt: skip
    try:
        said = san.run("check", "--topic", "iscsi", "--json")
    finally:
        san.on("n2", "nft", "delete table inet shut")
    (finding,) = said.json["findings"]
    assert (finding["code"], finding["host"]) == ("iscsi.no-login", "n2")
    assert "Connection refused" in finding["evidence"]
