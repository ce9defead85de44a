"""What hosts that are virtual machines are planned to be: pure parts, which need no lab."""

from __future__ import annotations

import io
import ipaddress
import struct
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfoot.errors import HotfootError
from hotfoot.lab import time_server, trust, vm_channel
from hotfoot.lab.accelerator import Verdict
from hotfoot.lab.bare import FIRST_BOOT, bare_host_files
from hotfoot.lab.host_files import File, host_files
from hotfoot.lab.spec import Lab, Storage, parse_hosts, plan_hosts
from hotfoot.lab.vm_host import instances_verdict, vm_files
from hotfoot.lab.vm_image import packed

TRUST = trust.issue([("n1", "10.77.3.11"), ("n2", "10.77.3.12")])


def a_vm_lab(storage: Storage = "nfs", *, bare: bool = False) -> Lab:
    return Lab(
        name="lab",
        number=3,
        transport="tls",
        storage=storage,
        accelerator="kvm",
        accelerator_reason="",
        link_rate="1gbit",
        supervisor_pid=1,
        supervisor_started=1,
        hosts=plan_hosts("lab", 3, 2, vm=True),
        bare=bare,
        vm_accelerator="tcg",
    )


def the_files(lab: Lab, index: int) -> dict[str, File]:
    host = lab.hosts[index]
    if lab.bare:
        return vm_files(lab, host, bare_host_files(host, TRUST, lab.storage, 1024))
    return vm_files(lab, host, host_files(host, lab.hosts, lab.number, lab.transport, TRUST, 1024))


@pytest.mark.parametrize("text", ["", "two", "vm:", "vm:x", "vms", "-1", "3:vm", "vm 2", "1.5", "vm:99999"])
def test_what_is_no_number_of_hosts_is_refused_with_the_ways_to_write_one(text: str) -> None:
    with pytest.raises(HotfootError, match=r"write 3 for hosts in namespaces, or vm or vm:2"):
        parse_hosts(text)


@given(st.integers(0, 9999))
def test_a_number_of_hosts_is_read_with_and_without_vm(count: int) -> None:
    assert parse_hosts(str(count)) == (False, count)
    assert parse_hosts(f"vm:{count}") == (True, count)


def test_virtual_machines_keep_their_identity_in_every_lab() -> None:
    one, two = plan_hosts("one", 1, 3, vm=True), plan_hosts("two", 2, 3, vm=True)
    assert [host.uuid for host in one] == [host.uuid for host in two]
    assert [host.address for host in one] != [host.address for host in two]
    assert not {host.uuid for host in one} & {host.uuid for host in plan_hosts("one", 1, 3)}


@given(st.integers(1, 40))
def test_a_host_has_three_macs_and_a_link_local_address_each(number: int) -> None:
    host = plan_hosts("lab", 0, 40, vm=True)[number - 1]
    macs = [host.management_mac, host.data_mac, host.bridge_mac]
    addresses = {ipaddress.IPv6Address(vm_channel.link_local(mac)) for mac in macs}
    assert len(addresses) == 3
    assert all(address.is_link_local for address in addresses)


def test_a_prepared_host_mounts_the_nfs_that_the_first_one_exports() -> None:
    lab = a_vm_lab()
    first, second = the_files(lab, 0), the_files(lab, 1)
    for found in (first, second):
        lines = found["etc/fstab"].content.splitlines()
        assert lines[0].startswith("/dev/vda / ext4")
        assert lines[1].startswith("n1:/srv/brick /var/lib/nova/instances nfs4 vers=4.2,")
    assert first["etc/exports"].content.startswith("/srv/brick n1(")
    assert "etc/exports" not in second


@pytest.mark.parametrize("bare", [True, False])
def test_a_machine_of_its_own_needs_no_stand_ins_and_has_no_units_shut_off(bare: bool) -> None:
    found = the_files(a_vm_lab(bare=bare), 1)
    assert not [path for path, file in found.items() if file.link_to == "/dev/null"]
    assert not [path for path in found if path.endswith("meminfo")]


def test_a_bare_host_gets_nothing_that_a_lab_prepares() -> None:
    found = the_files(a_vm_lab(bare=True), 0)
    assert FIRST_BOOT in found
    assert not {"etc/fstab", "etc/exports", "etc/udev/rules.d/90-userfaultfd.rules"} & set(found)
    assert not [path for path in found if path.startswith("etc/pki")]


def test_files_are_packed_with_their_modes_and_private_folders_stay_private() -> None:
    found = {
        "root/.ssh/authorized_keys": File("key\n", 0o600),
        "etc/key": File("secret\n", 0o640, group="kvm"),
        "etc/link": File(link_to="/dev/null"),
    }
    with tarfile.open(fileobj=io.BytesIO(packed(found, {"kvm": 993}))) as archive:
        entries = {entry.name: entry for entry in archive.getmembers()}
        key = archive.extractfile("etc/key")
        assert key is not None
        assert key.read() == b"secret\n"
    assert (entries["root/.ssh"].isdir(), entries["root/.ssh"].mode) == (True, 0o700)
    assert (entries["etc/key"].mode, entries["etc/key"].uid, entries["etc/key"].gid) == (0o640, 0, 993)
    assert entries["etc/link"].linkname == "/dev/null"
    assert "etc/pki/libvirt/private" not in entries


def test_emulated_hosts_run_their_instances_under_kvm() -> None:
    assert instances_verdict(Verdict("tcg", "KVM does not run here")).accelerator == "kvm"


def seconds(stamp: bytes) -> float:
    found: int = struct.unpack("!Q", stamp)[0]
    return found / 2**32 - 2_208_988_800


@given(st.binary(min_size=8, max_size=8), st.floats(0, 2_000_000_000), st.floats(0, 1))
def test_a_client_gets_its_own_stamp_back_and_the_time(stamp: bytes, received_s: float, taken_s: float) -> None:
    found = time_server.answer(bytes([0x23]) + bytes(39) + stamp, received_s, received_s + taken_s)
    assert found is not None
    assert len(found) == 48
    assert found[0] & 7 == 4  # a server's
    assert found[0] >> 6 == 0  # no leap second, and synchronised
    assert found[24:32] == stamp
    assert seconds(found[32:40]) == pytest.approx(received_s, abs=1e-5)
    assert seconds(found[40:48]) == pytest.approx(received_s + taken_s, abs=1e-5)


@pytest.mark.parametrize("request_bytes", [b"", bytes(47), bytes([0x24]) + bytes(47), bytes(48)])
def test_what_is_no_clients_request_gets_no_answer(request_bytes: bytes) -> None:
    assert time_server.answer(request_bytes, 0, 0) is None
