"""Moves on a real Nova: each way to ask for one, what is refused, and what is true when Nova's answer is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from openstack.connection import Connection
from tests.lab.command import finish, hotfoot
from tests.lab.labs import TestLab, bring_up
from tests.lab.openstack_login import connection_to
from tests.lab.waiting import PATIENCE_S, wait_until

from hotfoot.lab import store, witness

pytestmark = pytest.mark.matrix

NAME = "nova"
QUICK = ("--no-forecast", "--json")
TOKEN_S = 90


@pytest.fixture(scope="module")
def lab() -> Iterator[TestLab]:
    hotfoot("lab", "down", "--name", NAME)
    # Three hosts: of two, the storage does not bear the death of one.
    yield bring_up(NAME, "--openstack", "--hosts", "3", "--instances", "2", "--memory", "128", "--rate", "5")
    hotfoot("lab", "down", "--name", NAME)


@pytest.fixture(scope="module")
def cloud(lab: TestLab) -> Connection:
    return connection_to(lab)


@pytest.fixture
def blind(lab: TestLab, tmp_path: Path) -> Path:
    """A cluster file that declares the cloud alone: neither libvirt nor SSH."""
    file = tmp_path / "hotfoot.yaml"
    file.write_text(f"name: blind\nopenstack: {{cloud: lab, clouds_file: {lab.cluster.parent}/clouds.yaml}}\n")
    return file


def status(lab: TestLab, instance: str) -> str:
    found: dict[str, Any] = lab.run("show", instance, "--json").json
    return str(found["nova"]["status"])


def other_host(lab: TestLab, instance: str) -> str:
    return next(host for host in lab.hosts if host != lab.where(instance))


def slow(lab: TestLab, instance: str) -> str:
    """Make the move of an instance take long, and return its destination."""
    destination = other_host(lab, instance)
    lab.lab("shape", destination, "8mbit")
    return destination


def under_way(lab: TestLab, instance: str) -> bool:
    migrations = lab.run("watch", "--once", "--json").json["migrations"]
    return any(one["instance"] == instance and one["phase"] == "copying memory" for one in migrations)


def wait_until_copying(lab: TestLab, instance: str, process: Any) -> None:
    def copying() -> bool:
        assert process.poll() is None, process.communicate()
        return under_way(lab, instance)

    wait_until(copying, "the migration does not begin")


def test_to_a_named_host_with_all_that_libvirt_tells(lab: TestLab) -> None:
    source, destination = lab.where("vm1"), other_host(lab, "vm1")
    said = lab.run("migrate", "vm1", destination, *QUICK)
    assert said.status == 0, said.err
    told = said.json
    assert (told["source"], told["destination"], told["mode"]) == (source, destination, "live")
    assert told["reason"] is None, "volumes and ports are as before"
    (port,) = told["attached"]
    assert port["before"] == port["after"] != "no address ACTIVE"
    assert port["after"].endswith(" ACTIVE")
    assert told["downtime_ms"] is not None
    assert told["transferred_bytes"] > 0
    assert lab.where("vm1") == destination
    assert status(lab, "vm1") == "ACTIVE"
    lab.verify("vm1")


def test_where_nova_chooses_the_result_names_the_host(lab: TestLab) -> None:
    source = lab.where("vm1")
    said = lab.run("migrate", "vm1", *QUICK)
    assert said.status == 0, said.err
    assert said.json["destination"] == lab.where("vm1") != source
    lab.verify("vm1")


def test_through_the_api_alone(lab: TestLab, blind: Path) -> None:
    destination = other_host(lab, "vm2")
    said = hotfoot("migrate", "vm2", destination, *QUICK, cluster=blind)
    assert said.status == 0, said.err
    assert said.json["destination"] == destination == lab.where("vm2")
    assert said.json["downtime_ms"] is None
    lab.verify("vm2")


def test_what_nova_would_refuse_later_is_refused_before(lab: TestLab) -> None:
    source, destination = lab.where("vm1"), other_host(lab, "vm1")
    assert source
    same = lab.run("migrate", "vm1", source, *QUICK)
    assert (same.status, "same host" in same.json["reason"]) == (3, True)
    assert lab.run("migrate", "vm1", "n9", *QUICK).status == 3
    assert "for live migrations" in lab.run("migrate", "vm1", destination, "--block", "--cold", *QUICK).json["reason"]


def test_a_disabled_destination_is_refused_with_its_reason(lab: TestLab, cloud: Connection) -> None:
    destination = other_host(lab, "vm1")
    service = next(one for one in cloud.compute.services(binary="nova-compute") if one.host == destination)
    cloud.compute.default_microversion = "2.53"
    cloud.compute.disable_service(service, disabled_reason="new disks")
    try:
        said = lab.run("migrate", "vm1", destination, *QUICK)
        assert said.status == 3
        assert f"{destination} is disabled in Nova (new disks)" in said.json["reason"]
    finally:
        cloud.compute.enable_service(service)


def test_an_abort_leaves_the_guest_unharmed_and_a_wrong_state_is_repaired(lab: TestLab) -> None:
    source, destination = lab.where("vm1"), slow(lab, "vm1")
    try:
        process = lab.start("migrate", "vm1", destination, *QUICK)
        wait_until_copying(lab, "vm1", process)
        stopped = lab.run("abort", "vm1")
        assert stopped.status == 0, stopped.err
        said = finish(process)
        assert said.status == 5, said.out + said.err
    finally:
        lab.lab("shape", destination, "1gbit")
    assert lab.where("vm1") == source
    lab.verify("vm1")
    if status(lab, "vm1") == "ERROR":
        assert "`hotfoot repair-state vm1`" in said.json["reason"]
        assert "`hotfoot repair-state vm1`" in stopped.err
        assert lab.run("repair-state", "vm1", "--dry-run").status == 0
        assert lab.run("repair-state", "vm1").status == 0
    assert status(lab, "vm1") == "ACTIVE"
    assert lab.run("repair-state", "vm1").status == 3
    assert lab.run("migrate", "vm1", destination, *QUICK).status == 0
    lab.verify("vm1")


def test_force_complete_ends_it_now(lab: TestLab) -> None:
    destination = slow(lab, "vm1")
    assert lab.run("force-complete", "vm1").status == 3
    try:
        process = lab.start("migrate", "vm1", destination, *QUICK)
        wait_until_copying(lab, "vm1", process)
        assert lab.run("force-complete", "vm1").status == 0
        said = finish(process, timeout_s=300)
        assert said.status == 0, said.out + said.err
    finally:
        lab.lab("shape", destination, "1gbit")
    assert lab.where("vm1") == destination
    lab.verify("vm1")


def test_a_deadline_is_kept(lab: TestLab) -> None:
    source, destination = lab.where("vm2"), slow(lab, "vm2")
    try:
        said = lab.run("migrate", "vm2", destination, "--deadline", "5s", *QUICK)
    finally:
        lab.lab("shape", destination, "1gbit")
    assert said.status == 4, said.out + said.err
    assert "deadline" in said.json["reason"]
    assert lab.where("vm2") == source
    lab.verify("vm2")
    lab.run("repair-state", "vm2")
    assert status(lab, "vm2") == "ACTIVE"


def test_cold_it_is_stopped_and_started_again_elsewhere_and_what_is_shut_off_stays_so(
    lab: TestLab, cloud: Connection, blind: Path
) -> None:
    lab.lab("instance", "add", "cold1", "--memory", "100")
    destination = other_host(lab, "cold1")
    said = lab.run("migrate", "cold1", destination, "--cold", *QUICK, timeout_s=300)
    assert said.status == 0, said.out + said.err
    assert (said.json["mode"], said.json["destination"], lab.where("cold1")) == ("cold", destination, destination)
    assert (said.json["reason"], status(lab, "cold1")) == (None, "ACTIVE")
    told = next(one for one in lab.lab("status", "--json").json["instances"] if one["name"] == "cold1")
    witness.wait(told["address"], PATIENCE_S)
    (found,) = hotfoot("lab", "verify", "cold1", "--name", NAME, "--json").json["instances"]
    assert found["faults"] == ["it was restarted: its kernel has another boot id than at first"]

    cloud.compute.stop_server(told["uuid"])
    wait_until(lambda: status(lab, "cold1") == "SHUTOFF", "Nova does not shut it off")
    chosen = hotfoot("migrate", "cold1", "--cold", *QUICK, cluster=blind)
    assert chosen.status == 0, chosen.out + chosen.err
    back = lab.run("migrate", "cold1", destination, "--cold", *QUICK)
    assert back.status == 0, back.out + back.err
    assert (back.json["source"], back.json["reason"]) == (chosen.json["destination"], None)
    assert status(lab, "cold1") == "SHUTOFF"
    lab.lab("instance", "kill", "cold1")


def test_a_cold_move_between_hosts_without_ssh_fails_before_anything_is_stopped(lab: TestLab) -> None:
    source, destination = lab.where("vm1"), other_host(lab, "vm1")
    assert source
    lab.on(source, "mv", "/root/.ssh/id_ed25519", "/root/.ssh/mislaid")
    try:
        said = lab.run("migrate", "vm1", destination, "--cold", *QUICK, timeout_s=300)
    finally:
        lab.on(source, "mv", "/root/.ssh/mislaid", "/root/.ssh/id_ed25519")
    assert said.status == 4, said.out + said.err
    assert "must be able to log in to the other host by SSH" in said.json["reason"]
    assert f"vm1 lives on {source}, as before" in said.json["reason"]
    assert (lab.where("vm1"), status(lab, "vm1")) == (source, "ACTIVE")
    lab.verify("vm1")


@contextmanager
def short_lived_tokens(lab: TestLab) -> Iterator[None]:
    """Let tokens of Keystone live so short that a migration outlives them, and that every service takes new ones."""
    running = store.load(lab.name)
    root = store.folder_of(lab.name) / "disks" / "openstack" / "root"
    file = Path(f"/proc/{running.supervisor_pid}/root{root}/etc/keystone/keystone.conf")
    before = file.read_text()

    def restart(text: str) -> None:
        file.write_text(text)
        for verb in ("stop-service", "start-service"):
            lab.lab("fault", verb, "keystone")
        wait_until(lambda: lab.run("hosts").status == 0, "the other services do not find Keystone again")

    restart(before.replace("[token]\n", f"[token]\nexpiration = {TOKEN_S}\n"))
    try:
        yield
    finally:
        restart(before)


def test_the_token_expires_while_a_migration_goes_on(lab: TestLab, cloud: Connection) -> None:
    destination = slow(lab, "vm1")
    with short_lived_tokens(lab):
        try:
            process = lab.start("migrate", "vm1", destination, *QUICK)
            wait_until_copying(lab, "vm1", process)
            watcher = connection_to(lab)
            servers = f"{watcher.compute.get_endpoint()}/servers"
            later = {"X-Auth-Token": watcher.session.get_token()}

            def refused() -> bool:
                said = watcher.session.get(servers, headers=later, authenticated=False, raise_exc=False)
                return bool(said.status_code == 401)

            assert not refused()
            wait_until(refused, "a token that was given later does not expire")
            wait_until(lambda: under_way(lab, "vm1"), "it does not outlive the token")
        finally:
            lab.lab("shape", destination, "1gbit")
        said = finish(process, timeout_s=300)
    assert said.status == 0, said.out + said.err
    assert (lab.where("vm1"), status(lab, "vm1")) == (destination, "ACTIVE")
    lab.verify("vm1")
    wait_until(lambda: {port.status for port in cloud.network.ports()} == {"ACTIVE"}, "a port stays down")


def test_rabbitmq_is_restarted_while_a_migration_goes_on(lab: TestLab) -> None:
    destination = slow(lab, "vm2")
    try:
        process = lab.start("migrate", "vm2", destination, *QUICK)
        wait_until_copying(lab, "vm2", process)
        for verb in ("stop-service", "start-service"):
            lab.lab("fault", verb, "rabbitmq")
    finally:
        lab.lab("shape", destination, "1gbit")
    said = finish(process, timeout_s=400)
    assert said.status == 0, said.out + said.err
    assert lab.where("vm2") == destination
    if status(lab, "vm2") != "ACTIVE":  # what nova-compute on the two hosts had to tell each other at the end was lost
        told = ("Nova takes vm2 to be on", "`hotfoot repair-state vm2`")
        assert any(words in said.json["reason"] for words in told), said.out
        shown: dict[str, Any] = {}

        def is_seen() -> bool:  # Nova may name the destination only some seconds later, or never
            shown.update(lab.run("show", "vm2", "--json").json)
            return destination in (shown["host"], *shown["seen_elsewhere"])

        wait_until(is_seen, "nobody says where vm2 runs")
        if shown["host"] != destination:
            refuses_where_nova_is_wrong(lab, "vm2", named=shown["host"], destination=destination)
    lab.verify("vm2")


def refuses_where_nova_is_wrong(lab: TestLab, instance: str, named: str, destination: str) -> None:
    """Whatever host is asked for, Hotfoot goes by libvirt's word for where the guest runs, and Nova is not asked."""
    assert lab.run("show", instance, "--json").json["seen_elsewhere"] == [destination]
    assert f"{destination}, says libvirt" in lab.run("show", instance).out
    for asked_for in ((named,), (destination,), ()):
        refused = lab.run("migrate", instance, *asked_for, *QUICK)
        assert (refused.status, refused.json["source"]) == (3, destination), refused.out + refused.err
        assert f"{instance} runs on {destination}, and Nova takes it to be on {named}" in refused.json["reason"]


