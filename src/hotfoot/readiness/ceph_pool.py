"""What hosts proved of a pool by writing, locking on one and looking from the others, each with QEMU's own key.

Sources: requirement A6; Ceph's "User Management" for what each capability lets a user do; librados(3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hotfoot.cluster import Ceph
from hotfoot.readiness import ceph_client
from hotfoot.readiness.change import Change
from hotfoot.readiness.facts import Facts, PoolProof
from hotfoot.readiness.finding import Finding, Severity


def judge_pools(ceph: Ceph, facts: Facts, usable: set[str]) -> Iterator[Finding]:
    """Return what the proofs say against pools; hosts that are not ``usable`` are known to be wrong already.

    Invariant: one finding for each host, pool and kind of trouble, however many others it was tried with.
    """
    told: set[tuple[str, str, str]] = set()
    for proof in facts.proofs.pools if facts.proofs else ():
        if proof.pool in ceph.pools and {proof.writer, proof.reader} <= usable:
            for finding in _of(ceph, facts, proof):
                key = (finding.code, finding.host, "" if finding.code == "ceph_rbd.key-refused" else proof.pool)
                if key not in told:
                    told.add(key)
                    yield finding


def _of(ceph: Ceph, facts: Facts, proof: PoolProof) -> Iterator[Finding]:
    if proof.problem:
        yield _refused(ceph, facts, proof) if proof.refused else _failed(ceph, proof)
    elif not proof.same:
        yield Finding(
            code="ceph_rbd.pool-not-the-same",
            severity=Severity.BLOCKS,
            host=proof.reader,
            peer=proof.writer,
            what=f"{proof.reader} did not read in the pool {proof.pool} what {proof.writer} had written there.",
            evidence=f"An object written on {proof.writer} was not there, or had other content, on {proof.reader}.",
            why="The two use pools of the same name in different clusters, or the pool loses data: an instance that "
            "moves would not find its disk.",
            remedy=f"Compare fsid and mon_host in {ceph_client.CONF} on {proof.writer} and {proof.reader}, and "
            "ceph health detail.",
        )
    elif proof.lock_refused is not True:
        given = f"the lock could not be tried: {proof.lock_error}" if proof.lock_error else "it was given the lock"
        yield Finding(
            code="ceph_rbd.pool-locks",
            severity=Severity.DANGEROUS,
            host=proof.reader,
            peer=proof.writer,
            what=f"Locks in the pool {proof.pool} do not hold between {proof.writer} and {proof.reader}.",
            evidence=f"{proof.writer} held a lock on an object for itself alone; on {proof.reader} {given}.",
            why="The exclusive lock of an image keeps two hosts from writing one disk at once, and lets the next host "
            "take over from one that died.",
            remedy=f"Give the user the capability that brings locks along: {_caps(ceph, proof.pool)}.",
        )


def _refused(ceph: Ceph, facts: Facts, proof: PoolProof) -> Finding:
    host = facts.by_name[proof.failed_on]
    changes: Sequence[Change] = ()
    remedy = f"On {host.host}: virsh secret-set-value {ceph.secret} with the key that ceph auth get client.{ceph.user} "
    remedy += "prints where the admin key is"
    if ceph.keyring is not None:
        changes = (ceph_client.giving_keyring(ceph, host), ceph_client.giving_secret(ceph, host))
        remedy += f"; it is to be that of {ceph.keyring} on this machine"
    return Finding(
        code="ceph_rbd.key-refused",
        severity=Severity.BLOCKS,
        host=host.host,
        what=f"Ceph refuses the key that {host.host} has for client.{ceph.user}.",
        evidence=proof.problem,
        why="QEMU gets this key for every disk in Ceph: an instance that moves here would not start (error "
        "connecting: Permission denied).",
        remedy=f"{remedy}.",
        changes=tuple(changes),
    )


def _failed(ceph: Ceph, proof: PoolProof) -> Finding:
    return Finding(
        code="ceph_rbd.pool-failed",
        severity=Severity.BLOCKS,
        host=proof.failed_on,
        what=f"{proof.failed_on} cannot use the pool {proof.pool} of Ceph.",
        evidence=proof.problem,
        why="A pool where a small object cannot be written and read cannot hold disks of instances that run here.",
        remedy=f"See that the pool is there, that {proof.failed_on} reaches monitors and OSDs (ports 3300, 6789, 6800 "
        f"to 7568), and that the user may write: {_caps(ceph, proof.pool)}.",
    )


def _caps(ceph: Ceph, pool: str) -> str:
    return (
        f"ceph auth caps client.{ceph.user} mon 'profile rbd' osd 'profile rbd pool={pool}', with its other pools too"
    )
