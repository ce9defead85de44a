"""What is broken in a real Nova and Placement is found by ``hotfoot check`` through the APIs, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from openstack.connection import Connection
from tests.lab.command import Said, hotfoot
from tests.lab.labs import TestLab, bring_up
from tests.lab.openstack_login import connection_to
from tests.lab.waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.matrix

NAME = "novacheck"
NOBODY = "dddddddd-0000-4000-8000-000000000000"
HELD = {"VCPU": 1, "MEMORY_MB": 128}


@pytest.fixture(scope="module")
def lab() -> Iterator[TestLab]:
    hotfoot("lab", "down", "--name", NAME)
    yield bring_up(NAME, "--openstack", "--hosts", "2", "--instances", "2", "--memory", "128", "--rate", "5")
    hotfoot("lab", "down", "--name", NAME)


@pytest.fixture(scope="module")
def cloud(lab: TestLab) -> Connection:
    connection = connection_to(lab)
    connection.compute.default_microversion = "2.96"
    connection.placement.default_microversion = "1.28"
    return connection


@pytest.fixture(scope="module")
def blind(lab: TestLab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cluster file that declares the cloud alone: no SSH."""
    file = tmp_path_factory.mktemp("blind") / "hotfoot.yaml"
    file.write_text(f"name: blind\nopenstack: {{cloud: lab, clouds_file: {lab.cluster.parent}/clouds.yaml}}\n")
    return file


def check(blind: Path, *words: str) -> Said:
    return hotfoot("check", *words, "--json", cluster=blind)


def found(blind: Path, *words: str) -> list[tuple[str, str]]:
    return [(each["code"], each["host"]) for each in check(blind, *words).json["findings"]]


def provider(cloud: Connection, host: str) -> str:
    hypervisors = {each.service_details["host"]: each.id for each in cloud.compute.hypervisors(details=True)}
    return str(hypervisors[host])


def service(cloud: Connection, host: str) -> Any:
    return next(each for each in cloud.compute.services(binary="nova-compute") if each.host == host)


@contextmanager
def allocated(cloud: Connection, consumer: str, host: str) -> Iterator[None]:
    """Write an allocation into Placement, as a migration that broke off leaves it."""
    said = cloud.placement.put(
        f"/allocations/{consumer}",
        json={
            "allocations": {provider(cloud, host): {"resources": HELD}},
            "consumer_generation": None,
            "project_id": NOBODY.replace("-", ""),
            "user_id": NOBODY.replace("-", ""),
        },
    )
    assert said.ok, said.text
    try:
        yield
    finally:
        assert cloud.placement.delete(f"/allocations/{consumer}").ok


def test_a_sound_cloud_has_nothing_wrong_and_its_hosts_are_told_by_ssh_besides(lab: TestLab, blind: Path) -> None:
    said = check(blind)
    assert (said.status, said.json["findings"]) == (0, [])
    whole = lab.run("check", "--topic", "cloud_services", "--topic", "cloud_placement", "--topic", "names", "--json")
    assert [host["topics"] for host in whole.json["hosts"]] == [
        {"cloud_services": "ok", "cloud_placement": "ok", "names": "ok"} for _ in lab.hosts
    ]


def test_an_allocation_of_nobody(cloud: Connection, blind: Path) -> None:
    with allocated(cloud, NOBODY, "n2"):
        assert found(blind) == [("cloud_placement.orphaned-allocation", "n2")]
        assert found(blind, "--host", "n1") == []
    assert found(blind) == []


def test_an_instance_without_its_allocation(lab: TestLab, cloud: Connection, blind: Path) -> None:
    server = cloud.compute.find_server("vm1", ignore_missing=False)
    kept = cloud.placement.get(f"/allocations/{server.id}").json()
    assert cloud.placement.delete(f"/allocations/{server.id}").ok
    try:
        assert found(blind) == [("cloud_placement.no-allocation", lab.where("vm1"))]
    finally:
        said = cloud.placement.put(f"/allocations/{server.id}", json={**kept, "consumer_generation": None})
        assert said.ok, said.text
    assert found(blind) == []


def test_a_disabled_host_is_advice_with_its_reason(cloud: Connection, blind: Path) -> None:
    cloud.compute.disable_service(service(cloud, "n2"), disabled_reason="new disks")
    try:
        said = check(blind)
        (finding,) = said.json["findings"]
        assert (said.status, finding["code"]) == (0, "cloud_services.disabled")
        assert finding["what"] == "n2 is disabled in Nova: new disks."
    finally:
        cloud.compute.enable_service(service(cloud, "n2"))
    assert found(blind) == []


