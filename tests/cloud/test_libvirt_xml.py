"""What is read from a domain's XML."""

from __future__ import annotations

from hotfoot.cloud.libvirt_xml import cpu_to_compare, instance_of
from hotfoot.inventory import Instance, InstanceState

XML = """
<domain type='kvm' id='7'>
  <name>web1</name><uuid>DD000000-0000-4000-8000-000000000101</uuid>
  <metadata><nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'><nova:ports>
    <nova:port uuid='x'><nova:ip type='fixed' address='10.1.2.3' ipVersion='4'/></nova:port>
  </nova:ports></nova:instance></metadata>
  <memory unit='KiB'>262144</memory><currentMemory unit='KiB'>131072</currentMemory>
  <vcpu placement='static' current='2'>4</vcpu>
  <os><type arch='x86_64' machine='pc-q35-9.2'>hvm</type><loader readonly='yes'>/usr/share/OVMF/CODE.fd</loader></os>
  <cpu mode='custom' match='exact'><model fallback='forbid'>Skylake-Server</model></cpu>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none'/>
      <source file='/var/lib/nova/instances/web1.qcow2'/><target dev='vda' bus='virtio'/></disk>
    <disk type='network' device='disk'><driver name='qemu' type='raw'/>
      <source protocol='rbd' name='vms/web1'/><target dev='vdb'/></disk>
    <disk type='block' device='disk'><source dev='/dev/mapper/lun1'/><target dev='vdc'/><shareable/></disk>
    <disk type='file' device='cdrom'><target dev='sda'/><readonly/></disk>
    <interface type='bridge'><mac address='52:54:00:AA:00:65'/><source bridge='br0'/><target dev='vnet3'/>
      <model type='virtio'/></interface>
    %s
  </devices>
</domain>"""


def _read(devices: str = "") -> Instance:
    return instance_of(XML % devices, "n1", InstanceState.RUNNING, persistent=True)


def test_figures_are_in_bytes_and_only_vcpus_in_use_count() -> None:
    instance = _read()
    assert (instance.memory_bytes, instance.vcpus) == (256 * 1024 * 1024, 2)
    assert instance.uuid == "dd000000-0000-4000-8000-000000000101"


def test_each_kind_of_disk_tells_where_its_data_lives() -> None:
    disks = {disk.target: disk for disk in _read().disks}
    assert disks["vda"].source == "/var/lib/nova/instances/web1.qcow2"
    assert (disks["vdb"].protocol, disks["vdb"].source, disks["vdb"].on_host) == ("rbd", "vms/web1", False)
    assert disks["vdc"].source == "/dev/mapper/lun1"
    assert disks["vdc"].shareable
    assert (disks["sda"].source, disks["sda"].read_only) == (None, True)


def test_network_firmware_and_addresses() -> None:
    instance = _read()
    assert instance.interfaces[0].mac == "52:54:00:aa:00:65"
    assert (instance.interfaces[0].source, instance.interfaces[0].device) == ("br0", "vnet3")
    assert instance.boot_files == ("/usr/share/OVMF/CODE.fd",)
    assert instance.addresses == ("10.1.2.3",)


def test_only_devices_that_bind_to_the_host_are_named() -> None:
    pci = "<hostdev mode='subsystem' type='pci'><source><address bus='0x3'/></source></hostdev>"
    scsi = "<hostdev mode='subsystem' type='scsi'><source/></hostdev>"
    virtiofs = "<filesystem type='mount'><driver type='virtiofs'/><source dir='/a'/></filesystem>"
    shared = "<filesystem type='mount'><source dir='/b'/></filesystem>"
    assert _read(pci + scsi + virtiofs + shared).host_devices == (
        "the pci device 0x3",
        "the shared folder /b (9p)",
    )


def test_a_cpu_is_compared_only_where_its_features_are_listed() -> None:
    compared = cpu_to_compare(XML % "")
    assert compared is not None
    assert "Skylake-Server" in compared
    assert cpu_to_compare("<domain><cpu mode='host-passthrough'/></domain>") is None
    assert cpu_to_compare("<domain/>") is None
