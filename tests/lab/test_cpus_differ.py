"""Hosts of which one gives instances less of a CPU: found, declared, given to an instance, and taken back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.labs import TestLab, raised

from hotfoot.lab import storage

LACKS = "it lacks avx2, bmi1, bmi2, fma and movbe"


@pytest.fixture(scope="module")
def unlike(state: Path) -> Iterator[TestLab]:
    """Two hosts, and an instance that has the whole CPU of the first."""
    if reason := storage.obstacle("glusterfs"):
        pytest.skip(reason)
    with raised("unlike", "--hosts", "2", "--instances", "1", "--memory", "128", "--cpu-differs") as lab:
        yield lab


def codes(lab: TestLab, *words: str) -> dict[str, str]:
    """Return what the topic finds, each with its evidence or sentence."""
    said = lab.run("check", "--topic", "cpu", "--json", *words)
    return {each["code"]: f"{each['what']} {each['evidence']}" for each in said.json["findings"]}


def test_an_instance_gets_a_cpu_with_which_it_goes_both_ways(unlike: TestLab) -> None:
    before = unlike.cluster.read_text()
    definition = unlike.on("n1", "virsh", "dumpxml", "--inactive", "vm1")
    found = codes(unlike, "--instance", "vm1")
    assert LACKS in found["instance.cpu"]
    assert LACKS[3:] in found["cpu.instance-stuck"]
    refused = unlike.run("migrate", "vm1", "n2")
    assert refused.status != 0
    assert unlike.where("vm1") == "n1"

    unlike.cluster.write_text(before.replace("\nhosts:", "\n# all of them\ncpu: {instances: true}  # ours\nhosts:"))
    asked = unlike.cluster.read_text()
    prepared = unlike.run("prepare", "--topic", "cpu", "--yes", "--json").json
    assert prepared["outcome"] == "completed"
    assert [(each["host"], each["do"]) for each in prepared["changes"]] == [
        ("this machine", "declare-cpu"),
        ("n1", "command"),
    ]
    assert "# all of them\ncpu: {model: " in unlike.cluster.read_text()
    assert unlike.run("prepare", "--topic", "cpu", "--yes", "--json").json["changes"] == []
    assert list(codes(unlike)) == ["cpu.instance-stuck"]

    unlike.on("n1", "sh", "-c", "virsh -q destroy vm1 && virsh -q start vm1")
    assert codes(unlike) == {}
    for destination in ("n2", "n1"):
        moved = unlike.run("migrate", "vm1", destination, "--no-forecast")
        assert moved.status == 0, moved.out + moved.err
        assert unlike.where("vm1") == destination

    undone = unlike.run("prepare", "--undo", prepared["run"], "--json")
    assert undone.status == 0, undone.out + undone.err
    assert unlike.cluster.read_text() == asked
    assert unlike.on("n1", "virsh", "dumpxml", "--inactive", "vm1") == definition
