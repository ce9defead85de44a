"""Connections from host to host: the migration user's SSH login, and libvirt's own; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from hotfoot.cluster import Cluster
from hotfoot.readiness.facts import Facts, PairProof
from hotfoot.readiness.finding import Finding, Severity, Topic
from hotfoot.readiness.listing import listed
from hotfoot.readiness.pair_faults import Fault, Gathered, Side, gather


@dataclass(frozen=True, slots=True)
class _Cause:
    """Why a connection does not come about, by what was said: the sentences fit one host and several."""

    code: str
    pattern: re.Pattern[str]
    because: str
    remedy: str
    side: Side = "destination"


def _cause(code: str, pattern: str, because: str, remedy: str, side: Side = "destination") -> _Cause:
    return _Cause(code, re.compile(pattern, re.IGNORECASE), because, remedy, side)


_SSH_CAUSES = (
    _cause(
        "no-user",
        r"user \S+ does not exist|user '?\S+'? does not exist",
        "there is no user {user} on {source}",
        "Install what brings the user {user} (nova-compute brings nova) on {source}, or correct migration.user in the "
        "cluster file.",
        "source",
    ),
    _cause(
        "no-client",
        r"failed to (run|execute) (command )?.?(ssh|runuser)",
        "there is no SSH client on {source}",
        "Install openssh-client (Debian, Ubuntu) or openssh-clients (Red Hat) on {source}.",
        "source",
    ),
    _cause(
        "host-key-changed",
        r"remote host identification has changed|host key .*has changed|revoked host key",
        "known_hosts on {source} has another SSH host key for {destination} than the one shown",
        "If {destination} was installed anew, compare the key at its console and put it into known_hosts on {source} "
        "in place of the old one; otherwise somebody answers in its place.",
    ),
    _cause(
        "host-key-unknown",
        r"host key verification failed|host key is known for",
        "the SSH host key of {destination} is not in known_hosts on {source}",
        "Put the host keys of {destination} into /etc/ssh/ssh_known_hosts on {source} (`hotfoot prepare --topic ssh` "
        "does); do not switch host key checking off.",
    ),
    _cause(
        "private-key-open",
        r"unprotected private key|permissions \S+ for '.*' are too open|bad permissions",
        "others may read the private key of {user} on {source}, and ssh then does not use it",
        "Give the private key of {user} on {source} mode 0600.",
        "source",
    ),
    _cause(
        "client-configuration",
        r"bad owner or permissions|bad configuration option|terminating, .*bad configuration",
        "ssh refuses its own configuration on {source}",
        "Correct the ssh configuration of {user} on {source} that the message names.",
        "source",
    ),
    _cause(
        "no-shell",
        r"account is currently not available|account .*(expired|locked)|password .*expired|^ended with status 1$",
        "{user} may not log in on {destination}: the account has no shell, is locked or has expired",
        "Give {user} on {destination} a shell (`usermod -s /bin/bash {user}`) and an account that has not expired.",
    ),
    _cause(
        "login-refused",
        r"permission denied|too many authentication failures|no supported authentication methods",
        "sshd on {destination} refuses the keys that {user} has on {source}",
        "Put the public key that {user} has on {source} into authorized_keys of {user} on {destination} "
        "(`hotfoot prepare --topic ssh` does), and see that sshd there lets {user} in (PermitRootLogin, AllowUsers).",
    ),
    _cause(
        "name-unknown",
        r"could not resolve hostname|name or service not known|temporary failure in name resolution",
        "the name of {destination} does not resolve on {source}",
        "Put {destination} into DNS, or into /etc/hosts on {source} (`hotfoot prepare --topic names` does).",
    ),
    _cause(
        "elsewhere",
        r"connection refused|no route to host|network is unreachable|connection timed out|operation timed out",
        "sshd of {destination} answers at its address, but not where its name leads to on {source}",
        "Make the name of {destination} resolve to its address of the cluster file on {source}.",
    ),
    _cause(
        "cut",
        r"connection (closed|reset)|kex_exchange|no matching|broken pipe",
        "{destination} ends the connection before the login",
        "Look at `journalctl -u ssh -u sshd` on {destination} (MaxStartups, a denied address, no algorithm in common).",
    ),
)

_LIBVIRT_CAUSES = (
    _cause(
        "no-client",
        r"failed to (run|execute) (command )?.?(virsh|runuser)",
        "there is no virsh on {source} to try it with",
        "Install libvirt-clients (Debian, Ubuntu) or libvirt-client (Red Hat) on {source}.",
        "source",
    ),
    _cause(
        "certificates-missing",
        r"(cannot|unable to|failed to) (read|load|access|find|import|open)\b.*(certificate|key|\.pem)",
        "the certificates for libvirt are missing or unreadable on {source}",
        "Put cacert.pem into /etc/pki/CA, clientcert.pem into /etc/pki/libvirt and clientkey.pem into "
        "/etc/pki/libvirt/private on {source} (`hotfoot prepare --topic certificates` does).",
        "source",
    ),
    _cause(
        "own-certificate",
        r"our own certificate|the (client|ca) certificate /\S+ (has expired|is not yet active)|given key do not match",
        "the client certificate of {source} has expired, does not fit its key, or is not of the authority (cacert.pem) "
        "that is there",
        "Issue a new client certificate for {source} (`hotfoot prepare --topic certificates` does).",
        "source",
    ),
    _cause(
        "certificate-name",
        r"owner does not match|does not match the hostname",
        "the certificate of {destination} does not name the address by which {source} must reach it",
        "Issue a certificate for {destination} with its address and its names among the subjectAltNames "
        "(`hotfoot prepare --topic certificates` does).",
    ),
    _cause(
        "certificate-expired",
        r"certificate .*(has expired|is not yet act|expired)|expired certificate",
        "the certificate of {destination} has expired, or is not valid yet by the clock of {source}",
        "Issue a new certificate for {destination} (`hotfoot prepare --topic certificates` does), and compare the "
        "clocks.",
    ),
    _cause(
        "client-certificate-refused",
        r"tls confirmation",
        "libvirt on {destination} refuses the client certificate of {source}",
        "Give {source} a client certificate of the authority in /etc/pki/CA/cacert.pem of {destination} "
        "(`hotfoot prepare --topic certificates` does), and look at tls_allowed_dn_list there.",
    ),
    _cause(
        "certificate-untrusted",
        r"known issuer|not trusted|verify peer|failed validation|unknown ca",
        "the certificate of {destination} is not of the authority (/etc/pki/CA/cacert.pem) of {source}",
        "Give all hosts certificates of the same authority (`hotfoot prepare --topic certificates` does).",
    ),
    _cause(
        "server-certificate",
        r"error in the (pull|push) function|non-properly terminated",
        "libvirt on {destination} ends the connection before TLS begins, as it does when its own certificate has "
        "expired, is not valid yet, or cannot be read",
        "Issue a new certificate for {destination} (`hotfoot prepare --topic certificates` does); the reason is in "
        "`journalctl -u libvirtd -u virtproxyd` there.",
    ),
    _cause(
        "tls-failed",
        r"tls handshake|tls alert|gnutls|bad record",
        "{source} and {destination} cannot agree on TLS",
        "Look at `journalctl -u libvirtd -u virtproxyd` on {destination}, and compare the certificates of the two.",
    ),
    *(each for each in _SSH_CAUSES if each.code.startswith("host-key")),
    _cause(
        "login-refused",
        r"permission denied \(|too many authentication failures",
        "sshd on {destination} refuses the keys that {user} has on {source}",
        "Put the public key that {user} has on {source} into authorized_keys of {user} on {destination} "
        "(`hotfoot prepare --topic ssh` does).",
    ),
    _cause(
        "no-helper",
        r"(virt-ssh-helper|\bnc\b|\bncat\b|netcat).*not found|command not found",
        "there is neither virt-ssh-helper nor nc on {destination}, which libvirt's SSH transport runs there",
        "Install libvirt's daemon packages or netcat-openbsd on {destination}.",
    ),
    _cause(
        "login-prints",
        r"packet \d+ bytes received from server too large",
        "what {user} logs in to on {destination} prints text of its own into the connection",
        "Have the shell start-up files of {user} on {destination} (.bashrc, /etc/profile.d) print nothing without a "
        "terminal, and give {user} a shell that runs commands.",
    ),
    _cause(
        "not-allowed",
        r"authentication (failed|unavailable|cancelled|required)|access denied|polkit|"
        r"(failed to connect|cannot connect) .*libvirt\S*-?sock.*permission denied",
        "libvirt on {destination} does not let {source} manage instances",
        "See which authentication libvirt on {destination} asks for (auth_tls, auth_tcp); where the transport is SSH, "
        "put {user} into the group libvirt there (`usermod -aG libvirt {user}`).",
    ),
    _cause(
        "not-running",
        r"failed to connect socket to|cannot connect to '\S*sock'|connection refused",
        "libvirt is not running on {destination}",
        "Start libvirt on {destination} (`systemctl start libvirtd.socket`, or virtqemud.socket).",
    ),
    _cause(
        "no-answer",
        r"timed out|no answer within",
        "libvirt on {destination} takes the connection of {source} but does not answer",
        "Look at `journalctl -u libvirtd -u virtqemud` on {destination}; restart it if it hangs.",
    ),
    _cause(
        "cut",
        r"end of file while reading|connection reset|broken pipe|socket is closed|cannot recv data|hangup",
        "libvirt on {destination} ends the connection of {source} at once",
        "Look at `journalctl -u libvirtd -u virtproxyd` on {destination}: a client certificate that it refuses looks "
        "like this, too many clients (max_clients) do too.",
    ),
)

_OTHER = _cause("failed", "", "{said}", "See what the message says, and try the command on {source}.")
_SSH_WHY = (
    "Nova copies disks and finishes cold migrations and resizes over this login, and it has to work without a "
    "password from every host to every other."
)
_SSH_TRANSPORT_WHY = "libvirt on the source reaches the destination over this login: no live migration begins without."
_LIBVIRT_WHY = "The source's libvirt opens this connection at the beginning of every live migration."


# libvirt's client logs to stderr: "2026-01-31 09:00:00.123+0000: 911: warning : function:12 : message".
_LOG_PREFIX = re.compile(r"^\d{4}-\d\d-\d\d \S+: \d+: (?!info)\w+ : (\w+:\d+ : )?")
_EMPTY_WORDS = re.compile(r"\d{4}-\d\d-\d\d \S+: \d+: info |error: failed to connect to the hypervisor$|@+$")


def judge(cluster: Cluster, facts: Facts) -> Iterable[Finding]:
    """Return which hosts cannot log in to, or open libvirt on, which others, and why.

    A connection whose port did not answer was not tried: that is left to the topic of ports. Where libvirt's transport
    is SSH, a login that fails is not told again as libvirt's.
    """
    if facts.proofs is None:
        return
    silent = {each.host for each in facts.silent}
    for host, reason in facts.proofs.problems.items():
        if host not in silent:
            yield _absent(host, reason)
    user = cluster.migration_user or "root"
    ssh = [proof for proof in facts.proofs.pairs if proof.ssh is not None]
    libvirt = [proof for proof in facts.proofs.pairs if proof.libvirt is not None]
    if cluster.libvirt.transport == "ssh":  # whose own login fails with the one before
        libvirt = [proof for proof in libvirt if not proof.ssh]
    why = _SSH_TRANSPORT_WHY if cluster.libvirt.transport == "ssh" else _SSH_WHY
    for found in _gathered("ssh", ((proof, proof.ssh) for proof in ssh), _SSH_CAUSES):
        yield _finding(found, _SSH_CAUSES, "log in to {whom} by SSH as {user}", why, user)
    for found in _gathered("libvirt", ((proof, proof.libvirt) for proof in libvirt), _LIBVIRT_CAUSES):
        yield _finding(found, _LIBVIRT_CAUSES, "open a libvirt connection to {whom}", _LIBVIRT_WHY, user)


def _spoken(text: str) -> str:
    """Leave out of what a program said the times and process numbers of libvirt's log, and what says nothing."""
    lines = [_LOG_PREFIX.sub("", line.strip()) for line in text.splitlines()]
    telling = [line for line in lines if line and not _EMPTY_WORDS.match(line)]
    return "\n".join(telling) or text.strip()


