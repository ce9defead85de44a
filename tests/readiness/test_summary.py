"""What findings come to: marks, groups, counts."""

from __future__ import annotations

from typing import Any

import pytest

from hotfoot.readiness.facts import Facts, HostFacts, LibvirtFact, PairProof, Proofs, Silence
from hotfoot.readiness.finding import Finding, Severity, Topic
from hotfoot.readiness.judge import TOPICS as ALL
from hotfoot.readiness.summary import Mark, concerning, counts, grouped, pair_marks, topic_marks

TOPICS = tuple(Topic(name=name, title=name, judge=lambda _cluster, _facts: ()) for name in ("system", "names"))
HOSTS = ("n1", "n2", "n3")


def finding(
    code: str = "names.local",
    host: str = "n1",
    peer: str | None = None,
    severity: Severity = Severity.BLOCKS,
    what: str = "",
    evidence: str = "",
) -> Finding:
    told = what or f"{host} calls itself 127.0.1.1."
    return Finding(
        code=code, severity=severity, host=host, peer=peer, what=told, evidence=evidence, why="So.", remedy="Mend."
    )


def facts(*answering: str, tried: tuple[tuple[str, str], ...] = ()) -> Facts:
    pairs = tuple(PairProof(source=source, destination=destination) for source, destination in tried)
    return Facts(
        hosts=tuple(HostFacts(host=host) for host in answering),
        silent=tuple(Silence(host=host, reason="off") for host in HOSTS if host not in answering),
        proofs=Proofs(pairs=pairs) if tried else None,
    )


def test_a_silent_host_is_not_known_rather_than_well() -> None:
    marks = topic_marks([finding("system.unreachable", "n3")], facts("n1", "n2"), TOPICS, HOSTS)
    assert marks["system", "n3"] is Mark.BLOCKS
    assert marks["names", "n3"] is Mark.UNKNOWN
    assert marks["names", "n1"] is Mark.OK


@pytest.mark.parametrize(
    ("told", "unknown"),
    [
        ({}, []),
        ({"failures": {"firewall": "nft hung"}}, ["walls"]),
        ({"failures": {"storage.gluster": "it hung"}}, ["disks"]),
        ({"failures": {"files": "no room"}}, ["disks"]),
        ({"failures": {"units": "no systemd"}}, []),
        ({"libvirt": None}, ["guests"]),
        ({"libvirt": LibvirtFact(answers=False, problem="refused")}, ["guests"]),
    ],
)
def test_what_a_topic_judges_by_and_was_not_told_leaves_it_not_known(told: dict[str, Any], unknown: list[str]) -> None:
    def topic(name: str, **needs: tuple[str, ...]) -> Topic:
        return Topic(name=name, title=name, judge=lambda _cluster, _facts: (), **needs)

    topics = (
        topic("walls", sections=("firewall",)),
        topic("disks", sections=("storage",), files=("/etc/fstab",)),
        topic("guests", sections=("libvirt",)),
    )
    host = HostFacts(host="n1", **{"libvirt": LibvirtFact(answers=True), **told})
    marks = topic_marks([], Facts(hosts=(host,)), topics, ["n1"])
    assert [name for (name, _), mark in marks.items() if mark is Mark.UNKNOWN] == unknown
    told_anyway = topic_marks(
        [finding("walls.open"), finding("disks.full"), finding("guests.stuck")], Facts(hosts=(host,)), topics, ["n1"]
    )
    assert set(told_anyway.values()) == {Mark.BLOCKS}


def test_what_was_not_tried_with_others_is_not_known_unless_there_are_none() -> None:
    topics = (Topic(name="ports", title="ports", judge=lambda _cluster, _facts: (), sections=("proofs",)),)
    marks = topic_marks([], facts(*HOSTS, tried=(("n1", "n2"),)), topics, HOSTS)
    assert [marks["ports", host] for host in HOSTS] == [Mark.OK, Mark.OK, Mark.UNKNOWN]
    assert topic_marks([], Facts(hosts=(HostFacts(host="n1"),)), topics, ["n1"])["ports", "n1"] is Mark.OK


