"""Nova's services and compute hosts side by side."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.readiness.clouds import TRAITS, ago, hypervisor, provider, service, sound, with_service

from hotfoot.readiness.cloud_facts import CloudFacts
from hotfoot.readiness.cloud_judge import CLOUD_TOPICS, cloud_marks, judge_cloud
from hotfoot.readiness.finding import Finding, Severity


def codes(facts: CloudFacts) -> list[str]:
    return [finding.code for finding in judge_cloud(facts)]


def only(facts: CloudFacts) -> Finding:
    (found,) = judge_cloud(facts)
    return found


def test_nothing_is_wrong_with_a_sound_cloud() -> None:
    facts = sound()
    assert judge_cloud(facts) == ()
    assert set(cloud_marks((), facts, CLOUD_TOPICS, facts.hosts).values()) == {"ok"}


def test_a_compute_that_is_down_blocks_and_its_age_is_by_novas_own_clock() -> None:
    found = only(with_service(sound(), "n2", up=False, updated_at=ago(minutes=12)))
    assert (found.code, found.severity, found.host) == ("cloud_services.compute-down", Severity.BLOCKS, "n2")
    assert found.evidence.endswith("2026-11-22 00:48:00 UTC, 12 min ago")


def test_one_that_is_forced_down_is_told_so_and_not_as_down_too() -> None:
    assert only(with_service(sound(), "n2", up=False, forced_down=True)).code == "cloud_services.forced-down"


@pytest.mark.parametrize(
    ("reason", "what"),
    [("new disks", "n2 is disabled in Nova: new disks."), (None, "n2 is disabled in Nova, and nobody said why.")],
)
def test_a_disabled_host_is_advice_with_its_reason(reason: str | None, what: str) -> None:
    found = only(with_service(sound(), "n2", enabled=False, disabled_reason=reason))
    assert (found.severity, found.what) == (Severity.ADVICE, what)


def test_the_last_of_its_kind_blocks_and_one_of_several_is_dangerous() -> None:
    facts = with_service(sound(), "ctl", "nova-scheduler", up=False)
    assert only(facts).severity is Severity.BLOCKS
    more = replace(facts, services=(*facts.services, service("ctl2", "nova-scheduler")))
    assert only(more).severity is Severity.DANGEROUS
    assert "nova-scheduler is up on ctl2" in only(more).evidence


def test_what_no_migration_needs_is_advice() -> None:
    facts = sound()
    old = service("ctl", "nova-consoleauth", up=False, updated_at=ago(days=900))
    assert only(replace(facts, services=(*facts.services, old))).severity is Severity.ADVICE


def test_a_silent_cell_is_told_and_its_host_is_not_known() -> None:
    facts = replace(sound(), hypervisors=(hypervisor("n1"),))
    facts = with_service(facts, "n2", up=None, updated_at=None)
    found = only(facts)
    assert found.code == "cloud_services.silent-cell"
    marks = cloud_marks((found,), facts, CLOUD_TOPICS, facts.hosts)
    assert {mark for (topic, host), mark in marks.items() if host == "n2" and topic != "cloud_services"} == {"unknown"}


def test_a_compute_that_is_up_and_has_no_hypervisor_is_mapped_to_no_cell() -> None:
    facts = replace(sound(instances=0), hypervisors=(hypervisor("n1"),), providers=(provider("n1"),))
    assert only(facts).code == "cloud_services.unmapped"


def test_an_older_hypervisor_blocks_the_way_to_it_and_not_from_it() -> None:
    facts = replace(sound(), hypervisors=(hypervisor("n1"), hypervisor("n2", version=8_002_000)))
    found = only(facts)
    assert (found.code, found.host, found.peer) == ("cloud_hosts.older-hypervisor", "n1", "n2")
    assert found.evidence == "n1: QEMU 10.0.13; n2: QEMU 8.2.0"


def test_hypervisors_of_other_types_are_not_compared() -> None:
    other = hypervisor("n2", kind="VMware vCenter Server", version=7_000, cpu_features=frozenset())
    assert codes(replace(sound(), hypervisors=(hypervisor("n1"), other))) == []


def test_a_cpu_that_lacks_a_feature_is_advice_one_way() -> None:
    facts = replace(sound(), hypervisors=(hypervisor("n1"), hypervisor("n2", cpu_features=frozenset({"sse4.2"}))))
    found = only(facts)
    assert (found.code, found.severity, found.host, found.peer) == ("cloud_hosts.cpu", Severity.ADVICE, "n1", "n2")
    assert "n2 lacks avx2" in found.evidence


def test_a_cpu_of_another_vendor_is_told_both_ways() -> None:
    other = hypervisor("n2", cpu_vendor="Intel", cpu_model="Skylake")
    found = judge_cloud(replace(sound(), hypervisors=(hypervisor("n1"), other)))
    assert [(each.host, each.peer) for each in found] == [("n1", "n2"), ("n2", "n1")]


def test_in_a_large_cloud_one_source_stands_for_its_kind() -> None:
    names = [f"n{number:03}" for number in range(100)]
    facts = sound(*names)
    older = {name: hypervisor(name, version=8_002_000) for name in names[50:]}
    facts = replace(facts, hypervisors=tuple(older.get(name, hypervisor(name)) for name in names))
    found = judge_cloud(facts)
    assert {each.host for each in found} == {"n000"}
    assert {each.peer for each in found} == set(older)


def test_abilities_that_a_host_lacks_are_advice_and_its_cpus_flags_and_state_are_not() -> None:
    poorer = TRAITS - {"COMPUTE_RESCUE_BFV", "HW_CPU_X86_SSE42"} | {"COMPUTE_STATUS_DISABLED"}
    facts = replace(sound(), providers=(provider("n1"), provider("n2", traits=poorer)))
    facts = with_service(facts, "n2", enabled=False, disabled_reason="new disks")
    found = {finding.code: finding for finding in judge_cloud(facts)}
    assert set(found) == {"cloud_services.disabled", "cloud_hosts.traits"}
    assert found["cloud_hosts.traits"].evidence == "COMPUTE_RESCUE_BFV: of n1, not of n2"