def _pair(proof: PairProof) -> tuple[str, str]:
    return proof.source, proof.destination


def _find(said: str | None, causes: tuple[_Cause, ...]) -> _Cause:
    return next((cause for cause in causes if cause.pattern.search(said or "")), _OTHER)


def _gathered(what: str, said: Iterable[tuple[PairProof, str | None]], causes: tuple[_Cause, ...]) -> list[Gathered]:
    tried = list(said)
    faults = []
    for proof, text in tried:
        if text:
            cause = _find(text, causes)
            faults.append(
                Fault(
                    kind=f"{what}-{cause.code}",
                    source=proof.source,
                    destination=proof.destination,
                    evidence=_spoken(text),
                    side=cause.side,
                )
            )
    return gather(faults, {_pair(proof) for proof, _ in tried})


def _finding(found: Gathered, causes: tuple[_Cause, ...], act: str, why: str, user: str) -> Finding:
    code = found.kind.partition("-")[2]
    cause = next((cause for cause in causes if cause.code == code), _OTHER)
    words = {
        "source": listed(found.others if found.both_ways else found.sources),
        "destination": found.host if found.both_ways else listed(found.destinations),
        "user": user,
        "said": " ".join(found.faults[0].evidence.split()).rstrip("."),
    }
    if found.both_ways:
        who, whom = listed([found.host, *found.others]), "each other"
    else:
        who, whom = words["source"], words["destination"]
    return Finding(
        code=f"connections.{found.kind}",
        severity=Severity.BLOCKS,
        host=found.host,
        peer=found.peer,
        what=f"{who} cannot {act.format(whom=whom, user=user)}: {cause.because.format(**words)}.",
        evidence=found.evidence,
        why=why,
        remedy=cause.remedy.format(**words),
    )


def _absent(host: str, reason: str) -> Finding:
    return Finding(
        code="connections.not-tried",
        severity=Severity.DANGEROUS,
        host=host,
        what=f"{host} took no part in the trials between hosts.",
        evidence=reason,
        why="Whether storage, connections and ports work between it and the others is not known.",
        remedy="Mend what the message says, and check again.",
    )


TOPIC = Topic(name="connections", title="Connections between hosts", judge=judge, sections=("proofs",))
