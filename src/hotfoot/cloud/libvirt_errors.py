"""What a libvirt error means to the operator: what is wrong, on which host, what to do. Pure.

libvirt's error codes are too coarse to tell causes apart (almost all connection faults are
VIR_ERR_SYSTEM_ERROR, almost all migration faults VIR_ERR_OPERATION_FAILED), so that the wording of libvirt,
GnuTLS, OpenSSH and QEMU is matched. The messages come from hosts whose daemons run in the C locale.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

REMOTE = "failed to connect to remote libvirt uri"
"""How the source's libvirt introduces a failure to reach the destination's (peer to peer)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who was asked for what when the error came."""

    host: str
    """The host asked; while migrating, the source."""
    transport: str
    port: int
    destination: str | None = None
    """Set while migrating."""
    destination_port: int = 0
    instance: str = "the instance"
    began: bool = True
    """Whether memory had begun to flow; before, a connection that ends was refused rather than lost."""
    native_tls: bool = False
    """Whether QEMU encrypts the memory stream: else only libvirt's own connection has certificates."""
    source_lost: bool = False
    """Whether the connection from here to the source broke too."""


_Rules = tuple[tuple[str, str], ...]
"""Patterns, each with its sentence; compiled when an error is looked up: most commands see none."""

_SOCKET = {
    "tls": "libvirtd-tls.socket or virtproxyd-tls.socket",
    "tcp": "libvirtd-tcp.socket",
    "ssh": "ssh.service",
}

CONNECTING: _Rules = (
    (
        r"certificate .*(has expired|is not yet activated|expired)|expired certificate",
        "{who} and {host} do not trust each other: a certificate has expired or is not valid"
        " yet; look at the dates"
        " in /etc/pki/libvirt and at the clocks of both.",
    ),
    (
        r"owner does not match|hostname .*match|does not match the hostname|certificate .*\bname\b",
        "The certificate of {host} is for another name or address than the one connected to;"
        " make one that has this"
        " address among its subjectAltNames.",
    ),
    (
        r"read tls confirmation",
        "{host} refuses the client certificate of {who_small}, or gets none; it needs clientcert.pem of the same"
        " authority (cacert.pem) in /etc/pki/libvirt.",
    ),
    (
        r"known issuer|not trusted|verify peer|failed validation",
        "{host} and {who_small} refuse each other's certificates; both need certificates of the same"
        " authority (cacert.pem), the server's in /etc/pki/libvirt.",
    ),
    (
        r"(cannot|unable to|failed to) (read|load|import|find|access).*\b(cert|certificate|pem|key)|\.pem",
        "{who} cannot read the certificates for {host}; check cacert.pem, clientcert.pem and"
        " clientkey.pem in the pki"
        " folder (from here) or in /etc/pki (on a host).",
    ),
    (
        r"known issuer|not trusted|verify peer|certificate|tls (handshake|alert)|gnutls|"
        r"unknown ca|bad record",
        "{host} and {who_small} refuse each other's certificates; both need certificates of the"
        " same authority"
        " (cacert.pem), the server's in /etc/pki/libvirt.",
    ),
    (
        r"host key verification failed|remote host identification has changed",
        "{who} does not know the SSH host key of {host}, or it has changed; check it, and add it to known_hosts.",
    ),
    (
        r"permission denied \(|too many authentication failures",
        "{host} refuses the SSH login from {who_small}; put that user's public key into authorized_keys on {host}.",
    ),
    (
        r"authentication (failed|unavailable|cancelled|required)|access denied|polkit",
        "libvirt on {host} refuses {who_small}: authentication failed; the user needs the right"
        " to manage instances"
        " (group libvirt, or root).",
    ),
    (
        r"connection refused",
        "Nothing answers on port {port} of {host}; is {socket} enabled and started there?",
    ),
    (
        r"no route to host|network is unreachable|host is down",
        "{who} has no route to {host}; is it switched on, and its network up?",
    ),
    (
        r"name or service not known|temporary failure in name resolution|could not resolve|unable to resolve|"
        r"no address associated|getaddrinfo",
        "{who} cannot resolve the name of {host}; give an IP address in the cluster file, or mend DNS or /etc/hosts.",
    ),
    (
        r"timed out|timeout",
        "{host} does not answer {who_small} on port {port}; is it switched on, and does a firewall let the port in?",
    ),
    (
        r"no such file or directory.*(libvirt|sock)|failed to connect socket to '/",
        "libvirt is not running on {host}; start it there (`systemctl start libvirtd.socket`).",
    ),
    (
        r"end of file while reading|connection reset|broken pipe|client socket is closed|cannot recv data|"
        r"connection closed|received hangup",
        "{host} closed the connection of {who_small} at once; look at `journalctl -u libvirtd` on {host}"
        " (a client certificate that it refuses looks like this too).",
    ),
)

