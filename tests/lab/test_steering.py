"""A guest that dirties memory faster than its link carries: what becomes of it under each policy."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from tests.lab.command import Said, finish
from tests.lab.labs import TestLab

SLOW, FAST = "100mbit", "1gbit"


@pytest.fixture(scope="module")
def slow(lab: TestLab) -> Iterator[TestLab]:
    """The lab with slow links; at the end links and guest are as before."""
    for host in lab.hosts:
        lab.lab("shape", host, SLOW)
    yield lab
    for host in lab.hosts:
        lab.lab("shape", host, FAST)
    load(lab, rate=20, area=64)


def load(lab: TestLab, *, rate: int, area: int) -> None:
    lab.lab("instance", "load", "vm1", "--rate", str(rate), "--area", str(area))


def other_host(lab: TestLab) -> str:
    return next(host for host in lab.hosts if host != lab.where("vm1"))


def move(lab: TestLab, *options: str) -> Said:
    return lab.run("migrate", "vm1", other_host(lab), "--json", *options)


def kinds(said: Said) -> list[str]:
    return [action["kind"] for action in said.json["actions"]]


def test_gentle_gives_up_and_the_instance_runs_on_its_source(slow: TestLab) -> None:
    load(slow, rate=40, area=64)
    source = slow.where("vm1")
    said = move(slow, "--policy", "gentle", "--deadline", "15s", "--max-downtime", "150ms")
    assert said.status == 4, said.err
    assert said.json["outcome"] == "failed"
    assert said.json["reason"].startswith("Given up: the deadline of 15 s has passed.")
    assert kinds(said) == ["give-up"]
    assert slow.where("vm1") == source
    assert source
    assert slow.on(source, "virsh", "migrate-getmaxdowntime", "vm1").split() == ["300"]  # as QEMU has it by itself
    slow.verify("vm1")


def test_balanced_raises_the_limit_within_what_is_allowed(slow: TestLab) -> None:
    load(slow, rate=40, area=12)
    destination = other_host(slow)
    said = move(slow, "--policy", "balanced", "--max-downtime", "3s")
    assert said.status == 0, said.err
    limits = [action["value"] for action in said.json["actions"] if action["kind"] == "downtime-limit"]
    assert limits
    assert limits == sorted(limits)
    assert limits[-1] <= 3000
    assert said.json["policy"] == "balanced"
    assert slow.where("vm1") == destination
    slow.verify("vm1")


def test_must_finish_switches_to_post_copy_which_nothing_stops(slow: TestLab) -> None:
    load(slow, rate=40, area=64)
    destination = other_host(slow)
    process = slow.start("migrate", "vm1", destination, "--json", "--policy", "must-finish")
    for line in process.stderr:
        if line.startswith("Switched to post-copy"):
            process.send_signal(signal.SIGINT)
            break
    said = finish(process)
    assert said.status == 0, said.err
    assert "stopping it now would destroy the instance" in said.err
    assert kinds(said)[-1] == "post-copy"
    assert slow.where("vm1") == destination
    slow.verify("vm1")
