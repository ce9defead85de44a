"""Things break in the middle of a move: the instance runs on its source each time, and the report is true."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from subprocess import Popen

import pytest
from tests.lab.command import Said, finish
from tests.lab.labs import TestLab

SLOW, FAST = "60mbit", "1gbit"


@pytest.fixture
def slow(lab: TestLab) -> Iterator[TestLab]:
    """The lab with vm1 on n1, the link of n2 so slow that a move there takes a long time."""
    if lab.where("vm1") != "n1":
        assert lab.run("migrate", "vm1", "n1", "--no-forecast").status == 0
    lab.empty("n2")
    lab.lab("shape", "n2", SLOW)
    yield lab
    lab.lab("shape", "n2", FAST)
    assert lab.where("vm1") == "n1"
    lab.verify("vm1")


def start_move(lab: TestLab, *options: str) -> Popen[str]:
    """Start a move of vm1 to n2 and return once it is under way, as the source's libvirt says."""
    process: Popen[str] = lab.start("migrate", "vm1", "n2", "--no-forecast", "--json", *options)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        if "Memory processed" in lab.on("n1", "sh", "-c", "virsh domjobinfo vm1 || true"):
            return process
        time.sleep(0.1)
    raise AssertionError("the move did not begin")


def failed_on_source(process: Popen[str], says: str) -> Said:
    """Check that a move ended with the instance on its source, told in one sentence."""
    said = finish(process, 120)
    assert said.status == 4, said.out + said.err
    assert said.json["outcome"] == "failed"
    assert says in said.json["reason"], said.json["reason"]
    return said


def test_abort_from_another_terminal(slow: TestLab) -> None:
    process = start_move(slow)
    dry = slow.run("abort", "vm1", "--dry-run")
    assert dry.status == 0
    assert process.poll() is None
    assert slow.run("abort", "vm1").status == 0
    said = finish(process)
    assert said.status == 5, said.json
    assert said.json["outcome"] == "aborted"
    again = slow.run("abort", "vm1")
    assert again.status == 0
    assert "not" in again.out


def test_ctrl_c_aborts_and_proves_that_the_instance_runs_on_the_source(slow: TestLab) -> None:
    process = start_move(slow)
    process.send_signal(signal.SIGINT)
    said = finish(process)
    assert said.status == 5
    assert said.json["outcome"] == "aborted"
    assert "n1" in said.json["reason"]


def test_a_second_ctrl_c_leaves_at_once_and_says_what_is_left(slow: TestLab) -> None:
    process = start_move(slow)
    # The abort cannot reach the source while its libvirtd stands still; a second Ctrl-C must not wait for it.
    slow.on("n1", "pkill", "-STOP", "-x", "libvirtd")
    try:
        process.send_signal(signal.SIGINT)
        time.sleep(1)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        said = finish(process, 20)
    finally:
        slow.on("n1", "pkill", "-CONT", "-x", "libvirtd")
    assert said.status == 130
    assert "vm1" in said.err
    assert "n1" in said.err
    slow.run("abort", "vm1")
    while "Memory processed" in slow.on("n1", "sh", "-c", "virsh domjobinfo vm1 || true"):
        time.sleep(0.2)


def test_the_destination_s_qemu_is_killed(slow: TestLab) -> None:
    process = start_move(slow)
    slow.lab("fault", "kill-qemu", "vm1", "--host", "n2")
    failed_on_source(process, "n2")


def test_the_destination_s_libvirtd_is_killed(slow: TestLab) -> None:
    process = start_move(slow)
    slow.lab("fault", "kill-libvirtd", "n2")
    failed_on_source(process, "n2")


def test_the_source_s_libvirtd_is_killed(slow: TestLab) -> None:
    process = start_move(slow)
    slow.lab("fault", "kill-libvirtd", "n1")
    failed_on_source(process, "n1")


def test_the_destination_dies(slow: TestLab) -> None:
    process = start_move(slow)
    slow.lab("fault", "kill-host", "n2")
    try:
        failed_on_source(process, "n2")
    finally:
        slow.lab("fault", "start-host", "n2")


def test_the_link_of_the_destination_is_cut(slow: TestLab) -> None:
    process = start_move(slow)
    slow.lab("fault", "cut-link", "n2")
    try:
        failed_on_source(process, "n2")
    finally:
        slow.lab("shape", "n2", FAST)
        slow.lab("fault", "mend-link", "n2")
    # Cut for so long, n2 had stopped its brick; all clients must have found it again, or a next fault takes the disk.
    healed = slow.on("n1", "gluster", "volume", "heal", "instances", "info")
    assert healed.count("Number of entries: 0\n") == len(slow.hosts), healed


def test_watch_shows_a_move_that_somebody_else_started(slow: TestLab) -> None:
    process = start_move(slow)
    seen = slow.run("watch", "--once", "--json").json["migrations"]
    assert [(move["instance"], move["source"]) for move in seen] == [("vm1", "n1")]
    assert seen[0]["memory_total_bytes"] > 0
    slow.run("abort", "vm1")
    finish(process)
    assert slow.run("watch", "--once", "--json").json["migrations"] == []


def test_a_second_move_of_the_same_instance_is_refused(slow: TestLab) -> None:
    process = start_move(slow)
    said = slow.run("migrate", "vm1", "n3")
    assert said.status == 3
    assert "already" in said.err
    slow.run("abort", "vm1")
    finish(process)
