"""Block migrations on a real Nova, whose instances' disks lie on each host's own file system."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lab.labs import TestLab, raised

pytestmark = pytest.mark.matrix

NAME = "novablock"
IMAGES = "/var/lib/nova/instances"


@pytest.fixture(scope="module")
def lab(state: Path) -> Iterator[TestLab]:
    small = ("--memory", "96", "--rate", "2", "--area", "16")
    with raised(NAME, "--openstack", "--storage", "none", "--hosts", "2", "--instances", "1", *small) as lab:
        # So slow that a look at libvirt falls into every move, also on a busy machine.
        for host in lab.hosts:
            lab.lab("shape", host, "100mbit")
        yield lab


def told(lab: TestLab) -> dict[str, Any]:
    found: dict[str, Any] = lab.lab("status", "--json").json["instances"][0]
    return found


def have_disk(lab: TestLab, uuid: str) -> list[str]:
    """Return the hosts with a disk of the instance."""
    script = f"! test -e {IMAGES}/{uuid}/disk || echo yes"
    return [host for host in lab.hosts if lab.on(host, "sh", "-c", script).strip()]


@pytest.mark.parametrize("words", [(), ("--block",)], ids=["found out by Nova", "asked for"])
def test_a_disk_that_is_not_shared_is_copied(lab: TestLab, words: tuple[str, ...]) -> None:
    source = told(lab)["host"]
    destination = next(host for host in lab.hosts if host != source)
    said = lab.run("migrate", "vm1", destination, *words, "--no-forecast", "--json")
    assert said.status == 0, said.out + said.err
    assert (said.json["mode"], said.json["reason"]) == ("block", None)
    assert (said.json["source"], said.json["destination"]) == (source, destination)
    assert told(lab)["host"] == destination
    assert have_disk(lab, told(lab)["uuid"]) == [destination]
    lab.verify("vm1")
    (shown,) = json.loads(lab.run("history", "--json", "--limit", "1").out)
    assert (shown["id"], shown["mode"], shown["outcome"]) == (said.json["id"], "block", "completed")


def test_without_copying_it_nova_refuses_and_nothing_has_changed(lab: TestLab) -> None:
    source = told(lab)["host"]
    destination = next(host for host in lab.hosts if host != source)
    said = lab.run("migrate", "vm1", destination, "--no-block", "--no-forecast", "--json")
    assert said.status == 4, said.out + said.err
    assert said.json["reason"] == (
        f"The disks of vm1 are not on storage that {source} and {destination} share; leave out --no-block, so that they"
        f" are copied. vm1 lives on {source}, as before."
    )
    assert lab.run("show", "vm1", "--json").json["nova"]["status"] == "ACTIVE"
    assert have_disk(lab, told(lab)["uuid"]) == [source]
    lab.verify("vm1")