MIGRATING: _Rules = (
    (
        r"unsafe migration|migration without shared storage|disks use cache",
        "libvirt takes moving {instance} for unsafe, since its disks are not on storage that"
        " both hosts share, or are"
        " cached; mount the shared storage on both, or copy the disks with --block.",
    ),
    (
        r"domain is already (being|active)|already (being )?migrated|cannot acquire state change lock|"
        r"another migration job|job .*in progress|held by .*migrat",
        "{instance} is busy with another job on {host} (a migration, snapshot or backup);"
        " `hotfoot watch` shows"
        " migrations, `virsh domjobinfo` others.",
    ),
    (
        r"already exists with uuid|is already defined|domain '.*' already exists",
        "{destination} already has an instance with the name or UUID of {instance}; rename or remove it there.",
    ),
    (
        r"no storage pool with matching target path",
        "{destination} cannot make the disks of {instance}: it has no active storage pool for"
        " their folder; define"
        " one there (`virsh pool-define-as NAME dir --target FOLDER`, `virsh pool-start NAME`).",
    ),
    (
        r"no space left|cannot extend|insufficient space",
        "The storage of {destination} is full; make room there.",
    ),
    (
        r"failed to get \"?write\"? lock|failed to get shared|is another process using the image",
        "A disk of {instance} is in use on {destination} by another QEMU; find it there, and do not start both.",
    ),
    (
        r"(unable to stat|cannot access storage file|cannot access backing file|could not open|"
        r"no such file or directory)"
        r"(?:[^']*'(?P<path>/[^']*)')?",
        "{path} is missing or not readable on {destination}; mount its storage there, or copy disks with --block.",
    ),
    (
        r"cannot allocate memory|cannot set up guest memory|out of memory|not enough memory",
        "There is not enough memory on {destination} for {instance}.",
    ),
    (
        r"(guest cpu doesn't match|guest and host cpu are not compatible|cpu is incompatible|"
        r"unacceptable cpu|"
        r"doesn't match specification|unknown cpu (feature|model)|"
        r"cpu mode .* not supported)(?P<detail>[^\n]*)",
        "The CPU of {destination} cannot run {instance} as it was started{detail}; choose"
        " another host, or a CPU model"
        " that both have.",
    ),
    (
        r"unsupported machine type|machine type .* (not supported|does not support)|"
        r"does not support machine type",
        "QEMU on {destination} does not know the machine type of {instance}; upgrade QEMU there.",
    ),
    (
        r"unable to find any emulator|emulator .*not (found|available)|cannot find suitable emulator",
        "{destination} has no QEMU that can run {instance}; install it there.",
    ),
    (
        r"cannot get interface|bridge .*(not exist|no such device)|add interface .* to bridge|"
        r"network not found|"
        r"network '.*' is not active|no network with matching name",
        "{destination} lacks the bridge or network of {instance}; make it there.",
    ),
    (
        r"assigned (host|non-usb) devices|host device|vfio.*(not support|blocker)|migration is blocked|"
        r"is not migratable|migration is disabled",
        "A device of {instance} cannot be moved live; detach it first.",
    ),
    (
        r"unable to find an unused port|port range",
        "All migration ports of {destination} are in use (49152 to 49215 by default); wait for"
        " its other migrations,"
        " or widen migration_port_min and _max in its qemu.conf.",
    ),
    (
        r"(not support|unsupported|requires|is not (available|supported)|only supported|"
        r"incompatible).*(multifd|parallel|"
        r"compress|zstd|xbzrle|tls)|(multifd|parallel|compress|zstd|xbzrle).*(not support|"
        r"unsupported|incompatible|only)",
        "One of the two hosts cannot do what was asked for ({raw}); leave out --parallel or --compress.",
    ),
    (
        r"x509|tls.*(not (set up|configured|enabled)|dir|certificate|handshake|credentials)|certificate",
        "QEMU's native TLS between {host} and {destination} failed; both need certificates in"
        " /etc/pki/qemu (or"
        " migrate_tls_x509_cert_dir) that name the address of the migration.",
    ),
    (
        r"attempt to migrate guest to the same host",
        "{host} and {destination} have the same host UUID, so that libvirt takes them for one;"
        " set host_uuid in"
        " libvirtd.conf on one of them, and restart libvirtd there.",
    ),
    (
        r"(unable|failed) to connect to server at|unable to connect to|cannot connect.*migrat|"
        r"failed to connect to '?tcp",
        "{host} cannot connect to {destination} for the memory stream; do both resolve each"
        " other's names, and does"
        " the firewall of {destination} let ports 49152 to 49215 in?",
    ),
    (
        r"unable to resolve|name or service not known|hostname .*resolve|localhost",
        "{host} cannot resolve the name by which {destination} calls itself; declare migration.network or"
        " migration_address in the cluster file, or mend /etc/hosts.",
    ),
    (
        r"unexpectedly closed the monitor|qemu .*(exited|terminated)|process exited|monitor .*(closed|eof)",
        "QEMU on {destination} ended during the migration; why is said in /var/log/libvirt/qemu"
        " there (killed, out of"
        " memory, or a device it cannot make).",
    ),
    (
        r"domain is not running|domain .*(crashed|shut ?off)|guest (crashed|unexpectedly quit)",
        "{instance} stopped on {host} during the migration (shut down from inside, or crashed).",
    ),
    (
        r"timed out|timeout|keepalive",
        "{destination} stopped answering {host} during the migration; is its network up?",
    ),
    (
        r"unable to (read from|write to) socket|(read from|write to) tls channel|channel error",
        "The memory stream from {host} to {destination} broke off; did QEMU on {destination} end (see"
        " /var/log/libvirt/qemu there), or is its network down?",
    ),
    (
        r"client socket is closed|end of file while reading|connection reset|broken pipe|cannot recv data|"
        r"input/output error|received hangup|connection closed",
        "{host} lost the connection to libvirt on {destination} during the migration; is"
        " {destination} up, and what"
        " says `journalctl -u libvirtd` there?",
    ),
)

