"""What gluster printed is from three real servers (GlusterFS 11.1, replica 3), as recorded in the folder gluster."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.readiness.storage_hosts import GLUSTER, NAMES, PATH, cluster, codes, host, planned
from tests.readiness.storage_hosts import found as judged

from hotfoot.readiness import glusterfs
from hotfoot.readiness.change import Command, Install, Phase, SetUnit
from hotfoot.readiness.facts import HostFacts, PathFact, UnitFact
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.gluster_told import bricks_down, own_uuid, pool, volumes

RECORDED = Path(__file__).with_name("gluster")
INFO = (RECORDED / "volume_info.xml").read_text()
STATUS = (RECORDED / "volume_status.xml").read_text()
POOL = {name: (RECORDED / f"pool_{name}.txt").read_text() for name in NAMES}
BRICK = "/srv/brick/instances"
DECLARED = cluster({"path": PATH, "type": "glusterfs", "servers": NAMES, "folder": BRICK})
RUNNING = UnitFact(name="glusterd.service", load="loaded", active="active", enabled="enabled")
STOPPED = RUNNING.model_copy(update={"active": "inactive", "enabled": "disabled"})
PACKAGES = ("glusterfs-server", "glusterfs-client")


def server(name: str, unit: UnitFact = RUNNING, fstab: str = "", packages: Any = PACKAGES, **told: Any) -> HostFacts:
    storage = {
        "gluster_peers": POOL[name],
        "gluster_volumes": INFO,
        "gluster_status": STATUS,
        "gluster_heal": {"instances": 0},
        **told,
    }
    files = {"/etc/fstab": fstab} if fstab else {}
    return host(name, mounts=[GLUSTER], units=[unit], packages=packages, files=files, storage=storage)


def never_run(name: str, **other: Any) -> HostFacts:
    silent = {"gluster_peers": "", "gluster_volumes": "", "gluster_status": "", "gluster_heal": {}}
    return server(name, STOPPED, **{**silent, **other})


def found(*hosts: HostFacts, declared: Any = DECLARED) -> list[Finding]:
    return judged(glusterfs.TOPIC, declared, *hosts)


def everywhere(**told: Any) -> list[Finding]:
    return found(*(server(name, **told) for name in NAMES))


def commands(finding: Finding) -> list[str]:
    return [" ".join(change.step.argv) for change in finding.changes if isinstance(change.step, Command)]


def test_what_gluster_prints() -> None:
    (volume,) = volumes(INFO)
    assert (volume.name, volume.started, volume.kind, volume.replicas) == ("instances", True, "Replicate", 3)
    assert [(brick.server, brick.folder) for brick in volume.bricks] == [(name, BRICK) for name in NAMES]
    assert volume.options["cluster.quorum-type"] == "auto"
    assert bricks_down(STATUS, "instances") == ()
    assert [peer.connected for peer in pool(POOL["n1"])] == [True, True, True]
    assert {own_uuid(text) for text in POOL.values()} == {brick.peer for brick in volume.bricks}
    for nothing in ("", "Connection failed. Please check if gluster daemon is operational.", "<cliOutput/>"):
        assert volumes(nothing) == ()
        assert bricks_down(nothing, "instances") == ()


def test_servers_that_are_right_have_no_finding() -> None:
    assert everywhere() == []


def test_clients_of_a_volume_from_elsewhere() -> None:
    declared = cluster({"path": PATH, "type": "glusterfs", "source": "nas:/vol"})
    client = host("n1", mounts=[GLUSTER], packages=["glusterfs-client"])
    assert found(client, declared=declared) == []
    (finding,) = found(host("n1", mounts=[GLUSTER]), declared=declared)
    assert finding.code == "glusterfs.no-client"
    assert [change.step for change in finding.changes] == [Install(packages=("glusterfs-client",))]


def test_hosts_where_nothing_was_ever_set_up() -> None:
    hosts = [never_run(name) for name in NAMES]
    findings = found(*hosts)
    assert codes(findings) == ["no-volume n1", "not-running n1", "not-running n2", "not-running n3"]
    steps = [(change.host, change.title) for change in planned(findings, *hosts).changes]
    for name in NAMES:
        assert [title for host, title in steps if host == name][:4] == [
            "keep the state of GlusterFS's daemon before its first start",
            "enable and start glusterd.service",
            f"make the folder {BRICK}",
            f"see that {BRICK} can be a brick",
        ]
    assert [title for host, title in steps if host == "n1"][4:] == [
        "take n2 into GlusterFS's pool",
        "take n3 into GlusterFS's pool",
        "make the volume instances with 3 replicas",
        "give instances the options for virtual machines",
        "give the root of instances to libvirt-qemu:kvm",
        "start the volume instances",
    ]


def test_what_was_made_can_be_taken_back() -> None:
    hosts = [never_run(name) for name in NAMES]
    made = {
        change.title: change.step
        for change in planned(found(*hosts), *hosts).changes
        if isinstance(change.step, Command) and change.host == "n1"
    }
    without = {"give instances the options for virtual machines", "give the root of instances to libvirt-qemu:kvm"}
    assert {title for title, step in made.items() if not step.undo} == without  # they go with the volume
    assert made["take n2 into GlusterFS's pool"].undo[-2:] == ("detach", "n2")


def test_a_volume_that_is_known_on_disk_is_not_made_again() -> None:
    known = {"/var/lib/glusterd/vols/instances": PathFact(path="/var/lib/glusterd/vols/instances", exists=True)}
    hosts = [never_run(name).model_copy(update={"paths": known}) for name in NAMES]
    assert codes(found(*hosts)) == ["not-running n1", "not-running n2", "not-running n3"]


def test_no_volume_is_made_while_a_server_is_silent() -> None:
    assert codes(found(never_run("n1"), never_run("n2"))) == ["not-running n1", "not-running n2"]


def test_the_daemon() -> None:
    (finding, *_) = found(server("n1", RUNNING.model_copy(update={"enabled": "disabled"})), server("n2"), server("n3"))
    assert (finding.code, finding.severity) == ("glusterfs.not-enabled", Severity.DANGEROUS)
    assert [change.step for change in finding.changes] == [SetUnit(unit="glusterd.service", enabled=True, running=True)]
    entry = f"localhost:/instances {PATH} glusterfs _netdev,x-systemd.requires=glusterd.service 0 0\n"
    required = server("n1", RUNNING.model_copy(update={"enabled": "disabled"}), fstab=entry)
    assert found(required, server("n2"), server("n3")) == []
    missing = list(found(server("n1", packages=()), server("n2"), server("n3")))
    assert codes(missing) == ["no-client n1", "not-installed n1"]
    assert {change.phase for finding in missing for change in finding.changes} == {
        Phase.PACKAGES,
        Phase.STORAGE_SERVERS,
    }


def test_the_pool() -> None:
    alone = "\n".join(line for line in POOL["n3"].splitlines() if "localhost" in line)
    without = "\n".join(line for line in POOL["n1"].splitlines() if "n3" not in line)
    findings = found(server("n1", gluster_peers=without), server("n2"), server("n3", gluster_peers=alone))
    (finding,) = findings
    assert (finding.code, finding.host, finding.peer) == ("glusterfs.peer-missing", "n1", "n3")
    assert commands(finding) == ["gluster --mode=script peer probe n3"]
    cut = re.sub(r"n2(\s+)Connected", r"n2\1Disconnected", POOL["n1"])
    (finding,) = found(server("n1", gluster_peers=cut), server("n2"), server("n3"))
    assert (finding.code, finding.host, finding.peer) == ("glusterfs.peer-disconnected", "n1", "n2")
    assert finding.passes  # for some seconds after a daemon was started its peers say so, too


def test_a_stopped_volume() -> None:
    (finding,) = everywhere(gluster_volumes=INFO.replace("Started", "Stopped"), gluster_status="")
    assert finding.code == "glusterfs.volume-stopped"
    assert commands(finding) == ["gluster --mode=script volume start instances"]


def test_a_brick_that_does_not_run() -> None:
    second = STATUS.index("<hostname>n2</hostname>")
    status = STATUS[:second] + STATUS[second:].replace("<status>1</status>", "<status>0</status>", 1)
    (finding,) = everywhere(gluster_status=status)
    assert (finding.code, finding.host, finding.severity) == ("glusterfs.brick-down", "n2", Severity.DANGEROUS)
    assert commands(finding) == ["gluster --mode=script volume start instances force"]


def test_a_self_heal_daemon_that_does_not_run() -> None:
    first = STATUS.index("<hostname>Self-heal Daemon</hostname>")
    status = STATUS[:first] + STATUS[first:].replace("<status>1</status>", "<status>0</status>", 1)
    (finding,) = everywhere(gluster_status=status)
    assert (finding.code, finding.host) == ("glusterfs.no-healer", "n1")
    assert commands(finding) == ["gluster --mode=script volume start instances force"]


def test_what_is_still_to_be_healed() -> None:
    (finding,) = found(server("n1"), server("n2", gluster_heal={"instances": 7}), server("n3"))
    assert (finding.code, finding.host, finding.severity) == ("glusterfs.heal-pending", "n2", Severity.DANGEROUS)
    assert "7 entries" in finding.what
    assert [change.phase for change in finding.changes] == [Phase.STORAGE_CLUSTER, max(Phase)]


def heals(folder: Path, *left: int, launched: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the step that heals with a double of gluster that tells, look after look, how many entries wait."""
    (finding,) = found(server("n1"), server("n2", gluster_heal={"instances": 7}), server("n3"))
    step = finding.changes[-1].step
    assert isinstance(step, Command)
    (folder / "left").write_text("".join(f"{number}\n" for number in left))
    double = f"""#!/bin/sh
        cd {folder}
        case "$*" in
        *heal-count) echo "Brick n1"; echo "Number of entries: $(head -n 1 left)"; sed -i 1d left;;
        *) echo again >> launched; echo "Launching heal"; {"true" if launched else "echo no daemon; exit 1"};;
        esac"""
    for name, script in (("gluster", double), ("sleep", "#!/bin/sh")):
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    return subprocess.run(step.argv, env={"PATH": path}, capture_output=True, text=True, check=False)