def all_up(lab: TestLab) -> bool:
    return all(one["nova"]["up"] for one in lab.run("hosts", "--json").json["hosts"])


@dataclass(frozen=True, slots=True)
class Bereft:
    """A move of an instance of its own, whose source has lost its nova-compute while libvirt copies memory."""

    instance: str
    source: str
    destination: str
    process: Any


@pytest.fixture
def bereft(lab: TestLab) -> Iterator[Bereft]:
    """One that Hotfoot has told of; at the end all of the instance is gone, whatever Nova takes of it to be where."""
    name = "bereft1"
    wait_until(lambda: all_up(lab), "a host is down")
    lab.lab("instance", "add", name, "--memory", "96", "--rate", "5", "--area", "16")
    uuid = next(one["uuid"] for one in lab.lab("status", "--json").json["instances"] if one["name"] == name)
    source, destination = lab.where(name), slow(lab, name)
    assert source
    process = lab.start("migrate", name, destination, *QUICK)
    try:
        wait_until_copying(lab, name, process)
        lab.lab("fault", "kill-nova-compute", source)
        said = (line for line in process.stderr if f"nova-compute on {source}, the source, is down" in line)
        assert "libvirt there goes on, and is followed" in next(said, "")
        yield Bereft(name, source, destination, process)
    finally:
        lab.lab("shape", destination, "1gbit")
        if process.poll() is None:
            finish(process, timeout_s=300)
        lab.lab("fault", "start-nova-compute", source)
        wait_until(lambda: all_up(lab), "a host is down")
        # Before Nova, which else waits for minutes for the files of a guest that it has on the other host.
        lab.on(destination, "sh", "-c", f"virsh destroy {uuid}; virsh undefine {uuid}; :")
        lab.lab("instance", "kill", name)


