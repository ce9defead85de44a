from typing import Any

import pytest
from tests.readiness.libvirt_hosts import cluster, domain, facts, host, recorded, running

from hotfoot.readiness.facts import (
    FolderFact,
    HostFacts,
    LibvirtFact,
    MountFact,
    NameFact,
    PathFact,
    QemuFact,
    StorageFact,
)
from hotfoot.readiness.finding import Severity
from hotfoot.readiness.instance import instance_findings

SHARED = cluster(storage=[{"path": "/srv/instances", "type": "nfs", "source": "nas:/srv"}])
MOUNTED = MountFact(target="/srv/instances", source="nas:/srv", fs_type="nfs4")
LOCAL = MountFact(target="/", source="/dev/sda1", fs_type="ext4")


def storage(mount: MountFact = MOUNTED) -> StorageFact:
    return StorageFact(folders=(FolderFact(path="/srv/instances", exists=True, mount=mount),), mounts=(LOCAL, mount))


def disk(
    source: str = "file='/srv/instances/web.qcow2'", kind: str = "file", more: str = "", device: str = "disk"
) -> str:
    return (
        f"<disk type='{kind}' device='{device}'><source {source}>{more}</source><target dev='vda' bus='virtio'/></disk>"
    )


def found_for(
    inside: str = "", there: dict[str, Any] | None = None, here: dict[str, Any] | None = None, **parts: str
) -> list[str]:
    """Return what keeps an instance on n1 from going to n2."""
    source = host(libvirt=running(domain(inside=inside)), storage=storage(), **(here or {}))
    destination = host("n2", **{"storage": storage(), **(there or {})})
    findings = instance_findings(SHARED, facts(source, destination), "web")["n2"]
    assert all((each.host, each.peer) == ("n1", "n2") for each in findings)
    return [each.code.partition(".")[2] for each in findings]


def test_an_instance_on_shared_storage_can_go() -> None:
    assert found_for(disk()) == []


def test_an_instance_is_found_by_name_or_uuid() -> None:
    both = facts(host(libvirt=running(domain())), host("n2"), host("n3"))
    by_name = instance_findings(SHARED, both, "web")
    assert set(by_name) == {"n2", "n3"}
    assert instance_findings(SHARED, both, "00000000-0000-0000-0000-000000000003") == by_name
    with pytest.raises(KeyError):
        instance_findings(SHARED, both, "db")


def test_where_it_runs_counts_and_not_where_it_is_defined() -> None:
    defined = running(domain()).model_copy(update={"running": ()})
    of = facts(host(libvirt=defined), host("n2", libvirt=running(domain())))
    assert set(instance_findings(SHARED, of, "web")) == {"n1"}


def test_two_that_run_under_one_name_are_refused() -> None:
    of = facts(host(libvirt=running(domain())), host("n2", libvirt=running(domain())))
    with pytest.raises(ValueError, match="n1 and n2 have"):
        instance_findings(SHARED, of, "web")


@pytest.mark.parametrize(
    "inside",
    [
        "<hostdev mode='subsystem' type='pci'><source><address domain='0x0000' bus='0x3b'/></source></hostdev>",
        "<hostdev mode='subsystem' type='usb'><source/></hostdev>",
        "<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source/></hostdev>",
        "<interface type='hostdev'><mac address='52:54:00:00:00:01'/></interface>",
        "<filesystem type='mount'><driver type='virtiofs'/><source dir='/srv/x'/><target dir='x'/></filesystem>",
        "<filesystem type='mount'><source dir='/srv/x'/><target dir='x'/></filesystem>",
        "<shmem name='ivshmem0'><model type='ivshmem-doorbell'/></shmem>",
        "<disk type='block' device='lun'><source dev='/dev/sdb'/><target dev='sda'/></disk>",
        "<tpm model='tpm-crb'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>",
    ],
)
def test_devices_of_the_host_stay(inside: str) -> None:
    assert found_for(inside) == ["device-stays"]


