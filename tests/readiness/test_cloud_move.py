"""What of one instance forbids or hinders its move by Nova."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.readiness.clouds import TRAITS, hypervisor, provider, sound, uuid

from hotfoot.readiness.cloud_facts import AggregateFact, CloudFacts
from hotfoot.readiness.cloud_judge import judge_move
from hotfoot.readiness.cloud_move import CARACAL, EPOXY, TRAIN, ZED, Attachment, MoveFacts
from hotfoot.readiness.finding import Finding, Severity

BEFORE_TRAIN = (2, 72)
BLOCKS, ADVICE = Severity.BLOCKS, Severity.ADVICE


def move(**changed: Any) -> MoveFacts:
    plain: dict[str, Any] = {
        "uuid": uuid(1), "name": "web1", "host": "n1", "project_id": "p1", "flavour": "m1", "newest": (2, 103),
    }  # fmt: skip
    return MoveFacts(**{**plain, **changed})


def found(facts: CloudFacts, asked: MoveFacts) -> Mapping[str, list[tuple[str, Severity]]]:
    return {
        host: [(each.code.removeprefix("cloud_move."), each.severity) for each in findings]
        for host, findings in judge_move(facts, asked).items()
    }


def only(asked: MoveFacts, facts: CloudFacts | None = None) -> Finding:
    (finding,) = judge_move(facts or sound(), asked)["n2"]
    return finding


def test_a_plain_instance_can_go_to_every_other_host() -> None:
    assert found(sound("n1", "n2", "n3"), move()) == {"n2": [], "n3": []}


@pytest.mark.parametrize(
    ("specs", "newest", "code", "severity"),
    [
        ({"pci_passthrough:alias": "qat:1"}, CARACAL, "pci-device", BLOCKS),
        ({"pci_passthrough:alias": "qat:1"}, EPOXY, "pci-device", ADVICE),
        ({"resources:VGPU": "1"}, ZED, "vgpu", BLOCKS),
        ({"resources1:VGPU": "1"}, CARACAL, "vgpu", ADVICE),
        ({"accel:device_profile": "fpga"}, EPOXY, "accelerator", BLOCKS),
        ({"hw:mem_encryption": "True"}, EPOXY, "encrypted-memory", BLOCKS),
        ({"hw:tpm_version": "2.0"}, EPOXY, "vtpm", BLOCKS),
        ({"hw:cpu_policy": "dedicated"}, BEFORE_TRAIN, "pinned", BLOCKS),
        ({"hw:cpu_policy": "dedicated"}, TRAIN, "pinned", ADVICE),
        ({"hw:numa_nodes": "2"}, TRAIN, "pinned", ADVICE),
        ({"hw:mem_page_size": "large"}, TRAIN, "pinned", ADVICE),
        ({"resources:PCPU": "2"}, TRAIN, "pinned", ADVICE),
    ],
)
def test_what_the_flavour_asks_for_counts_by_the_release_of_the_cloud(
    specs: dict[str, str], newest: tuple[int, int], code: str, severity: Severity
) -> None:
    finding = only(move(extra_specs=specs, newest=newest))
    assert (finding.code, finding.severity, finding.peer) == (f"cloud_move.{code}", severity, None)
    ((key, value),) = specs.items()
    assert f"{key}={value}" in finding.evidence


@pytest.mark.parametrize(
    "specs",
    [
        {"hw:cpu_policy": "shared"},
        {"hw:mem_page_size": "small"},
        {"hw:mem_encryption": "False"},
        {"hw:tpm_version": "2.0", "hw:tpm_secret_security": "host"},
        {"hw_rng:allowed": "True"},
        {"aggregate_instance_extra_specs:ssd": "true"},
    ],
)
def test_what_asks_for_nothing_of_the_kind_is_not_told(specs: dict[str, str]) -> None:
    assert found(sound(), move(extra_specs=specs)) == {"n2": []}


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ({"hw_cpu_policy": "dedicated"}, "pinned"),
        ({"hw_mem_encryption": "true"}, "encrypted-memory"),
        ({"hw_tpm_version": "2.0"}, "vtpm"),
        ({"hw_machine_type": "pc-q35-9.2"}, "machine-type"),
    ],
)
def test_what_the_image_asks_for(properties: dict[str, str], code: str) -> None:
    assert only(move(image_properties=properties)).code == f"cloud_move.{code}"


@pytest.mark.parametrize(
    ("kind", "newest", "expected"),
    [
        ("normal", EPOXY, []),
        ("direct", EPOXY, [("sriov-port", ADVICE)]),
        ("direct", BEFORE_TRAIN, [("sriov-port", BLOCKS)]),
        ("vdpa", TRAIN, [("port", BLOCKS)]),
        ("vdpa", ZED, []),
        ("accelerator-direct-physical", EPOXY, [("port", BLOCKS)]),
    ],
)
def test_ports(kind: str, newest: tuple[int, int], expected: list[tuple[str, Severity]]) -> None:
    assert found(sound(), move(ports={"port-1": kind}, newest=newest)) == {"n2": expected}


def test_a_config_drive_matters_beside_disks_that_nova_keeps() -> None:
    assert only(move(config_drive=True, local_disks=True)).code == "cloud_move.config-drive"
    assert found(sound(), move(config_drive=True)) == {"n2": []}


def test_what_a_service_did_not_tell_is_told() -> None:
    finding = only(move(untold=("Glance of cloud rack1 does not answer.",)))
    assert (finding.code, finding.severity) == ("cloud_move.untold", ADVICE)


def test_a_trait_that_the_source_has_and_the_destination_lacks_blocks_the_way_there() -> None:
    asked = move(extra_specs={"trait:CUSTOM_GOLD": "required"})
    facts = sound("n1", "n2", "n3")
    gold = TRAITS | {"CUSTOM_GOLD"}
    facts = replace(facts, providers=(provider("n1", traits=gold), provider("n2"), provider("n3", traits=gold)))
    assert found(facts, asked) == {"n2": [("trait", BLOCKS)], "n3": []}
    assert only(asked, facts).peer == "n2"
    # What the source's own provider lacks too comes from elsewhere in its tree.
    assert found(sound(), asked) == {"n2": []}


def test_a_destination_without_a_resource_that_the_instance_takes() -> None:
    asked = move(held={"p-n1": {"PCPU": 2, "MEMORY_MB": 128, "DISK_GB": 1}, "pool": {"CUSTOM_TAPE": 1}})
    finding = only(asked)
    assert (finding.code, finding.peer) == ("cloud_move.resource", "n2")
    assert finding.what == "n2 has no PCPU, which web1 takes."
    able = provider("n2", capacity={"PCPU": 4, "MEMORY_MB": 2048})
    assert found(replace(sound(), providers=(provider("n1"), able)), asked) == {"n2": []}


def test_a_trait_that_is_forbidden() -> None:
    facts = replace(sound(), providers=(provider("n1"), provider("n2", traits=TRAITS | {"CUSTOM_LEAD"})))
    assert only(move(image_properties={"trait:CUSTOM_LEAD": "forbidden"}), facts).code == "cloud_move.trait"


def test_a_shared_volume_needs_a_host_that_can_attach_it() -> None:
    poorer = provider("n2", traits=TRAITS - {"COMPUTE_VOLUME_MULTI_ATTACH"})
    facts = replace(sound(), providers=(provider("n1"), poorer))
    codes = {code for code, _ in found(facts, move(shared_volumes=("v1",)))["n2"]}
    assert codes == {"shared-volume"}


def test_an_attachment_that_a_broken_off_move_has_left_is_advice_with_its_number() -> None:
    finding = only(move(strays=(Attachment("at-1", "vol-1", "n2"),)))
    assert (finding.code, finding.severity) == ("cloud_move.stray-attachment", ADVICE)
    assert "attachment at-1 for n2" in finding.evidence
    assert "openstack volume attachment delete at-1" in finding.remedy


def test_aggregates_that_flavours_ask_for() -> None:
    asked = move(extra_specs={"aggregate_instance_extra_specs:ssd": "true"})
    ssd = AggregateFact(name="ssd", hosts=frozenset({"n1", "n3"}), metadata={"ssd": "true"})
    facts = replace(sound("n1", "n2", "n3"), aggregates=(ssd,))
    assert found(facts, asked) == {"n2": [("aggregate", BLOCKS)], "n3": []}


def test_hosts_of_other_projects_and_of_other_zones() -> None:
    theirs = AggregateFact(name="theirs", hosts=frozenset({"n2"}), metadata={"filter_tenant_id": "p7, p8"})
    assert only(move(), replace(sound(), aggregates=(theirs,))).code == "cloud_move.other-tenant"
    assert found(replace(sound(), aggregates=(theirs,)), move(project_id="p8")) == {"n2": []}
    east = AggregateFact(name="east", hosts=frozenset({"n2"}), metadata={"availability_zone": "east"})
    facts = replace(sound(), aggregates=(east,))
    assert found(facts, move(pinned_zone="east")) == {"n2": []}
    assert only(move(pinned_zone="west"), facts).code == "cloud_move.zone"
    assert found(facts, move()) == {"n2": []}


def test_an_older_hypervisor_and_one_of_another_type() -> None:
    facts = replace(sound(), hypervisors=(hypervisor("n1"), hypervisor("n2", version=8_002_000)))
    assert only(move(), facts).code == "cloud_hosts.older-hypervisor"
    other = replace(sound(), hypervisors=(hypervisor("n1"), hypervisor("n2", kind="VMware vCenter Server")))
    assert only(move(), other).code == "cloud_move.hypervisor-type"


def test_a_host_that_placement_keeps_out() -> None:
    shut = provider("n2", traits=TRAITS | {"COMPUTE_STATUS_DISABLED"})
    assert only(move(), replace(sound(), providers=(provider("n1"), shut))).code == "cloud_placement.kept-out"