def test_a_server_in_error_whose_guest_runs(lab: TestLab, cloud: Connection, blind: Path) -> None:
    server = cloud.compute.find_server("vm2", ignore_missing=False)
    cloud.compute.reset_server_state(server, "error")
    said = check(blind)
    (finding,) = said.json["findings"]
    assert (said.status, finding["code"], finding["host"]) == (7, "cloud_instances.error", lab.where("vm2"))
    assert "though its guest runs" in finding["what"]
    assert hotfoot("repair-state", "vm2", cluster=blind).status == 0
    assert found(blind) == []


def test_a_scheduler_that_is_stopped(lab: TestLab, cloud: Connection, blind: Path) -> None:
    lab.lab("fault", "stop-service", "nova-scheduler")
    try:
        wait_until(lambda: found(blind) != [], "Nova does not notice that its scheduler is gone")
        said = check(blind)
        assert [each["code"] for each in said.json["findings"]] == ["cloud_services.control-down"]
        assert said.status == 8
    finally:
        lab.lab("fault", "start-service", "nova-scheduler")
    wait_until(lambda: found(blind) == [], "the scheduler does not come back")


def test_a_nova_compute_that_is_killed_and_the_pairs_with_it(lab: TestLab, cloud: Connection, blind: Path) -> None:
    lab.lab("fault", "kill-nova-compute", "n2")
    try:
        wait_until(lambda: found(blind) != [], "Nova does not notice that nova-compute is gone")
        said = check(blind)
        assert [(each["code"], each["host"]) for each in said.json["findings"]] == [
            ("cloud_services.compute-down", "n2")
        ]
        assert {pair["state"] for pair in said.json["pairs"]} == {"blocks"}
        assert said.status == 8
    finally:
        lab.lab("fault", "start-nova-compute", "n2")
    wait_until(lambda: found(blind) == [], "nova-compute does not come back")
    lab.verify("vm1")


@contextmanager
def server_with(cloud: Connection, name: str, **extra_specs: str) -> Iterator[None]:
    """Have Nova run an instance whose flavour asks for something."""
    image = cloud.compute.get_server(cloud.compute.find_server("vm1", ignore_missing=False).id).image.id
    flavor = cloud.create_flavor(name, 80, 1, 0)
    cloud.compute.create_flavor_extra_specs(flavor, extra_specs)
    server = cloud.compute.create_server(name=name, image_id=image, flavor_id=flavor.id, networks="none")
    try:
        cloud.compute.wait_for_server(server, wait=PATIENCE_S)
        yield
    finally:
        assert cloud.delete_server(server.id, wait=True, timeout=PATIENCE_S)
        cloud.delete_flavor(flavor.id)


def test_where_an_instance_can_go(blind: Path) -> None:
    said = check(blind, "--instance", "vm1")
    assert (said.status, said.json["findings"]) == (0, [])
    assert [place["state"] for place in said.json["destinations"]] == ["ok"]


def test_a_flavour_with_dedicated_cpus_hinders_a_move(cloud: Connection, blind: Path) -> None:
    with server_with(cloud, "pinned", **{"hw:cpu_policy": "dedicated"}):
        said = check(blind, "--instance", "pinned")
        (finding,) = said.json["findings"]
        assert (said.status, finding["code"]) == (0, "cloud_move.pinned")
        assert "hw:cpu_policy=dedicated" in finding["evidence"]
        assert found(blind) == []


def test_a_trait_that_only_the_source_has_forbids_a_move(cloud: Connection, blind: Path) -> None:
    path = f"/resource_providers/{provider(cloud, 'n1')}/traits"
    assert cloud.placement.put("/traits/CUSTOM_GOLD").ok
    before = cloud.placement.get(path).json()
    assert cloud.placement.put(path, json={**before, "traits": [*before["traits"], "CUSTOM_GOLD"]}).ok
    with server_with(cloud, "golden", **{"trait:CUSTOM_GOLD": "required"}):
        said = check(blind, "--instance", "golden")
        (finding,) = said.json["findings"]
        assert (said.status, finding["code"], finding["host"], finding["peer"]) == (8, "cloud_move.trait", "n1", "n2")
        assert [place["state"] for place in said.json["destinations"]] == ["blocks"]
