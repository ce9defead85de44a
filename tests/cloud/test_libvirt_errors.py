"""Each libvirt error that can happen, in the operator's words. The messages are libvirt's own, as it printed them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hotfoot.cloud.libvirt_errors import Asked, sentence, stream_was_shut_down

HERE = Asked(host="n2", transport="tls", port=16514)
MOVE = Asked(host="n1", transport="tls", port=16514, destination="n2", destination_port=16514, instance="web1")
REMOTE = "operation failed: Failed to connect to remote libvirt URI qemu+tls://n2/system: "


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("unable to connect to server at '10.0.0.2:16514': Connection refused", "Nothing answers on port 16514 of n2"),
        ("unable to connect to server at '10.0.0.2:16514': No route to host", "This machine has no route to n2"),
        ("timed out", "n2 does not answer this machine on port 16514"),
        ("authentication failed: Failed to verify peer's certificate", "refuse each other's certificates"),
        ("The certificate hasn't got a known issuer.", "refuse each other's certificates"),
        ("The server certificate /x/servercert.pem has expired", "a certificate has expired"),
        ("Certificate /etc/x [session] owner does not match the hostname 10.0.0.2", "another name or address"),
        ("Cannot read CA certificate '/p/cacert.pem': No such file or directory", "cannot read the certificates"),
        ("End of file while reading data: Host key verification failed.: Input/output error", "SSH host key of n2"),
        ("End of file while reading data: root@n2: Permission denied (publickey).: Input/output error", "SSH login"),
        ("authentication failed: access denied by policy", "group libvirt"),
        ("unable to resolve address 'n2' service '16514': Name or service not known", "resolve the name of n2"),
        ("End of file while reading data: Input/output error", "n2 closed the connection of this machine"),
        ("Failed to connect socket to '/var/run/libvirt/libvirt-sock': No such file or directory", "not running on n2"),
    ],
)
def test_connecting_from_here(message: str, words: str) -> None:
    assert words in sentence(message, HERE)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            REMOTE + "unable to connect to server at 'n2:16514': Connection refused",
            "Nothing answers on port 16514 of n2",
        ),
        (REMOTE + "authentication failed: Failed to verify peer's certificate", "n2 and n1 refuse each other's"),
        (
            REMOTE + "End of file while reading data: Host key verification failed.",
            "n1 does not know the SSH host key of n2",
        ),
        ("Unsafe migration: Migration without shared storage is unsafe", "for unsafe"),
        ("Unsafe migration: Migration may lead to data corruption if disks use cache != none", "for unsafe"),
        ("operation failed: migration of disk vda failed: No space left on device", "storage of n2 is full"),
        (
            "unable to stat: '/var/lib/nova/instances/a.qcow2': No such file",
            "/var/lib/nova/instances/a.qcow2 is missing",
        ),
        ("Cannot access storage file '/x/a.qcow2' (as uid:64055): No such file", "/x/a.qcow2 is missing"),
        (
            "internal error: process exited while connecting to monitor: cannot set up guest memory 'pc.ram': "
            "Cannot allocate memory",
            "not enough memory on n2",
        ),
        (
            "unsupported configuration: guest CPU doesn't match specification: missing features: avx2",
            "missing features: avx2",
        ),
        ("the CPU is incompatible with host CPU: Host CPU does not provide required features: svm", "svm"),
        ("unsupported configuration: Unknown CPU feature foo", "The CPU of n2"),
        ("operation failed: Lost connection to destination host: client socket is closed", "n1 lost the connection"),
        ("internal error: client socket is closed", "n1 lost the connection to libvirt on n2"),
        ("internal error: qemu unexpectedly closed the monitor", "QEMU on n2 ended"),
        ("Timed out during operation: cannot acquire state change lock (held by monitor=x)", "busy with another job"),
        ("operation failed: domain 'web1' already exists with uuid x", "n2 already has an instance"),
        ("internal error: Unable to find an unused port in range 'migration' (49152-49215)", "All migration ports"),
        ("Cannot get interface MTU on 'br0': No such device", "lacks the bridge"),
        ("internal error: Attempt to migrate guest to the same host n1", "host UUID"),
        (
            "unable to connect to server at 'n2:49152': Connection timed out",
            "n1 cannot connect to n2 for the memory stream",
        ),
        (
            "Unable to resolve address 'n2' service '49152': Name or service not known",
            "cannot resolve the name by which n2",
        ),
        ("Requested operation is not valid: cannot migrate domain with assigned host devices", "cannot be moved live"),
        ("operation failed: storage: no storage pool with matching target path '/v'", "no active storage pool"),
    ],
)
def test_moving(message: str, words: str) -> None:
    assert words in sentence(message, MOVE)


def test_certificates_are_of_libvirt_unless_qemu_encrypts_too() -> None:
    message = "authentication failed: Failed to verify peer's certificate"
    assert "n2 and n1 refuse each other's certificates" in sentence(message, MOVE)
    assert "QEMU's native TLS" in sentence(message, replace(MOVE, native_tls=True))


def test_a_connection_that_ends_before_memory_flows_was_refused() -> None:
    message = "End of file while reading data: Input/output error"
    assert "n2 closed the connection of n1 at once" in sentence(message, replace(MOVE, began=False))
    assert "n1 lost the connection" in sentence(message, MOVE)
    assert "n2 refuses the client certificate of n1" in sentence(
        "Unable to read TLS confirmation: Input/output error", replace(MOVE, began=False)
    )


def test_the_port_tells_the_connection_to_libvirt_from_the_memory_stream() -> None:
    refused = "unable to connect to server at '10.0.0.2:{}': Connection refused"
    assert "Nothing answers on port 16514 of n2" in sentence(refused.format(16514), MOVE)
    assert "for the memory stream" in sentence(refused.format(49152), MOVE)
    odd = "unable to connect to server at '10.0.0.2:16514': Invalid argument"
    assert sentence(odd, MOVE) == f"n1 cannot reach libvirt on n2: {odd}."
    own = "Our own certificate /etc/pki/libvirt/clientcert.pem failed validation against /etc/pki/CA/cacert.pem: no"
    assert "refuse each other's certificates" in sentence(own, replace(MOVE, began=False))


def test_an_unknown_error_is_quoted_and_nothing_is_guessed() -> None:
    assert sentence("something new", MOVE) == "libvirt could not move web1 from n1 to n2: something new."
    assert sentence("something\nnew.", HERE) == "libvirt on n2 says: something new."


def test_a_lost_source_is_never_blamed_on_the_destination() -> None:
    lost = Asked(host="n1", transport="tls", port=1, destination="n2", source_lost=True)
    assert "n1, the source" in sentence("End of file while reading data: Input/output error", lost)


@pytest.mark.parametrize("message", ["{", "a {b} c", "100% {0}", "unable to stat: '/a{b}'"])
def test_braces_in_a_message_do_no_harm(message: str) -> None:
    assert sentence(message, MOVE).endswith(".")


def test_a_stream_that_the_source_closed_itself_is_told_from_one_that_broke() -> None:
    failed = "operation failed: job 'migration out' failed: "
    assert stream_was_shut_down(failed + "Channel error: Input/output error")
    assert stream_was_shut_down(failed + "Unable to write to socket: Broken pipe")
    for broken in (
        failed + "Unable to read from socket: Connection reset by peer",
        failed + "Cannot read from TLS channel: The TLS connection was non-properly terminated.",
        "End of file while reading data: Input/output error",
        "internal error: client socket is closed",
    ):
        assert not stream_was_shut_down(broken)
