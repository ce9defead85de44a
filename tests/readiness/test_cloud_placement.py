"""Placement's view against Nova's."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.readiness.clouds import (
    TRAITS,
    ago,
    allocation,
    hypervisor,
    instance,
    migration,
    provider,
    sound,
    uuid,
    with_instance,
    with_service,
)

from hotfoot.readiness.cloud_facts import CloudFacts
from hotfoot.readiness.cloud_judge import CLOUD_TOPICS, cloud_marks, judge_cloud, suspects
from hotfoot.readiness.finding import Finding, Severity

NOBODY = "dddddddd-0000-4000-8000-000000000000"


def only(facts: CloudFacts) -> Finding:
    (found,) = judge_cloud(facts)
    return found


def test_an_allocation_of_nobody_is_an_orphan_on_its_host() -> None:
    facts = sound()
    facts = replace(facts, allocations=(*facts.allocations, allocation(NOBODY, "n2")))
    found = only(facts)
    assert (found.code, found.host) == ("cloud_placement.orphaned-allocation", "n2")
    assert found.evidence == f"128 MEMORY_MB, 1 VCPU of the resource provider p-n2 for {NOBODY}"
    assert suspects(facts) == {NOBODY}


def test_a_migration_that_goes_on_holds_the_place_of_its_source() -> None:
    going = migration("running")
    facts = replace(sound(), migrations=(going,), allocations=(
        allocation(uuid(1), "n2"), allocation(str(going.uuid), "n1"), allocation(uuid(2)),
    ))  # fmt: skip
    facts = with_instance(facts, 1, task_state="migrating", status="MIGRATING")
    assert judge_cloud(facts) == ()
    ended = replace(facts, migrations=(replace(going, status="error"),))
    assert suspects(ended) >= {going.uuid}


def test_what_other_services_hold_is_theirs() -> None:
    facts = sound()
    port = allocation(NOBODY, "n1", NET_BW_EGR_KILOBIT_PER_SEC=1000)
    assert judge_cloud(replace(facts, allocations=(*facts.allocations, port))) == ()


def test_a_part_of_a_hosts_tree_counts_as_the_host() -> None:
    facts = sound()
    assert facts.providers is not None
    numa = provider("n1", id="p-n1-numa0", root_id="p-n1", traits=frozenset())
    first, *rest = facts.allocations
    facts = replace(
        facts, providers=(*facts.providers, numa), allocations=(replace(first, provider="p-n1-numa0"), *rest)
    )
    assert judge_cloud(facts) == ()


def test_an_instance_without_an_allocation() -> None:
    facts = replace(sound(), allocations=(allocation(uuid(1)),))
    found = only(facts)
    assert (found.code, found.host) == ("cloud_placement.no-allocation", "n1")
    assert f"heal_allocations --verbose --instance {uuid(2)}" in found.remedy


def test_an_allocation_on_another_host_than_the_instances() -> None:
    facts = replace(sound(instances=1), allocations=(allocation(uuid(1), "n2"),))
    found = only(facts)
    assert (found.code, found.host, found.severity) == ("cloud_placement.elsewhere", "n2", Severity.DANGEROUS)
    assert found.evidence.endswith("on n1: nothing")
    assert "heal_allocations" in found.remedy


def test_what_an_evacuation_left_on_a_dead_host_is_advice() -> None:
    facts = replace(sound(instances=1), allocations=(allocation(uuid(1), "n1"), allocation(uuid(1), "n2")))
    assert only(facts).severity is Severity.DANGEROUS
    dead = with_service(facts, "n2", up=False, updated_at=ago(hours=1))
    found = next(each for each in judge_cloud(dead) if each.code == "cloud_placement.elsewhere")
    assert found.severity is Severity.ADVICE


@pytest.mark.parametrize(
    "changed",
    [
        {"task_state": "spawning", "vm_state": "building", "status": "BUILD", "updated_at": ago(seconds=4)},
        {"host": "", "vm_state": "error", "status": "ERROR"},
        {"host": "", "vm_state": "shelved_offloaded", "status": "SHELVED_OFFLOADED"},
        {"vm_state": "resized", "status": "VERIFY_RESIZE"},
        {"vm_state": None, "status": "UNKNOWN", "host": ""},
    ],
)
def test_an_instance_that_has_no_place_of_its_own_needs_no_allocation(changed: dict[str, object]) -> None:
    facts = with_instance(replace(sound(), allocations=(allocation(uuid(2)),)), 1, **changed)
    assert [each.code for each in judge_cloud(facts) if each.topic == "cloud_placement"] == []


def test_a_host_that_placement_does_not_know_and_one_that_nova_does_not() -> None:
    facts = replace(sound(instances=0), providers=(provider("n1"), provider("n9")))
    found = {each.code: each for each in judge_cloud(facts)}
    assert set(found) == {"cloud_placement.no-provider", "cloud_placement.orphaned-provider"}
    assert found["cloud_placement.no-provider"].host == "n2"
    assert found["cloud_placement.orphaned-provider"].host == "n9.lan"


def test_providers_of_others_are_no_hosts() -> None:
    facts = sound()
    assert facts.providers is not None
    pool = provider("pool", traits=frozenset({"MISC_SHARES_VIA_AGGREGATE"}))
    assert judge_cloud(replace(facts, providers=(*facts.providers, pool))) == ()


def test_a_host_that_is_enabled_and_kept_out_all_the_same() -> None:
    shut = provider("n2", traits=TRAITS | {"COMPUTE_STATUS_DISABLED"})
    facts = replace(sound(), providers=(provider("n1"), shut))
    assert only(facts).code == "cloud_placement.kept-out"
    disabled = with_service(facts, "n2", enabled=False, disabled_reason="new disks")
    assert only(disabled).code == "cloud_services.disabled"


def test_a_host_that_is_promised_more_than_it_has() -> None:
    full = provider("n1", used={"VCPU": 32, "MEMORY_MB": 2049})
    found = only(replace(sound(), providers=(full, provider("n2"))))
    assert (found.code, found.evidence) == ("cloud_placement.overfull", "2049 MEMORY_MB of 2048 taken")


def test_a_placement_that_does_not_tell_is_not_known_and_not_wrong() -> None:
    facts = replace(sound(), providers=None, allocations=())
    assert judge_cloud(facts) == ()
    assert cloud_marks((), facts, CLOUD_TOPICS, ("n1",))["cloud_placement", "n1"] == "unknown"


@st.composite
def clouds(draw: st.DrawFn) -> CloudFacts:
    """Return a sound cloud: some hosts, and instances anywhere on them, each with its allocation."""
    names = [f"n{number}" for number in range(1, draw(st.integers(1, 5)) + 1)]
    places = draw(st.lists(st.sampled_from(names), max_size=12))
    instances = tuple(instance(number, host) for number, host in enumerate(places, 1))
    return replace(
        sound(*names),
        hypervisors=tuple(hypervisor(name) for name in names),
        instances=instances,
        allocations=tuple(allocation(each.uuid, each.host) for each in instances),
    )


@given(clouds(), st.data())
def test_exactly_what_was_broken_is_found_in_whatever_order_it_is_told(facts: CloudFacts, data: st.DataObject) -> None:
    assert judge_cloud(facts) == ()
    uuids = [each.uuid for each in facts.instances]
    lost = data.draw(st.sets(st.sampled_from(uuids))) if uuids else set()
    strays = data.draw(st.integers(0, 3))
    left = [each for each in facts.allocations if each.consumer not in lost]
    left += [allocation(f"{NOBODY[:-1]}{number}", facts.hosts[0]) for number in range(strays)]
    broken = replace(facts, allocations=tuple(left))
    found = judge_cloud(broken)
    assert sorted(each.code for each in found) == sorted(
        ["cloud_placement.no-allocation"] * len(lost) + ["cloud_placement.orphaned-allocation"] * strays
    )
    mixed = replace(
        broken,
        services=tuple(data.draw(st.permutations(broken.services))),
        allocations=tuple(data.draw(st.permutations(left))),
        instances=tuple(data.draw(st.permutations(broken.instances))),
    )
    assert judge_cloud(mixed) == found
