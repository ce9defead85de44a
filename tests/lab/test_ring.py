"""A busy instance goes around in a ring, over each transport and each kind of storage, and stays whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.lab.labs import TestLab, raised

MOVES = 20
RINGS = [("tls", "glusterfs"), ("ssh", "none")]
CROSSED = [("ssh", "glusterfs"), ("tls", "none")]
"""The other two pairs, four minutes more, are for `make fault-matrix`."""


PARAMS = [*RINGS, *(pytest.param(pair, marks=pytest.mark.matrix) for pair in CROSSED)]


@pytest.fixture(scope="module", params=PARAMS, ids="-".join)
def ring(request: pytest.FixtureRequest) -> Iterator[tuple[TestLab, str]]:
    """A lab whose one instance rewrites 20 MiB of memory each second, and how its storage is moved."""
    transport, storage = request.param
    options = ("--hosts", "3", "--instances", "1", "--transport", transport, "--storage", storage)
    with raised("ring", *options, "--rate", "20", "--area", "64") as lab:
        yield lab, storage


def test_a_busy_instance_goes_round_and_stays_whole(ring: tuple[TestLab, str]) -> None:
    lab, storage = ring
    boot = None
    for move in range(MOVES):
        source, destination = lab.hosts[move % 3], lab.hosts[(move + 1) % 3]
        said = lab.run("migrate", "vm1", destination, "--no-forecast", "--json")
        assert said.status == 0, f"move {move}: {said.err}"
        result = said.json
        assert (result["source"], result["destination"]) == (source, destination)
        assert result["outcome"] == "completed"
        assert result["mode"] == ("block" if storage == "none" else "live")
        assert result["memory_bytes"] == 256 * 2**20
        assert 0 < result["downtime_ms"] <= result["total_ms"]
        assert result["outage_ms"] is not None
        assert 0 <= result["probes_lost"] < result["probes_sent"]
        assert result["transferred_bytes"] > 64 * 2**20
        assert result["iterations"] >= 2
        assert lab.where("vm1") == destination
        proof = lab.verify("vm1")
        assert boot is None or proof["uptime_s"] > boot
        boot = proof["uptime_s"]
