"""What hosts proved about a shared storage path by writing, reading, locking on one and looking from the others.

Sources: requirements A1, A5, A8 and B4; fcntl(2) for locks, open(2) for O_DIRECT; QEMU's image locking.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from hotfoot.cluster import Storage
from hotfoot.readiness.facts import Facts, SharedProof
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.listing import listed


def judge_proofs(storage: Storage, facts: Facts, usable: set[str]) -> Iterator[Finding]:
    """Return what the proofs say against a path; hosts that are not ``usable`` there are known to be wrong already."""
    proofs = [
        proof
        for proof in (facts.proofs.shared if facts.proofs else ())
        if proof.path == storage.path and {proof.writer, proof.reader} <= usable
    ]
    yield from _failed(storage, [proof for proof in proofs if proof.problem])
    tried = [proof for proof in proofs if not proof.problem]
    yield from _apart(storage, facts, [proof for proof in tried if proof.same is not None])
    same = [proof for proof in tried if proof.same]
    yield from _owners(storage, facts, same)
    yield from _locks(storage, [proof for proof in same if proof.lock_refused is False])
    yield from _direct(storage, [proof for proof in same if proof.direct is False])


def proven_same(path: str, host: str, facts: Facts) -> bool:
    """Whether a host and every other that was tried with it read each other's files on a path."""
    seen = [
        proof.same is True
        for proof in (facts.proofs.shared if facts.proofs else ())
        if proof.path == path and host in (proof.writer, proof.reader) and proof.writer != proof.reader
    ]
    return bool(seen) and all(seen)


def _failed(storage: Storage, proofs: Sequence[SharedProof]) -> Iterator[Finding]:
    told: set[tuple[str, str]] = set()
    for proof in proofs:
        # A trial that failed for many is told once for each host and reason.
        most = proof.writer if sum(each.writer == proof.writer for each in proofs) > 1 else proof.reader
        host = proof.failed_on or most
        if (host, proof.problem) in told:
            continue
        told.add((host, proof.problem))
        yield Finding(
            code="shared_path.trial-failed",
            severity=Severity.BLOCKS,
            host=host,
            what=f"The trial of {storage.path} failed between {proof.writer} and {proof.reader}.",
            evidence=proof.problem,
            why="A path where a small file cannot be written, read and locked cannot hold disks of instances.",
            remedy=f"On {host}, write a file in {storage.path} by hand, and mend what it complains about.",
        )


def _apart(storage: Storage, facts: Facts, proofs: Sequence[SharedProof]) -> Iterator[Finding]:
    """One finding for each host outside the largest group that shares; a tie goes to the first in the cluster file."""
    order = {host.host: number for number, host in enumerate(facts.hosts)}
    involved = sorted({name for proof in proofs for name in (proof.writer, proof.reader)}, key=lambda n: order[n])
    differing = [proof for proof in proofs if not proof.same]
    broken = {frozenset((proof.writer, proof.reader)) for proof in differing}
    group = {name: {name} for name in involved}
    for proof in proofs:
        if proof.same and frozenset((proof.writer, proof.reader)) not in broken:
            joined = group[proof.writer] | group[proof.reader]
            for name in joined:
                group[name] = joined
    if not differing:
        return
    reference = max((group[name] for name in involved), key=len)
    told: set[str] = set()
    for name in involved:
        peers = [
            proof.writer if proof.reader == name else proof.reader
            for proof in differing
            if name in (proof.writer, proof.reader)
        ]
        outside = [peer for peer in dict.fromkeys(peers) if peer in reference]
        if name not in reference and outside:
            told.add(name)
            yield _other_folder(storage, name, outside)
    # Then pairs of which one at least was not tried with the largest group.
    far: dict[tuple[str, str], None] = {}
    for proof in differing:
        pair = {proof.writer, proof.reader}
        if reference.isdisjoint(pair) and not pair <= told and group[proof.writer] is not group[proof.reader]:
            one, other = sorted((proof.writer, proof.reader), key=order.__getitem__)
            far[one, other] = None
    for one, other in far:
        yield _other_folder(storage, other, [one])
    yield from _old_content(storage, [proof for proof in differing if group[proof.writer] is group[proof.reader]])


