"""The commands against hosts where nothing listens: words and exit statuses, never a traceback."""

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
        f"libvirt: {{transport: tcp, port: {port}}}\n"
        "hosts:\n  - {name: n1, address: 127.0.0.1}\n  - {name: n2, address: 127.0.0.2}\n"
    )
    return file


def _hotfoot(cluster: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", "from hotfoot.cli import main; main()", *words, "--cluster", str(cluster)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
    return done


def test_hosts_that_do_not_answer_are_shown_as_such(cluster: Path) -> None:
    done = _hotfoot(cluster, "hosts")
    assert done.returncode == 0
    assert done.stdout.count("no answer") == 2
    assert "Nothing answers on port" in done.stderr
    found = json.loads(_hotfoot(cluster, "hosts", "--json").stdout)["hosts"]
    assert [(host["name"], host["answers"]) for host in found] == [("n1", False), ("n2", False)]


def test_ls_says_which_hosts_it_could_not_ask(cluster: Path) -> None:
    found = json.loads(_hotfoot(cluster, "ls", "--json").stdout)
    assert found["instances"] == []
    assert [each["host"] for each in found["unreachable"]] == ["n1", "n2"]


@pytest.mark.parametrize("extra", [[], ["--dry-run"]])
def test_a_move_of_what_cannot_be_found_is_refused(cluster: Path, extra: list[str]) -> None:
    done = _hotfoot(cluster, "migrate", "web1", "n2", *extra)
    assert done.returncode == 3
    assert "It may be on n1, n2, which did not answer" in done.stderr


def test_a_refused_move_ends_with_the_object_too(cluster: Path) -> None:
    done = _hotfoot(cluster, "migrate", "web1", "n9", "--json")
    said = json.loads(done.stdout)
    assert (done.returncode, said["outcome"], said["instance"]) == (3, "failed", "web1")
    assert "no host 'n9'" in said["reason"]


def test_nothing_is_running_where_nobody_answers(cluster: Path) -> None:
    assert json.loads(_hotfoot(cluster, "watch", "--once", "--json").stdout) == {"migrations": []}
    assert _hotfoot(cluster, "abort", "web1").returncode == 3


def test_an_instance_that_nobody_shows_is_not_recovered(cluster: Path) -> None:
    done = _hotfoot(cluster, "recover", "web1", "--dry-run")
    assert done.returncode == 3
    assert "It may be on n1, n2, which did not answer" in done.stderr


def test_a_rate_without_its_unit_is_a_usage_error(cluster: Path) -> None:
    done = _hotfoot(cluster, "migrate", "web1", "--bandwidth", "800")
    assert done.returncode == 2
    assert "--bandwidth must be a rate with its unit" in done.stderr
