"""Targets that QEMU logs in to itself."""

from __future__ import annotations

from typing import Any

import pytest
from tests.readiness.storage_hosts import found, host

from hotfoot.cluster import Cluster
from hotfoot.cluster.validation import cluster_from
from hotfoot.readiness import iscsi
from hotfoot.readiness.change import DefineSecret, Install
from hotfoot.readiness.facts import HostFacts, LibvirtFact, Proofs, QemuFact, TargetProof
from hotfoot.readiness.finding import Finding, Severity

TARGET = "iqn.2020-01.org.example:disks"
UUID = "6d3b4c1e-98c5-4c7e-9a55-2f6e0c6a0f01"
CHAP = {"user": "cloud", "password_file": "/root/chap", "secret": UUID}
LUNS = {1: "naa.6001", 2: "naa.6002"}
REFUSED = "Failed to log in to target. Status: Authentication failure(513)"


def declared(**more: Any) -> Cluster:
    entry = {"portal": "10.0.0.9", "target": TARGET, "initiator": "qemu", "chap": CHAP} | more
    hosts = [{"name": f"n{number}", "address": f"10.0.0.{number}"} for number in (1, 2, 3)]
    return cluster_from({"hosts": hosts, "iscsi": [entry]})


def ready(name: str, *, secrets: dict[str, str] | None = None, disk: str = "", driver: str = "iscsi") -> HostFacts:
    xml = (
        f"<domain><name>web1</name><devices><disk type='network'><source protocol='iscsi' name='{TARGET}/{disk}'>"
        f"<auth><secret type='iscsi' uuid='{UUID}'/></auth></source><target dev='vda'/></disk></devices></domain>"
    )
    domains = {"web1": xml} if disk else {}
    known = {UUID: TARGET} if secrets is None else secrets
    libvirt = LibvirtFact(answers=True, domains=domains, running=tuple(domains), secrets=known)
    return host(name).model_copy(update={"libvirt": libvirt, "qemu": QemuFact(drivers=(driver,))})


def proved(**different: dict[str, Any]) -> Proofs:
    right = {"target": TARGET, "luns": LUNS, "secret": "same"}
    hosts = [{"host": name, **right, **different.get(name, {})} for name in ("n1", "n2", "n3")]
    return Proofs(targets=tuple(TargetProof.model_validate(each) for each in hosts))


def judged(*hosts: HostFacts, proofs: Proofs | None = None, on: Cluster | None = None) -> list[Finding]:
    return found(iscsi.TOPIC, on or declared(), *hosts, proved=proofs)


def all_ready(**more: Any) -> tuple[HostFacts, ...]:
    return tuple(ready(name, **more) for name in ("n1", "n2", "n3"))


def test_hosts_that_are_right_have_no_finding() -> None:
    assert judged(ready("n1", disk="1"), ready("n2"), ready("n3"), proofs=proved()) == []
    assert judged(*all_ready()) == []  # without proofs


def test_hosts_need_no_login_of_their_own() -> None:
    assert "iscsi.not-installed" not in {finding.code for finding in judged(*all_ready())}


def test_the_secret_is_defined_where_it_lacks_and_its_value_is_in_no_finding() -> None:
    (finding,) = judged(ready("n1"), ready("n2", secrets={}), ready("n3"))
    assert (finding.code, finding.host, finding.severity) == ("iscsi.no-secret", "n2", Severity.BLOCKS)
    (change,) = finding.changes
    assert change.step == DefineSecret(uuid=UUID, kind="iscsi", usage=TARGET, file="/root/chap")


def test_a_secret_for_the_target_under_another_uuid_is_left_to_a_person() -> None:
    (finding,) = judged(ready("n1"), ready("n2", secrets={"0" * 36: TARGET}), ready("n3"))
    assert (finding.code, finding.changes) == ("iscsi.no-secret", ())
    assert "0" * 36 in finding.evidence


def test_a_secret_with_another_value() -> None:
    (finding,) = judged(*all_ready(), proofs=proved(n2={"secret": "other"}))
    assert (finding.code, finding.host) == ("iscsi.other-secret", "n2")
    assert [change.step.do for change in finding.changes] == ["secret"]


def test_a_target_that_lets_nobody_in_with_that_password() -> None:
    wrong = {"problem": REFUSED, "status": 513, "luns": {}}
    findings = judged(*all_ready(), proofs=proved(n1=wrong, n2=wrong, n3=wrong))
    assert [(each.code, each.host) for each in findings] == [
        ("iscsi.login-refused", name) for name in ("n1", "n2", "n3")
    ]
    assert REFUSED in findings[0].evidence
    assert "/root/chap" in findings[0].evidence


@pytest.mark.parametrize(
    ("problem", "status"),
    [("10.0.0.9:3260: Connection refused", 0), ("Failed to log in to target. Status: Target not found(515)", 515)],
)
def test_a_target_out_of_reach(problem: str, status: int) -> None:
    silent = {"problem": problem, "status": status, "luns": {}}
    (finding,) = judged(ready("n1", disk="1"), ready("n2"), ready("n3"), proofs=proved(n3=silent))
    assert (finding.code, finding.host, finding.evidence) == ("iscsi.no-login", "n3", problem)


def test_a_lun_that_another_host_does_not_see() -> None:
    (finding,) = judged(ready("n1", disk="2"), ready("n2"), ready("n3"), proofs=proved(n2={"luns": {1: "naa.6001"}}))
    assert (finding.code, finding.host, finding.peer) == ("iscsi.lun-missing", "n1", "n2")


def test_a_lun_that_is_another_disk_elsewhere() -> None:
    swapped = {"luns": {1: "naa.6002", 2: "naa.6001"}}
    (finding,) = judged(ready("n1", disk="1"), ready("n2"), ready("n3"), proofs=proved(n3=swapped))
    assert (finding.code, finding.host, finding.peer) == ("iscsi.other-lun", "n1", "n3")
    assert "naa.6001 for n1" in finding.evidence


def test_what_no_instance_uses_may_differ() -> None:
    assert judged(*all_ready(), proofs=proved(n2={"luns": {}})) == []


def test_the_driver_is_wanted_where_the_cluster_file_or_an_instance_has_it() -> None:
    (finding,) = judged(ready("n1"), ready("n2", driver="nfs"), ready("n3"))
    assert (finding.code, finding.host) == ("iscsi.no-driver", "n2")
    assert [change.step for change in finding.changes] == [Install(packages=("qemu-block-extra",))]


def test_a_secret_of_a_target_that_the_cluster_file_does_not_name() -> None:
    plain = cluster_from({"hosts": [{"name": f"n{n}", "address": f"10.0.0.{n}"} for n in (1, 2)]})
    (finding,) = judged(ready("n1", disk="1"), ready("n2", secrets={}), on=plain)
    assert (finding.code, finding.host, finding.changes) == ("iscsi.no-secret", "n2", ())
    assert "web1 on n1" in finding.evidence


def test_without_chap_no_secret_is_wanted() -> None:
    assert judged(*all_ready(secrets={}), on=declared(chap=None)) == []