def test_a_nova_compute_that_comes_back_while_libvirt_copies_breaks_the_move_off(
    lab: TestLab, cloud: Connection, bereft: Bereft
) -> None:
    lab.lab("fault", "start-nova-compute", bereft.source)
    said = finish(bereft.process, timeout_s=300)
    assert said.status == 4, said.out + said.err
    assert f"nova-compute on {bereft.source}, the source, was started again in the middle" in said.json["reason"]
    assert f"{bereft.instance} lives on {bereft.source}, as before" in said.json["reason"]
    assert (lab.where(bereft.instance), status(lab, bereft.instance)) == (bereft.source, "ACTIVE")
    lab.verify(bereft.instance)
    # Nova has left the port bound to the destination, and would find no valid host from now on.
    lab.lab("shape", bereft.destination, "1gbit")
    refused = lab.run("migrate", bereft.instance, bereft.destination, *QUICK)
    assert refused.status == 3, refused.out + refused.err
    assert f"of {bereft.instance} bound to {bereft.destination}" in refused.json["reason"]
    looked = lab.run("repair-state", bereft.instance, "--dry-run", "--json").json
    assert (looked["why_not"], list(looked["leftover_bindings"])) == (None, [bereft.destination])
    kept = lab.run("repair-state", bereft.instance)
    assert kept.status == 3
    assert "Neutron lets only the role service remove that" in kept.err
    service = next(role.id for role in cloud.identity.roles() if role.name == "service")
    given = f"/projects/{cloud.current_project_id}/users/{cloud.current_user_id}/roles/{service}"
    assert cloud.identity.put(given).status_code == 204
    repaired = lab.run("repair-state", bereft.instance)
    assert repaired.status == 0, repaired.err
    assert f"bindings to {bereft.destination} (1 port)" in repaired.out
    wait_until(lambda: all_up(lab), "the source's nova-compute does not come up")
    moved = lab.run("migrate", bereft.instance, bereft.destination, *QUICK, timeout_s=300)
    assert moved.status == 0, moved.out + moved.err
    lab.verify(bereft.instance)


