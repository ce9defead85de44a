"""Moves on a real Nova with something in the way: its API away, a login that is not enough, no room, a rule, others.

Two hosts; the pair of servers ``apart`` is kept apart by Nova, one on each.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openstack.config import OpenStackConfig
from openstack.connection import Connection
from tests.lab.command import finish, hotfoot
from tests.lab.labs import TestLab, bring_up
from tests.lab.openstack_login import connection_to
from tests.lab.waiting import wait_until

pytestmark = pytest.mark.matrix  # some minutes

NAME = "novatrouble"
QUICK = ("--no-forecast", "--json")
AWAY_S = 20
NOBODY = "eeeeeeee-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def lab() -> Iterator[TestLab]:
    hotfoot("lab", "down", "--name", NAME)
    yield bring_up(NAME, "--openstack", "--hosts", "2", "--instances", "1", "--memory", "128", "--rate", "5")
    hotfoot("lab", "down", "--name", NAME)


@pytest.fixture(scope="module")
def cloud(lab: TestLab) -> Connection:
    connection = connection_to(lab)
    connection.compute.default_microversion = "2.96"
    connection.placement.default_microversion = "1.28"
    return connection


def other_host(lab: TestLab, instance: str) -> str:
    return next(host for host in lab.hosts if host != lab.where(instance))


def phase(lab: TestLab, instance: str) -> str | None:
    migrations = lab.run("watch", "--once", "--json").json["migrations"]
    return next((str(one["phase"]) for one in migrations if one["instance"] == instance), None)


def newest(cloud: Connection, instance: str) -> Any:
    server = cloud.compute.find_server(instance, ignore_missing=False)
    return max(cloud.compute.migrations(instance_uuid=server.id), key=lambda record: record.id)


def logged_in_with(lab: TestLab, folder: Path, **changed: str) -> Path:
    """Return a cluster file of the lab's cloud with another login."""
    config = OpenStackConfig(config_files=[str(lab.cluster.parent / "clouds.yaml")], load_envvars=False)
    auth = {key: value for key, value in config.get_one("lab").config["auth"].items() if value is not None}
    clouds = folder / "clouds.yaml"
    clouds.touch(0o600)
    clouds.write_text(json.dumps({"clouds": {"lab": {"auth": auth | changed}}}))
    file = folder / "hotfoot.yaml"
    file.write_text("name: other\nopenstack: {cloud: lab, clouds_file: clouds.yaml}\n")
    return file


def test_the_outage_is_measured_through_neutrons_network(lab: TestLab) -> None:
    destination = other_host(lab, "vm1")
    said = lab.run("migrate", "vm1", destination, *QUICK)
    assert said.status == 0, said.out + said.err
    assert said.json["probes_sent"] > 0
    assert said.json["outage_ms"] is not None
    assert lab.where("vm1") == destination
    lab.verify("vm1")


def test_the_api_is_away_for_twenty_seconds_in_the_middle(lab: TestLab) -> None:
    destination = other_host(lab, "vm1")
    lab.lab("shape", destination, "8mbit")
    try:
        process = lab.start("migrate", "vm1", destination, *QUICK)
        wait_until(lambda: phase(lab, "vm1") == "copying memory", "the migration does not begin")
        lab.lab("fault", "stop-service", "nova-api")
        time.sleep(AWAY_S)
        refused = lab.run("ls")
        assert (refused.status, len(refused.err.splitlines())) == (1, 1), refused.err
        assert process.poll() is None, "it gave up"
        lab.lab("fault", "start-service", "nova-api")
    finally:
        lab.lab("shape", destination, "1gbit")
    said = finish(process, timeout_s=300)
    assert said.status == 0, said.out + said.err
    assert lab.where("vm1") == destination == said.json["destination"]
    lab.verify("vm1")


