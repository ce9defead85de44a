from __future__ import annotations

import subprocess
from typing import Any

import pytest
from tests.readiness.storage_hosts import cluster, found, host

from hotfoot.cluster import Cluster
from hotfoot.cluster.validation import cluster_from
from hotfoot.readiness import iscsi
from hotfoot.readiness.change import Command, Install, SetUnit
from hotfoot.readiness.facts import BlockDeviceFact, HostFacts, LibvirtFact, QemuFact, UnitFact
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.luns import wwid

TARGET = "iqn.2020-01.org.example:disks"
LUN = "60014051a2b3c4d5e6f7081920a1b2c3"
DECLARED = cluster_from(
    {
        "hosts": [{"name": f"n{number}", "address": f"10.0.0.{number}"} for number in (1, 2, 3)],
        "iscsi": [{"portal": "10.0.0.9", "target": TARGET}],
    }
)
ENABLED = UnitFact(name="open-iscsi.service", load="loaded", active="active", enabled="enabled")


def seeing(name: str, *, luns: tuple[str, ...] = (LUN,), disk: str = "", unit: UnitFact = ENABLED, **told: Any) -> Any:
    devices = tuple(BlockDeviceFact(name=f"sd{'abc'[number]}", wwid=f"naa.{lun}") for number, lun in enumerate(luns))
    storage = {
        "iscsi_sessions": (TARGET,),
        "iscsi_initiator": f"iqn.1993-08.org.debian:01:{name}",
        "block_devices": devices,
        **told,
    }
    one = host(name, packages=["open-iscsi"], units=[unit], storage=storage)
    xml = f"<domain><name>web1</name><devices>{disk}</devices></domain>"
    domains = {"web1": xml} if disk else {}
    libvirt = LibvirtFact(answers=True, domains=domains, running=tuple(domains))
    return one.model_copy(update={"libvirt": libvirt, "qemu": QemuFact(drivers=("nfs",))})


def node_words() -> tuple[str, ...]:
    return ("node", "-T", TARGET, "-p", "10.0.0.9:3260")


def block(device: str) -> str:
    return f"<disk type='block' device='disk'><source dev='{device}'/><target dev='vda'/></disk>"


def judged(*hosts: HostFacts, on: Cluster = DECLARED) -> list[Finding]:
    return found(iscsi.TOPIC, on, *hosts)


@pytest.mark.parametrize(
    "name",
    [
        f"naa.{LUN}",
        f"0x{LUN.upper()}",
        f"/dev/disk/by-id/wwn-0x{LUN}",
        f"/dev/disk/by-id/scsi-3{LUN}-part1",
        f"/dev/disk/by-id/dm-uuid-mpath-3{LUN}",
        f"/dev/mapper/3{LUN}",
        f"3{LUN}",
    ],
)
def test_one_lun_has_many_names(name: str) -> None:
    assert wwid(name) == LUN


@pytest.mark.parametrize("name", ["", "/dev/sda", "t10.ATA     QEMU", "/dev/mapper/vg-root", "sd3"])
def test_what_names_no_lun(name: str) -> None:
    assert wwid(name) == ""


def test_hosts_that_are_right_have_no_finding() -> None:
    assert judged(seeing("n1", disk=block(f"/dev/disk/by-id/wwn-0x{LUN}")), seeing("n2"), seeing("n3")) == []
    assert judged(host("n1"), host("n2"), on=cluster()) == []


def test_a_host_that_is_not_logged_in() -> None:
    (finding,) = judged(seeing("n1"), seeing("n2", iscsi_sessions=()))
    assert (finding.code, finding.host, finding.severity) == ("iscsi.not-logged-in", "n2", Severity.BLOCKS)
    known, login = (change.step for change in finding.changes)
    assert isinstance(known, Command)
    assert isinstance(login, Command)
    assert login.argv[-5:] == ("-T", TARGET, "-p", "10.0.0.9:3260", "--login")
    assert known.undo[-1] == "delete"
    assert login.undo[-5:] == node_words()


