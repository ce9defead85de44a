"""What a run writes into the cluster file, and how it is taken back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hotfoot.cluster import load
from hotfoot.cluster.text import read_text
from hotfoot.errors import HotfootError
from hotfoot.prepare.declared import TakenBack, declare, take_back
from hotfoot.prepare.export_ansible import ansible
from hotfoot.prepare.export_shell import shell
from hotfoot.prepare.journal import Journal
from hotfoot.prepare.run import RunReport, carry_out
from hotfoot.reach.ssh import prepare
from hotfoot.readiness.change import CONTROLLER, Change, DeclareCpu, Phase
from hotfoot.readiness.facts import Facts
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.plan import Plan, plan

TEXT = "# ours\ncpu: {instances: true}\n# password of the NAS: hunter2\nhosts: [{name: n1, address: 10.0.0.1}]\n"
TITLE = "declare the CPU EPYC-Rome in the cluster file"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "hotfoot.yaml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "state" / "journal.sqlite3")


def planned(file: Path) -> Plan:
    step = DeclareCpu(model="EPYC-Rome", features=("aes",))
    change = Change(host=CONTROLLER, phase=Phase.CLUSTER_FILE, step=step)
    told = {"severity": Severity.ADVICE, "what": "", "evidence": "", "why": "", "remedy": ""}
    findings = [Finding(code="cpu.differ", host=host, changes=(change,), **told) for host in ("n1", "n2")]  # type: ignore[arg-type]
    return plan(findings, Facts(), read_text(file))


def carried_out(file: Path, journal: Journal, run: str) -> RunReport:
    cluster = load(file, file.parent)
    return asyncio.run(
        carry_out(prepare(cluster), cluster, planned(file), run_id=run, cluster_file=file, journal=journal)
    )


def test_several_findings_ask_for_one_change_which_shows_nothing_but_itself(file: Path) -> None:
    (change,) = planned(file).changes
    assert (change.host, change.title, change.codes) == (CONTROLLER, TITLE, ("cpu.differ",))
    assert "+cpu: {model: EPYC-Rome, features: [aes], instances: true}" in change.diff
    assert "hunter2" not in change.diff


def test_exports_name_what_belongs_into_the_file_and_leave_it_to_a_person(file: Path) -> None:
    for text in (shell(planned(file)), ansible(planned(file))):
        assert "# Left to a person: write into the cluster file" in text
        assert "# +cpu: {model: EPYC-Rome, features: [aes], instances: true}" in text
        assert CONTROLLER not in text


def test_without_the_file_s_text_nothing_of_it_is_planned(file: Path) -> None:
    change = Change(host=CONTROLLER, phase=Phase.CLUSTER_FILE, step=DeclareCpu(model="EPYC-Rome"))
    found = Finding(
        code="cpu.differ",
        severity=Severity.ADVICE,
        host="n1",
        what="",
        evidence="",
        why="",
        remedy="",
        changes=(change,),
    )
    assert plan([found], Facts()) == Plan()


def test_a_file_that_cannot_be_added_to_is_left_to_a_person(file: Path) -> None:
    file.write_text(TEXT.replace("{instances: true}", "~"))
    (obstacle,) = planned(file).obstacles
    assert (obstacle.host, obstacle.code) == (CONTROLLER, "cpu.differ")
    assert obstacle.why == f"{file} cannot be edited: its key cpu holds no keys."


def test_it_is_carried_out_journalled_and_taken_back_to_the_byte(file: Path, journal: Journal) -> None:
    run = journal.new_run("cluster")
    report = carried_out(file, journal, run)
    assert (report.outcome, [step.state for step in report.steps]) == ("completed", ["done"])
    assert load(file, file.parent).cpu.model == "EPYC-Rome"
    assert [(step.host, step.title, step.state) for step in journal.steps(run)] == [(CONTROLLER, TITLE, "done")]
    assert b"hunter2" not in journal.path.read_bytes()
    assert take_back(journal, run) == (TakenBack(TITLE),)
    assert file.read_text() == TEXT
    assert take_back(journal, run) == ()


def test_a_file_that_cannot_be_written_fails_the_step(file: Path, journal: Journal) -> None:
    change = planned(file)
    file.write_text(f"{TEXT}# more\n")
    cluster = load(file, file.parent)
    run = journal.new_run("cluster")
    report = asyncio.run(carry_out(prepare(cluster), cluster, change, run_id=run, cluster_file=file, journal=journal))
    assert report.outcome == "failed"
    assert "was changed since it was read" in report.steps[0].problem
    assert file.read_text() == f"{TEXT}# more\n"
    assert take_back(journal, run) == ()


def test_killed_before_it_was_written_there_is_nothing_to_take_back(file: Path, journal: Journal) -> None:
    run = journal.new_run("cluster")
    declare(journal, run, file, planned(file).changes[0])
    file.write_text(TEXT)  # as if the rename had never come
    assert take_back(journal, run) == (TakenBack(TITLE),)
    assert file.read_text() == TEXT


def test_what_somebody_changed_since_is_left_unless_forced(file: Path, journal: Journal) -> None:
    run = journal.new_run("cluster")
    carried_out(file, journal, run)
    file.write_text(f"{file.read_text()}# mine\n")
    (left,) = take_back(journal, run)
    assert left.problem.endswith("was changed since")
    assert take_back(journal, run, force=True) == (TakenBack(TITLE),)
    assert file.read_text() == f"{TEXT}# mine\n"


def test_what_is_no_longer_there_as_it_was_is_left_even_if_forced(file: Path, journal: Journal) -> None:
    run = journal.new_run("cluster")
    carried_out(file, journal, run)
    file.write_text(file.read_text().replace("EPYC-Rome", "EPYC"))
    (left,) = take_back(journal, run, force=True)
    assert "no longer in it" in left.problem
    assert "EPYC" in file.read_text()


def test_a_file_that_is_gone_is_told(file: Path, journal: Journal) -> None:
    run = journal.new_run("cluster")
    carried_out(file, journal, run)
    file.unlink()
    (left,) = take_back(journal, run)
    assert "cannot be read" in left.problem


def test_a_run_that_does_not_say_which_file_fails(file: Path, journal: Journal) -> None:
    cluster = load(file, file.parent)
    report = asyncio.run(
        carry_out(prepare(cluster), cluster, planned(file), run_id=journal.new_run("cluster"), journal=journal)
    )
    assert report.outcome == "failed"
    with pytest.raises(HotfootError):
        declare(journal, "run", file.parent / "other.yaml", planned(file).changes[0])
