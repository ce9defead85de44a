"""What is asked of one libvirt, tried on libvirt's own test driver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import libvirt
import pytest

from hotfoot.cloud.libvirt_host import claim, set_claim, sighting

CLAIM = "<claim user='ann'/>"


@pytest.fixture
def domain() -> Iterator[Any]:
    """A running domain of a driver that keeps all in memory."""
    connection = libvirt.open("test:///default")
    yield connection.listAllDomains()[0]
    connection.close()


@pytest.mark.parametrize("runs", [True, False])
def test_a_claim_is_written_read_and_taken_away_also_where_the_instance_is_shut_off(domain: Any, runs: bool) -> None:
    if not runs:
        domain.destroy()
    connection, uuid = domain.connect(), domain.UUIDString()
    assert claim(connection, uuid) is None
    set_claim(connection, uuid, CLAIM)
    assert "ann" in (claim(connection, uuid) or "")
    set_claim(connection, uuid, None)
    assert claim(connection, uuid) is None


def test_a_claim_on_a_running_instance_does_not_outlive_it(domain: Any) -> None:
    set_claim(domain.connect(), domain.UUIDString(), CLAIM)
    domain.destroy()
    assert claim(domain.connect(), domain.UUIDString()) is None


class _PausedDouble:
    """Stands for an open connection, and for the instance that it has: the test driver's disks never fill up."""

    def __init__(self, reason: int) -> None:
        self._reason = reason

    def lookupByUUIDString(self, _uuid: str) -> _PausedDouble:
        return self

    def state(self) -> tuple[int, int]:
        return libvirt.VIR_DOMAIN_PAUSED, self._reason

    def name(self) -> str:
        return "vm1"

    def isPersistent(self) -> bool:
        return True


def test_an_instance_that_its_disk_has_stopped_is_told_with_the_way_out() -> None:
    remark = sighting(_PausedDouble(libvirt.VIR_DOMAIN_PAUSED_IOERROR), "n2", "u").remark
    assert remark is not None
    assert "QEMU on n2 has paused vm1" in remark
    assert "virsh resume vm1" in remark
    assert sighting(_PausedDouble(libvirt.VIR_DOMAIN_PAUSED_USER), "n2", "u").remark is None
