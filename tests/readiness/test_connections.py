"""What hosts said, most of it recorded from real ones that were broken on purpose (OpenSSH 10.0, libvirt 11.3)."""

from __future__ import annotations

from typing import Any

import pytest

from hotfoot.cluster import Cluster
from hotfoot.cluster.validation import cluster_from
from hotfoot.readiness.connections import TOPIC
from hotfoot.readiness.facts import Facts, PairProof, Proofs, Silence
from hotfoot.readiness.finding import Finding, Severity

HOSTS = ("n1", "n2", "n3")
PAIRS = [(one, other) for one in HOSTS for other in HOSTS if one != other]
LOG = "2026-01-31 06:58:01.992+0000: 911: "
UNTRUSTED = (
    f"{LOG}info : libvirt version: 11.3.0, package: 11.3.0-3+deb13u3 (Debian)\n"
    f"{LOG}info : hostname: n1\n"
    f"{LOG}warning : virNetTLSContextCheckCertificate:1008 : Certificate check failed Certificate failed validation: "
    "The certificate hasn't got a known issuer.\n"
    "error: failed to connect to the hypervisor\n"
    "error: authentication failed: Failed to verify peer's certificate"
)
HANDSHAKE = "error: authentication failed: TLS handshake failed Error in the pull function."
SSH = {
    "No ED25519 host key is known for n2 and you have requested strict checking.\r\nHost key verification failed.": (
        "host-key-unknown"
    ),
    "@@@@@@@@@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nHost key verification failed.": (
        "host-key-changed"
    ),
    "root@n2: Permission denied (publickey).": "login-refused",
    "@  WARNING: UNPROTECTED PRIVATE KEY FILE!  @\nPermissions 0644 for '/root/.ssh/id_ed25519' are too open.\n"
    "root@n2: Permission denied (publickey).": "private-key-open",
    "ssh: Could not resolve hostname n2: Temporary failure in name resolution": "name-unknown",
    "ssh: connect to host n2 port 22: No route to host": "elsewhere",
    "user nova does not exist": "no-user",
    "timeout: failed to run command 'ssh': No such file or directory": "no-client",
    "This account is currently not available.": "no-shell",
    "ended with status 1": "no-shell",
    "Bad owner or permissions on /root/.ssh/config": "client-configuration",
    "kex_exchange_identification: Connection closed by remote host": "cut",
    "something new": "failed",
}
LIBVIRT = {
    UNTRUSTED: "certificate-untrusted",
    "Certificate check failed Certificate [session] owner does not match the hostname 10.0.0.2\n"
    "error: authentication failed: Failed to verify peer's certificate": "certificate-name",
    HANDSHAKE: "server-certificate",
    "error: The client certificate /etc/pki/libvirt/clientcert.pem has expired": "own-certificate",
    "error: Our own certificate /etc/pki/libvirt/clientcert.pem failed validation against /etc/pki/CA/cacert.pem: "
    "The certificate hasn't got a known issuer.": "own-certificate",
    "error: Unable to set x509 key and certificate: /etc/pki/libvirt/private/clientkey.pem, /etc/pki/libvirt/"
    "clientcert.pem: The certificate and the given key do not match.": "own-certificate",
    "error: Unable to read TLS confirmation: Input/output error": "client-certificate-refused",
    "error: Cannot read CA certificate '/etc/pki/CA/cacert.pem': No such file or directory": "certificates-missing",
    "error: Cannot recv data: Host key verification failed.: Connection reset by peer": "host-key-unknown",
    "error: Cannot recv data: root@10.0.0.2: Permission denied (publickey).: Connection reset by peer": "login-refused",
    "error: End of file while reading data: virt-ssh-helper: cannot connect to '/var/run/libvirt/libvirt-sock': Failed "
    "to connect socket to '/var/run/libvirt/libvirt-sock': No such file or directory: Input/output error": (
        "not-running"
    ),
    "error: authentication unavailable: no polkit agent available to authenticate action 'org.libvirt.unix.manage'": (
        "not-allowed"
    ),
    "error: packet 1416128879 bytes received from server too large, want 33554432": "login-prints",
    "no answer within 8 s": "no-answer",
    "error: End of file while reading data: Input/output error": "cut",
    "timeout: failed to run command 'virsh': No such file or directory": "no-client",
    "error: something new": "failed",
}


def cluster(**more: Any) -> Cluster:
    hosts = [{"name": name, "address": f"10.0.0.{number}"} for number, name in enumerate(HOSTS, 1)]
    return cluster_from({"hosts": hosts} | more)