def _other_folder(storage: Storage, name: str, others: Sequence[str]) -> Finding:
    return Finding(
        code="shared_path.not-the-same",
        severity=Severity.BLOCKS,
        host=name,
        peer=others[0] if len(others) == 1 else None,
        what=f"{storage.path} on {name} is not the same folder as on {listed(others)}.",
        evidence=f"A file written on one was not there, or had other content, on the other: {name} and "
        f"{listed(others)}.",
        why="An instance that moves between them would not find its disk, or would find another one.",
        remedy=f"Compare findmnt {storage.path} on {name} and {others[0]}, and mount the same source on both.",
    )


def _old_content(storage: Storage, proofs: Iterable[SharedProof]) -> Iterator[Finding]:
    for proof in proofs:
        yield Finding(
            code="shared_path.not-the-same",
            severity=Severity.BLOCKS,
            host=proof.reader,
            peer=proof.writer,
            what=f"{proof.reader} did not read in {storage.path} what {proof.writer} had written there.",
            evidence=f"Written and synced on {proof.writer}; missing or of other content on {proof.reader}.",
            why="Each sees the others' files, so the storage is shared but shows old content: a disk read after a "
            "migration may be out of date.",
            remedy=f"Look at the storage's own state (bricks, caches, attribute caching) on {proof.reader}.",
        )


def _owners(storage: Storage, facts: Facts, proofs: Sequence[SharedProof]) -> Iterator[Finding]:
    """B4. Told once for each reader: how one host sees owners does not depend on who wrote."""
    told: set[str] = set()
    hosts = facts.by_name
    for proof in proofs:
        written, seen = (proof.writer_uid, proof.writer_gid), (proof.reader_uid, proof.reader_gid)
        if None in (*written, *seen) or written == seen or proof.reader in told:
            continue
        told.add(proof.reader)
        reader = hosts[proof.reader]
        yield Finding(
            code="shared_path.owner-differs",
            severity=Severity.BLOCKS,
            host=proof.reader,
            peer=proof.writer,
            what=f"{proof.reader} sees another owner of a file in {storage.path} than {proof.writer}, which wrote it.",
            evidence=f"{written[0]}:{written[1]} on {proof.writer}, {seen[0]}:{seen[1]} "
            f"({reader.owner_of(seen[0] or 0, seen[1] or 0)}) on {proof.reader}.",
            why="QEMU opens disks by the numbers of its user; where the storage turns them into others (nobody, by "
            "idmapd or root squashing) it may not open them after a migration.",
            remedy="Export with no_root_squash to the compute hosts, and give /etc/idmapd.conf the same Domain "
            "everywhere, or leave NFSv4 to numbers (sec=sys, the default).",
        )


def _locks(storage: Storage, proofs: Sequence[SharedProof]) -> Iterator[Finding]:
    yield from _once_for_each_reader(
        storage,
        proofs,
        code="shared_path.locks",
        what="{reader} was given a lock in {path} that {writer} held.",
        evidence="{reader} was given a lock (fcntl) on a file that {writer} had locked for itself alone.",
        why="QEMU locks the images that it writes. Without locks between hosts two QEMUs can write one disk and "
        "destroy it, and Nova's hosts race each other in the image cache.",
        remedy="NFS: mount without nolock and local_lock, vers=4.2. CephFS and GlusterFS: without options that keep "
        "locks local.",
    )


def _direct(storage: Storage, proofs: Sequence[SharedProof]) -> Iterator[Finding]:
    yield from _once_for_each_reader(
        storage,
        proofs,
        code="shared_path.direct-io",
        what="{reader} cannot read in {path} past its cache (O_DIRECT).",
        evidence="A file that {writer} had written was opened with O_DIRECT: refused.",
        why="Instances with cache='none', which Nova chooses where it can and libvirt recommends for migration, do "
        "not start or arrive there.",
        remedy="GlusterFS: network.remote-dio off and performance.strict-o-direct on (gluster volume set VOLUME group "
        "virt). FUSE file systems: allow direct I/O.",
    )


def _once_for_each_reader(
    storage: Storage,
    proofs: Sequence[SharedProof],
    *,
    code: str,
    what: str,
    evidence: str,
    why: str,
    remedy: str,
) -> Iterator[Finding]:
    told: set[str] = set()
    for proof in proofs:
        if proof.reader in told:
            continue
        told.add(proof.reader)
        words = {"reader": proof.reader, "writer": proof.writer, "path": storage.path}
        yield Finding(
            code=code,
            severity=Severity.DANGEROUS,
            host=proof.reader,
            peer=proof.writer,
            what=what.format(**words),
            evidence=evidence.format(**words),
            why=why,
            remedy=remedy,
        )
