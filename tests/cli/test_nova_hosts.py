"""Whole hosts of an OpenStack cloud: drained, restored, evacuated; what Nova refuses, and what is left alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.cli.test_openstack_commands import hotfoot
from tests.cloud.openstack_double import Answer
from tests.cloud.whole_nova_double import WholeNovaDouble, uuid_of
from tests.journal.records import DEAD
from tests.journal.test_plans import plan
from tests.reach.prometheus_double import QUERY, prometheus_double

from hotfoot.errors import ExitStatus
from hotfoot.journal.place import Place
from hotfoot.journal.plans import Plans
from hotfoot.journal.store import Store

CLOUD = ("--cloud", "double")


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[WholeNovaDouble]:
    """Two servers on n1 and one on n2; the login is where all look, the journal of the test's own."""
    double = WholeNovaDouble()
    for name, host in (("web1", "n1"), ("web2", "n1"), ("db1", "n2")):
        double.add(name, host)
    for name in ("OS_CLOUD", "HOTFOOT_CLUSTER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(double.clouds_file(tmp_path)))
    monkeypatch.setenv("HOTFOOT_JOURNAL", f"sqlite:///{tmp_path}/journal.sqlite3")
    monkeypatch.chdir(tmp_path)
    yield double
    double.close()


def drained(*words: str) -> dict[str, Any]:
    done = hotfoot("drain", *words, "--yes", "--json", *CLOUD)
    told: dict[str, Any] = json.loads(done.out.splitlines()[-1])
    assert told["status"] == done.status
    return told


def test_a_drain_disables_the_service_and_a_restore_brings_all_back(cloud: WholeNovaDouble) -> None:
    told = drained("n1")
    assert told["status"] == 0
    assert {move["state"] for move in told["moves"]} == {"done"}
    assert "n1" not in cloud.where.values()
    assert not cloud.hosts["n1"].enabled
    assert str(cloud.hosts["n1"].reason).startswith(f"hotfoot drain, plan {told['id']}, by ")
    done = hotfoot("restore", "n1", "--yes", "--json", *CLOUD)
    assert done.status == 0, done.err
    assert (cloud.hosts["n1"].enabled, cloud.hosts["n1"].reason) == (True, None)
    assert cloud.where == {"web1": "n1", "web2": "n1", "db1": "n2"}


def test_a_dry_run_changes_nothing(cloud: WholeNovaDouble) -> None:
    done = hotfoot("drain", "n1", "--dry-run", "--json", *CLOUD)
    assert done.status == 0
    assert len(json.loads(done.out)["moves"]) == 2
    assert {asked.method for asked in cloud.asked if asked.path.startswith("/compute")} == {"GET"}


def test_what_novas_scheduler_refuses_goes_elsewhere(cloud: WholeNovaDouble) -> None:
    first = {move["name"]: move["destination"] for move in json.loads(
        hotfoot("drain", "n1", "--dry-run", "--json", *CLOUD).out
    )["moves"]}  # fmt: skip
    cloud.fails["web1", first["web1"]] = "No valid host was found. There are not enough hosts available."
    told = drained("n1")
    assert told["status"] == 0
    tries = [move for move in told["moves"] if move["instance"] == "web1"]
    assert [move["state"] for move in tries] == ["failed", "done"]
    assert "Nova's scheduler does not let web1 go to" in tries[0]["reason"]
    assert tries[1]["destination"] != tries[0]["destination"]


def test_what_cannot_go_is_named_with_its_reason(cloud: WholeNovaDouble) -> None:
    cloud.add("gpu1", "n1", flavor={"vcpus": 1, "ram": 128, "extra_specs": {"pci_passthrough:alias": "a:1"}})
    cloud.add("off1", "n1", status="SHUTOFF", **{"OS-EXT-STS:power_state": 4})
    cloud.add("bad1", "n1", status="ERROR")
    told = drained("n1")
    assert told["status"] == ExitStatus.FAILED_ON_SOURCE
    assert "PCI devices of its host" in told["stays"]["gpu1"]
    assert "hotfoot repair-state bad1" in told["stays"]["bad1"]
    left = "makes it better. Shut off, and still defined there: off1 on n1; --cold moves what is shut off."
    assert left in told["remark"]
    assert {cloud.where[name] for name in ("gpu1", "off1", "bad1")} == {"n1"}


def test_server_groups_are_kept(cloud: WholeNovaDouble) -> None:
    cloud.group("apart", "anti-affinity", "web1", "db1")
    cloud.add("a", "n1")
    cloud.add("b", "n1")
    cloud.group("close", "affinity", "a", "b")
    told = drained("n1")
    assert cloud.where["web1"] == "n3"
    assert cloud.where["a"] == cloud.where["b"] == "n1"
    assert "server group close (affinity)" in told["stays"]["a"]


def test_a_host_that_somebody_else_disabled_takes_nothing_and_is_not_enabled(cloud: WholeNovaDouble) -> None:
    cloud.hosts["n3"].enabled, cloud.hosts["n3"].reason = False, "new disks"
    assert drained("n1")["status"] == 0
    assert set(cloud.where.values()) == {"n2"}
    refused = hotfoot("restore", "n3", "--yes", *CLOUD)
    assert refused.status == ExitStatus.REFUSED
    assert "n3 was disabled in Nova by somebody else (new disks)" in refused.err
    assert cloud.hosts["n3"].reason == "new disks"


def test_where_nova_does_not_disable_the_service_nothing_is_moved_and_the_host_is_free_again(
    cloud: WholeNovaDouble,
) -> None:
    path = f"PUT /compute/v2.1/os-services/{uuid_of('n1-service')}"
    cloud.routes[path] = Answer(403, {"forbidden": {"code": 403, "message": "Policy doesn't allow it."}})
    done = hotfoot("drain", "n1", "--yes", *CLOUD)
    assert done.status == ExitStatus.ERROR
    assert "the role admin is needed" in done.err
    assert cloud.where["web1"] == "n1"
    shown = json.loads(hotfoot("plan", "show", "--json", *CLOUD).out)
    assert (shown["state"], shown["status"]) == ("ended", ExitStatus.ERROR)
    del cloud.routes[path]
    assert drained("n1")["status"] == 0


def test_a_snapshot_is_what_placement_has_written_down(cloud: WholeNovaDouble) -> None:
    cloud.others["n2"] = {uuid_of("orphan"): {"VCPU": 1, "MEMORY_MB": 256}}
    cloud.hosts["n3"].enabled, cloud.hosts["n3"].reason = False, "hotfoot drain, plan x, by me"
    told = json.loads(hotfoot("snapshot", "--json", *CLOUD).out)
    hosts = {host["name"]: host for host in told["hosts"]}
    assert hosts["n1"]["resources"]["vcpus"] == {"total": 4, "overcommit": 4.0}
    assert hosts["n2"]["used_by_others"] == {"vcpus": 1, "memory_bytes": 256 << 20}
    assert hosts["n3"]["maintenance"] is True
    assert {one["name"]: one["sizes"] for one in told["instances"]}["web1"] == ({"vcpus": 2, "memory_bytes": 512 << 20})


@pytest.fixture
def measuring(cloud: WholeNovaDouble, tmp_path: Path) -> Iterator[Path]:
    """A cluster file of the cloud, where a Prometheus server knows what vm1 and vm2 use."""
    cloud.add("vm1", "n1")
    with prometheus_double() as url:
        load = {"prometheus": url, "query": QUERY}
        file = tmp_path / "hotfoot.yaml"
        file.write_text(json.dumps({"openstack": {"cloud": "double"}, "balance": {"load": load}}))
        yield file


def test_a_snapshot_holds_the_load_that_is_asked_for_and_balance_plans_from_it(measuring: Path, tmp_path: Path) -> None:
    done = hotfoot("snapshot", "--json", "--cluster", str(measuring))
    assert done.status == 0, done.err
    told = json.loads(done.out)
    loads = {one["name"]: one.get("load", {}) for one in told["instances"]}
    assert loads["vm1"]["cpu"] == pytest.approx(0.55808929575)
    assert "cpu" not in loads["web1"]
    for host in told["hosts"]:
        host["load_capacity"] = {"cpu": 1.0}
    file = tmp_path / "now.json"
    file.write_text(json.dumps(told))
    planned = json.loads(hotfoot("balance", "--measured", "--snapshot", str(file), "--json").out)
    assert {term["name"] for term in planned["before"]["terms"]} >= {"spread_cpu", "worst_cpu"}
    assert planned["before"]["total"] > 0


def test_load_that_is_not_told_is_one_sentence_and_only_where_it_counts(measuring: Path) -> None:
    measuring.write_text(measuring.read_text().replace(QUERY, "rate(cpu["))
    of_file = ("--cluster", str(measuring))
    for words in (("snapshot",), ("plan", "balance", "--measured")):
        done = hotfoot(*words, *of_file)
        assert done.status == ExitStatus.ERROR
        assert "does not tell the load of instances: invalid parameter" in done.err
        assert len(done.err.strip().splitlines()) == 1
    assert hotfoot("plan", "drain", "n1", "--json", *of_file).status == 0


def test_load_of_strangers_alone_is_no_snapshot(measuring: Path) -> None:
    measuring.write_text(measuring.read_text().replace('"query"', '"label": "job", "query"'))
    done = hotfoot("snapshot", "--cluster", str(measuring))
    assert "tells of no instance of this cluster" in done.err


def test_balance_and_consolidate_plan_over_nova(cloud: WholeNovaDouble) -> None:
    for number in range(3, 7):
        cloud.add(f"web{number}", "n1")
    done = hotfoot("balance", "--yes", "--json", *CLOUD)
    assert done.status == 0, done.err
    counts = [list(cloud.where.values()).count(host) for host in cloud.hosts]
    assert max(counts) - min(counts) <= 1
    planned = json.loads(hotfoot("plan", "consolidate", "--json", *CLOUD).out)
    assert planned["moves"]


def test_a_plan_that_was_made_earlier_is_carried_out_while_it_fits(cloud: WholeNovaDouble, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(hotfoot("drain", "n1", "--dry-run", "--json", *CLOUD).out)
    cloud.hosts["n3"].enabled, cloud.hosts["n3"].reason = False, "new disks"
    refused = hotfoot("plan", "run", str(file), "--yes", *CLOUD)
    assert (refused.status, "n3" in refused.err) == (ExitStatus.REFUSED, True), refused.err
    assert cloud.hosts["n1"].enabled
    cloud.hosts["n3"].enabled, cloud.hosts["n3"].reason = True, None
    done = hotfoot("plan", "run", str(file), "--yes", "--json", *CLOUD)
    assert done.status == 0, done.out + done.err
    assert "n1" not in cloud.where.values()
    assert not cloud.hosts["n1"].enabled


def test_a_drain_whose_hotfoot_died_before_it_told_nova_is_taken_up(cloud: WholeNovaDouble, tmp_path: Path) -> None:
    with closing(Store(Place(file=tmp_path / "journal.sqlite3"))) as store:
        Plans(store).open(plan("n1", cluster="double", owner=DEAD), [])
    held = hotfoot("drain", "n1", "--yes", *CLOUD)
    assert (held.status, "hotfoot plan resume" in held.err) == (ExitStatus.REFUSED, True)
    assert hotfoot("plan", "resume", "--json", *CLOUD).status == 0
    assert not cloud.hosts["n1"].enabled
    assert "n1" not in cloud.where.values()
    assert hotfoot("plan", "cancel", *CLOUD).status == ExitStatus.REFUSED


def test_a_host_that_nova_does_not_have_is_named(cloud: WholeNovaDouble) -> None:
    done = hotfoot("drain", "n9", *CLOUD)
    assert (done.status, done.err) == (ExitStatus.USAGE, "Nova has no compute host n9; it has n1, n2, n3.")


def test_a_dead_host_is_evacuated_by_nova_and_its_servers_run_on(cloud: WholeNovaDouble) -> None:
    cloud.add("off1", "n1", status="SHUTOFF", **{"OS-EXT-STS:power_state": 4})
    refused = hotfoot("evacuate", "n1", "--yes", *CLOUD)
    assert (refused.status, "Nothing proves that n1 is off" in refused.err) == (ExitStatus.REFUSED, True)
    done = hotfoot("evacuate", "n1", "--fenced", "--yes", "--json", *CLOUD)
    assert done.status == 0, done.out + done.err
    assert "n1" not in cloud.where.values()
    assert cloud.evacuated_with == ["compute 2.94"] * 3
    assert (cloud.hosts["n1"].enabled, cloud.hosts["n1"].forced_down) == (False, True)
    back = hotfoot("restore", "n1", "--yes", "--json", *CLOUD)
    assert back.status == 0, back.out + back.err
    assert (cloud.hosts["n1"].enabled, cloud.hosts["n1"].forced_down) == (True, False)
    assert {name: cloud.where[name] for name in ("web1", "web2", "db1")} == {"web1": "n1", "web2": "n1", "db1": "n2"}
    assert cloud.where["off1"] != "n1", "what is shut off does not move live"


def evacuated(cloud: WholeNovaDouble) -> None:
    """Evacuate n1, and have it come back."""
    cloud.hosts["n1"].state = "down"
    assert hotfoot("evacuate", "n1", "--fenced", "--yes", "--json", *CLOUD).status == 0
    cloud.hosts["n1"].state = "up"
    cloud.asked.clear()


def told_nova(cloud: WholeNovaDouble) -> list[str]:
    return [asked.path for asked in cloud.asked if asked.method in ("PUT", "POST") and "/compute" in asked.path]


def test_nothing_is_told_nova_of_a_restore_that_is_only_shown_or_not_agreed_to(cloud: WholeNovaDouble) -> None:
    evacuated(cloud)
    shown = hotfoot("restore", "n1", "--dry-run", "--json", *CLOUD)
    assert {move["name"] for move in json.loads(shown.out)["moves"]} == {"web1", "web2"}, shown.out + shown.err
    unasked = hotfoot("restore", "n1", *CLOUD)
    assert (unasked.status, "nobody can be asked here" in unasked.err) == (ExitStatus.USAGE, True)
    assert told_nova(cloud) == []
    assert (cloud.hosts["n1"].enabled, cloud.hosts["n1"].forced_down) == (False, True)


def test_a_restored_host_whose_nova_compute_is_down_takes_nothing(cloud: WholeNovaDouble) -> None:
    evacuated(cloud)
    cloud.hosts["n1"].state = "down"
    done = hotfoot("restore", "n1", "--yes", *CLOUD)
    assert (done.status, done.err) == (ExitStatus.REFUSED, "nova-compute on n1 is not up: start it there, then again.")
    assert not cloud.hosts["n1"].enabled
    assert "n1" not in cloud.where.values()
    cloud.hosts["n1"].state = "up"
    assert hotfoot("restore", "n1", "--yes", *CLOUD).status == 0
    assert cloud.where["web1"] == cloud.where["web2"] == "n1"


def test_an_evacuation_whose_hotfoot_died_is_taken_up(cloud: WholeNovaDouble, tmp_path: Path) -> None:
    cloud.hosts["n1"].state = "down"
    with closing(Store(Place(file=tmp_path / "journal.sqlite3"))) as store:
        Plans(store).open(plan("n1", verb="evacuate", cluster="double", owner=DEAD), [])
    done = hotfoot("plan", "resume", "--json", *CLOUD)
    assert done.status == 0, done.out + done.err
    assert (cloud.hosts["n1"].enabled, cloud.hosts["n1"].forced_down) == (False, True)
    assert len(cloud.evacuated_with) == 2
    assert "n1" not in cloud.where.values()


def test_disks_that_may_have_died_with_the_host_are_not_made_anew(cloud: WholeNovaDouble) -> None:
    cloud.hosts["n1"].state = "down"
    cloud.add("local1", "n1", image={"id": uuid_of("image")})
    done = hotfoot("evacuate", "n1", "--fenced", "--yes", "--json", *CLOUD)
    told = json.loads(done.out.splitlines()[-1])
    assert (done.status, cloud.where["local1"]) == (ExitStatus.FAILED_ON_SOURCE, "n1")
    assert "Nova would make them anew from the image" in told["stays"]["local1"]
    assert hotfoot("evacuate", "n1", "--fenced", "--shared-disks", "--yes", *CLOUD).status == 0
    assert cloud.where["local1"] != "n1"


def test_an_evacuation_that_nova_cannot_make_is_said_and_tried_elsewhere(cloud: WholeNovaDouble) -> None:
    dry = hotfoot("evacuate", "n1", "--fenced", "--dry-run", "--json", *CLOUD)
    first = {start["instance"]: start["destination"] for start in json.loads(dry.out)["starts"]}
    cloud.fails["web2", first["web2"]] = "No valid host was found. "
    done = hotfoot("evacuate", "n1", "--fenced", "--yes", "--json", *CLOUD)
    tries = [move for move in json.loads(done.out.splitlines()[-1])["moves"] if move["instance"] == "web2"]
    assert [move["state"] for move in tries] == ["failed", "done"], done.out
    assert "Nova's scheduler does not let web2 go to" in tries[0]["reason"]