_PEER = (
    r"end of file while reading|connection reset|cannot recv data|read tls confirmation|host key verification|"
    r"permission denied \(|authentication failed|our own certificate"
)
"""What a connection to the destination's libvirt says when it does not come about."""
_CERTIFICATE = r"certificate|tls handshake|known issuer"
SOURCE_LOST = "The connection to libvirt on {host}, the source, was lost during the migration."


def stream_was_shut_down(message: str) -> bool:
    """Tell whether the source's QEMU may have closed its own memory stream, as it does when it is told to cancel.

    A cancel can surface as such an error instead of libvirt's "operation aborted": QEMU puts EIO on a stream that it
    shuts down itself, and what still writes into it finds a broken pipe. So does the source of a QEMU that dies on the
    destination, now and then (QEMU 10.0: EIO in four of 28 kills): ``qemu_log`` tells the two apart.
    """
    said = message.lower()
    return "channel error: input/output error" in said or "unable to write to socket: broken pipe" in said


def sentence(message: str, asked: Asked) -> str:
    """Say in one sentence what a libvirt error means.

    An error that no rule knows is quoted, so that nothing is lost: it is better read raw than guessed.
    """
    raw = " ".join(message.split()).rstrip(".")
    if asked.destination is None:
        return _first(CONNECTING, raw, "here", asked.host, asked) or f"libvirt on {asked.host} says: {raw}."
    if asked.source_lost:
        return SOURCE_LOST.format(host=asked.host)
    if _to_peer(raw, asked):
        return _first(CONNECTING, raw, asked.host, asked.destination, asked) or (
            f"{asked.host} cannot reach libvirt on {asked.destination}: {raw}."
        )
    return _first(MIGRATING, raw, asked.host, asked.host, asked) or (
        f"libvirt could not move {asked.instance} from {asked.host} to {asked.destination}: {raw}."
    )


def _to_peer(raw: str, asked: Asked) -> bool:
    """Whether an error is about the source's connection to the destination's libvirt, not the memory stream.

    libvirt says so itself only at times; else the port tells, or that no memory had begun to flow.
    """
    if REMOTE in raw.lower() or f":{asked.destination_port}'" in raw or f"service '{asked.destination_port}'" in raw:
        return True
    if not asked.native_tls and re.search(_CERTIFICATE, raw, re.IGNORECASE):
        return True
    return not asked.began and re.search(_PEER, raw, re.IGNORECASE) is not None


def _first(rules: _Rules, raw: str, who: str, host: str, asked: Asked) -> str | None:
    for pattern, told in rules:
        match = re.search(pattern, raw, re.IGNORECASE)
        if match:
            found = match.groupdict()
            from_here = who == "here"
            return told.format(
                who="This machine" if from_here else who,
                who_small="this machine" if from_here else who,
                host=host,
                port=asked.destination_port if asked.destination and not from_here else asked.port,
                socket=_SOCKET[asked.transport],
                destination=asked.destination,
                instance=asked.instance,
                path=found.get("path") or f"A disk or file of {asked.instance}",
                detail=(found.get("detail") or "").rstrip(),
                raw=raw,
            )
    return None
