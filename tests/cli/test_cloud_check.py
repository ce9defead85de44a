"""``hotfoot check`` of an OpenStack cloud through its APIs: tables, findings, JSON, status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.cloud.openstack_double import Answer, Asked, CloudDouble
from tests.cloud.test_openstack_values import HYPERVISOR, UUID, hypervisor, server, service
from typer.testing import CliRunner

from hotfoot.cli.app import command_line
from hotfoot.errors import ExitStatus, HotfootError

SECOND = "9f0a7c0e-0000-4000-8000-000000000002"
NOBODY = "dddddddd-0000-4000-8000-000000000000"
NOVA, PLACEMENT = "GET /compute/v2.1", "GET /placement"
BEAT = "2026-11-22T01:00:00.000000"
HELD = {"resources": {"VCPU": 2, "MEMORY_MB": 512}}


@dataclass(frozen=True)
class _Done:
    status: int
    out: str
    err: str

    @property
    def codes(self) -> list[str]:
        return [finding["code"] for finding in json.loads(self.out)["findings"]]


def hotfoot(*words: str) -> _Done:
    done = CliRunner().invoke(command_line(words), words)
    if isinstance(done.exception, HotfootError):
        return _Done(int(done.exception.status), done.stdout, str(done.exception))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return _Done(done.exit_code, done.stdout, done.stderr)


def _provider(uuid: str, name: str) -> dict[str, Any]:
    return {"uuid": uuid, "name": name, "generation": 1, "parent_provider_uuid": None, "root_provider_uuid": uuid}


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudDouble]:
    """A sound cloud of two hosts and one server, which is on n1."""
    double = CloudDouble()
    summary = {
        "resources": {"VCPU": {"capacity": 16, "used": 2}, "MEMORY_MB": {"capacity": 2048, "used": 512}},
        "traits": ["COMPUTE_NODE"],
    }
    second = hypervisor(id=SECOND, hypervisor_hostname="n2.lan", host_ip="10.0.0.2", service={"host": "n2", "id": "s2"})
    control = [service(binary=f"nova-{each}", host="ctl", updated_at=BEAT) for each in ("conductor", "scheduler")]
    bodies: dict[str, Any] = {
        f"{NOVA}/servers/detail": {"servers": [server(updated="2026-11-21T15:19:14Z")]},
        f"{NOVA}/servers/{UUID}": {"server": server(updated="2026-11-21T15:19:14Z")},
        f"{NOVA}/servers": {"servers": [{"id": UUID, "name": "web1"}]},
        f"{NOVA}/servers/{UUID}/migrations": {"migrations": []},
        f"{NOVA}/os-services": {"services": [*control, service(updated_at=BEAT), service(host="n2", updated_at=BEAT)]},
        f"{NOVA}/os-hypervisors/detail": {"hypervisors": [hypervisor(), second]},
        f"{NOVA}/os-aggregates": {"aggregates": []},
        f"{NOVA}/os-migrations": {"migrations": []},
        f"{PLACEMENT}/allocation_candidates": {"provider_summaries": {HYPERVISOR: summary, SECOND: summary}},
        f"{PLACEMENT}/resource_providers": {
            "resource_providers": [_provider(HYPERVISOR, "n1.lan"), _provider(SECOND, "n2.lan")]
        },
        f"{PLACEMENT}/resource_providers/{HYPERVISOR}/allocations": {"allocations": {UUID: HELD}},
        f"{PLACEMENT}/resource_providers/{SECOND}/allocations": {"allocations": {}},
        f"{PLACEMENT}/allocations/{UUID}": {"allocations": {HYPERVISOR: HELD}},
        "GET /identity/v3/projects/p1": {"project": {"id": "p1", "name": "shop"}},
        "GET /network/v2.0/ports": {"ports": []},
    }
    double.routes.update({call: Answer(body=body) for call, body in bodies.items()})
    for name in ("OS_CLOUD", "HOTFOOT_CLUSTER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(double.clouds_file(tmp_path)))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield double
    double.close()


def leave_an_orphan(cloud: CloudDouble) -> None:
    path = f"{PLACEMENT}/resource_providers/{SECOND}/allocations"
    cloud.routes[path] = Answer(body={"allocations": {NOBODY: HELD}})
    cloud.routes[f"{PLACEMENT}/allocations/{NOBODY}"] = Answer(body={"allocations": {SECOND: HELD}})


def test_nothing_is_found_in_a_sound_cloud_and_nothing_is_asked_twice(cloud: CloudDouble) -> None:
    done = hotfoot("check", "--cloud", "double")
    assert done.status == ExitStatus.COMPLETED, done.err
    assert "Nothing found: 2 hosts looked at." in done.out
    rows = {line.split()[0]: line.split()[1:] for line in done.out.splitlines() if line.startswith("cloud_")}
    assert set(rows) == {"cloud_services", "cloud_hosts", "cloud_placement", "cloud_instances"}
    assert {mark for marks in rows.values() for mark in marks} == {"·"}
    assert not cloud.calls(f"{NOVA}/servers/{UUID}")
    assert not cloud.calls(f"{PLACEMENT}/allocations/{UUID}")


def test_an_orphan_is_dangerous_and_shown_on_its_host(cloud: CloudDouble) -> None:
    leave_an_orphan(cloud)
    done = hotfoot("check", "--cloud", "double", "--json")
    told = json.loads(done.out)
    assert (done.status, done.codes) == (ExitStatus.FINDINGS_DANGEROUS, ["cloud_placement.orphaned-allocation"])
    first, second = told["hosts"]
    assert (first["name"], first["address"], first["answers"], first["state"]) == ("n1", "10.0.0.1", True, "ok")
    assert second["topics"]["cloud_placement"] == "dangerous"
    assert told["pairs"][0] == {"source": "n1", "destination": "n2", "state": "dangerous"}
    assert "dangerous  cloud_placement.orphaned-allocation  n2" in hotfoot("check", "--cloud", "double").out


def test_what_has_settled_by_the_second_look_is_not_told(cloud: CloudDouble) -> None:
    leave_an_orphan(cloud)
    cloud.routes[f"{PLACEMENT}/allocations/{NOBODY}"] = Answer(body={"allocations": {}})
    assert hotfoot("check", "--cloud", "double", "--json").codes == []

    leave_an_orphan(cloud)
    cloud.routes[f"{NOVA}/servers/{NOBODY}"] = Answer(
        body={"server": server(id=NOBODY, **{"OS-EXT-SRV-ATTR:host": "n2"})}
    )
    assert hotfoot("check", "--cloud", "double", "--json").codes == []


def test_a_migration_that_goes_on_is_no_orphan(cloud: CloudDouble) -> None:
    leave_an_orphan(cloud)

    def migrations(asked: Asked) -> Answer:
        going = {
            "id": 7, "uuid": NOBODY, "instance_uuid": UUID, "status": "running", "migration_type": "live-migration",
            "source_compute": "n2", "dest_compute": "n1", "created_at": BEAT, "updated_at": BEAT,
        }  # fmt: skip
        return Answer(body={"migrations": [going] if asked.params.get("status") == "running" else []})

    cloud.routes[f"{NOVA}/os-migrations"] = migrations
    assert hotfoot("check", "--cloud", "double", "--json").codes == []


def test_only_what_was_asked_for(cloud: CloudDouble) -> None:
    leave_an_orphan(cloud)
    assert hotfoot("check", "--cloud", "double", "--host", "n1", "--json").codes == []
    assert hotfoot("check", "--cloud", "double", "--topic", "cloud_services", "--json").codes == []
    assert hotfoot("check", "--cloud", "double", "--pair", "n1", "n2", "--json").codes != []
    unknown = hotfoot("check", "--cloud", "double", "--host", "n9")
    assert (unknown.status, unknown.err) == (
        ExitStatus.USAGE,
        "Nova has no compute host n9; `hotfoot hosts` lists them.",
    )
    assert hotfoot("check", "--cloud", "double", "--topic", "clouds").status == ExitStatus.USAGE
    assert hotfoot("check", "--cloud", "double", "--record", "facts.json").status == ExitStatus.USAGE
    mixed = hotfoot("check", "--cloud", "double", "--topic", "cloud_hosts", "--topic", "ssh")
    assert (mixed.status, "looked at by SSH" in mixed.err) == (ExitStatus.USAGE, True)


def test_a_placement_before_rocky_is_not_known(cloud: CloudDouble) -> None:
    cloud.routes[f"{PLACEMENT}/resource_providers"] = Answer(406, {"errors": [{"detail": "Unacceptable version"}]})
    told = json.loads(hotfoot("check", "--cloud", "double", "--json").out)
    assert (told["findings"], told["hosts"][0]["topics"]["cloud_placement"]) == ([], "unknown")


def test_an_api_that_fails_ends_in_one_sentence(cloud: CloudDouble) -> None:
    cloud.routes[f"{NOVA}/os-migrations"] = Answer(403, {"forbidden": {"message": "Policy doesn't allow this."}})
    done = hotfoot("check", "--cloud", "double")
    assert done.status == ExitStatus.ERROR
    assert "the role admin is needed" in done.err
    assert "\n" not in done.err


def test_where_an_instance_can_go_with_what_its_flavour_forbids(cloud: CloudDouble) -> None:
    flavor = {**server()["flavor"], "extra_specs": {"accel:device_profile": "fpga"}}
    cloud.routes[f"{NOVA}/servers/{UUID}"] = Answer(body={"server": server(flavor=flavor)})
    cloud.routes["GET /image/v2/images/70a599e0-31e7-49b7-b260-868f441e862b"] = Answer(body={"hw_machine_type": "q35"})
    done = hotfoot("check", "--instance", "web1", "--cloud", "double", "--json")
    told = json.loads(done.out)
    assert done.status == ExitStatus.FINDINGS_BLOCK
    assert told["destinations"] == [{"host": "n2", "state": "blocks", "obstacles": []}]
    assert done.codes == ["cloud_move.accelerator", "cloud_move.machine-type"]
    shown = hotfoot("check", "--instance", "web1", "--cloud", "double").out
    assert "blocks migration  cloud_move.accelerator  n1" in shown


def test_what_the_neighbours_do_not_tell_is_said_and_blocks_nothing(cloud: CloudDouble) -> None:
    done = hotfoot("check", "--instance", "web1", "--cloud", "double", "--json")
    assert (done.status, done.codes) == (ExitStatus.COMPLETED, ["cloud_move.untold"])  # of the image, which is gone
    assert json.loads(done.out)["destinations"][0]["state"] == "advice"