def test_leaving_a_target_looks_for_users_of_its_disks_and_then_logs_out() -> None:
    (finding,) = judged(seeing("n1", iscsi_sessions=()))
    login = finding.changes[-1].step
    assert isinstance(login, Command)
    # Where there is no session, nobody uses one: what is left is the logout, here with a program that only tells.
    *script, _ = login.undo[: login.undo.index("iscsiadm") + 1]
    said = subprocess.run([*script, "echo", *login.undo[-4:]], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.strip() == f"-T {TARGET} -p 10.0.0.9:3260 --logout"


def test_the_client() -> None:
    (finding,) = judged(seeing("n1").model_copy(update={"packages": {}}))
    assert [change.step for change in finding.changes] == [Install(packages=("open-iscsi",))]
    (finding,) = judged(seeing("n1", unit=ENABLED.model_copy(update={"enabled": "disabled"})))
    assert finding.code == "iscsi.not-at-boot"
    assert [change.step for change in finding.changes] == [SetUnit(unit="open-iscsi.service", enabled=True)]


def test_a_login_that_no_boot_would_bring_back() -> None:
    assert judged(seeing("n1", iscsi_records={TARGET: "automatic"})) == []
    assert judged(seeing("n1", iscsi_records=None)) == []  # facts of before it was asked for
    (finding,) = judged(seeing("n1", iscsi_records={TARGET: "manual"}))
    assert (finding.code, finding.severity) == ("iscsi.login-by-hand", Severity.DANGEROUS)
    made, changed = (change.step for change in finding.changes)
    assert isinstance(made, Command)
    assert isinstance(changed, Command)
    assert made.undo[-1] == "delete"
    assert changed.argv[-3:] == ("node.startup", "-v", "automatic")
    assert changed.undo[-3:] == ("node.startup", "-v", "manual")
    (finding,) = judged(seeing("n1", iscsi_records={}))
    assert len(finding.changes) == 1
    (finding,) = judged(seeing("n1", iscsi_sessions=(), iscsi_records={TARGET: "manual"}))
    assert (finding.code, len(finding.changes)) == ("iscsi.not-logged-in", 3)


def test_two_hosts_of_one_name() -> None:
    same: Any = {"iscsi_initiator": "iqn.1993-08.org.debian:01:clone"}
    (finding,) = judged(seeing("n1", **same), seeing("n2"), seeing("n3", **same))
    assert (finding.code, finding.host, finding.peer) == ("iscsi.same-initiator", "n3", "n1")


def test_a_lun_that_the_destination_does_not_see() -> None:
    (finding,) = judged(seeing("n1", disk=block(f"/dev/mapper/3{LUN}")), seeing("n2", luns=()), seeing("n3"))
    assert (finding.code, finding.host, finding.peer) == ("iscsi.lun-missing", "n1", "n2")
    assert LUN in finding.evidence


def test_a_lun_is_known_by_its_path_too() -> None:
    path = f"/dev/disk/by-path/ip-10.0.0.9:3260-iscsi-{TARGET}-lun-1"
    own = (BlockDeviceFact(name="sda", wwid=f"naa.{LUN}", paths=(path,)),)
    one, two = seeing("n1", disk=block(path), block_devices=own), seeing("n2", luns=())
    (finding,) = judged(one, two)
    assert (finding.code, finding.host, finding.peer) == ("iscsi.lun-missing", "n1", "n2")
    assert judged(one, seeing("n2")) == []


def test_a_name_that_may_mean_another_disk() -> None:
    (finding,) = judged(seeing("n1", disk=block("/dev/sda")), seeing("n2"))
    assert (finding.code, finding.severity) == ("iscsi.unstable-name", Severity.DANGEROUS)
    assert judged(seeing("n1", luns=(), disk=block("/dev/sda")), seeing("n2")) == []  # no LUN, but a local disk


def test_qemus_own_client() -> None:
    disk = f"<disk type='network'><source protocol='iscsi' name='{TARGET}/1'/><target dev='vda'/></disk>"
    able = seeing("n1", disk=disk).model_copy(update={"qemu": QemuFact(drivers=("iscsi",))})
    (finding,) = judged(able, seeing("n2"))
    assert (finding.code, finding.host) == ("iscsi.no-driver", "n2")
    assert [change.step for change in finding.changes] == [Install(packages=("qemu-block-extra",))]
