"""Recorded facts: whole, and no finding may need what a recording does not have."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotfoot.cluster.validation import cluster_from
from hotfoot.readiness.facts import Facts
from hotfoot.readiness.judge import TOPICS, judge
from hotfoot.readiness.plan import plan

from .record import FOLDER

RECORDINGS = sorted(FOLDER.glob("*.json"))


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_a_recording_is_judged_and_planned(path: Path) -> None:
    facts = Facts.model_validate_json(path.read_bytes())
    assert facts.hosts
    for host in facts.hosts:
        assert host.os is not None
        assert host.identity is not None
        assert "PRIVATE KEY" not in host.model_dump_json()
    cluster = cluster_from(
        {
            "hosts": [{"name": host.host, "address": f"10.9.0.{n}"} for n, host in enumerate(facts.hosts, 1)],
            "storage": [{"path": "/var/lib/nova/instances", "type": "nfs"}],
        }
    )
    findings = judge(cluster, facts, TOPICS)
    assert findings == judge(cluster, facts, TOPICS)
    assert plan(findings, facts) == plan(findings, facts)


def test_several_kinds_of_hosts_are_there() -> None:
    facts = [host for path in RECORDINGS for host in Facts.model_validate_json(path.read_bytes()).hosts]
    systems = {(host.os.id, host.os.version) for host in facts if host.os is not None}
    assert systems >= {("debian", "12"), ("debian", "13"), ("ubuntu", "22.04"), ("ubuntu", "24.04"), ("rhel", "9.4")}
