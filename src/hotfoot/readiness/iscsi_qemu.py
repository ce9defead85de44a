"""Targets that QEMU logs in to itself (disks of type network): its driver, the password's secret, the LUNs.

Sources: libvirt's formatsecret and formatdomain; "Failed to log in to target. Status: Authentication failure(513)"
and "Secret not found" on a destination were tried.
"""

from __future__ import annotations

from collections.abc import Iterator

from hotfoot.cluster import Cluster, Iscsi
from hotfoot.readiness.change import Change, DefineSecret, Install, Phase
from hotfoot.readiness.domain_xml import domains_of
from hotfoot.readiness.facts import Facts, HostFacts, TargetProof
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.listing import listed

DRIVER_PACKAGES = ("qemu-block-extra", "qemu-kvm-block-iscsi")
"""On Debian and Ubuntu; on Red Hat's systems."""
_NOT_LET_IN = (513, 514)


def judge_qemu(cluster: Cluster, facts: Facts) -> Iterator[Finding]:
    """Return what keeps QEMU on a host from opening the LUNs that instances name."""
    targets = {each.target: each for each in cluster.iscsi if each.initiator == "qemu"}
    used = _used(facts)
    users = tuple(dict.fromkeys(name for names in used.values() for name in names))
    for host in facts.hosts:
        if targets or used:
            yield from _driver(host, users)
        for declared in targets.values():
            yield from _secret(host, declared)
        yield from _undeclared_secrets(host, facts, targets)
    proofs = {(proof.host, proof.target): proof for proof in (facts.proofs.targets if facts.proofs else ())}
    for proof in proofs.values():
        if proof.target in targets:
            yield from _proven(targets[proof.target], proof)
    for (source, target, number), instances in used.items():
        for host in facts.hosts:
            here, there = proofs.get((source, target)), proofs.get((host.host, target))
            if host.host != source and here and there and not there.problem:
                yield from _same(instances, number, here, there)


def _used(facts: Facts) -> dict[tuple[str, str, int], list[str]]:
    """Return the instances on each host by the LUN that QEMU itself opened for them: host, target, number."""
    found: dict[tuple[str, str, int], list[str]] = {}
    for host in facts.hosts:
        for domain in domains_of(host):
            for disk in domain.disks:
                target, slash, number = disk.source.rpartition("/")
                if disk.protocol == "iscsi":
                    place = (target.lower(), int(number)) if slash and number.isdigit() else (disk.source.lower(), 0)
                    found.setdefault((host.host, *place), []).append(domain.name)
    return found


def _driver(host: HostFacts, users: tuple[str, ...]) -> Iterator[Finding]:
    package = DRIVER_PACKAGES[1 if host.os is not None and host.os.redhat_like else 0]
    if host.qemu is None or "iscsi" in host.qemu.drivers or package in host.packages:
        return
    yield Finding(
        code="iscsi.no-driver",
        severity=Severity.BLOCKS,
        host=host.host,
        what=f"QEMU on {host.host} cannot open iSCSI disks by itself, as "
        f"{f'{listed(users)} would' if users else 'the cluster file would'} have it.",
        evidence=f"Its block drivers are {listed(host.qemu.drivers) or 'none'}; package {package} is not installed.",
        why="QEMU has the driver in a package of its own.",
        remedy=f"Install {package} on {host.host}.",
        changes=(Change(host=host.host, phase=Phase.PACKAGES, step=Install(packages=(package,))),),
    )


def _defining(host: str, target: Iscsi) -> tuple[Change, ...]:
    assert target.chap is not None
    chap = target.chap
    step = DefineSecret(uuid=chap.secret, kind="iscsi", usage=target.target, file=str(chap.password_file))
    return (Change(host=host, phase=Phase.LIBVIRT, step=step),)


def _secret(host: HostFacts, target: Iscsi) -> Iterator[Finding]:
    if target.chap is None or host.libvirt is None or not host.libvirt.answers:
        return
    known, uuid = host.libvirt.secrets, target.chap.secret
    if uuid in {each.lower() for each in known}:
        return
    namesake = next((each for each, usage in known.items() if usage == target.target), None)
    other = f" Secret {namesake} is for that target already." if namesake else ""
    yield Finding(
        code="iscsi.no-secret",
        severity=Severity.BLOCKS,
        host=host.host,
        what=f"libvirt on {host.host} lacks the secret with the password for {target.target}.",
        evidence=f"No secret {uuid}; the cluster file names it.{other}",
        why="An instance's definition names the secret; a destination without it refuses the instance: Secret not "
        "found.",
        remedy=f"On {host.host}: "
        + (f"virsh secret-undefine {namesake} once no instance names it, then " if namesake else "")
        + f"virsh secret-define with {uuid} and usage iscsi, then virsh secret-set-value with the password.",
        # libvirt refuses a second secret of one usage; whether instances need the first is for a person to say.
        changes=() if namesake else _defining(host.host, target),
    )


