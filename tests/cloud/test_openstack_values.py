"""What Nova and Placement answer, as hosts and instances: written by hand from the API references."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hotfoot.cloud.openstack_values import hosts_of, instance_of, inventory_of, with_attachments
from hotfoot.inventory import Disk, InstanceState, Interface
from hotfoot.nova_words import Capacity, ServerGroup

UUID = "2ce4c5b3-2866-4972-93ce-77a2ea46a7f9"
IMAGE = "70a599e0-31e7-49b7-b260-868f441e862b"
VOLUME = "227cc671-f30b-4488-96fd-7d0bf13648d8"
HYPERVISOR = "1bb62a04-c576-402c-8147-9e89757a09e3"


def server(**changed: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "id": UUID,
        "name": "web1",
        "status": "ACTIVE",
        "tenant_id": "p1",
        "OS-EXT-AZ:availability_zone": "nova",
        "OS-EXT-SRV-ATTR:host": "n1",
        "OS-EXT-SRV-ATTR:instance_name": "instance-00000001",
        "OS-EXT-SRV-ATTR:root_device_name": "/dev/vda",
        "OS-EXT-STS:power_state": 1,
        "OS-EXT-STS:task_state": None,
        "OS-EXT-STS:vm_state": "active",
        "addresses": {},
        "created": "2026-11-21T15:19:14Z",
        "flavor": {"vcpus": 2, "ram": 512, "disk": 20, "ephemeral": 0, "swap": 0, "original_name": "m1.small"},
        "host_status": "UP",
        "image": {"id": IMAGE},
        "locked": False,
        "metadata": {},
        "os-extended-volumes:volumes_attached": [],
    }
    return {**whole, **changed}


def hypervisor(**changed: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "id": HYPERVISOR,
        "hypervisor_hostname": "n1.lan",
        "hypervisor_type": "QEMU",
        "hypervisor_version": 10000013,
        "host_ip": "10.0.0.1",
        "state": "up",
        "status": "enabled",
        "service": {"host": "n1", "id": "s1", "disabled_reason": None},
    }
    return {**whole, **changed}


def service(**changed: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "binary": "nova-compute",
        "host": "n1",
        "zone": "az1",
        "status": "enabled",
        "state": "up",
        "updated_at": "2026-11-21T15:19:15.000000",
        "disabled_reason": None,
        "forced_down": False,
    }
    return {**whole, **changed}


def test_a_server_is_an_instance_of_its_flavours_size_on_its_host() -> None:
    found = instance_of(server(), {"p1": "shop"})
    assert (found.uuid, found.name, found.host, found.state) == (UUID, "web1", "n1", InstanceState.RUNNING)
    assert (found.vcpus, found.memory_bytes) == (2, 512 << 20)
    assert found.disks == (Disk(target="vda", kind="local", source=f"image {IMAGE}", size_bytes=20 << 30),)
    assert found.nova is not None
    assert found.nova.project == "shop"
    assert found.nova.libvirt_name == "instance-00000001"
    assert found.nova.flavor == "m1.small"


def test_a_guest_that_runs_is_running_though_its_server_is_in_error() -> None:
    fault = {"message": "Migration error", "code": 500, "created": "2026-11-21T15:19:14Z"}
    found = instance_of(server(status="ERROR", **{"OS-EXT-STS:vm_state": "error"}, fault=fault), {})
    assert found.state is InstanceState.RUNNING
    assert found.nova is not None
    assert (found.nova.status, found.nova.fault) == ("ERROR", "Migration error")


def test_power_states_are_novas_numbers_and_not_libvirts() -> None:
    states = {0: "unknown", 1: "running", 3: "paused", 4: "shut off", 6: "crashed", 7: "shut off", None: "unknown"}
    for number, state in states.items():
        assert instance_of(server(**{"OS-EXT-STS:power_state": number}), {}).state.value == state


def test_one_that_boots_from_a_volume_has_no_local_root_disk() -> None:
    found = instance_of(server(image="", **{"os-extended-volumes:volumes_attached": [{"id": VOLUME}]}), {})
    assert found.disks == (Disk(target="", kind="cinder", source=VOLUME),)
    assert found.nova is not None
    assert found.nova.image_id is None


def test_ephemeral_disk_and_swap_are_local_too() -> None:
    flavor = {"vcpus": 1, "ram": 64, "disk": 0, "ephemeral": 2, "swap": 512, "original_name": "x"}
    found = instance_of(server(flavor=flavor), {})
    assert [(disk.source, disk.size_bytes) for disk in found.disks] == [
        (f"image {IMAGE}", None),
        ("ephemeral", 2 << 30),
        ("swap", 512 << 20),
    ]
    assert not any(disk.on_host for disk in found.disks)


def test_floating_addresses_come_first_and_a_card_once() -> None:
    def address(text: str, kind: str) -> dict[str, Any]:
        mac = "fa:16:3e:00:00:01"
        return {"addr": text, "version": 4, "OS-EXT-IPS:type": kind, "OS-EXT-IPS-MAC:mac_addr": mac}

    found = instance_of(
        server(addresses={"lan": [address("192.168.1.30", "fixed"), address("203.0.113.7", "floating")]}), {}
    )
    assert found.addresses == ("203.0.113.7", "192.168.1.30")
    assert found.interfaces == (Interface(mac="fa:16:3e:00:00:01", kind="port", source="lan"),)
    assert found.nova is not None
    assert found.nova.floating_addresses == ("203.0.113.7",)


def test_a_failed_boot_has_no_host() -> None:
    found = instance_of(server(status="ERROR", **{"OS-EXT-SRV-ATTR:host": None, "OS-EXT-STS:power_state": 0}), {})
    assert found.host == ""
    assert not found.running


def test_a_server_of_a_cell_that_does_not_answer_is_in_the_inventory() -> None:
    part = {"id": UUID, "status": "UNKNOWN", "tenant_id": "p1", "created": "2026-11-21T15:19:14Z", "links": []}
    found = instance_of(part, {})
    assert (found.name, found.host, found.state) == (UUID, "", InstanceState.UNKNOWN)
    assert found.nova is not None
    assert found.nova.status == "UNKNOWN"


def test_groups_are_known_at_their_members_with_old_and_new_words() -> None:
    old = {"id": "g1", "name": "old", "policies": ["affinity"], "members": [UUID]}
    new = {"id": "g2", "name": "new", "policy": "anti-affinity", "members": [UUID, "other"]}
    inventory = inventory_of([server()], [], [], groups=[old, new])
    nova = inventory.instances[0].nova
    assert nova is not None
    assert nova.server_groups == (ServerGroup("g1", "old", "affinity"), ServerGroup("g2", "new", "anti-affinity"))


def test_a_host_has_what_placement_promises() -> None:
    resources = {
        "VCPU": {"capacity": 16, "used": 3},
        "PCPU": {"capacity": 4, "used": 1},
        "MEMORY_MB": {"capacity": 2048, "used": 512},
    }
    providers = {HYPERVISOR: {"resources": resources, "traits": ["HW_CPU_X86_SSE", "CUSTOM_GOLD"]}}
    aggregates = [{"name": "ssd", "hosts": ["n1", "n2"]}, {"name": "az1", "hosts": ["n1"]}]
    (host,) = (each for each in hosts_of([hypervisor()], [service()], aggregates, providers) if each.name == "n1")
    assert (host.address, host.problem, host.qemu_version) == ("10.0.0.1", None, (10, 0, 13))
    assert (host.cpus, host.memory_total_bytes, host.memory_available_bytes) == (20, 2048 << 20, 1536 << 20)
    assert host.nova is not None
    assert host.nova.aggregates == ("az1", "ssd")
    assert host.nova.traits == ("CUSTOM_GOLD", "HW_CPU_X86_SSE")
    assert Capacity("VCPU", 16, 3) in host.nova.capacity
    assert host.nova.free("MEMORY_MB") == 1536
    assert host.nova.free("DISK_GB") is None


def test_a_disabled_host_answers_and_says_why_it_is_disabled() -> None:
    (host,) = hosts_of([hypervisor()], [service(status="disabled", disabled_reason="new disks")], [], {})
    assert host.answers
    assert host.nova is not None
    assert (host.nova.enabled, host.nova.disabled_reason) == (False, "new disks")


def test_a_host_whose_nova_compute_is_down_says_since_when() -> None:
    (host,) = hosts_of([hypervisor(state="down")], [service(state="down")], [], {})
    assert host.problem == (
        "nova-compute on n1 is down since 2026-11-21T15:19:15.000000 (UTC), as Nova says: see its log there, or whether"
        " the host is off."
    )


def test_a_host_that_is_forced_down_is_not_called_dead() -> None:
    (host,) = hosts_of([hypervisor(state="down")], [service(state="down", forced_down=True)], [], {})
    assert host.problem is not None
    assert "forced down" in host.problem


def test_a_service_without_a_hypervisor_is_a_host() -> None:
    down = service(host="n2", state="down")
    assert [host.name for host in hosts_of([hypervisor()], [service(), down], [], {})] == ["n1", "n2"]


def test_a_service_of_a_cell_that_does_not_answer_is_a_host_that_is_not_up() -> None:
    (host,) = hosts_of([], [{"binary": "nova-compute", "host": "n9", "status": "UNKNOWN"}], [], {})
    assert not host.answers


def test_volumes_get_their_device_names_and_ports_their_state() -> None:
    found = instance_of(server(**{"os-extended-volumes:volumes_attached": [{"id": VOLUME}]}), {})
    port = {"port_id": "p", "net_id": "net", "mac_addr": "fa:16:3e:00:00:01", "port_state": "ACTIVE", "fixed_ips": []}
    detailed = with_attachments(found, [{"volumeId": VOLUME, "device": "/dev/vdb"}], [port])
    assert detailed.disks[-1] == Disk(target="vdb", kind="cinder", source=VOLUME)
    assert detailed.disks[0] == found.disks[0]
    assert detailed.interfaces == (
        Interface(mac="fa:16:3e:00:00:01", kind="port", source="net", device="p", model="ACTIVE"),
    )


names = st.lists(st.sampled_from(["n1", "n2", "n3", "n4"]), max_size=6)


@given(names, names, names)
def test_every_host_and_every_server_that_nova_names_is_there_once(
    hypervisors: list[str], services: list[str], servers: list[str]
) -> None:
    inventory = inventory_of(
        [server(id=f"{number}", **{"OS-EXT-SRV-ATTR:host": host}) for number, host in enumerate(servers)],
        [hypervisor(service={"host": host}) for host in hypervisors],
        [service(host=host) for host in services],
    )
    assert [host.name for host in inventory.hosts] == sorted({*hypervisors, *services})
    assert [instance.host for instance in inventory.instances] == servers
