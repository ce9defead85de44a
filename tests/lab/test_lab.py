"""The lab itself: real hosts, whole instances, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.command import hotfoot, start, well
from tests.lab.labs import TestLab, bring_up, remains

from hotfoot.lab import accelerator, image, namespaces, store

SMALL = ("--hosts", "2", "--instances", "0", "--storage", "none", "--transport", "ssh")


@pytest.fixture
def small() -> Iterator[TestLab]:
    hotfoot("lab", "down", "--name", "small")
    yield bring_up("small", *SMALL)
    hotfoot("lab", "down", "--name", "small")


def test_each_host_is_a_host_of_its_own(lab: TestLab) -> None:
    script = "hostname; cat /etc/machine-id; systemctl is-system-running; pgrep -cx sshd; virsh capabilities"
    script += " | grep uuid"
    answers = [lab.on(host, "sh", "-c", script).split() for host in lab.hosts]
    assert [answer[0] for answer in answers] == list(lab.hosts)
    assert len({answer[1] for answer in answers}) == len(lab.hosts)
    assert {answer[2] for answer in answers} == {"running"}
    assert len({answer[4] for answer in answers}) == len(lab.hosts)


def test_hosts_reach_each_other_by_name_with_checked_host_keys(lab: TestLab) -> None:
    first, second, _ = lab.hosts
    assert lab.on(first, "ssh", "-o", "StrictHostKeyChecking=yes", second, "hostname").strip() == second
    assert lab.on(first, "virsh", "-q", "-c", f"qemu+tls://{second}/system", "hostname").strip() == second


def test_a_host_without_instances_holds_at_most_150_mb(lab: TestLab) -> None:
    found = lab.lab("status", "--json").json
    busy = {instance["host"] for instance in found["instances"]}
    idle = [host["memory_bytes"] for host in found["hosts"] if host["name"] not in busy]
    assert idle
    assert all(0 < held <= 150 * 10**6 for held in idle)


def test_a_file_written_on_one_host_is_read_on_another(lab: TestLab) -> None:
    path = "/var/lib/nova/instances/token"
    lab.on(lab.hosts[0], "sh", "-c", f"echo shared > {path}")
    assert [lab.on(host, "cat", path).strip() for host in lab.hosts] == ["shared"] * 3
    lab.on(lab.hosts[2], "rm", path)


def test_the_status_of_a_command_on_a_host_is_passed_on(lab: TestLab) -> None:
    assert hotfoot("lab", "exec", "--name", lab.name, "n1", "--", "sh", "-c", "exit 7").status == 7


@pytest.mark.parametrize("pattern", ["circle", "random", "hot"])
def test_the_load_of_an_instance_follows_what_is_asked(lab: TestLab, pattern: str) -> None:
    load = ("instance", "load", "vm2", "--rate", "30", "--area", "48", "--pattern", pattern)
    assert f"vm2 rewrites 48 MiB at 30 MiB/s ({pattern})." in lab.lab(*load).out
    assert lab.verify("vm2")["pages"] == 48 * 256
    told = next(one for one in lab.lab("status", "--json").json["instances"] if one["name"] == "vm2")
    assert (told["rate_mib"], told["area_mib"], told["pattern"]) == (30, 48, pattern)
    assert f"rewrites 48 MiB at 30 MiB/s ({pattern})" in lab.lab("status").out
    lab.lab("instance", "load", "vm2", "--rate", "0", "--area", "16")
    assert lab.verify("vm2")["pages"] == 16 * 256


def test_a_damaged_disk_block_is_seen(lab: TestLab) -> None:
    lab.lab("instance", "add", "damaged", "--memory", "128")
    try:
        time.sleep(1)
        lab.verify("damaged")
        host = lab.where("damaged")
        assert host
        path = "/var/lib/nova/instances/damaged.qcow2"
        extents = json.loads(lab.on(host, "qemu-img", "map", "-U", "--output=json", path))
        offset = next(extent["offset"] for extent in extents if extent.get("data"))
        lab.on(host, "dd", "if=/dev/urandom", f"of={path}", "bs=64", "count=1", "conv=notrunc", f"seek={offset // 64}")
        said = hotfoot("lab", "verify", "damaged", "--name", lab.name)
        assert said.status == 1
        assert "1 of" in said.out
        assert "disk blocks differ" in said.out
    finally:
        lab.lab("instance", "kill", "damaged")


def test_damaged_memory_is_seen(lab: TestLab) -> None:
    """One word of one page is changed through QEMU's debugger port, behind the guest's back."""
    lab.lab("instance", "add", "bitflip", "--memory", "128")
    try:
        host = lab.where("bitflip")
        assert host
        lab.verify("bitflip")
        script = (Path(__file__).parent / "flip_memory.py").read_text()
        assert lab.on(host, "python3", "-c", script, "bitflip").strip() == "flipped"
        said = hotfoot("lab", "verify", "bitflip", "--name", lab.name)
        assert said.status == 1
        assert "1 of 4096 memory pages differ" in said.out
    finally:
        lab.lab("instance", "kill", "bitflip")


def test_a_restarted_instance_cannot_pass_for_one_that_ran_on(lab: TestLab) -> None:
    lab.lab("instance", "add", "restarted", "--memory", "128")
    try:
        host = lab.where("restarted")
        assert host
        lab.on(host, "virsh", "-q", "reset", "restarted")
        deadline = time.monotonic() + 180
        said = hotfoot("lab", "verify", "restarted", "--name", lab.name)
        while "does not answer" in said.out and time.monotonic() < deadline:
            said = hotfoot("lab", "verify", "restarted", "--name", lab.name)
        assert said.status == 1
        assert "restarted" in said.out.split(":", 1)[1]
    finally:
        lab.lab("instance", "kill", "restarted")


def test_two_labs_side_by_side_do_not_disturb_each_other(lab: TestLab, small: TestLab) -> None:
    theirs = store.load(lab.name).hosts[0].address
    assert hotfoot("lab", "exec", "--name", "small", "n1", "--", "ping", "-c1", "-W1", theirs).status != 0
    assert store.load(lab.name).number != store.load("small").number
    well("lab", "down", "--name", "small")
    lab.verify("vm1")


def test_a_running_lab_is_not_built_over(lab: TestLab) -> None:
    said = hotfoot("lab", "up", "--name", lab.name)
    assert said.status == 3
    assert "is running" in said.err
    lab.verify("vm1")


@pytest.mark.parametrize("victim", ["supervisor", "outermost", "host"])
def test_a_killed_lab_leaves_nothing(small: TestLab, victim: str) -> None:
    state = store.load("small")
    victims = {
        "supervisor": state.supervisor_pid,
        "outermost": min(namespaces.processes_of("small")),
        "host": state.hosts[0].init_pid,
    }
    os.kill(victims[victim], signal.SIGKILL)
    well("lab", "down", "--name", "small")
    assert remains("small", state.number) == []


def test_a_lab_killed_while_it_comes_up_leaves_nothing_after_the_next() -> None:
    hotfoot("lab", "down", "--name", "small")
    process = start("lab", "up", "--name", "small", *SMALL)
    while not (store.folder_of("small") / "log" / "n1.log").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    bring_up("small", *SMALL)
    state = store.load("small")
    well("lab", "down", "--name", "small")
    assert remains("small", state.number) == []


def test_a_killed_host_starts_again_with_its_disk(small: TestLab) -> None:
    small.on("n1", "sh", "-c", "echo kept > /etc/kept")
    small.lab("fault", "kill-host", "n1")
    assert "is down" in hotfoot("lab", "exec", "--name", "small", "n1", "--", "true").err
    small.lab("fault", "start-host", "n1")
    assert small.on("n1", "cat", "/etc/kept").strip() == "kept"
    assert small.on("n1", "ssh", "n2", "hostname").strip() == "n2"


def test_a_link_is_cut_and_mended_and_shaped(small: TestLab) -> None:
    small.lab("fault", "cut-link", "n2")
    ping = ("lab", "exec", "--name", "small", "n1", "--", "ping", "-c1", "-W1", "n2")
    assert hotfoot(*ping).status != 0
    small.lab("fault", "mend-link", "n2")
    assert hotfoot(*ping).status == 0
    small.lab("shape", "n2", "20mbit")
    assert "rate 20Mbit" in small.on("n2", "tc", "qdisc", "show", "dev", "eth0")


def test_the_machine_itself_stays_as_it_is() -> None:
    def look() -> tuple[str, ...]:
        commands = ("ip -o link | cut -d: -f2", "ip route", "ip rule", "cat /proc/mounts", "sysctl -a 2>/dev/null")
        quiet = "grep -vE 'random|nr_free|file-nr|dentry|inode|ns_last_pid|neigh.hf|conf.hf|pty|epoll|hf[0-9]'"
        return tuple(
            subprocess.run(["sh", "-c", f"{command} | {quiet}"], capture_output=True, text=True, check=False).stdout
            for command in commands
        )

    before = look()
    bring_up("small", *SMALL)
    during = look()
    well("lab", "down", "--name", "small")
    assert during[3:] == before[3:]
    assert look() == before


def test_the_probe_for_kvm_is_answered_only_by_a_guest_that_came_up() -> None:
    picture = image.cached()
    assert picture is not None
    assert accelerator.not_booted(picture, ("-accel", "tcg")) is None
    assert accelerator.not_booted(picture, ("-accel", "tcg", "-S")) == "a vCPU did not run"
    assert accelerator.not_booted(picture, ("-accel", "none-such")) == "invalid accelerator none-such"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("up", "--name", "Bad Name"), "cannot name a lab"),
        (("up", "--hosts", "0"), "1 to 50 hosts"),
        (("up", "--light", "--instances", "1"), "--light is for hosts to look at"),
        (("up", "--transport", "telnet"), "use tls, ssh or tcp"),
        (("up", "--storage", "floppy"), "use glusterfs, nfs, cephfs, ceph, iscsi or none"),
        (("up", "--link-rate", "fast"), "is no link rate"),
        (("up", "--area", "4000"), "does not fit"),
        (("instance", "load", "vm1", "--pattern", "zigzag", "--name", "test"), "use circle, random or hot"),
        (("status", "--name", "nowhere"), "There is no lab nowhere"),
        (("exec", "--name", "test", "n9", "--", "true"), "has no host n9"),
        (("verify", "--name", "test", "vm99"), "has no instance vm99"),
        (("instance", "add", "vm1", "--name", "test"), "has an instance vm1 already"),
        (("instance", "add", "x", "--memory", "10", "--name", "test"), "80 to 4096 MiB"),
        (("shape", "n1", "1", "--name", "test"), "is no link rate"),
    ],
)
def test_bad_input_gets_one_sentence(lab: TestLab, words: tuple[str, ...], says: str) -> None:
    said = hotfoot("lab", *words)
    assert said.status == 2
    assert says in said.err
    assert len(said.err.strip().splitlines()) == 1