def _undeclared_secrets(host: HostFacts, facts: Facts, targets: dict[str, Iscsi]) -> Iterator[Finding]:
    """A secret that instances elsewhere name, of a target that the cluster file does not: its value is not known."""
    if host.libvirt is None or not host.libvirt.answers:
        return
    known = {word for pair in host.libvirt.secrets.items() for word in (pair[0].lower(), pair[1])}
    declared = {each.chap.secret for each in targets.values() if each.chap} | set(targets)
    missing: dict[str, list[str]] = {}
    for other in facts.hosts:
        for domain in domains_of(other):
            for disk in domain.disks:
                if disk.protocol == "iscsi" and disk.secret and not {disk.secret, disk.secret.lower()} & known:
                    missing.setdefault(disk.secret, []).append(f"{domain.name} on {other.host}")
    for secret, instances in missing.items():
        if not {secret, secret.lower()} & declared:
            yield Finding(
                code="iscsi.no-secret",
                severity=Severity.BLOCKS,
                host=host.host,
                what=f"libvirt on {host.host} lacks a secret for iSCSI that instances name.",
                evidence=f"No secret {secret}; {listed(instances)} uses it.",
                why="A destination without the secret refuses the instance: Secret not found.",
                remedy=f"Declare the target under iscsi: in the cluster file with its chap, or define the secret on "
                f"{host.host} as the other hosts have it.",
            )


def _proven(target: Iscsi, proof: TargetProof) -> Iterator[Finding]:
    if proof.secret == "other" and target.chap is not None:
        yield Finding(
            code="iscsi.other-secret",
            severity=Severity.BLOCKS,
            host=proof.host,
            what=f"libvirt's secret for {target.target} on {proof.host} holds another password than it should.",
            evidence=f"The value of secret {target.chap.secret} is not what {target.chap.password_file} holds.",
            why="QEMU logs in with what the secret holds: an instance that arrives, or is started there, is refused "
            "by the target.",
            remedy=f"On {proof.host}: virsh secret-set-value {target.chap.secret} with the right password.",
            changes=_defining(proof.host, target),
        )
    if proof.status in _NOT_LET_IN:
        how = f"user {target.chap.user} and the password in {target.chap.password_file}" if target.chap else "no CHAP"
        yield Finding(
            code="iscsi.login-refused",
            severity=Severity.BLOCKS,
            host=proof.host,
            what=f"The iSCSI target {target.target} does not let {proof.host} in.",
            evidence=f"{proof.problem}, with {how}.",
            why="QEMU would be refused likewise, so that no instance with a disk there could arrive or start.",
            remedy=f"Compare user and password with what the target has (`chap` of {target.target} in the cluster "
            f"file), and see that its access list lets {proof.host} in.",
        )
    elif proof.problem:
        yield Finding(
            code="iscsi.no-login",
            severity=Severity.BLOCKS,
            host=proof.host,
            what=f"{proof.host} cannot log in to the iSCSI target {target.target}.",
            evidence=proof.problem,
            why="An instance with a disk there could neither arrive nor start.",
            remedy=f"See that {target.portal} can be reached from {proof.host} (network, firewall), and that the "
            "target of this name is there.",
        )


def _same(instances: list[str], number: int, here: TargetProof, there: TargetProof) -> Iterator[Finding]:
    if number not in here.luns:
        return  # the target shows it to the instance alone: a trial tells nothing
    own, theirs = here.luns[number], there.luns.get(number)
    if theirs is None:
        yield Finding(
            code="iscsi.lun-missing",
            severity=Severity.BLOCKS,
            host=here.host,
            peer=there.host,
            what=f"{listed(instances)} on {here.host} has a disk that {there.host} does not see.",
            evidence=f"{there.host} sees {len(there.luns)} LUNs of {here.target}, and no number {number} among them.",
            why="An instance can move only to a host that sees the same LUN.",
            remedy=f"Let {there.host} in to that LUN at the storage.",
        )
    elif own and theirs and own != theirs:
        yield Finding(
            code="iscsi.other-lun",
            severity=Severity.BLOCKS,
            host=here.host,
            peer=there.host,
            what=f"The disk of {listed(instances)} on {here.host} is another disk for {there.host}.",
            evidence=f"LUN {number} of {here.target} is {own} for {here.host}, and {theirs} for {there.host}.",
            why="After a move the instance would go on with another disk's data, and destroy it.",
            remedy="At the storage, give all hosts the same numbers for the same LUNs.",
        )
