"""Two real hosts of which one gives instances less of a CPU, as they told before and after ``prepare``."""

from __future__ import annotations

from typing import Any

from tests.readiness.libvirt_hosts import cluster, codes, recorded

from hotfoot.cluster import Cluster
from hotfoot.readiness.change import Command, DeclareCpu
from hotfoot.readiness.cpu import TOPIC, guests_question
from hotfoot.readiness.cpu_model import Baseline, baseline
from hotfoot.readiness.domain_xml import read_cpu
from hotfoot.readiness.facts import Facts
from hotfoot.readiness.finding import Finding
from hotfoot.readiness.instance import instance_findings

LACKS = "it lacks avx2, bmi1, bmi2, fma and movbe"


def told(name: str) -> Facts:
    return Facts.model_validate_json(recorded(f"{name}.json"))


BEFORE = told("lab-cpus-differ")


def after() -> Facts:
    """The hosts of BEFORE, once the instance had its new CPU."""
    given = told("lab-cpus-differ-one-given")
    hosts = []
    for old, new in zip(BEFORE.hosts, given.hosts, strict=True):
        assert old.libvirt is not None
        assert new.libvirt is not None
        libvirt = new.libvirt.model_copy(update={"hypervisor_cpu": old.libvirt.hypervisor_cpu})
        hosts.append(new.model_copy(update={"libvirt": libvirt}))
    return given.model_copy(update={"hosts": tuple(hosts)})


def found(facts: Facts, of: Cluster) -> tuple[Finding, ...]:
    return tuple(TOPIC.judge(of, facts))


def declared(**more: Any) -> Cluster:
    common = baseline(BEFORE.cpu_baseline)
    assert common is not None
    return cluster(cpu={"model": common.model, "features": list(common.features), **more})


def test_the_common_cpu_is_to_be_declared_and_the_instance_cannot_go() -> None:
    findings = found(BEFORE, cluster())
    assert codes(findings) == ["differ n1", "differ n2", "instance-stuck n1"]
    step = findings[0].changes[0].step
    assert isinstance(step, DeclareCpu)
    assert step.model == "Opteron_G4"
    assert LACKS[3:] in findings[2].evidence
    (cpu,) = instance_findings(cluster(), BEFORE, "vm1")["n2"][:1]
    assert cpu.code == "instance.cpu"
    assert LACKS in cpu.what


def test_each_kind_of_host_is_asked_about_the_guests_of_the_others() -> None:
    (host,) = guests_question(BEFORE)
    assert host == "n2"
    ((xml,),) = guests_question(BEFORE).values()
    assert xml in BEFORE.cpu_verdicts["n2"]


def test_where_hypervisors_were_not_asked_their_models_tell_what_they_can() -> None:
    assert "instance-stuck n1" not in codes(found(BEFORE.model_copy(update={"cpu_verdicts": {}}), cluster()))


def test_once_declared_the_definition_is_to_get_it() -> None:
    findings = found(BEFORE, declared(instances=True))
    assert codes(findings) == ["instance-stuck n1", "instance-definition n1"]
    (change,) = findings[1].changes
    assert isinstance(change.step, Command)
    given = read_cpu(change.step.argv[-1])
    assert Baseline(given.model, given.required, given.disabled) == baseline(BEFORE.cpu_baseline)


def test_the_instance_that_was_given_it_is_bound_to_no_host() -> None:
    assert found(after(), declared(instances=True)) == ()
    assert [each.code for each in instance_findings(declared(), after(), "vm1")["n2"] if "cpu" in each.code] == []


def test_a_network_and_a_pool_that_the_destination_lacks() -> None:
    facts = told("lab-cpus-differ-network")
    shared = cluster(storage=[{"path": "/var/lib/nova/instances", "type": "glusterfs"}])
    findings = instance_findings(shared, facts, "vm1")["n2"]
    assert [each.code for each in findings] == ["instance.disk-copied", "instance.no-pool", "instance.network-missing"]
    assert "tenants" in findings[2].what
    assert "/var/local/disks" in findings[1].what