def test_what_another_client_started_is_watched_to_its_end(lab: TestLab, cloud: Connection) -> None:
    destination = other_host(lab, "vm1")
    lab.lab("shape", destination, "8mbit")
    try:
        server = cloud.compute.find_server("vm1", ignore_missing=False)
        # What `openstack server migrate --live-migration` sends.
        cloud.compute.live_migrate_server(server.id, host=destination, block_migration="auto")
        wait_until(lambda: phase(lab, "vm1") == "copying memory", "it is not seen")
        refused = lab.run("migrate", "vm1", destination, *QUICK)
        assert (refused.status, "already being migrated" in refused.json["reason"]) == (3, True), refused.out
    finally:
        lab.lab("shape", destination, "1gbit")
    wait_until(lambda: newest(cloud, "vm1").status == "completed", "it does not end")
    wait_until(lambda: phase(lab, "vm1") is None, "it is still shown")
    assert lab.where("vm1") == destination
    lab.verify("vm1")


def test_a_wrong_password_is_one_sentence_without_it(lab: TestLab, tmp_path: Path) -> None:
    wrong = logged_in_with(lab, tmp_path, password="not-the-password")
    for words in (("ls",), ("migrate", "vm1", "--no-forecast")):
        said = hotfoot(*words, cluster=wrong)
        assert (said.status, len(said.err.splitlines())) == (1, 1), said.err
        assert "check user, password, project and domains" in said.err
        assert "not-the-password" not in said.out + said.err


def test_a_login_without_admin_is_told_so_and_nothing_moves(lab: TestLab, cloud: Connection, tmp_path: Path) -> None:
    source = lab.where("vm1")
    user = cloud.identity.create_user(name="member", password="a-members-word", domain_id="default")
    try:
        role = cloud.identity.find_role("member") or cloud.identity.create_role(name="member")
        given = f"/projects/{cloud.current_project_id}/users/{user.id}/roles/{role.id}"
        assert cloud.identity.put(given).status_code == 204
        member = logged_in_with(lab, tmp_path, username="member", password="a-members-word")
        for words, before in ((("ls",), []), (("migrate", "vm1", "--no-forecast"), ["vm1 was not moved."])):
            said = hotfoot(*words, cluster=member)
            *headline, sentence = said.err.splitlines()
            assert (said.status, headline) == (1, before), said.err
            assert "user member" in sentence
            assert "the role admin is needed" in sentence
    finally:
        cloud.identity.delete_user(user.id)
    assert lab.where("vm1") == source


def test_a_destination_without_room_is_refused_with_the_figures(lab: TestLab, cloud: Connection) -> None:
    source, destination = lab.where("vm1"), other_host(lab, "vm1")
    hypervisors = {each.service_details["host"]: each.id for each in cloud.compute.hypervisors(details=True)}
    provider = f"/resource_providers/{hypervisors[destination]}"
    has = cloud.placement.get(f"{provider}/inventories").json()["inventories"]["MEMORY_MB"]
    used = cloud.placement.get(f"{provider}/usages").json()["usages"]["MEMORY_MB"]
    free = int((has["total"] - has["reserved"]) * has["allocation_ratio"]) - used
    taken = {
        "allocations": {hypervisors[destination]: {"resources": {"MEMORY_MB": free - 100}}},
        "consumer_generation": None,
        "project_id": NOBODY.replace("-", ""),
        "user_id": NOBODY.replace("-", ""),
    }
    assert cloud.placement.put(f"/allocations/{NOBODY}", json=taken).ok
    try:
        said = lab.run("migrate", "vm1", destination, *QUICK)
    finally:
        assert cloud.placement.delete(f"/allocations/{NOBODY}").ok
    assert said.status == 3, said.out + said.err
    assert f"no room on {destination}" in said.json["reason"]
    assert "100 are free" in said.json["reason"]
    assert lab.where("vm1") == source


def test_what_nova_keeps_apart_is_refused_by_the_groups_name(lab: TestLab) -> None:
    for name, host in (("apart1", "n1"), ("apart2", "n2")):
        lab.lab("instance", "add", name, "--host", host, "--group", "apart", "--memory", "96")
    said = lab.run("migrate", "apart1", "n2", *QUICK)
    assert said.status == 3, said.out + said.err
    assert "The server group apart (anti-affinity) forbids n2 for apart1: apart2 is there." in said.json["reason"]
    assert lab.where("apart1") == "n1"
    for name in ("apart1", "apart2"):
        lab.lab("instance", "kill", name)
