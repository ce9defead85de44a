"""Ports between hosts: what one host finds open, refused or filtered on another; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from hotfoot.cluster import Cluster
from hotfoot.readiness.facts import Facts, PairProof
from hotfoot.readiness.finding import Finding, Severity, Topic
from hotfoot.readiness.listing import listed
from hotfoot.readiness.pair_faults import Fault, Gathered, gather

Use = Literal["ssh", "libvirt", "migration"]

_LIBVIRT_PORTS = {"tls": 16514, "tcp": 16509}
_LISTENING = {
    "ssh": "sshd (`systemctl enable --now ssh` on Debian and Ubuntu, sshd on Red Hat)",
    "libvirt": "libvirtd-tls.socket or virtproxyd-tls.socket (for tcp: libvirtd-tcp.socket)",
}
_WHY = {
    "ssh": "The migration user logs in to the destination there; without it what goes by SSH cannot begin.",
    "libvirt": "The source's libvirt talks to the destination's there; without it no live migration begins.",
    "migration": "QEMU on the destination receives memory and copied disks there (49152 to 49215 unless qemu.conf says "
    "otherwise); a migration starts, and then fails or stalls.",
}
_UNREACHABLE = "unreachable"


def judge(cluster: Cluster, facts: Facts) -> Iterable[Finding]:
    """Return which hosts' ports others do not reach.

    The port of SSH matters only where a migration user logs in; a pair in which nothing answers at all is told once.
    """
    if facts.proofs is None:
        return
    pairs = [proof for proof in facts.proofs.pairs if proof.ports]
    cut = [proof for proof in pairs if len(proof.ports) > 1 and set(proof.ports.values()) == {"filtered"}]
    faults = [_fault(proof, _UNREACHABLE, sorted(proof.ports)) for proof in cut]
    for found in gather(faults, {(proof.source, proof.destination) for proof in pairs}):
        yield _unreachable(found)
    reached = [proof for proof in pairs if proof not in cut]
    ssh_ports = {host.name: cluster.ssh_of(host).port or 22 for host in cluster.hosts}
    for use in _uses(cluster):
        served = {id(proof): _ports(cluster, proof, use, ssh_ports[proof.destination]) for proof in reached}
        tried = {(proof.source, proof.destination) for proof in reached if served[id(proof)]}
        faults = [
            _fault(proof, f"{use}-{state}", closed)
            for proof in reached
            for state in ("filtered", "refused")
            if (closed := [port for port in served[id(proof)] if proof.ports[port] == state])
        ]
        for found in gather(faults, tried):
            yield _closed(found, use, facts)


def _uses(cluster: Cluster) -> Iterator[Use]:
    if cluster.migration_user is not None:
        yield "ssh"
    if cluster.libvirt.transport != "ssh":
        yield "libvirt"
    yield "migration"


def _ports(cluster: Cluster, proof: PairProof, use: Use, ssh: int) -> list[int]:
    """Return the ports of a proof that serve one use; what is neither SSH's nor libvirt's is a migration's."""
    libvirt = cluster.libvirt.port or _LIBVIRT_PORTS.get(cluster.libvirt.transport)
    uses: dict[int, Use] = {ssh: "ssh"}
    if libvirt is not None and cluster.libvirt.transport != "ssh":
        uses[libvirt] = "libvirt"
    return [port for port in sorted(proof.ports) if uses.get(port, "migration") == use]


def _fault(proof: PairProof, kind: str, ports: list[int]) -> Fault:
    seen = ", ".join(f"{port} {proof.ports[port]}" for port in ports)
    return Fault(kind=kind, source=proof.source, destination=proof.destination, evidence=seen)


def _unreachable(found: Gathered) -> Finding:
    source, destination = listed(found.sources), listed(found.destinations)
    return Finding(
        code=f"ports.{_UNREACHABLE}",
        severity=Severity.BLOCKS,
        host=found.host,
        peer=found.peer,
        what=f"Nothing on {destination} answers {source}: every port that was tried is filtered.",
        evidence=found.evidence,
        why="Without a way from host to host neither libvirt nor QEMU can move an instance.",
        remedy=f"Look for a firewall on {destination}, a wrong address in the cluster file, a missing route, or a link "
        f"that is down between {source} and {destination}.",
    )


def _closed(found: Gathered, use: Use, facts: Facts) -> Finding:
    source, destination = listed(found.sources), listed(found.destinations)
    ports = listed(sorted({int(word.split()[0]) for fault in found.faults for word in fault.evidence.split(", ")}))
    name = {"ssh": "SSH", "libvirt": "libvirt", "migration": "migrations"}[use]
    refused = found.kind.endswith("refused")
    if refused and use != "migration" and not _listens(facts, found, int(found.faults[0].evidence.split()[0])):
        what = f"Nothing listens on port {ports} of {destination}, the port of {name}, where {source} tried it."
        remedy = f"Start {_LISTENING[use]} on {destination}."
    else:
        how = "refuses" if refused else "gives no answer to"
        what = f"A firewall {how} {source} at port {ports} of {destination}, meant for {name}."
        remedy = (
            f"Let the hosts of the cluster in to {'ports 49152 to 49215' if use == 'migration' else f'port {ports}'} "
            f"in the firewall of {destination}, and in those between (`hotfoot prepare --topic firewall` does the "
            "former)."
        )
    return Finding(
        code=f"ports.{found.kind}",
        severity=Severity.BLOCKS,
        host=found.host,
        peer=found.peer,
        what=what,
        evidence=found.evidence,
        why=_WHY[use],
        remedy=remedy,
    )


def _listens(facts: Facts, found: Gathered, port: int) -> bool:
    """Whether the destination says itself that it listens there; then something on the way refuses."""
    hosts = facts.by_name
    listeners = [hosts[name].listeners or () for name in found.destinations if name in hosts]
    return any(listener.port == port and not _own(listener.address) for each in listeners for listener in each)


def _own(address: str) -> bool:
    return address.startswith("127.") or address in ("::1", "localhost")


TOPIC = Topic(name="ports", title="Ports between hosts", judge=judge, sections=("proofs",))
