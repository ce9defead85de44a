"""``hotfoot check`` and ``prepare`` where no host answers: findings, exit statuses and words, never a traceback."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("ssh") is None, reason="this machine has no ssh client")


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    file = tmp_path / "hotfoot.yaml"
    file.write_text(
        f"ssh: {{port: {port}}}\nlibvirt: {{transport: tls, pki: pki}}\n"
        "hosts:\n  - {name: n1, address: 127.0.0.1}\n  - {name: n2, address: 127.0.0.2}\n"
    )
    return file


def _hotfoot(cluster: Path, *words: str, encoding: str = "utf-8") -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", "from hotfoot.cli import main; main()", *words, "--cluster", str(cluster)]
    env = {
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": str(cluster.parent),
        "XDG_STATE_HOME": str(cluster.parent / "state"),
        "PYTHONIOENCODING": encoding,
    }
    done = subprocess.run(
        argv, capture_output=True, encoding=encoding, timeout=60, check=False, env=env, stdin=subprocess.DEVNULL
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_hosts_that_do_not_answer_are_findings(cluster: Path) -> None:
    done = _hotfoot(cluster, "check")
    assert done.returncode == 8
    assert "system.unreachable" in done.stdout
    assert "2 findings block migration" in done.stdout
    assert "✗" in done.stdout


def test_signs_are_plain_where_the_output_cannot_hold_others(cluster: Path) -> None:
    done = _hotfoot(cluster, "check", encoding="ascii")
    assert done.returncode == 8
    assert "X blocks migration" in done.stdout


def test_json_is_one_object_with_findings_hosts_and_pairs(cluster: Path) -> None:
    done = _hotfoot(cluster, "check", "--json")
    assert done.returncode == 8
    found = json.loads(done.stdout)
    assert [(each["code"], each["severity"], each["host"]) for each in found["findings"]] == [
        ("system.unreachable", "blocks", "n1"),
        ("system.unreachable", "blocks", "n2"),
    ]
    assert [(host["name"], host["answers"], host["state"]) for host in found["hosts"]] == [
        ("n1", False, "blocks"),
        ("n2", False, "blocks"),
    ]
    assert found["hosts"][0]["topics"]["names"] == "unknown"
    assert {(pair["source"], pair["destination"], pair["state"]) for pair in found["pairs"]} == {
        ("n1", "n2", "blocks"),
        ("n2", "n1", "blocks"),
    }


def test_one_host_alone_is_told_of_alone(cluster: Path) -> None:
    found = json.loads(_hotfoot(cluster, "check", "--json", "--host", "n2").stdout)
    assert [each["host"] for each in found["findings"]] == ["n2"]
    assert [host["name"] for host in found["hosts"]] == ["n2"]


def test_what_the_hosts_told_is_recorded(cluster: Path, tmp_path: Path) -> None:
    _hotfoot(cluster, "check", "--record", str(tmp_path / "facts.json"))
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert [silence["host"] for silence in facts["silent"]] == ["n1", "n2"]
    refused = _hotfoot(cluster, "check", "--record", str(tmp_path / "no" / "facts.json"))
    assert refused.returncode == 1
    assert "cannot be written" in refused.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--topic", "nonsense"), "topics are system,"),
        (("--host", "n9"), 'no host "n9"'),
        (("--pair", "n1", "n1"), "takes two hosts"),
        (("--instance", "vm1"), "no host that answers has an instance vm1; n1, n2 did not answer"),
    ],
)
def test_a_wrong_word_is_named(cluster: Path, words: tuple[str, ...], told: str) -> None:
    done = _hotfoot(cluster, "check", *words)
    assert done.returncode == 2
    assert told in done.stderr


def test_prepare_has_nothing_to_do_where_nobody_answers_and_says_what_is_left(cluster: Path) -> None:
    done = _hotfoot(cluster, "prepare", "--yes")
    assert done.returncode == 8
    assert "Nothing to do that could be done from here" in done.stdout
    assert "system.unreachable" in done.stdout
    found = json.loads(_hotfoot(cluster, "prepare", "--yes", "--json").stdout)
    assert (found["run"], found["changes"], found["outcome"]) == (None, [], "nothing to do")


@pytest.mark.parametrize("form", ["shell", "ansible"])
def test_an_export_of_nothing_is_still_valid(cluster: Path, form: str) -> None:
    done = _hotfoot(cluster, "prepare", "--export", form)
    assert done.returncode == 0
    assert done.stdout.startswith("#")
    assert _hotfoot(cluster, "prepare", "--export", "puppet").returncode == 2


def test_a_run_that_nobody_knows_cannot_be_taken_back(cluster: Path) -> None:
    done = _hotfoot(cluster, "prepare", "--undo", "20200101-0000-aa")
    assert done.returncode == 2
    assert "no host knows the run 20200101-0000-aa" in done.stderr
    assert "n1, n2 did not answer" in done.stderr


def test_no_runs_are_listed_where_there_were_none(cluster: Path) -> None:
    done = _hotfoot(cluster, "prepare", "--runs", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["runs"] == []
