"""What the services answer, as the facts of a cloud's checks: by hand after the API references."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.cloud.test_openstack_values import IMAGE, UUID, VOLUME, hypervisor, server

from hotfoot.cloud.openstack_check_values import (
    allocations_of,
    allocations_on,
    hypervisor_of,
    instance_of,
    migration_of,
    moment,
    move_of,
    provider_of,
    service_of,
)


def test_a_service_of_a_silent_cell_is_neither_up_nor_down() -> None:
    silent = service_of({"binary": "nova-compute", "host": "n1", "status": "UNKNOWN"})
    assert (silent.up, silent.enabled, silent.updated_at) == (None, True, None)


@pytest.mark.parametrize("cpu", [None, "", "{}"])
def test_a_hypervisor_may_not_tell_its_cpu(cpu: str | None) -> None:
    assert hypervisor_of(hypervisor(cpu_info=cpu)).cpu_features == frozenset()


def test_a_hypervisor_and_its_cpu() -> None:
    cpu = {"arch": "x86_64", "vendor": "AMD", "model": "EPYC", "features": ["avx2", "sse4.2"]}
    found = hypervisor_of(hypervisor(cpu_info=cpu))
    assert (found.host, found.version_words, found.cpu_words) == ("n1", "QEMU 10.0.13", "EPYC (AMD)")
    assert found.cpu_features == {"avx2", "sse4.2"}


def test_a_part_of_a_tree_knows_its_root() -> None:
    part = {"uuid": "b", "name": "n1_numa0", "root_provider_uuid": "a", "parent_provider_uuid": "a"}
    found = provider_of(part, {"resources": {"VGPU": {"capacity": 4, "used": 1}}, "traits": ["CUSTOM_X"]})
    assert (found.root_id, dict(found.capacity), dict(found.used)) == ("a", {"VGPU": 4}, {"VGPU": 1})
    assert found.traits == {"CUSTOM_X"}


def test_allocations_by_provider_and_by_consumer_are_the_same() -> None:
    resources = {"VCPU": 1, "MEMORY_MB": 128}
    by_provider = allocations_on("p", {"allocations": {"c": {"resources": resources}}})
    by_consumer = allocations_of("c", {"allocations": {"p": {"resources": resources, "generation": 3}}})
    assert by_provider == by_consumer
    assert by_provider[0].words == "128 MEMORY_MB, 1 VCPU"


def test_a_server_in_a_cell_that_does_not_answer() -> None:
    found = instance_of({"id": UUID, "status": "UNKNOWN", "tenant_id": "p1", "created": "2026-11-21T15:19:14Z"})
    assert (found.name, found.host, found.status, found.vm_state, found.runs) == (UUID, "", "UNKNOWN", None, False)


def test_a_migration_whose_destination_is_being_chosen() -> None:
    record = {"id": 7, "status": "accepted", "source_compute": "n1", "dest_compute": None, "created_at": "2026-11-22"}
    found = migration_of(record)
    assert (found.uuid, found.destination, found.unfinished) == (None, "", True)
    assert found.updated_at == datetime(2026, 11, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["2026-11-21T20:00:12.500000", "2026-11-21T20:00:12.500000Z", "2026-11-21T22:00:12.5+02:00"]
)
def test_times_are_utc_whether_they_say_so_or_not(text: str) -> None:
    assert moment(text) == datetime(2026, 11, 21, 20, 0, 12, 500_000, tzinfo=UTC)


@pytest.mark.parametrize("text", [None, "", "yesterday", 7])
def test_what_is_no_time_is_none(text: object) -> None:
    assert moment(text) is None


def test_what_an_instance_is_made_of() -> None:
    extra = {"flavor": {**server()["flavor"], "extra_specs": {"hw:cpu_policy": "dedicated"}}, "config_drive": "True"}
    image: dict[str, Any] = {"id": IMAGE, "name": "debian", "hw_machine_type": "q35", "trait:CUSTOM_X": "required"}
    found = move_of(
        server(**extra),
        image=image,
        ports=[{"id": "p1", "binding:vnic_type": "direct"}, {"id": "p2"}],
        volumes=[{"id": VOLUME, "multiattach": True}, {"id": "other", "multiattach": False}],
        held=allocations_of(UUID, {"allocations": {"p-n1": {"resources": {"PCPU": 2}}}}),
        untold=(),
        newest=(2, 96),
    )
    assert found.extra_specs == {"hw:cpu_policy": "dedicated"}
    assert found.image_properties == {"hw_machine_type": "q35", "trait:CUSTOM_X": "required"}
    assert found.ports == {"p1": "direct", "p2": "normal"}
    assert found.held == {"p-n1": {"PCPU": 2}}
    assert (found.shared_volumes, found.config_drive, found.local_disks) == ((VOLUME,), True, True)


def test_one_that_boots_from_a_volume_keeps_no_disk_of_novas() -> None:
    found = move_of(server(image=""), image={}, ports=(), volumes=(), held=(), untold=(), newest=(2, 53))
    assert not found.local_disks


def attached_as(device: str, volume: str, **more: Any) -> dict[str, Any]:
    return {"id": volume, "attachments": [{"server_id": UUID, "device": device, "host_name": "n1"}], **more}


def test_what_the_image_of_one_that_boots_from_a_volume_asked_for_is_kept_with_the_volume() -> None:
    asked = {"hw_machine_type": "q35", "trait:CUSTOM_X": "required", "image_name": "debian"}
    volumes = [
        attached_as("/dev/vdb", "other", volume_image_metadata={"hw_machine_type": "pc"}),
        attached_as("/dev/vda", VOLUME, volume_image_metadata=asked),
    ]
    root = {"image": "", "OS-EXT-SRV-ATTR:root_device_name": "/dev/vda"}
    found = move_of(server(**root), image={}, ports=(), volumes=volumes, held=(), untold=(), newest=(2, 96))
    assert found.image_properties == {"hw_machine_type": "q35", "trait:CUSTOM_X": "required"}


def test_a_volume_beside_an_image_asks_for_nothing() -> None:
    volumes = [attached_as("/dev/vda", VOLUME, volume_image_metadata={"hw_machine_type": "q35"})]
    found = move_of(server(), image={}, ports=(), volumes=volumes, held=(), untold=(), newest=(2, 96))
    assert found.image_properties == {}


def attached_for(*hosts: str | None, server_id: str = UUID) -> dict[str, Any]:
    told = [{"server_id": server_id, "attachment_id": f"at-{host}", "host_name": host} for host in hosts]
    return {"id": VOLUME, "attachments": told}


@pytest.mark.parametrize(
    ("volume", "task", "strays"),
    [
        (attached_for("n1"), None, []),
        (attached_for("n1", "n2"), None, ["at-n2"]),
        (attached_for("n1", "n2"), "migrating", []),
        (attached_for(None), None, []),
        (attached_for("n2", server_id="another"), None, []),
    ],
)
def test_an_attachment_for_a_host_where_the_server_is_not(volume: Any, task: str | None, strays: list[str]) -> None:
    moving = server(**{"OS-EXT-STS:task_state": task})
    found = move_of(moving, image={}, ports=(), volumes=[volume], held=(), untold=(), newest=(2, 96))
    assert [one.id for one in found.strays] == strays
