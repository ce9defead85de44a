from typing import Any

import pytest
from tests.readiness.libvirt_hosts import cluster, codes, domain, host, judged, running

from hotfoot.readiness.change import Install
from hotfoot.readiness.emulator import TOPIC
from hotfoot.readiness.facts import OsFact, PathFact, QemuFact
from hotfoot.readiness.finding import Severity

PLAIN = cluster()
OVMF = "/usr/share/OVMF/OVMF_CODE_4M.fd"


def qemu(version: str = "10.0.2", **more: Any) -> QemuFact:
    return QemuFact(**{"emulator": "/usr/bin/qemu-system-x86_64", "version": version, "machines": ("pc",), **more})


def test_alike_hosts_have_nothing_wrong() -> None:
    assert judged(TOPIC, PLAIN, host(libvirt=running(domain())), host("n2")) == ()


@pytest.mark.parametrize(
    ("system", "package"),
    [
        (OsFact(id="debian", arch="x86_64"), "qemu-system-x86"),
        (OsFact(id="ubuntu", id_like="debian", arch="aarch64"), "qemu-system-arm"),
        (OsFact(id="rocky", id_like="rhel centos fedora", arch="x86_64"), "qemu-kvm"),
    ],
)
def test_qemu_is_installed_where_it_is_missing(system: OsFact, package: str) -> None:
    (found,) = judged(TOPIC, PLAIN, host(os=system, qemu=QemuFact()))
    assert found.code == "emulator.missing"
    assert [change.step for change in found.changes] == [Install(packages=(package,))]


def test_an_older_qemu_is_a_finding_of_its_host_alone() -> None:
    found = judged(TOPIC, PLAIN, host(qemu=qemu("7.2.13 (Debian 1:7.2+dfsg-7)")), host("n2"))
    assert codes(found) == ["older n1"]
    assert found[0].severity is Severity.DANGEROUS
    assert "7.2.13 on n1, 10.0 on n2" in found[0].evidence


def test_patch_levels_do_not_matter() -> None:
    assert judged(TOPIC, PLAIN, host(qemu=qemu("10.0.1")), host("n2", qemu=qemu("10.0.9"))) == ()


def test_a_machine_type_must_be_known_everywhere() -> None:
    source = host(libvirt=running(domain("web", machine="pc-q35-10.0"), domain("db", machine="pc-q35-10.0")))
    found = judged(TOPIC, PLAIN, source, host("n2", qemu=qemu()))
    assert codes(found) == ["machine-unknown n2"]
    assert "web on n1 and db on n1" in found[0].evidence


def test_what_machines_a_host_knows_may_be_unknown() -> None:
    assert judged(TOPIC, PLAIN, host(libvirt=running(domain())), host("n2", qemu=qemu(machines=()))) == ()


def test_firmware_must_be_on_every_host() -> None:
    loader = f"<os><type arch='x86_64' machine='pc'>hvm</type><loader type='pflash'>{OVMF}</loader></os>"
    efi = domain(more=loader).replace("<os><type arch='x86_64' machine='pc-q35-10.0'>hvm</type></os>", "")
    there = {OVMF: PathFact(path=OVMF, exists=True)}
    source = host(libvirt=running(efi), paths=there)
    found = judged(TOPIC, PLAIN, source, host("n2"))
    assert codes(found) == ["firmware-missing n2"]
    assert [change.step for change in found[0].changes] == [Install(packages=("ovmf",))]
    assert judged(TOPIC, PLAIN, source, host("n2", paths=there)) == ()


def test_post_copy_needs_userfaultfd() -> None:
    assert codes(judged(TOPIC, PLAIN, host(qemu=qemu(userfaultfd=False)))) == ["no-post-copy n1"]
    assert judged(TOPIC, PLAIN, host(qemu=qemu(userfaultfd=True))) == ()
    assert judged(TOPIC, PLAIN, host(qemu=qemu(userfaultfd=None))) == ()
