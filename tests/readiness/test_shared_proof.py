from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.readiness.storage_hosts import NAMES, NFS, NFS_LINE, PATH, cluster, codes, host, proofs

from hotfoot.readiness import shared_path
from hotfoot.readiness.facts import Facts, Proofs, SharedProof
from hotfoot.readiness.finding import Finding, Severity

DECLARED = cluster({"path": PATH, "type": "nfs", "source": "n1:/srv/nova"})
HOSTS = tuple(host(name, mounts=[NFS], files={"/etc/fstab": NFS_LINE}) for name in NAMES)


def found(proved: Proofs, hosts: tuple[Any, ...] = HOSTS) -> list[Finding]:
    return list(shared_path.judge(DECLARED, Facts(hosts=hosts, proofs=proved)))


def changed(different: dict[str, Any], *pairs: tuple[str, str]) -> Proofs:
    """Proofs that are right, ``different`` where the writer and the reader are one of these pairs."""
    return Proofs(
        shared=tuple(
            proof.model_copy(update=different) if (proof.writer, proof.reader) in pairs else proof
            for proof in proofs(HOSTS).shared
        )
    )


def of_host(name: str) -> list[tuple[str, str]]:
    return [(one, other) for one in NAMES for other in NAMES if one != other and name in (one, other)]


def test_all_proven() -> None:
    assert found(proofs(HOSTS)) == []


def test_one_host_apart_is_one_finding() -> None:
    (finding,) = found(changed({"same": False}, *of_host("n3")))
    assert (finding.code, finding.host, finding.peer) == ("shared_path.not-the-same", "n3", None)
    assert finding.severity is Severity.BLOCKS
    assert "n1 and n2" in finding.what


def test_two_hosts_apart_are_a_pair() -> None:
    two = HOSTS[:2]
    (finding,) = found(proofs(two, same=False), two)
    assert (finding.host, finding.peer) == ("n2", "n1")


def test_each_by_itself() -> None:
    assert codes(found(proofs(HOSTS, same=False))) == ["not-the-same n2", "not-the-same n3"]


def test_old_content_in_one_direction() -> None:
    (finding,) = found(changed({"same": False}, ("n1", "n2")))
    assert (finding.code, finding.host, finding.peer) == ("shared_path.not-the-same", "n2", "n1")


def test_what_is_not_mounted_is_told_once() -> None:
    bare = (host("n1"), *HOSTS[1:])
    assert codes(found(changed({"same": False}, *of_host("n1")), bare)) == ["not-mounted n1"]


def test_an_owner_seen_differently_is_told_once_for_each_reader() -> None:
    as_nobody = {"reader_uid": 65534, "reader_gid": 65534}
    (finding,) = found(changed(as_nobody, ("n1", "n3"), ("n2", "n3")))
    assert (finding.code, finding.host) == ("shared_path.owner-differs", "n3")
    assert "65534:65534 (nobody:nogroup) on n3" in finding.evidence


@pytest.mark.parametrize(("different", "code"), [({"lock_refused": False}, "locks"), ({"direct": False}, "direct-io")])
def test_what_the_storage_does_not_keep(different: dict[str, Any], code: str) -> None:
    findings = found(changed(different, ("n1", "n2"), ("n3", "n2")))
    assert codes(findings) == [f"{code} n2"]
    assert findings[0].severity is Severity.DANGEROUS


def test_a_trial_that_failed_tells_nothing_else() -> None:
    (finding,) = found(changed({"problem": "No space left on device", "same": None}, ("n1", "n2"), ("n1", "n3")))
    assert (finding.code, finding.host, finding.evidence) == (
        "shared_path.trial-failed",
        "n1",
        "No space left on device",
    )


MANY = (*NAMES, "n4", "n5", "n6")

_PROOF = st.builds(
    SharedProof,
    path=st.just(PATH),
    writer=st.sampled_from(MANY),
    reader=st.sampled_from(MANY),
    problem=st.sampled_from(["", "", "", "read-only"]),
    same=st.sampled_from([True, False, None]),
    writer_uid=st.just(0),
    writer_gid=st.just(0),
    reader_uid=st.sampled_from([0, 65534, None]),
    reader_gid=st.just(0),
    lock_refused=st.sampled_from([True, False, None]),
    direct=st.sampled_from([True, False, None]),
)


@given(st.lists(_PROOF, max_size=20))
def test_whatever_is_not_the_same_is_found(shared: list[SharedProof]) -> None:
    shared = [proof for proof in shared if proof.writer != proof.reader]
    hosts = tuple(host(name, mounts=[NFS], files={"/etc/fstab": NFS_LINE}) for name in MANY)
    findings = found(Proofs(shared=tuple(shared)), hosts)
    apart = any(proof.same is False and not proof.problem for proof in shared)
    assert apart == any(finding.code == "shared_path.not-the-same" for finding in findings)