def judged(said: dict[tuple[str, str], dict[str, str | None]], **more: Any) -> list[Finding]:
    pairs = tuple(
        PairProof.model_validate({"source": s, "destination": d, "ssh": "", "libvirt": ""} | said.get((s, d), {}))
        for s, d in PAIRS
    )
    return list(TOPIC.judge(cluster(**more), Facts(proofs=Proofs(pairs=pairs))))


def test_what_works_is_no_finding() -> None:
    assert judged({}) == []
    assert list(TOPIC.judge(cluster(), Facts())) == []


@pytest.mark.parametrize(("said", "cause"), SSH.items(), ids=SSH.values())
def test_each_reason_of_ssh(said: str, cause: str) -> None:
    [found] = judged({("n1", "n2"): {"ssh": said}})
    assert (found.code, found.host, found.peer) == (f"connections.ssh-{cause}", "n1", "n2")
    assert found.severity is Severity.BLOCKS
    assert found.what.startswith("n1 cannot log in to n2 by SSH as root: ")
    assert "{" not in found.what + found.remedy


@pytest.mark.parametrize(("said", "cause"), LIBVIRT.items(), ids=LIBVIRT.values())
def test_each_reason_of_libvirt(said: str, cause: str) -> None:
    [found] = judged({("n1", "n2"): {"libvirt": said}})
    assert (found.code, found.host, found.peer) == (f"connections.libvirt-{cause}", "n1", "n2")
    assert found.what.startswith("n1 cannot open a libvirt connection to n2: ")
    assert "{" not in found.what + found.remedy


def test_the_evidence_is_what_was_said_without_the_log_s_decoration() -> None:
    [found] = judged({("n1", "n2"): {"libvirt": UNTRUSTED}})
    assert found.evidence == (
        "Certificate check failed Certificate failed validation: The certificate hasn't got a known issuer.\n"
        "error: authentication failed: Failed to verify peer's certificate"
    )


def test_one_bad_server_is_one_finding() -> None:
    [found] = judged({(host, "n2"): {"libvirt": HANDSHAKE} for host in ("n1", "n3")})
    assert (found.host, found.peer) == ("n2", None)
    assert found.what.startswith("n1 and n3 cannot open a libvirt connection to n2: ")


def test_one_bad_client_is_one_finding() -> None:
    refused = "error: Unable to read TLS confirmation: Input/output error"
    [found] = judged({("n1", host): {"libvirt": refused} for host in ("n2", "n3")})
    assert (found.host, found.peer) == ("n1", None)
    assert found.what.startswith("n1 cannot open a libvirt connection to n2 and n3: ")


def test_a_host_of_another_authority_is_one_finding() -> None:
    both_ways = [pair for pair in PAIRS if "n2" in pair]
    [found] = judged({pair: {"libvirt": UNTRUSTED} for pair in both_ways})
    assert (found.host, found.peer) == ("n2", None)
    assert found.what == (
        "n2, n1 and n3 cannot open a libvirt connection to each other: the certificate of n2 is not of the authority "
        "(/etc/pki/CA/cacert.pem) of n1 and n3."
    )


def test_a_login_that_libvirt_needs_too_is_told_once() -> None:
    said: dict[str, str | None] = {
        "ssh": "root@n2: Permission denied (publickey).",
        "libvirt": "error: Cannot recv data: Permission denied (publickey).: Connection reset by peer",
    }
    assert [found.code for found in judged({("n1", "n2"): said}, libvirt={"transport": "ssh"})] == [
        "connections.ssh-login-refused"
    ]


def test_what_was_not_tried_is_no_finding_and_does_not_hide_others() -> None:
    said: dict[tuple[str, str], dict[str, str | None]] = {
        ("n1", "n2"): {"libvirt": None, "ssh": None},
        ("n3", "n2"): {"libvirt": HANDSHAKE},
    }
    [found] = judged(said)
    assert (found.host, found.peer) == ("n3", "n2")


def test_a_host_that_took_no_part_is_told_unless_it_gave_no_facts_at_all() -> None:
    proofs = Proofs(problems={"n1": "host n1 has no python3", "n2": "host n2 is off"})
    facts = Facts(proofs=proofs, silent=(Silence(host="n2", reason="host n2 is off"),))
    [found] = TOPIC.judge(cluster(), facts)
    assert (found.code, found.host, found.severity) == ("connections.not-tried", "n1", Severity.DANGEROUS)
    assert found.evidence == "host n1 has no python3"