def test_every_topic_says_what_it_judges_by() -> None:
    known = {*HostFacts.model_fields, "proofs"}
    assert [topic.name for topic in ALL if not topic.needs] == []
    assert {section for topic in ALL for section in topic.needs} <= known


def test_a_finding_between_two_hosts_counts_for_both() -> None:
    marks = topic_marks([finding(peer="n2", severity=Severity.DANGEROUS)], facts(*HOSTS), TOPICS, HOSTS)
    assert [marks["names", host] for host in HOSTS] == [Mark.DANGEROUS, Mark.DANGEROUS, Mark.OK]


def test_a_pair_is_as_bad_as_either_host_and_not_known_until_tried() -> None:
    known = facts(*HOSTS, tried=(("n2", "n3"), ("n3", "n2"), ("n1", "n2")))
    marks = pair_marks([finding(host="n1", severity=Severity.DANGEROUS)], known, HOSTS)
    assert marks["n1", "n2"] is Mark.DANGEROUS
    assert marks["n2", "n1"] is Mark.DANGEROUS
    assert marks["n2", "n3"] is Mark.OK
    untried = pair_marks([], facts(*HOSTS), HOSTS)
    assert set(untried.values()) == {Mark.UNKNOWN}
    assert ("n1", "n1") not in untried


def test_the_direction_of_a_pair_matters() -> None:
    tried = tuple((one, other) for one in HOSTS for other in HOSTS if one != other)
    marks = pair_marks([finding(host="n1", peer="n2")], facts(*HOSTS, tried=tried), HOSTS)
    assert marks["n1", "n2"] is Mark.BLOCKS
    assert marks["n2", "n1"] is Mark.OK


def test_the_same_on_several_hosts_is_told_once_with_each_one_s_evidence() -> None:
    seen = {"n1": "line 3", "n2": "line 3", "n3": "line 4"}
    groups = grouped(finding(host=host, evidence=line) for host, line in seen.items())
    assert len(groups) == 1
    assert groups[0].places == HOSTS
    assert groups[0].what == (("HOST calls itself 127.0.1.1.", HOSTS),)
    assert groups[0].evidence == (("line 3", ("n1", "n2")), ("line 4", ("n3",)))
    assert groups[0].remedy == (("Mend.", HOSTS),)


def test_one_reason_is_told_once_though_each_host_differs() -> None:
    (group,) = grouped(finding(host=host, what=f"{host} lacks {number}.") for number, host in enumerate(HOSTS))
    assert [text for text, _ in group.what] == ["n1 lacks 0.", "n2 lacks 1.", "n3 lacks 2."]


def test_another_severity_is_another_group() -> None:
    assert len(grouped([finding(), finding(host="n2", severity=Severity.ADVICE)])) == 2


def test_one_host_alone_keeps_its_name_and_others_are_not_mistaken_for_it() -> None:
    (alone,) = grouped([finding(what="n1 and n10 differ from n1.example.")])
    assert alone.what[0][0] == "n1 and n10 differ from n1.example."
    (group,) = grouped(finding(host=host, what=f"{host}, not {host}0 or x-{host}.") for host in ("n1", "n2"))
    assert [text for text, _ in group.what] == ["n1, not n10 or x-n1.", "n2, not n20 or x-n2."]


def test_counts_and_what_concerns_some_hosts() -> None:
    found = [finding(), finding(host="n2", peer="n3", severity=Severity.ADVICE), finding(host="n3")]
    assert (counts(found).blocks, counts(found).advice, counts(found).total, counts(found).mendable) == (2, 1, 3, 0)
    assert concerning(found, ["n2"]) == (found[1],)
    assert concerning(found, ["n2", "n1"], only_between=True) == (found[0],)