@pytest.mark.parametrize(
    "inside",
    [
        "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>",
        "<hostdev mode='subsystem' type='pci'><teaming type='transient' persistent='ua-1'/><source/></hostdev>",
        "<disk type='file' device='cdrom'><target dev='sda'/><readonly/></disk>",
        "<interface type='bridge'><source bridge='br0'/></interface>",
    ],
)
def test_what_moves_is_left_alone(inside: str) -> None:
    assert found_for(inside) == []


def test_the_whole_cpu_of_another_host_is_missed() -> None:
    real = recorded("debian13-tcg-domcapabilities.xml")
    whole = "<cpu mode='host-passthrough'/>"
    same = {"libvirt": LibvirtFact(answers=True, hypervisor_cpu=real)}
    other = {"libvirt": LibvirtFact(answers=True, hypervisor_cpu=real.replace(">EPYC<", ">Opteron_G3<"))}
    source = host(libvirt=running(domain(cpu=whole), hypervisor_cpu=real))
    for there, expected in ((same, []), (other, ["instance.cpu"])):
        findings = instance_findings(SHARED, facts(source, host("n2", **there)), "web")["n2"]
        assert [each.code for each in findings] == expected


@pytest.mark.parametrize(
    ("qemu", "expected"),
    [
        (QemuFact(), ["no-emulator"]),
        (QemuFact(emulator="/usr/bin/q", version="10.0.0", machines=("pc",)), ["machine"]),
        (QemuFact(emulator="/usr/bin/q", version="7.2.0", machines=("pc-q35-10.0",)), ["older-qemu"]),
        (QemuFact(emulator="/usr/bin/q", version="10.0.9", machines=("pc-q35-10.0",)), []),
    ],
)
def test_the_destinations_qemu_must_do(qemu: QemuFact, expected: list[str]) -> None:
    assert found_for(there={"qemu": qemu}) == expected


def test_shared_storage_must_be_mounted_on_both() -> None:
    assert found_for(disk(), there={"storage": storage(LOCAL)}) == ["storage-not-mounted"]
    source = host(libvirt=running(domain(inside=disk())), storage=storage(LOCAL))
    findings = instance_findings(SHARED, facts(source, host("n2", storage=storage())), "web")["n2"]
    assert [each.code for each in findings] == ["instance.disk-below-storage"]


def test_a_local_disk_is_copied() -> None:
    assert found_for(disk("file='/var/lib/libvirt/images/web.qcow2'")) == ["disk-copied"]


@pytest.mark.parametrize(
    ("pools", "active", "of_nova", "expected"),
    [
        ({}, (), False, ["disk-copied", "no-pool"]),
        ({"images": "/var/lib/libvirt/images/"}, ("images",), False, ["disk-copied"]),
        ({"images": "/var/lib/libvirt/images"}, (), False, ["disk-copied", "no-pool"]),
        ({"all": "/var/lib/libvirt"}, ("all",), False, ["disk-copied", "no-pool"]),
        ({}, (), True, ["disk-copied"]),
        ({}, None, False, ["disk-copied"]),
    ],
)
def test_a_copy_is_made_in_an_active_pool_of_the_very_folder(
    pools: dict[str, str], active: tuple[str, ...] | None, of_nova: bool, expected: list[str]
) -> None:
    nova = "<metadata><i:instance xmlns:i='http://openstack.org/xmlns/libvirt/nova/1.1'/></metadata>" if of_nova else ""
    local = domain(inside=disk("file='/var/lib/libvirt/images/web.qcow2'"), more=nova)
    there = LibvirtFact(answers=True, pools=pools, active_pools=active)
    of = facts(host(libvirt=running(local), storage=storage()), host("n2", libvirt=there, storage=storage()))
    found = instance_findings(SHARED, of, "web")["n2"]
    assert [each.code.partition(".")[2] for each in found] == expected
    if pools.get("images") and not active:
        assert "virsh pool-start images" in found[-1].remedy


