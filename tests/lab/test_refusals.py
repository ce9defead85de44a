"""What stands in the way of a move is said before it starts; nothing is touched, the instance runs on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from tests.lab.labs import TestLab

from hotfoot.lab import trust


def refused(lab: TestLab, *words: str, says: tuple[str, ...], status: int = 3) -> str:
    """Check that a move is refused, with a dry run saying the same and no traceback, and return the words."""
    dry = lab.run("migrate", *words, "--dry-run", timeout_s=60)
    said = lab.run("migrate", *words, timeout_s=60)
    machine = lab.run("migrate", *words, "--no-forecast", "--json", timeout_s=60)
    for answer in (dry, said, machine):
        assert answer.status == status, (words, answer)
    everything = " ".join((dry.out, dry.err)), " ".join((said.out, said.err)), str(machine.json["reason"])
    for part in says:
        for text in everything:
            assert part in " ".join(text.split()), f"{part!r} is not in {text!r}"
    assert machine.json["outcome"] == "failed"
    return said.err


@contextmanager
def broken(lab: TestLab, host: str, do: str, undo: str) -> Iterator[None]:
    """Break something on a host, and mend it afterwards."""
    lab.on(host, "sh", "-c", do)
    try:
        yield
    finally:
        lab.on(host, "sh", "-c", undo)


@pytest.fixture
def home(lab: TestLab) -> Iterator[TestLab]:
    """The lab with vm1 on n1; afterwards it must still run there, whole."""
    if lab.where("vm1") != "n1":
        assert lab.run("migrate", "vm1", "n1", "--no-forecast").status == 0
    yield lab
    assert lab.where("vm1") == "n1"
    lab.verify("vm1")


def test_source_equal_to_destination(home: TestLab) -> None:
    refused(home, "vm1", "n1", says=("vm1", "n1", "already"))


def test_an_unknown_instance(home: TestLab) -> None:
    refused(home, "vm7", "n2", says=("vm7",))


def test_an_unknown_host(home: TestLab) -> None:
    refused(home, "vm1", "n22", says=("n22", "n2"))


def test_an_ambiguous_name(home: TestLab) -> None:
    xml = "<domain type='qemu'><name>vm1</name><memory unit='MiB'>64</memory><os><type>hvm</type></os></domain>"
    with broken(home, "n3", f'echo "{xml}" > /tmp/x && virsh -q define /tmp/x', "virsh -q undefine vm1"):
        refused(home, "vm1", "n2", says=("vm1", "n1", "n3", "--from"))
        assert home.run("migrate", "vm1", "n2", "--from", "n1", "--dry-run").status == 0


def test_a_rule_of_the_cluster_file(home: TestLab) -> None:
    beside = home.cluster.with_name("ruled.yaml")
    beside.write_text(
        home.cluster.read_text() + "rules: [{name: licence, kind: not-on, instances: [vm1], hosts: [n2]}]\n"
    )
    try:
        ruled = replace(home, cluster=beside)
        refused(ruled, "vm1", "n2", says=("rule licence", "vm1 on n2", "--ignore-rules"))
        chosen = ruled.run("migrate", "vm1", "--dry-run", "--no-forecast")
        assert (chosen.status, "to n3" in chosen.out) == (0, True), chosen
        nevertheless = ruled.run("migrate", "vm1", "n2", "--ignore-rules", "--dry-run", "--no-forecast")
        assert (nevertheless.status, "because of --ignore-rules" in nevertheless.out) == (0, True), nevertheless
    finally:
        beside.unlink()


def test_an_instance_that_does_not_run(home: TestLab) -> None:
    home.lab("instance", "add", "stopped", "--memory", "128", "--host", "n1")
    try:
        home.on("n1", "virsh", "-q", "destroy", "stopped")
        refused(home, "stopped", "n2", says=("stopped", "shut off"))
    finally:
        home.lab("instance", "kill", "stopped")


def test_a_destination_that_is_down(block_lab: TestLab) -> None:
    block_lab.lab("fault", "kill-host", "n3")
    try:
        refused(block_lab, "vm1", "n3", says=("n3",))
        assert block_lab.run("hosts").status == 0
        assert block_lab.run("ls").status == 0
    finally:
        block_lab.lab("fault", "start-host", "n3")
    block_lab.verify("vm1")


def test_a_destination_whose_libvirt_does_not_answer(home: TestLab) -> None:
    with broken(home, "n3", "virsh -q version >/dev/null; pkill -STOP -x libvirtd", "pkill -CONT -x libvirtd"):
        refused(home, "vm1", "n3", says=("n3", "libvirt"))


def test_a_destination_whose_libvirt_does_not_listen(home: TestLab) -> None:
    stop = "systemctl stop libvirtd-tls.socket libvirtd.service"
    with broken(home, "n3", stop, "systemctl stop libvirtd; systemctl start libvirtd-tls.socket"):
        refused(home, "vm1", "n3", says=("n3", "16514"))


def test_a_disk_that_the_destination_does_not_have(home: TestLab) -> None:
    unit = "var-lib-nova-instances.mount"
    gone = f"virsh -q pool-destroy instances; systemctl stop {unit}"
    with broken(home, "n3", gone, f"systemctl start {unit}; virsh -q pool-start instances"):
        refused(home, "vm1", "n3", "--no-block", says=("n3", "/var/lib/nova/instances/vm1.qcow2"))


def test_no_room_on_the_destination(home: TestLab) -> None:
    home.lab("instance", "add", "large", "--memory", "1900", "--host", "n3")
    try:
        refused(home, "vm1", "n3", says=("n3", "MiB"))
        dry = home.run("migrate", "vm1", "--dry-run")
        assert dry.status == 0
        assert "n2" in dry.out
    finally:
        home.lab("instance", "kill", "large")


def test_a_cpu_that_the_destination_cannot_give(home: TestLab) -> None:
    """The definition asks for a feature that TCG does not have; QEMU starts it all the same."""
    home.lab("instance", "add", "modern", "--memory", "128", "--host", "n1")
    edit = (
        "virsh -q destroy modern && virsh dumpxml --inactive modern > /tmp/m.xml && "
        'sed -i \'s,<model.*qemu64</model>,&<feature policy="require" name="avx512f"/>,\' /tmp/m.xml && '
        "virsh -q define /tmp/m.xml && virsh -q start modern"
    )
    try:
        home.on("n1", "sh", "-c", edit)
        refused(home, "modern", "n2", says=("CPU", "avx512f", "n2"))
    finally:
        home.lab("instance", "kill", "modern")


def test_a_bandwidth_that_is_none(home: TestLab) -> None:
    said = home.run("migrate", "vm1", "n2", "--bandwidth", "nonsense")
    assert said.status == 2
    assert "--bandwidth" in said.err
    assert "nonsense" in said.err


def test_local_disks_are_not_moved_as_if_they_were_shared(block_lab: TestLab) -> None:
    refused(block_lab, "vm1", "n2", "--no-block", says=("--no-block", "local to n1"))


def test_shared_disks_are_not_copied_onto_themselves(home: TestLab) -> None:
    refused(home, "vm1", "n2", "--block", says=("--block", "n2 sees the same"))


def test_a_server_certificate_of_another_authority(home: TestLab) -> None:
    foreign = trust.issue([("n3", "10.77.0.13")])
    stranger = foreign.hosts["n3"]
    pki = "/etc/pki/libvirt"
    fake = (
        f"cp -a {pki} /tmp/pki.real; cp /etc/pki/CA/cacert.pem /tmp/ca.real; systemctl stop libvirtd; "
        f"echo '{foreign.authority}' > /etc/pki/CA/cacert.pem; echo '{stranger.public}' > {pki}/servercert.pem; "
        f"echo '{stranger.private}' > {pki}/private/serverkey.pem; systemctl start libvirtd-tls.socket"
    )
    mend = (
        f"systemctl stop libvirtd; rm -r {pki} && mv /tmp/pki.real {pki}; cp /tmp/ca.real /etc/pki/CA/cacert.pem; "
        "systemctl start libvirtd-tls.socket"
    )
    with broken(home, "n3", fake, mend):
        refused(home, "vm1", "n3", says=("n3", "certificate"))


def test_a_source_that_does_not_trust_the_destination(home: TestLab) -> None:
    """The controller reaches both; only the source's own connection is refused."""
    with broken(home, "n1", "mv /etc/pki/CA/cacert.pem /tmp/ca.pem", "mv /tmp/ca.pem /etc/pki/CA/cacert.pem"):
        said = home.run("migrate", "vm1", "n2", "--no-forecast", "--json")
        assert said.status in (3, 4), said
        assert "certificate" in said.json["reason"].lower()
        assert "n1" in said.json["reason"]