def test_a_heal_is_asked_for_until_nothing_waits(tmp_path: Path) -> None:
    assert heals(tmp_path, 7, 2, 0, 5).returncode == 0
    assert (tmp_path / "launched").read_text().split() == ["again"] * 3


def test_a_long_heal_is_left_to_gluster_and_one_that_cannot_begin_is_told(tmp_path: Path) -> None:
    assert heals(tmp_path, *[9] * 100).returncode == 0
    said = heals(tmp_path, *[9] * 100, launched=False)
    assert (said.returncode, said.stderr) == (1, "no daemon\n")


@pytest.mark.parametrize(
    ("replicas", "kind", "code"),
    [("2", "Replicate", "two-replicas"), ("1", "Distribute", "no-replica")],
)
def test_too_few_copies(replicas: str, kind: str, code: str) -> None:
    info = INFO.replace("<replicaCount>3", f"<replicaCount>{replicas}").replace("Replicate<", f"{kind}<")
    (finding,) = everywhere(gluster_volumes=info)
    assert (finding.code, finding.severity, finding.changes) == (f"glusterfs.{code}", Severity.DANGEROUS, ())


def test_an_arbiter_counts_and_a_single_server_was_meant() -> None:
    arbiter = INFO.replace("<replicaCount>3", "<replicaCount>2").replace("<arbiterCount>0", "<arbiterCount>1")
    assert everywhere(gluster_volumes=arbiter) == []
    one_brick = re.sub(r"(<bricks>\s*<brick .*?</brick>).*?</bricks>", r"\1</bricks>", INFO, flags=re.DOTALL)
    one_brick = one_brick.replace("<replicaCount>3", "<replicaCount>1")
    (finding,) = everywhere(gluster_volumes=one_brick)
    assert (finding.code, finding.severity) == ("glusterfs.no-replica", Severity.ADVICE)


