"""What findings come to: a mark for each topic on each host and for each pair, alike findings told once, counts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hotfoot.readiness.facts import Facts
from hotfoot.readiness.finding import Finding, Severity, Topic


class Mark(StrEnum):
    """The state of a cell of the two tables, the mildest first."""

    OK = "ok"
    ADVICE = "advice"
    UNKNOWN = "unknown"
    DANGEROUS = "dangerous"
    BLOCKS = "blocks"


_ORDER = {mark: number for number, mark in enumerate(Mark)}
_MARKS = {Severity.ADVICE: Mark.ADVICE, Severity.DANGEROUS: Mark.DANGEROUS, Severity.BLOCKS: Mark.BLOCKS}


def worst(marks: Iterable[Mark]) -> Mark:
    """Return the worst of some marks; what is not known is worse than advice."""
    return max(marks, key=_ORDER.__getitem__, default=Mark.OK)


def topic_marks(
    findings: Sequence[Finding], facts: Facts, topics: Sequence[Topic], hosts: Sequence[str]
) -> dict[tuple[str, str], Mark]:
    """Return the mark of each topic on each host; a finding between two hosts counts for both.

    Not known where the host did not answer, or could not tell something that the topic judges by, save for what was
    found all the same.
    """
    untold = {host: _untold(facts, host) for host in hosts}
    cells = {
        (topic.name, host): Mark.OK if (lacks := untold[host]) is not None and not topic.needs & lacks else Mark.UNKNOWN
        for topic in topics
        for host in hosts
    }
    for finding in findings:
        for host in {finding.host, finding.peer} - {None}:
            cell = (finding.topic, str(host))
            if cell in cells:
                cells[cell] = worst((cells[cell], _MARKS[finding.severity]))
    return cells


def _untold(facts: Facts, name: str) -> frozenset[str] | None:
    """Return the sections that a host did not tell, or not wholly; None: it told nothing."""
    host = facts.by_name.get(name)
    if host is None or name in {silence.host for silence in facts.silent}:
        return None
    missing = {section.partition(".")[0] for section in host.failures}
    if host.libvirt is None or not host.libvirt.answers:
        missing.add("libvirt")
    if len(facts.hosts) + len(facts.silent) > 1 and not _tried(facts, name):
        missing.add("proofs")
    return frozenset(missing)


def _tried(facts: Facts, name: str) -> bool:
    """Whether a host was tried with any other."""
    pairs = facts.proofs.pairs if facts.proofs else ()
    return any(name in (proof.source, proof.destination) for proof in pairs)


def pair_marks(findings: Sequence[Finding], facts: Facts, hosts: Sequence[str]) -> dict[tuple[str, str], Mark]:
    """Return for each source and destination what stands between them: what either has, and what the two have.

    Not known where nothing stands in the way, and the two were not tried together.
    """
    alone: dict[str, Mark] = dict.fromkeys(hosts, Mark.OK)
    between: dict[tuple[str, str], Mark] = {}
    for finding in findings:
        if finding.peer is None:
            alone[finding.host] = worst((alone.get(finding.host, Mark.OK), _MARKS[finding.severity]))
        else:
            pair = (finding.host, finding.peer)
            between[pair] = worst((between.get(pair, Mark.OK), _MARKS[finding.severity]))
    tried = {(proof.source, proof.destination) for proof in facts.proofs.pairs} if facts.proofs else set()
    marks: dict[tuple[str, str], Mark] = {}
    for source in hosts:
        for destination in hosts:
            if source == destination:
                continue
            pair = (source, destination)
            known = Mark.OK if pair in tried else Mark.UNKNOWN
            marks[pair] = worst((known, alone[source], alone[destination], between.get(pair, Mark.OK)))
    return marks


Said = tuple[tuple[str, tuple[str, ...]], ...]
"""Sentences, and the places of which each is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Findings of one kind, for one reason, on several hosts or pairs.

    A sentence that is said of several places has HOST and PEER instead of the names.
    """

    code: str
    severity: Severity
    places: tuple[str, ...]
    why: str
    what: Said
    evidence: Said
    remedy: Said


def grouped(findings: Iterable[Finding]) -> tuple[Group, ...]:
    """Put findings of one kind together, so that what is the same of many hosts is told once; order is kept."""
    alike: dict[tuple[object, ...], list[Finding]] = {}
    for finding in findings:
        key = (finding.code, finding.severity, _nameless(finding, finding.why))
        alike.setdefault(key, []).append(finding)
    return tuple(
        Group(
            code=members[0].code,
            severity=members[0].severity,
            places=tuple(dict.fromkeys(place(finding) for finding in members)),
            why=members[0].why if len(members) == 1 else _nameless(members[0], members[0].why),
            what=_said((finding, finding.what) for finding in members),
            evidence=_said((finding, finding.evidence) for finding in members),
            remedy=_said((finding, finding.remedy) for finding in members),
        )
        for members in alike.values()
    )


def _said(sentences: Iterable[tuple[Finding, str]]) -> Said:
    by_text: dict[str, dict[str, str]] = {}
    for finding, text in sentences:
        if text:
            by_text.setdefault(_nameless(finding, text), {})[place(finding)] = text
    return tuple(
        (text if len(places) > 1 else next(iter(places.values())), tuple(places)) for text, places in by_text.items()
    )


def _nameless(finding: Finding, text: str) -> str:
    for name, word in ((finding.host, "HOST"), (finding.peer, "PEER")):
        if name:
            text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-]|\.\w)", word, text)
    return text


def place(finding: Finding) -> str:
    """Return where a finding is: a host, none, or a pair as ``source > destination``."""
    return (finding.host or "no host") if finding.peer is None else f"{finding.host} > {finding.peer}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many findings there are of each severity, and how many of them a change would mend."""

    blocks: int
    dangerous: int
    advice: int
    mendable: int

    @property
    def total(self) -> int:
        """All findings."""
        return self.blocks + self.dangerous + self.advice


def counts(findings: Sequence[Finding]) -> Counts:
    """Count findings."""
    by: Mapping[Severity, int] = {
        severity: sum(finding.severity is severity for finding in findings) for severity in Severity
    }
    return Counts(
        blocks=by[Severity.BLOCKS],
        dangerous=by[Severity.DANGEROUS],
        advice=by[Severity.ADVICE],
        mendable=sum(bool(finding.changes) for finding in findings),
    )


def on_the_way(findings: Iterable[Finding], source: str, destinations: Sequence[str]) -> tuple[Finding, ...]:
    """Return what concerns moves from a host to some others: what either has, and what is between the two."""
    hosts = {source, *destinations}
    return tuple(
        finding
        for finding in findings
        if (finding.host in hosts if finding.peer is None else finding.host == source and finding.peer in hosts)
    )


def concerning(findings: Iterable[Finding], hosts: Sequence[str], *, only_between: bool = False) -> tuple[Finding, ...]:
    """Return the findings on these hosts, or between one of them and any other.

    With ``only_between`` a finding of a pair counts only if both are among the hosts.
    """
    chosen = set(hosts)

    def concerns(finding: Finding) -> bool:
        if finding.peer is None:
            return finding.host in chosen
        named = (finding.host in chosen, finding.peer in chosen)
        return all(named) if only_between else any(named)

    return tuple(finding for finding in findings if concerns(finding))