def test_shared_storage_that_nobody_declared_is_seen() -> None:
    mount = MountFact(target="/mnt/nas", source="nas:/b", fs_type="nfs4")
    both = StorageFact(mounts=(LOCAL, mount))
    source = host(libvirt=running(domain(inside=disk("file='/mnt/nas/web.raw'"))), storage=both)
    assert instance_findings(SHARED, facts(source, host("n2", storage=both)), "web")["n2"] == ()


def test_a_medium_in_a_local_file_must_be_there() -> None:
    medium = disk("file='/root/debian.iso'", device="cdrom")
    source = host(libvirt=running(domain(inside=medium)), storage=storage())
    cases: list[tuple[dict[str, PathFact], list[Severity]]] = [
        ({}, [Severity.DANGEROUS]),
        ({"/root/debian.iso": PathFact(path="/root/debian.iso")}, [Severity.BLOCKS]),
        ({"/root/debian.iso": PathFact(path="/root/debian.iso", exists=True)}, []),
    ]
    for paths, expected in cases:
        findings = instance_findings(SHARED, facts(source, host("n2", storage=storage(), paths=paths)), "web")["n2"]
        assert [each.severity for each in findings] == expected


SECRET = "11111111-2222-3333-4444-555555555555"
RBD = disk(
    "protocol='rbd' name='vms/web'", "network", f"<auth username='nova'><secret type='ceph' uuid='{SECRET}'/></auth>"
)


def test_an_image_in_ceph_needs_its_secret_and_driver() -> None:
    with_rbd = {
        "qemu": QemuFact(emulator="/usr/bin/q", version="10.0.2", drivers=("iscsi", "rbd"), machines=("pc-q35-10.0",))
    }
    without = {"qemu": QemuFact(emulator="/usr/bin/q", version="10.0.2", drivers=("iscsi",), machines=("pc-q35-10.0",))}
    secrets = {"libvirt": LibvirtFact(answers=True, secrets={SECRET: "client.nova secret"})}
    assert found_for(RBD, there={**with_rbd, **secrets}, here=with_rbd) == []
    assert found_for(RBD, there=with_rbd, here=with_rbd) == ["secret-missing"]
    assert found_for(RBD, there={**without, **secrets}, here=with_rbd) == ["driver-missing"]


@pytest.mark.parametrize("seen_as", ["network", "bridge"])
def test_networks_and_bridges_must_be_there_where_that_is_known(seen_as: str) -> None:
    cards = f"<interface type='{seen_as}'><source network='tenants' portid='1' bridge='br1'/></interface>"
    cards += "<interface type='bridge'><source bridge='br0'/></interface>"
    assert found_for(cards) == []
    lacking = {
        "libvirt": LibvirtFact(answers=True, networks=("default",)),
        "names": NameFact(hostname="n2", addresses=("10.0.0.2",), links=("eth0",)),
    }
    assert found_for(cards, there=lacking) == ["network-missing", "bridge-missing"]
    there = {
        "libvirt": LibvirtFact(answers=True, networks=("tenants",)),
        "names": NameFact(hostname="n2", addresses=("10.0.0.2",), links=("eth0", "br0")),
    }
    assert found_for(cards, there=there) == []


def test_a_console_on_the_sources_address_is_told() -> None:
    assert found_for("<graphics type='vnc' listen='10.0.0.1'/>") == ["console-pinned"]


def test_a_host_that_told_nothing_stands_in_no_way() -> None:
    dumb: dict[str, Any] = {"libvirt": None, "qemu": None, "storage": None, "names": None, "paths": {}}
    of = facts(host(libvirt=running(domain(inside=disk())), storage=storage()), HostFacts(host="n2", **dumb))
    assert instance_findings(SHARED, of, "web")["n2"] == ()
