"""Whether an instance of a dead host can be started elsewhere, from its definition and what living hosts see."""

from __future__ import annotations

import pytest
from tests.evacuation.definitions import ON_RBD, xml_of

from hotfoot.cloud.libvirt_xml import instance_of
from hotfoot.evacuation.fitness import bound, lost, on_shared_storage
from hotfoot.inventory import InstanceState
from hotfoot.migration.facts import DeclaredStorage, FileSight, HostFiles

IMAGE = "/srv/vms/a.qcow2"
ON_FILE = f"<disk type='file' device='disk'><source file='{IMAGE}'/><target dev='vda'/></disk>"
NVRAM = "/var/lib/libvirt/qemu/nvram/a_VARS.fd"


def seen(path: str = IMAGE, *, exists: bool = True, fs_type: str = "fuse.glusterfs", wwid: str = "") -> HostFiles:
    return HostFiles(files={path: FileSight(path=path, exists=exists, inode=7, fs_type=fs_type, wwid=wwid)})


def tie(devices: str, *sights: HostFiles, declared: tuple[DeclaredStorage, ...] = ()) -> str | None:
    xml = xml_of("a", devices)
    instance = instance_of(xml, "n1", InstanceState.RUNNING, persistent=True)
    return bound(instance, xml, on_shared_storage(sights), declared)


def test_a_disk_that_a_living_host_sees_on_shared_storage_binds_nothing() -> None:
    assert tie(ON_FILE, seen(exists=False), seen()) is None
    assert tie(ON_RBD) is None
    assert tie("<disk type='file' device='cdrom'><source file='/iso'/><target dev='sda'/></disk>") is None


@pytest.mark.parametrize(
    "sights", [(), (seen(exists=False),), (seen(fs_type="ext4"),), (HostFiles(problem="No SSH."),)]
)
def test_a_disk_that_no_living_host_sees_on_shared_storage_binds(sights: tuple[HostFiles, ...]) -> None:
    said = tie(ON_FILE, *sights, declared=(DeclaredStorage("/srv/vms", shared=True),))
    assert said == f"no other host sees its disk vda ({IMAGE}) on shared storage"


def test_what_is_declared_local_is_said_to_have_been_on_the_dead_host_alone() -> None:
    assert tie(ON_FILE, declared=(DeclaredStorage("/srv", shared=False),)) == f"its disk vda ({IMAGE}) was on n1 alone"


def test_a_device_counts_when_it_has_a_world_wide_name() -> None:
    on_device = "<disk type='block' device='disk'><source dev='/dev/sdb'/><target dev='vda'/></disk>"
    assert tie(on_device, seen("/dev/sdb", fs_type="devtmpfs", wwid="0x5000c5")) is None
    assert tie(on_device, seen("/dev/sdb", fs_type="devtmpfs")) is not None


@pytest.mark.parametrize(
    "device",
    [
        "<disk type='volume' device='disk'><source pool='p' volume='v'/><target dev='vda'/></disk>",
        "<hostdev type='pci'><source><address bus='0x1'/></source></hostdev>",
        "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>",
    ],
)
def test_what_only_the_dead_host_has_binds(device: str) -> None:
    assert tie(ON_RBD + device) is not None


def test_uefi_variables_that_no_other_host_sees_are_told_as_lost() -> None:
    xml = xml_of("a", os=f"<nvram>{NVRAM}</nvram>")
    instance = instance_of(xml, "n1", InstanceState.RUNNING, persistent=True)
    assert NVRAM in (lost(instance, xml, {}) or "")
    assert lost(instance, xml, on_shared_storage([seen(NVRAM)])) is None
    assert lost(instance, xml_of("a"), {}) is None
