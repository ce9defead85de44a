"""Each way to move that ``hotfoot migrate`` offers, tried for real; the instance is whole after each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.command import finish
from tests.lab.labs import TestLab, raised


def other_host(lab: TestLab, instance: str) -> str:
    return next(host for host in lab.hosts if host != lab.where(instance))


@pytest.mark.parametrize(
    "options",
    [
        ("--native-tls",),
        ("--parallel", "2"),
        ("--parallel", "2", "--compress"),
        ("--compress",),
        ("--bandwidth", "60MiB/s"),
    ],
    ids=" ".join,
)
def test_an_option_is_carried_out(lab: TestLab, options: tuple[str, ...]) -> None:
    destination = other_host(lab, "vm1")
    said = lab.run("migrate", "vm1", destination, "--no-forecast", "--json", *options)
    assert said.status == 0, said.err
    assert lab.where("vm1") == destination
    lab.verify("vm1")


def test_parallel_with_native_tls_encrypts_what_travels(lab: TestLab) -> None:
    """While it moves, the source's QEMU says itself that its stream is encrypted."""
    source, destination = lab.where("vm1"), other_host(lab, "vm1")
    assert source
    lab.lab("shape", destination, "60mbit")
    try:
        process = lab.start("migrate", "vm1", destination, "--native-tls", "--no-forecast", "--json")
        ask = """virsh qemu-monitor-command vm1 '{"execute":"query-migrate-parameters"}' || true"""
        seen = ""
        while "tls-creds" not in seen or '"tls-creds":""' in seen:
            assert process.poll() is None, process.communicate()
            seen = lab.on(source, "sh", "-c", ask)
        assert lab.run("abort", "vm1").status == 0
        assert finish(process).status == 5
    finally:
        lab.lab("shape", destination, "1gbit")
    lab.verify("vm1")


def test_without_a_destination_the_emptiest_host_is_chosen(lab: TestLab) -> None:
    hosts = {host["name"]: host["memory_free_bytes"] for host in lab.run("hosts", "--json").json["hosts"]}
    source = lab.where("vm1")
    best = max((host for host in hosts if host != source), key=lambda host: hosts[host])
    assert lab.run("migrate", "vm1", "--json").json["destination"] == best


def test_two_instances_move_at_once(lab: TestLab) -> None:
    moves = [(name, other_host(lab, name)) for name in ("vm1", "vm2")]
    processes = [lab.start("migrate", name, destination, "--no-forecast", "--json") for name, destination in moves]
    for process, (name, destination) in zip(processes, moves, strict=True):
        said = finish(process)
        assert said.status == 0, said.err
        assert lab.where(name) == destination
        lab.verify(name)


def test_a_paused_instance_arrives_paused(lab: TestLab) -> None:
    source, destination = lab.where("vm2"), other_host(lab, "vm2")
    assert source
    lab.on(source, "virsh", "-q", "suspend", "vm2")
    said = lab.run("migrate", "vm2", destination, "--no-forecast", "--json")
    assert said.status == 0, said.err
    assert lab.on(destination, "virsh", "-q", "domstate", "vm2").strip() == "paused"
    lab.on(destination, "virsh", "-q", "resume", "vm2")
    lab.verify("vm2")


def test_a_transient_instance_stays_transient(lab: TestLab) -> None:
    source, destination = lab.where("vm2"), other_host(lab, "vm2")
    assert source
    definition = lab.on(source, "virsh", "dumpxml", "--inactive", "vm2")
    lab.on(source, "virsh", "-q", "undefine", "vm2")
    assert lab.run("migrate", "vm2", destination, "--no-forecast", "--json").status == 0
    assert lab.on(destination, "virsh", "-q", "list", "--transient", "--name").split() == ["vm2"]
    lab.on(destination, "sh", "-c", f'cat > /tmp/vm2.xml <<"END"\n{definition}\nEND\nvirsh -q define /tmp/vm2.xml')
    lab.verify("vm2")


def test_memory_travels_over_the_declared_network(lab: TestLab, tmp_path: Path) -> None:
    text = lab.cluster.read_text()
    address = next(host["address"] for host in lab.run("hosts", "--json").json["hosts"])
    network = address.rpartition(".")[0] + ".0/24"
    # Beside the lab's own file, because the paths in it are relative.
    declared = lab.cluster.with_name("declared.yaml")
    declared.write_text(text + f"migration: {{network: {network}}}\n")
    destination = other_host(lab, "vm1")
    by_it = TestLab(lab.name, declared, lab.hosts)
    plan = by_it.run("migrate", "vm1", destination, "--dry-run")
    assert plan.status == 0
    assert network.rpartition(".")[0] in plan.out
    assert by_it.run("migrate", "vm1", destination, "--no-forecast", "--json").status == 0
    lab.verify("vm1")
    elsewhere = lab.cluster.with_name("elsewhere.yaml")
    elsewhere.write_text(text + "migration: {network: 192.0.2.0/24}\n")
    refused = TestLab(lab.name, elsewhere, lab.hosts).run("migrate", "vm1", other_host(lab, "vm1"), "--dry-run")
    assert refused.status == 3
    assert "192.0.2.0/24" in refused.out + refused.err


@pytest.fixture(scope="module")
def tcp_lab() -> Iterator[TestLab]:
    options = ("--hosts", "2", "--instances", "1", "--transport", "tcp", "--storage", "none", "--rate", "20")
    with raised("tcp", *options) as lab:
        yield lab


def test_plain_tcp_moves_too(tcp_lab: TestLab) -> None:
    assert tcp_lab.run("migrate", "vm1", "n2", "--no-forecast").status == 0
    assert tcp_lab.where("vm1") == "n2"
    tcp_lab.verify("vm1")


def test_what_is_shown_is_what_the_hosts_say(lab: TestLab) -> None:
    listed = {one["name"]: one for one in lab.run("ls", "--json").json["instances"]}
    assert {name: one["host"] for name, one in listed.items()} == {name: lab.where(name) for name in ("vm1", "vm2")}
    host = listed["vm1"]["host"]
    assert "vm1" in lab.run("ls", "--host", host).out
    shown = lab.run("show", "vm1").out
    assert host in shown
    assert "fuse.glusterfs" in shown or "nfs" in shown
    everything = lab.run("show", listed["vm1"]["uuid"][:8], "--json").json
    assert everything["memory_bytes"] == 256 * 2**20
    assert everything["addresses"]
