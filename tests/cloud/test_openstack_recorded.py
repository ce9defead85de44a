"""What a real Nova 34 of the lab answered, as hosts and instances.

Recorded with two servers on n1, one that found no host, an aggregate and a server group. Left out: links, what the CPUs
can do, and the traceback of the fault.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hotfoot.cloud.openstack_values import instance_of, inventory_of, with_attachments
from hotfoot.inventory import Disk, InstanceState, Inventory
from hotfoot.nova_words import Capacity

TOLD: dict[str, Any] = json.loads((Path(__file__).parent / "recorded" / "look-nova-34.json").read_text())


@pytest.fixture
def inventory() -> Inventory:
    return inventory_of(
        TOLD["compute /servers/detail"]["servers"],
        TOLD["compute /os-hypervisors/detail"]["hypervisors"],
        TOLD["compute /os-services"]["services"],
        aggregates=TOLD["compute /os-aggregates"]["aggregates"],
        groups=TOLD["compute /os-server-groups"]["server_groups"],
        projects=TOLD["identity /projects"]["projects"],
        providers=TOLD["placement /allocation_candidates"]["provider_summaries"],
    )


def test_hosts_with_their_room(inventory: Inventory) -> None:
    first, second = inventory.hosts
    assert (first.name, first.address, first.problem, first.qemu_version) == ("n1", "10.77.0.11", None, (10, 0, 13))
    assert first.nova is not None
    assert (first.nova.availability_zone, first.nova.aggregates) == ("nova", ("ssd",))
    assert Capacity("VCPU", 32, 2) in first.nova.capacity
    assert "COMPUTE_TRUSTED_CERTS" in first.nova.traits
    assert (first.memory_total_bytes, inventory.memory_free_bytes("n1")) == (2048 << 20, 1792 << 20)
    assert inventory.memory_free_bytes(second.name) == 2048 << 20


def test_servers_of_all_kinds(inventory: Inventory) -> None:
    failed, first, second = sorted(inventory.instances, key=lambda instance: instance.name)
    assert (first.name, first.host, first.state) == ("vm1", "n1", InstanceState.RUNNING)
    assert (first.vcpus, first.memory_bytes, first.addresses) == (1, 128 << 20, ("10.88.0.101",))
    assert first.nova is not None
    assert (first.nova.project, first.nova.flavor, first.nova.status) == ("admin", "m128", "ACTIVE")
    assert first.nova.libvirt_name
    assert second.nova is not None
    assert second.nova.libvirt_name != first.nova.libvirt_name
    assert failed.nova is not None
    assert (failed.host, failed.nova.status, failed.nova.fault) == ("", "ERROR", "No valid host was found.")
    assert failed.nova.libvirt_name is None
    assert [group.policy for group in failed.nova.server_groups] == ["anti-affinity"]


def test_one_server_asked_for_alone_is_the_same_but_for_its_port(inventory: Inventory) -> None:
    listed = next(instance for instance in inventory.instances if instance.name == "vm1")
    assert listed.nova is not None
    path = f"compute /servers/{listed.uuid}"
    alone = instance_of(TOLD[path]["server"], {listed.nova.project_id: "admin"})
    assert alone == listed
    detailed = with_attachments(
        alone,
        TOLD[f"{path}/os-volume_attachments"]["volumeAttachments"],
        TOLD[f"{path}/os-interface"]["interfaceAttachments"],
    )
    (card,) = detailed.interfaces
    assert (card.mac, card.source) == (listed.interfaces[0].mac, "instances")
    assert card.model == "DOWN"  # as Neutron had it, though packets came through
    image = listed.nova.image_id
    assert detailed.disks == (Disk(target="vda", kind="local", source=f"image {image}"),)
