"""The lab's OpenStack is a real one: Nova moves an instance, and the parts of it break and are mended on request."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from keystoneauth1.exceptions import ClientException
from openstack.config import OpenStackConfig
from openstack.connection import Connection
from openstack.exceptions import SDKException
from tests.lab.command import hotfoot
from tests.lab.labs import TestLab, bring_up
from tests.lab.waiting import wait_until

pytestmark = pytest.mark.matrix  # some minutes, and as many again where its part of the cache is not built yet
NAME = "openstack"
UNDER_WAY = ("accepted", "queued", "preparing", "running", "post-migrating")


@pytest.fixture(scope="module")
def lab() -> Iterator[TestLab]:
    hotfoot("lab", "down", "--name", NAME)
    yield bring_up(NAME, "--openstack", "--hosts", "2", "--instances", "1", "--memory", "128", "--rate", "5")
    hotfoot("lab", "down", "--name", NAME)


@pytest.fixture(scope="module")
def told(lab: TestLab) -> dict[str, Any]:
    found: dict[str, Any] = lab.lab("status", "--json").json["openstack"]
    return found


@pytest.fixture(scope="module")
def cloud(told: dict[str, Any]) -> Connection:
    config = OpenStackConfig(config_files=[told["clouds_file"]], load_envvars=False)
    connection = Connection(config=config.get_one(told["cloud"]))
    connection.compute.default_microversion = "2.96"
    return connection


def answers(cloud: Connection) -> bool:
    try:
        return bool(list(cloud.compute.services(binary="nova-compute")))
    except (SDKException, ClientException):
        return False


def computes(cloud: Connection) -> dict[str, str]:
    return {each.host: each.state for each in cloud.compute.services(binary="nova-compute")}


def newest(cloud: Connection, server: str) -> Any:
    return max(cloud.compute.migrations(instance_uuid=server), key=lambda record: record.id)


def test_all_of_it_is_up_and_its_passwords_are_for_root_alone(lab: TestLab, told: dict[str, Any]) -> None:
    assert set(told["services"].values()) == {"up"}
    assert told["computes"] == {"n1": "active", "n2": "active"}
    assert stat.S_IMODE(Path(told["clouds_file"]).stat().st_mode) == 0o600
    assert "openstack:" in lab.cluster.read_text()


def test_nova_moves_a_running_instance_to_the_other_host_and_back(lab: TestLab, cloud: Connection) -> None:
    server = cloud.compute.find_server("vm1", ignore_missing=False)
    for _ in range(2):
        source = cloud.compute.get_server(server.id).compute_host
        destination = "n2" if source == "n1" else "n1"
        cloud.compute.live_migrate_server(server.id, host=destination, block_migration="auto")
        wait_until(lambda: newest(cloud, server.id).status not in UNDER_WAY, "the migration does not end")
        record = newest(cloud, server.id)
        assert (record.status, record.source_compute, record.dest_compute) == ("completed", source, destination)
        assert lab.where("vm1") == destination
        lab.verify("vm1")


def test_a_service_that_is_stopped_does_not_answer_until_it_is_started(lab: TestLab, cloud: Connection) -> None:
    lab.lab("fault", "stop-service", "nova-api")
    assert lab.lab("status", "--json").json["openstack"]["services"]["nova-api"] == "down"
    assert not answers(cloud)
    lab.lab("fault", "start-service", "nova-api")
    assert answers(cloud)

    lab.lab("fault", "stop-service", "rabbitmq")
    lab.lab("fault", "start-service", "rabbitmq")
    wait_until(lambda: set(computes(cloud).values()) == {"up"}, "the computes do not find RabbitMQ again")
    lab.verify("vm1")


def test_a_nova_compute_that_is_killed_shows_as_down_and_its_instance_runs_on(lab: TestLab, cloud: Connection) -> None:
    lab.lab("fault", "kill-nova-compute", "n1")
    wait_until(lambda: computes(cloud) == {"n1": "down", "n2": "up"}, "Nova does not notice")
    lab.verify("vm1")
    lab.lab("fault", "start-nova-compute", "n1")
    wait_until(lambda: set(computes(cloud).values()) == {"up"}, "nova-compute does not come back")


def test_an_instance_of_the_lab_comes_and_goes_through_the_api(lab: TestLab, cloud: Connection) -> None:
    lab.lab("instance", "add", "extra", "--memory", "100", "--host", "n2")
    assert lab.where("extra") == "n2"
    lab.verify("extra")
    lab.lab("instance", "kill", "extra")
    assert [server.name for server in cloud.compute.servers(all_projects=True)] == ["vm1"]


def test_what_is_no_service_and_what_has_no_openstack_are_refused(lab: TestLab) -> None:
    refused = hotfoot("lab", "fault", "stop-service", "horizon", "--name", lab.name)
    assert refused.status == 2
    assert "'horizon' is no service" in refused.err
