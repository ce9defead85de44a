"""Proofs between real hosts: all well on a ready lab, and each thing that is broken is seen as what it is."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from tests.lab.command import environment
from tests.lab.labs import TestLab, raised

from hotfoot.cluster import Cluster, file
from hotfoot.lab import storage
from hotfoot.lab.spec import INSTANCES_PATH
from hotfoot.reach.proof.proofs import prove
from hotfoot.reach.ssh import prepare
from hotfoot.readiness import connections, ports
from hotfoot.readiness.facts import Facts, PairProof, Proofs, SharedProof
from hotfoot.readiness.finding import Finding

NFT = "table inet hotfoot_test { chain in { type filter hook input priority 0; %s; }; }"


@pytest.fixture(scope="module")
def lab() -> Iterator[TestLab]:
    """Three ready hosts without instances; the migration user is root."""
    if reason := storage.obstacle("glusterfs"):
        pytest.skip(reason)
    with raised("proofs", "--hosts", "3", "--instances", "0") as lab:
        yield lab


def cluster_of(lab: TestLab) -> Cluster:
    found = file.load(lab.cluster, lab.cluster.parent)
    return replace(found, migration=replace(found.migration, user="root"))


def proofs_of(lab: TestLab, hosts: list[str] | None = None) -> Proofs:
    cluster = cluster_of(lab)
    return asyncio.run(prove(prepare(cluster), cluster, hosts))


def findings(lab: TestLab, proofs: Proofs) -> list[Finding]:
    facts = Facts(proofs=proofs)
    return [found for topic in (connections.TOPIC, ports.TOPIC) for found in topic.judge(cluster_of(lab), facts)]


def seen(lab: TestLab, proofs: Proofs | None = None) -> list[tuple[str, str, str | None]]:
    judged = findings(lab, proofs or proofs_of(lab))
    return [(found.code, found.host, found.peer) for found in judged]


def pair(proofs: Proofs, source: str, destination: str) -> PairProof:
    return next(each for each in proofs.pairs if (each.source, each.destination) == (source, destination))


def shared(proofs: Proofs, reader: str, writer: str) -> SharedProof:
    return next(each for each in proofs.shared if (each.reader, each.writer) == (reader, writer))


def tokens(lab: TestLab, host: str = "n1") -> str:
    return lab.on(host, "sh", "-c", f"ls -A {INSTANCES_PATH} | grep hotfoot-proof || true")


@contextmanager
def broken(lab: TestLab, host: str, breaks: str, mends: str) -> Iterator[None]:
    lab.on(host, "sh", "-ec", breaks)
    try:
        yield
    finally:
        lab.on(host, "sh", "-ec", mends)


@contextmanager
def rule(lab: TestLab, host: str, text: str) -> Iterator[None]:
    with broken(lab, host, f"nft '{NFT % text}'", "nft delete table inet hotfoot_test"):
        yield


def test_a_ready_lab_proves_everything_and_keeps_nothing(lab: TestLab) -> None:
    began = time.monotonic()
    proofs = proofs_of(lab)
    took_s = time.monotonic() - began
    assert proofs.problems == {}
    assert len(proofs.pairs) == len(proofs.shared) == 6
    for each in proofs.pairs:
        assert (each.ssh, each.libvirt) == ("", ""), each
        assert len(each.ports) == 4
        assert set(each.ports.values()) == {"open"}
    for token in proofs.shared:
        assert (token.problem, token.same, token.lock_refused, token.lock_error) == ("", True, True, "")
        assert (token.writer_uid, token.writer_gid) == (token.reader_uid, token.reader_gid)
        assert token.direct is True
    assert seen(lab, proofs) == []
    assert tokens(lab) == ""
    print(f"6 pairs of 3 hosts proved in {took_s:.2f} s")


def test_two_of_the_hosts(lab: TestLab) -> None:
    proofs = proofs_of(lab, ["n3", "n1"])
    assert {(each.source, each.destination) for each in proofs.pairs} == {("n1", "n3"), ("n3", "n1")}


def test_a_firewall_that_drops_migrations(lab: TestLab) -> None:
    with rule(lab, "n2", "tcp dport 49152-49215 tcp flags & (syn | ack) == syn drop"):
        proofs = proofs_of(lab)
    assert seen(lab, proofs) == [("ports.migration-filtered", "n2", None)]
    assert pair(proofs, "n1", "n2").libvirt == ""


def test_a_firewall_that_rejects_one_host(lab: TestLab) -> None:
    address = cluster_of(lab).host("n1").address
    with rule(lab, "n2", f"ip saddr {address} tcp dport {{ 22, 16514 }} reject with tcp reset"):
        proofs = proofs_of(lab)
    assert seen(lab, proofs) == [("ports.ssh-refused", "n1", "n2"), ("ports.libvirt-refused", "n1", "n2")]
    assert pair(proofs, "n1", "n2").ssh is None


def test_a_firewall_that_drops_everything_from_one_host(lab: TestLab) -> None:
    address = cluster_of(lab).host("n1").address
    with rule(lab, "n3", f"ip saddr {address} tcp dport 22-60999 tcp flags syn drop"):
        assert ("ports.unreachable", "n1", "n3") in seen(lab)


def test_an_unknown_host_key(lab: TestLab) -> None:
    known = "/root/.ssh/known_hosts"
    with broken(lab, "n1", f"cp -p {known} /root/kept; sed -i /^n2,/d {known}", f"mv /root/kept {known}"):
        assert seen(lab) == [("connections.ssh-host-key-unknown", "n1", "n2")]


def test_a_changed_host_key(lab: TestLab) -> None:
    known = "/root/.ssh/known_hosts"
    swap = f"cp -p {known} /root/kept; k=$(grep ^n3, /root/kept | cut -d' ' -f2-); "
    swap += f"a=$(grep ^n2, /root/kept | cut -d' ' -f1); sed -i /^n2,/d {known}; echo \"$a $k\" >>{known}"
    with broken(lab, "n1", swap, f"mv /root/kept {known}"):
        assert seen(lab) == [("connections.ssh-host-key-changed", "n1", "n2")]


def test_a_login_that_one_host_refuses_to_all(lab: TestLab) -> None:
    keys = "/root/.ssh/authorized_keys"
    # The controller logs in with the same key, and still may.
    from_hosts = ",".join(f"!{host.address}" for host in cluster_of(lab).hosts)
    breaks = f"cp -p {keys} /root/kept; sed -i 's/^/from=\"{from_hosts},*\" /' {keys}"
    with broken(lab, "n2", breaks, f"mv /root/kept {keys}"):
        proofs = proofs_of(lab)
    assert seen(lab, proofs) == [("connections.ssh-login-refused", "n2", None)]


def test_no_key_on_one_host(lab: TestLab) -> None:
    with broken(lab, "n3", "mv /root/.ssh/id_ed25519 /root/kept", "mv /root/kept /root/.ssh/id_ed25519"):
        assert seen(lab) == [("connections.ssh-login-refused", "n3", None)]


def test_a_user_that_is_not_there(lab: TestLab) -> None:
    cluster = cluster_of(lab)
    cluster = replace(cluster, migration=replace(cluster.migration, user="stranger"))
    proofs = asyncio.run(prove(prepare(cluster), cluster))
    codes = [(found.code, found.host) for found in connections.TOPIC.judge(cluster, Facts(proofs=proofs))]
    assert codes == [("connections.ssh-no-user", host) for host in lab.hosts]


def test_storage_that_is_not_mounted(lab: TestLab) -> None:
    unit = "var-lib-nova-instances.mount"
    with broken(lab, "n2", f"systemctl stop {unit}", f"systemctl start {unit}"):
        proofs = proofs_of(lab)
        left = tokens(lab, "n2")
    assert left == tokens(lab) == ""
    for reader, writer in (("n1", "n2"), ("n2", "n1"), ("n3", "n2")):
        assert shared(proofs, reader, writer).same is False
    assert shared(proofs, "n1", "n3").same is True
    assert seen(lab, proofs) == []


def test_storage_that_hangs_on_one_host(lab: TestLab) -> None:
    stop = f"pkill -STOP -f '[g]lusterfs.*{INSTANCES_PATH}'"
    with broken(lab, "n3", stop, stop.replace("STOP", "CONT")):
        proofs = proofs_of(lab)
    assert "did not answer" in shared(proofs, "n3", "n1").problem
    assert "n3 cannot write" in shared(proofs, "n1", "n3").problem
    assert shared(proofs, "n1", "n2").same is True
    end = time.monotonic() + 10
    while tokens(lab) and time.monotonic() < end:
        time.sleep(0.1)
    assert tokens(lab) == ""


def test_a_certificate_of_another_host(lab: TestLab) -> None:
    place = "/etc/pki/libvirt"
    stolen = lab.on("n3", "cat", f"{place}/servercert.pem"), lab.on("n3", "cat", f"{place}/private/serverkey.pem")
    again = "systemctl stop libvirtd.service; systemctl start libvirtd-tls.socket"
    swap = f"cp -a {place} /root/kept; echo '{stolen[0]}' >{place}/servercert.pem; "
    swap += f"echo '{stolen[1]}' >{place}/private/serverkey.pem; {again}"
    with broken(lab, "n2", swap, f"cp -a /root/kept/. {place}; rm -r /root/kept; {again}"):
        proofs = proofs_of(lab)
    assert seen(lab, proofs) == [("connections.libvirt-certificate-name", "n2", None)]
    assert seen(lab) == []


def test_the_owner_who_is_compared_is_the_folder_s(lab: TestLab) -> None:
    # The token takes the owner of its folder, so that the numbers that matter are compared.
    with broken(lab, "n1", f"chown 4321:4322 {INSTANCES_PATH}", f"chown libvirt-qemu:kvm {INSTANCES_PATH}"):
        token = shared(proofs_of(lab), "n2", "n1")
    assert (token.writer_uid, token.writer_gid, token.reader_uid, token.reader_gid) == (4321, 4322) * 2


def test_a_libvirt_that_does_not_run(lab: TestLab) -> None:
    stop = "systemctl stop libvirtd-tls.socket libvirtd.service"
    with broken(lab, "n2", stop, "systemctl stop libvirtd.service; systemctl start libvirtd-tls.socket"):
        assert seen(lab) == [("ports.libvirt-refused", "n2", None)]


def test_a_host_that_is_not_reached(lab: TestLab) -> None:
    lab.lab("fault", "cut-link", "n3")
    try:
        proofs = proofs_of(lab)
    finally:
        lab.lab("fault", "mend-link", "n3")
    assert list(proofs.problems) == ["n3"]
    assert "n3" in proofs.problems["n3"]
    assert {(each.source, each.destination) for each in proofs.pairs} == {("n1", "n2"), ("n2", "n1")}
    assert seen(lab, proofs) == [("connections.not-tried", "n3", None)]


PROVE_AND_SLEEP = """
import asyncio, sys
from pathlib import Path
from hotfoot.cluster import file
from hotfoot.reach.proof import proofs
from hotfoot.reach.ssh import prepare

async def never(trial, question):
    print("looking", flush=True)
    await asyncio.sleep(60)

proofs._Trial.look = never
cluster = file.load(Path(sys.argv[1]), Path("/"))
asyncio.run(proofs.prove(prepare(cluster), cluster))
"""


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_token_stays_when_the_controller_is_ended_while_hosts_look(lab: TestLab, ending: signal.Signals) -> None:
    argv = [sys.executable, "-c", PROVE_AND_SLEEP, str(lab.cluster)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment()) as controller:
        assert controller.stdout is not None
        assert controller.stdout.readline() == b"looking\n"
        assert len(tokens(lab).split()) == 3
        controller.send_signal(ending)
    end = time.monotonic() + 5
    while tokens(lab) and time.monotonic() < end:
        time.sleep(0.05)
    assert tokens(lab) == ""
