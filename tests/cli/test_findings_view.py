"""How findings are laid out: widths, many hosts, many lines."""

from __future__ import annotations

import pytest

from hotfoot.cli.findings import closing_sentence, print_findings
from hotfoot.readiness.change import Change, Phase, Refresh
from hotfoot.readiness.facts import Facts, HostFacts
from hotfoot.readiness.finding import Finding, Severity, Topic

TOPICS = (Topic(name="names", title="Names", judge=lambda _cluster, _facts: ()),)


def finding(host: str = "n1", severity: Severity = Severity.BLOCKS, *, mended: bool = False, **more: str) -> Finding:
    step = Change(host=host, phase=Phase.NAMES, step=Refresh(unit="x"))
    words = {"what": f"{host} is wrong.", "evidence": "seen", "why": "because", "remedy": "mend it"} | more
    return Finding(
        code="names.wrong",
        severity=severity,
        host=host,
        what=words["what"],
        evidence=words["evidence"],
        why=words["why"],
        remedy=words["remedy"],
        changes=(step,) if mended else (),
    )


def facts(*hosts: str) -> Facts:
    return Facts(hosts=tuple(HostFacts(host=host) for host in hosts))


@pytest.mark.parametrize(
    ("findings", "sentence"),
    [
        ([], "Nothing found: 1 host looked at."),
        ([finding()], "1 finding blocks migration; it is left to a person."),
        (
            [finding(mended=True)],
            "1 finding blocks migration; `hotfoot prepare --dry-run` shows what would mend it.",
        ),
        (
            [finding(), finding(severity=Severity.DANGEROUS, mended=True), finding(severity=Severity.ADVICE)],
            "1 finding blocks migration, 1 is dangerous, 1 is advice; `hotfoot prepare --dry-run` shows what would "
            "mend 1 of them.",
        ),
        (
            [finding(mended=True), finding("n2", mended=True)],
            "2 findings block migration; `hotfoot prepare --dry-run` shows what would mend all.",
        ),
    ],
)
def test_the_closing_sentence_counts(findings: list[Finding], sentence: str) -> None:
    assert closing_sentence(findings, ["n1"]) == sentence


def test_no_line_is_wider_than_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    hosts = [f"compute-{number:02}" for number in range(20)]
    many = [finding(host, why="long words " * 30, evidence="\n".join(f"line {n}" for n in range(40))) for host in hosts]
    print_findings(facts(*hosts), TOPICS, many, hosts)
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("blocks migration") for line in lines) == 1
    assert "and 8 more" in " ".join(" ".join(lines).split())
    assert [line for line in lines if len(line) > 60] == []
    assert any("lines more" in line for line in lines)


def test_of_many_hosts_only_those_with_findings_are_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    hosts = [f"n{number}" for number in range(1, 101)]
    untried = Topic(name="ports", title="Ports", judge=lambda _cluster, _facts: (), sections=("proofs",))
    print_findings(facts(*hosts), (*TOPICS, untried), [finding("n7")], hosts)
    out = capsys.readouterr().out
    assert "99 hosts without a finding are left out." in out
    assert "n7" in out
    assert "n8" not in out
    assert "FROM / TO" not in out


def test_evidence_is_told_for_each_host_where_it_differs(capsys: pytest.CaptureFixture[str]) -> None:
    findings = [finding("n1", evidence="line 1"), finding("n2", evidence="line 1"), finding("n3", evidence="a\nb")]
    print_findings(facts("n1", "n2", "n3"), TOPICS, findings, ["n1", "n2", "n3"])
    out = capsys.readouterr().out
    assert "HOST is wrong." in out
    assert "n1, n2: line 1" in out
    assert "n3:\n          a\n          b" in out
