"""Hosts as whole virtual machines: a kernel each, real kernel NFS, and the same commands as for any lab."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.command import hotfoot, well
from tests.lab.labs import TestLab

from hotfoot.lab import namespaces, store, vm_host

pytestmark = pytest.mark.skipif(
    bool(vm_host.obstacles("vmtest", 2)),
    reason=f"this machine cannot run virtual machines as hosts: {vm_host.obstacles('vmtest', 2)}",
)
# Where the machine emulates processors, first boots take minutes, and everything in the hosts takes its time.
_UP_TIMEOUT_S = 900


def _up(name: str, *options: str) -> TestLab:
    hotfoot("lab", "down", "--name", name)
    found = well("lab", "up", "--name", name, "--hosts", "vm:2", "--json", *options, timeout_s=_UP_TIMEOUT_S).json
    return TestLab(name, Path(found["cluster_file"]), tuple(host["name"] for host in found["hosts"]))


@pytest.fixture(scope="module")
def vm_lab() -> Iterator[TestLab]:
    """Two virtual machines over TLS with kernel NFS, and one busy instance."""
    yield _up("vmtest", "--instances", "1", "--memory", "128", "--rate", "5")
    hotfoot("lab", "down", "--name", "vmtest")


@pytest.mark.parametrize(
    ("number", "says"), [("vm:two", "'vm:two' is no number of hosts"), ("vm:0", "1 to 50 hosts"), ("vm:51", "1 to 50")]
)
def test_what_is_no_number_of_hosts_is_refused_and_nothing_is_left(number: str, says: str) -> None:
    said = hotfoot("lab", "up", "--name", "vmno", f"--hosts={number}")
    assert said.status == 2
    assert says in said.err
    assert not store.folder_of("vmno").exists()


def test_each_host_is_a_machine_of_its_own(vm_lab: TestLab) -> None:
    identities = [
        vm_lab.on(host, "cat", "/proc/sys/kernel/random/boot_id", "/etc/machine-id", "/sys/class/dmi/id/product_uuid")
        for host in vm_lab.hosts
    ]
    identities.append(Path("/proc/sys/kernel/random/boot_id").read_text())
    words = [word for text in identities for word in text.split()]
    assert len(words) == len(set(words)) == 7
    for host in vm_lab.hosts:
        assert vm_lab.on(host, "hostname").strip() == host
        assert vm_lab.on(host, "systemctl", "is-system-running").strip() == "running"
    here = Path("/proc/sys/vm/swappiness")
    before = here.read_text()
    vm_lab.on("n1", "sysctl", "-q", "-w", f"vm.swappiness={int(before) + 1}")
    assert here.read_text() == before == vm_lab.on("n2", "cat", str(here))


def test_the_clock_is_this_machines(vm_lab: TestLab) -> None:
    for host in vm_lab.hosts:
        before = time.time()
        there = float(vm_lab.on(host, "date", "+%s.%N"))
        assert before - 2 < there < time.time() + 2


def test_the_storage_is_the_kernels_nfs_from_fstab(vm_lab: TestLab) -> None:
    for host in vm_lab.hosts:
        mount = vm_lab.on(host, "findmnt", "-no", "FSTYPE,OPTIONS", "/var/lib/nova/instances")
        assert mount.startswith("nfs4")
        assert "vers=4.2" in mount
        assert "/var/lib/nova/instances nfs4" in vm_lab.on(host, "cat", "/etc/fstab")
    vm_lab.on("n2", "sh", "-c", "echo seen > /var/lib/nova/instances/token")
    assert vm_lab.on("n1", "cat", "/srv/brick/token") == "seen\n"


def test_commands_arrive_as_they_were_given(vm_lab: TestLab) -> None:
    words = ["two words", "it's", "$HOME", "a\nb", "*", ""]
    assert vm_lab.on("n1", "printf", "%s|", *words) == "".join(f"{word}|" for word in words)
    said = hotfoot("lab", "exec", "--name", vm_lab.name, "n1", "--", "sh", "-c", "exit 7")
    assert said.status == 7


def test_an_instance_moves_and_is_whole(vm_lab: TestLab) -> None:
    assert "nova/instances" in vm_lab.on(vm_lab.where("vm1") or "", "virsh", "domblklist", "vm1")
    destination = "n2" if vm_lab.where("vm1") == "n1" else "n1"
    said = vm_lab.run("migrate", "vm1", destination, "--no-forecast", timeout_s=400)
    assert said.status == 0, said.out + said.err
    assert vm_lab.where("vm1") == destination
    vm_lab.verify("vm1")


def test_a_host_can_be_entered_while_its_link_is_cut(vm_lab: TestLab) -> None:
    vm_lab.lab("fault", "cut-link", "n2")
    try:
        assert vm_lab.on("n2", "hostname") == "n2\n"
        states = {host["name"]: host["state"] for host in vm_lab.lab("status", "--json").json["hosts"]}
        assert states == {"n1": "up", "n2": "up, link cut"}
    finally:
        vm_lab.lab("fault", "mend-link", "n2")
    vm_lab.verify("vm1")


def test_a_killed_host_boots_again_with_its_disk_and_its_mounts(vm_lab: TestLab) -> None:
    if vm_lab.where("vm1") == "n2":
        assert vm_lab.run("migrate", "vm1", "n1", "--no-forecast", timeout_s=400).status == 0
    vm_lab.on("n2", "sh", "-c", "echo kept > /root/kept; sync")
    booted = vm_lab.on("n2", "cat", "/proc/sys/kernel/random/boot_id")
    vm_lab.lab("fault", "kill-host", "n2")
    assert hotfoot("lab", "exec", "--name", vm_lab.name, "n2", "--", "true").status != 0
    well("lab", "fault", "start-host", "n2", "--name", vm_lab.name, timeout_s=_UP_TIMEOUT_S)
    assert vm_lab.on("n2", "cat", "/proc/sys/kernel/random/boot_id") != booted
    assert vm_lab.on("n2", "cat", "/root/kept") == "kept\n"
    assert vm_lab.on("n2", "findmnt", "-no", "FSTYPE", "/var/lib/nova/instances").strip() == "nfs4"
    vm_lab.verify("vm1")


def test_bare_hosts_share_nothing_and_all_of_it_ends_with_the_supervisor() -> None:
    bare = _up("vmbare", "--bare")
    ids = [bare.on(host, "id", "-u", "nova") for host in bare.hosts]
    assert len(set(ids)) == 2
    for host in bare.hosts:
        bare.on(host, "sh", "-c", "! test -e /etc/pki/libvirt && ! grep -q nova/instances /etc/fstab")
        assert ":16514" not in bare.on(host, "ss", "-tln")
        assert "127.0.1.1" in bare.on(host, "cat", "/etc/hosts")
        assert bare.on(host, "stat", "-c", "%G", "/dev/kvm") == "kvm\n"
    os.kill(store.load("vmbare").supervisor_pid, signal.SIGKILL)
    end = time.monotonic() + 20
    while namespaces.processes_of("vmbare") and time.monotonic() < end:
        time.sleep(0.1)
    assert namespaces.processes_of("vmbare") == []
    well("lab", "down", "--name", "vmbare")
    assert not store.folder_of("vmbare").exists()
