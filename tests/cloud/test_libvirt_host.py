"""What is asked of one libvirt, tried on libvirt's own test driver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import libvirt
import pytest

from hotfoot.cloud.libvirt_host import claim, set_claim

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
