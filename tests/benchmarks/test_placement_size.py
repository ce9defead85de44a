from __future__ import annotations

import gzip
import json
from pathlib import Path

from benchmarks.placement_size import large_cluster, measured, real_clusters

from hotfoot.placement.snapshot import MEMORY, VCPUS
from hotfoot.placement.wish import Drain


def test_the_large_cluster_is_the_same_for_the_same_seed_and_can_be_drained() -> None:
    crowd = large_cluster(12, 100, 1)
    assert crowd == large_cluster(12, 100, 1)
    assert crowd != large_cluster(12, 100, 2)
    planned = measured(crowd, Drain(hosts=frozenset({"h0003"})), 60, "drain")
    assert (planned.left, planned.faults, planned.gap) == (0, 0, 0)


def test_a_real_cluster_is_read_from_its_published_form(tmp_path: Path) -> None:
    flavour = {"vm_type": "large", "request_cpu": 4, "request_mem_mb": 8192.0}
    told = {
        "vm_type_list": [flavour],
        "cluster_list": [
            {
                "cluster_name": "one",
                "host_info": [{"node_id": "pm_0", "status": "ACTIVE", "node_cpu": 88, "node_mem_mb": 368776.0}],
                "vm_instance": [
                    {"instance_id": "vm_0", "instance_type": "large", "host_id": "pm_0", "allow_migration": False}
                ],
            }
        ],
    }
    (tmp_path / "cluster-x.json.gz").write_bytes(gzip.compress(json.dumps(told).encode()))
    ((name, snapshot),) = real_clusters(tmp_path)
    assert name == "cluster-x one"
    assert snapshot.hosts[0].resources[VCPUS].capacity == 88
    assert snapshot.instances[0].sizes == {MEMORY: 8 << 30, VCPUS: 4}
    assert not snapshot.instances[0].movable