@pytest.mark.parametrize(
    ("option", "value", "code"),
    [
        ("cluster.quorum-type", "none", "no-quorum"),
        ("cluster.server-quorum-type", "none", "no-quorum"),
        ("performance.strict-o-direct", "off", "caches"),
        ("performance.quick-read", "on", "caches"),
        ("network.remote-dio", "enable", "caches"),
    ],
)
def test_options(option: str, value: str, code: str) -> None:
    pattern = rf"(<name>{re.escape(option)}</name>\s*<value>)[^<]*"
    (finding,) = everywhere(gluster_volumes=re.sub(pattern, rf"\g<1>{value}", INFO))
    assert (finding.code, finding.host, finding.severity) == (f"glusterfs.{code}", "n1", Severity.DANGEROUS)
    (command,) = [change.step for change in finding.changes if isinstance(change.step, Command)]
    assert command.undo[-4:] == ("set", "instances", option, value)


def test_an_option_that_was_never_set_is_reset_when_taken_back() -> None:
    pattern = r"<option>\s*<name>cluster.quorum-type</name>\s*<value>auto</value>\s*</option>"
    (finding,) = everywhere(gluster_volumes=re.sub(pattern, "", INFO))
    (command,) = [change.step for change in finding.changes if isinstance(change.step, Command)]
    assert command.undo[-3:] == ("reset", "instances", "cluster.quorum-type")


def test_the_owner_of_the_root() -> None:
    (finding,) = everywhere(gluster_volumes=INFO.replace("64055", "107"))
    assert finding.code == "glusterfs.volume-owner"
    assert "storage.owner-uid is 107; libvirt-qemu is 64055 on n1" in finding.evidence
    without = re.sub(r"<option>\s*<name>storage.owner-uid</name>.*?</option>", "", INFO, flags=re.DOTALL)
    assert everywhere(gluster_volumes=without) == []


def test_the_root_of_nova_s_volume_is_nova_s() -> None:
    identity = host("n1", nova=162).identity
    (finding,) = found(*(server(name).model_copy(update={"identity": identity}) for name in NAMES))  # it is QEMU's
    assert finding.code == "glusterfs.volume-owner"
    assert finding.what.endswith("number 64055, which is not nova.")
    (command,) = commands(finding)
    assert command.endswith("sh instances nova nova")
