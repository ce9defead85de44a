"""``hosts``, ``ls``, ``show`` and ``init`` on an OpenStack cloud, by ``--cloud`` and by a cluster file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.cloud.openstack_double import Answer, Asked, CloudDouble
from tests.cloud.test_openstack_values import HYPERVISOR, UUID, VOLUME, hypervisor, server, service
from typer.testing import CliRunner

from hotfoot.cli.app import command_line
from hotfoot.cluster import load
from hotfoot.errors import ExitStatus, HotfootError

FULL = "9f0a7c0e-0000-4000-8000-000000000002"


@dataclass(frozen=True)
class _Done:
    status: int
    out: str
    err: str


def hotfoot(*words: str) -> _Done:
    done = CliRunner().invoke(command_line(words), words)
    if isinstance(done.exception, HotfootError):
        return _Done(int(done.exception.status), done.stdout, str(done.exception))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return _Done(done.exit_code, done.stdout, done.stderr)


def _full_host() -> dict[str, Any]:
    return hypervisor(id=FULL, host_ip="10.0.0.2", service={"host": "n2", "id": "s2", "disabled_reason": "new disks"})


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudDouble]:
    """A cloud with a host that has room, a full and disabled one, and one server; its login is where all look."""
    double = CloudDouble()
    nova, placement = "GET /compute/v2.1", "GET /placement"
    attached = server(**{"os-extended-volumes:volumes_attached": [{"id": VOLUME}]})
    resources = {"VCPU": {"capacity": 16, "used": 2}, "MEMORY_MB": {"capacity": 2048, "used": 512}}
    inventories = {
        "VCPU": {"total": 4, "reserved": 0, "allocation_ratio": 4.0},
        "MEMORY_MB": {"total": 1024, "reserved": 512, "allocation_ratio": 1.0},
    }
    group = {"id": "g", "name": "web", "policy": "anti-affinity", "members": [UUID]}
    bodies: dict[str, Any] = {
        f"{nova}/servers/detail": {"servers": [attached]},
        f"{nova}/os-services": {
            "services": [service(), service(host="n2", status="disabled", disabled_reason="new disks")]
        },
        f"{nova}/os-hypervisors/detail": {"hypervisors": [hypervisor(), _full_host()]},
        f"{nova}/os-aggregates": {"aggregates": [{"name": "ssd", "hosts": ["n1"]}]},
        f"{nova}/os-server-groups": {"server_groups": [group]},
        f"{nova}/servers": {"servers": [{"id": UUID, "name": "web1"}]},
        f"{nova}/servers/{UUID}": {"server": {**attached, "server_groups": ["g"]}},
        f"{nova}/os-server-groups/g": {"server_group": group},
        "GET /identity/v3/projects/p1": {"project": {"id": "p1", "name": "shop"}},
        f"{nova}/servers/{UUID}/os-volume_attachments": {
            "volumeAttachments": [{"volumeId": VOLUME, "device": "/dev/vdb"}]
        },
        f"{nova}/servers/{UUID}/os-interface": {"interfaceAttachments": []},
        f"{placement}/allocation_candidates": {
            "provider_summaries": {HYPERVISOR: {"resources": resources, "traits": ["CUSTOM_GOLD"]}}
        },
        f"{placement}/resource_providers/{FULL}/inventories": {"inventories": inventories},
        f"{placement}/resource_providers/{FULL}/usages": {"usages": {"VCPU": 5, "MEMORY_MB": 512}},
        f"{placement}/resource_providers/{FULL}/traits": {"traits": []},
        "GET /identity/v3/projects": {"projects": [{"id": "p1", "name": "shop"}], "links": {"next": None}},
    }
    double.routes.update({call: Answer(body=body) for call, body in bodies.items()})
    for name in ("OS_CLOUD", "HOTFOOT_CLUSTER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(double.clouds_file(tmp_path)))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield double
    double.close()


def test_ls_shows_what_nova_says_beside_what_the_guest_does(cloud: CloudDouble) -> None:
    done = hotfoot("ls", "--cloud", "double")
    head, row = (line.split("  ") for line in done.out.splitlines())
    assert [cell.strip() for cell in head if cell] == (
        ["INSTANCE", "UUID", "HOST", "STATE", "STATUS", "PROJECT", "VCPUS", "MEMORY", "DISKS"]
    )
    assert [cell.strip() for cell in row if cell] == (
        ["web1", UUID[:8], "n1", "running", "ACTIVE", "shop", "2", "512 MiB", f"local 20 GiB, volume {VOLUME[:8]}"]
    )


@pytest.mark.parametrize(
    "words", [("--cloud", "double", "ls"), ("--os-cloud=double", "ls"), ("--cloud", "other", "ls", "--cloud", "double")]
)
def test_the_cloud_may_stand_before_the_command(cloud: CloudDouble, words: tuple[str, ...]) -> None:
    done = hotfoot(*words)
    assert (done.status, "web1" in done.out) == (0, True), done.err


@pytest.mark.parametrize("verb", ["cluster", "recover"])
def test_a_command_that_knows_no_cloud_does_not_ignore_one(cloud: CloudDouble, verb: str) -> None:
    done = hotfoot("--cloud", "double", verb, "web1")
    assert (done.status, done.err) == (ExitStatus.USAGE, f"`hotfoot {verb}` takes no --cloud.")


def test_a_verb_that_is_none_is_told_also_behind_a_cloud(cloud: CloudDouble) -> None:
    done = hotfoot("--cloud", "double", "mirgate")
    assert done.status == ExitStatus.USAGE
    assert "mirgate" in done.err


def test_hosts_show_room_and_why_one_is_disabled_though_placement_leaves_out_the_full_one(cloud: CloudDouble) -> None:
    done = hotfoot("hosts", "--os-cloud", "double")
    assert "n2 is disabled in Nova: new disks." in done.out.splitlines()
    rows = {line.split()[0]: line.split() for line in done.out.splitlines()[1:3]}
    assert rows["n1"][:5] == ["n1", "10.0.0.1", "up", "az1", "ssd"]
    assert rows["n1"][5:] == ["CUSTOM_GOLD", "1", "16", "2", "2.0", "GiB", "1.5", "GiB", "10.0.13"]
    assert rows["n2"] == ["n2", "10.0.0.2", "up,", "disabled", "az1", "0", "16", "5", "512", "MiB", "0", "B", "10.0.13"]


def test_json_carries_what_nova_and_placement_said(cloud: CloudDouble) -> None:
    (instance,) = json.loads(hotfoot("ls", "--cloud", "double", "--json").out)["instances"]
    assert instance["nova"]["status"] == "ACTIVE"
    assert instance["nova"]["server_groups"] == [{"id": "g", "name": "web", "policy": "anti-affinity"}]
    first, second = json.loads(hotfoot("hosts", "--cloud", "double", "--json").out)["hosts"]
    assert first["nova"]["traits"] == ["CUSTOM_GOLD"]
    assert second["nova"]["capacity"][1] == {"resource_class": "VCPU", "capacity": 16, "used": 5}
    assert second["nova"]["disabled_reason"] == "new disks"


def test_show_tells_group_volume_and_project(cloud: CloudDouble) -> None:
    lines = [" ".join(line.split()) for line in hotfoot("show", "web1", "--cloud", "double").out.splitlines()]
    assert "status ACTIVE" in lines
    assert "project shop (p1)" in lines
    assert "group web (anti-affinity)" in lines
    assert f"disk vdb volume {VOLUME}" in lines


def test_one_instance_is_looked_at_without_all_others(cloud: CloudDouble) -> None:
    del cloud.routes["GET /compute/v2.1/servers/detail"], cloud.routes["GET /compute/v2.1/os-server-groups"]
    for wanted in ("web1", UUID, UUID[:6].upper()):
        assert UUID in hotfoot("show", wanted, "--cloud", "double").out
    done = hotfoot("show", "web2", "--cloud", "double")
    assert done.err.startswith("There is no instance 'web2' on any host that answered; did you mean web1?")


def test_the_members_of_its_groups_are_looked_at_too(cloud: CloudDouble) -> None:
    other, gone = UUID.replace("2", "3"), UUID.replace("2", "4")
    group = {"id": "g", "name": "web", "policy": "anti-affinity", "members": [UUID, other, gone]}
    cloud.routes["GET /compute/v2.1/os-server-groups/g"] = Answer(body={"server_group": group})
    there = server(id=other, name="web2", **{"OS-EXT-SRV-ATTR:host": "n3"})
    cloud.routes[f"GET /compute/v2.1/servers/{other}"] = Answer(body={"server": there})
    hosts = [hypervisor(), hypervisor(id=FULL, service={"host": "n3"})]
    cloud.routes["GET /compute/v2.1/os-hypervisors/detail"] = Answer(body={"hypervisors": hosts})
    cloud.routes["GET /compute/v2.1/os-services"] = Answer(body={"services": [service(), service(host="n3")]})
    cloud.routes[f"GET /compute/v2.1/servers/{UUID}/migrations"] = Answer(body={"migrations": []})
    cloud.routes[f"GET /placement/allocations/{UUID}"] = Answer(body={"allocations": {}})
    done = hotfoot("migrate", "web1", "n3", "--dry-run", "--cloud", "double")
    assert "anti-affinity" in done.out
    assert done.status == ExitStatus.REFUSED


def test_instances_are_shown_without_a_close_look_at_hosts(cloud: CloudDouble) -> None:
    del cloud.routes["GET /compute/v2.1/os-hypervisors/detail"], cloud.routes["GET /placement/allocation_candidates"]
    cloud.routes["GET /compute/v2.1/os-services"] = Answer(
        body={"services": [service(), service(host="n2", state="down")]}
    )
    for words in (("ls",), ("ls", "--host", "n1"), ("show", "web1")):
        done = hotfoot(*words, "--cloud", "double")
        assert (done.status, "web1" in done.out) == (0, True), done.err
    assert "nova-compute on n2 is down" in hotfoot("ls", "--cloud", "double").err


def _needs_of_web1(cloud: CloudDouble) -> None:
    cloud.routes[f"GET /compute/v2.1/servers/{UUID}/migrations"] = Answer(body={"migrations": []})
    needs = {"allocations": {HYPERVISOR: {"resources": {"VCPU": 2, "MEMORY_MB": 512}}}}
    cloud.routes[f"GET /placement/allocations/{UUID}"] = Answer(body=needs)


def test_of_the_hosts_only_the_destination_is_looked_at_closely(cloud: CloudDouble) -> None:
    _needs_of_web1(cloud)
    del cloud.routes["GET /placement/allocation_candidates"]

    def named(asked: Asked) -> Answer:
        # Nova's pattern fits parts of names as well.
        lookalike = {**_full_host(), "service": {"host": "n22"}, "id": HYPERVISOR}
        return Answer(body={"hypervisors": [lookalike, _full_host()] if len(asked.params) == 1 else []})

    cloud.routes["GET /compute/v2.1/os-hypervisors/detail"] = named
    done = hotfoot("migrate", "web1", "n2", "--dry-run", "--cloud", "double")
    assert done.status == ExitStatus.REFUSED
    assert "512 MEMORY_MB are needed, and 0 are free" in done.out
    (asked,) = cloud.calls("GET /compute/v2.1/os-hypervisors/detail")
    assert asked.params == {"hypervisor_hostname_pattern": "n2"}


def test_where_no_hypervisor_is_named_as_its_host_all_are_looked_at(cloud: CloudDouble) -> None:
    _needs_of_web1(cloud)

    def named(asked: Asked) -> Answer:
        if asked.params:
            return Answer(404, {"itemNotFound": {"message": "No hypervisor matching 'n2' could be found."}})
        return Answer(body={"hypervisors": [hypervisor(), {**_full_host(), "hypervisor_hostname": "other"}]})

    cloud.routes["GET /compute/v2.1/os-hypervisors/detail"] = named
    done = hotfoot("migrate", "web1", "n2", "--dry-run", "--cloud", "double")
    assert "512 MEMORY_MB are needed, and 0 are free" in done.out


def test_placement_of_pike_is_asked_host_by_host(cloud: CloudDouble) -> None:
    refusal = {"errors": [{"status": 406, "title": "Not Acceptable", "detail": "Unacceptable version header: 1.27"}]}
    cloud.routes["GET /placement/allocation_candidates"] = Answer(406, refusal)
    inventories = {"MEMORY_MB": {"total": 2048, "reserved": 0, "allocation_ratio": 1.5}}
    path = f"GET /placement/resource_providers/{HYPERVISOR}"
    cloud.routes[f"{path}/inventories"] = Answer(body={"inventories": inventories})
    cloud.routes[f"{path}/usages"] = Answer(body={"usages": {"MEMORY_MB": 1024}})
    cloud.routes[f"{path}/traits"] = Answer(body={"traits": []})
    first = json.loads(hotfoot("hosts", "--cloud", "double", "--json").out)["hosts"][0]
    assert first["memory_total_bytes"] == 3072 << 20
    assert first["memory_free_bytes"] == 2048 << 20


def test_a_keystone_that_keeps_its_projects_secret_costs_their_names_only(cloud: CloudDouble) -> None:
    cloud.routes["GET /identity/v3/projects"] = Answer(403, {"error": {"message": "You are not authorized."}})
    assert "p1" in hotfoot("ls", "--cloud", "double").out


def test_a_login_without_the_role_gets_one_sentence(cloud: CloudDouble) -> None:
    forbidden = Answer(403, {"forbidden": {"message": "Policy doesn't allow this."}})
    cloud.routes["GET /compute/v2.1/servers/detail"] = forbidden
    done = hotfoot("ls", "--cloud", "double")
    assert done.status == ExitStatus.ERROR
    assert "the role admin is needed" in done.err
    assert "\n" not in done.err


def test_all_pages_of_server_groups_are_asked_for(cloud: CloudDouble) -> None:
    def page(asked: Asked) -> Answer:
        first = int(asked.params["offset"])
        groups = [{"id": str(each), "name": "g", "policy": "affinity", "members": []} for each in range(1000)]
        last = [{"id": "g", "name": "last", "policy": "affinity", "members": [UUID]}]
        return Answer(body={"server_groups": last if first else groups})

    cloud.routes["GET /compute/v2.1/os-server-groups"] = page
    (instance,) = json.loads(hotfoot("ls", "--cloud", "double", "--json").out)["instances"]
    assert [group["name"] for group in instance["nova"]["server_groups"]] == ["last"]


def test_a_cluster_file_that_names_the_cloud_is_enough(cloud: CloudDouble, tmp_path: Path) -> None:
    (tmp_path / "hotfoot.yaml").write_text("openstack: {cloud: double, clouds_file: clouds.yaml}\n")
    assert "web1" in hotfoot("ls").out
    assert hotfoot("cluster", "validate").out.splitlines()[0] == "cluster cluster: OpenStack cloud double"


@pytest.mark.parametrize("words", [("recover", "web1"), ("definitions",)])
def test_what_knows_libvirt_only_is_refused(cloud: CloudDouble, tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "hotfoot.yaml").write_text("openstack: {cloud: double}\n")
    done = hotfoot(*words)
    assert done.status == ExitStatus.REFUSED
    assert "behind Nova's back" in done.err


@pytest.mark.parametrize("words", [("check", "--topic", "ssh"), ("prepare", "--dry-run")])
def test_what_works_by_ssh_needs_declared_hosts(cloud: CloudDouble, tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "hotfoot.yaml").write_text("name: rack1\nopenstack: {cloud: double}\n")
    done = hotfoot(*words)
    assert done.status == ExitStatus.REFUSED
    assert done.err.startswith("cluster rack1 declares no hosts, and this command needs to reach them by SSH")


def test_init_writes_hosts_that_ssh_does_not_reach_as_comments(cloud: CloudDouble, tmp_path: Path) -> None:
    lonely = hypervisor(host_ip="127.0.0.1")
    cloud.routes["GET /compute/v2.1/os-hypervisors/detail"] = Answer(body={"hypervisors": [lonely]})
    done = hotfoot("init", "--cloud", "double", "--port", "1")
    assert done.status == 0, done.err
    assert "without hosts" in done.out
    text = (tmp_path / "hotfoot.yaml").read_text()
    assert "openstack: {cloud: double}" in text
    assert "  # - {name: n1, address: 127.0.0.1}  # left out: " in text
    assert load(None, tmp_path).hosts == ()


@pytest.mark.parametrize("name", ["", " double", "a\nb"])
def test_what_is_no_name_of_a_cloud_is_refused(cloud: CloudDouble, name: str) -> None:
    done = hotfoot("ls", "--cloud", name)
    assert done.status == ExitStatus.USAGE
    assert done.err.startswith("--cloud must be the name of a cloud in clouds.yaml")


def test_init_wants_hosts_or_a_cloud(cloud: CloudDouble) -> None:
    assert hotfoot("init").err == "give hosts, or an OpenStack cloud by --cloud NAME."
    assert hotfoot("init", "n1", "--cloud", "double").status == ExitStatus.USAGE


def test_check_says_where_an_instance_can_go_before_nova_is_asked(cloud: CloudDouble) -> None:
    _needs_of_web1(cloud)
    done = hotfoot("check", "--instance", "web1", "--cloud", "double", "--json")
    told = json.loads(done.out)
    assert (done.status, told["source"]) == (ExitStatus.FINDINGS_BLOCK, "n1")
    (place,) = told["destinations"]
    assert (place["host"], place["state"]) == ("n2", "blocks")
    disabled, room = place["obstacles"]
    assert "n2 is disabled in Nova (new disks)" in disabled
    assert "512 MEMORY_MB are needed, and 0 are free" in room
    shown = hotfoot("check", "--instance", "web1", "--cloud", "double")
    assert "n2: There is no room on n2 for web1" in shown.out
    unknown = hotfoot("check", "--instance", "web1", "--host", "n9", "--cloud", "double")
    assert (unknown.status, unknown.err) == (
        ExitStatus.USAGE,
        "Nova has no compute host n9; `hotfoot hosts` lists them.",
    )