def test_a_nova_compute_that_comes_back_too_late_never_learns_of_the_move(
    lab: TestLab, cloud: Connection, bereft: Bereft
) -> None:
    lab.lab("shape", bereft.destination, "1gbit")
    said = finish(bereft.process, timeout_s=300)
    lab.lab("fault", "start-nova-compute", bereft.source)
    assert said.status == 0, said.out + said.err
    assert "went down in the middle, so that Nova does not know how it ends" in said.json["reason"]
    assert f"Nova takes {bereft.instance} to be on {bereft.source}" in said.json["reason"]
    assert lab.where(bereft.instance) == bereft.destination
    lab.verify(bereft.instance)
    wait_until(lambda: status(lab, bereft.instance) == "ACTIVE", "nova-compute does not let go of it")
    server = cloud.compute.find_server(bereft.instance, ignore_missing=False)
    assert cloud.compute.get_server(server.id).compute_host == bereft.source
    told = lab.run("repair-state", bereft.instance)
    assert told.status == 3
    assert f"runs on {bereft.destination}, and Nova takes it to be on {bereft.source}" in told.err
    refuses_where_nova_is_wrong(lab, bereft.instance, named=bereft.source, destination=bereft.destination)


def test_a_destination_that_dies_leaves_the_guest_on_its_source(lab: TestLab) -> None:
    source, destination = lab.where("vm1"), other_host(lab, "vm1")
    lab.empty(destination)
    slow(lab, "vm1")
    process = lab.start("migrate", "vm1", destination, *QUICK)
    wait_until_copying(lab, "vm1", process)
    lab.lab("fault", "kill-host", destination)
    said = finish(process, timeout_s=300)
    assert said.status == 4, said.out + said.err
    assert f"vm1 lives on {source}, as before" in said.json["reason"]
    lab.verify("vm1")
    repaired = lab.run("repair-state", "vm1")
    assert repaired.status == 0, repaired.err
    assert status(lab, "vm1") == "ACTIVE"
