"""Bricks that run and serve nobody: found, and started anew by a script, with doubles of gluster and ss."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.readiness.test_glusterfs import BRICK, INFO, POOL, STATUS, STOPPED, commands, everywhere, found, server

from hotfoot.readiness.change import Command
from hotfoot.readiness.facts import PathFact
from hotfoot.readiness.finding import Severity
from hotfoot.readiness.gluster_steps import serve_bricks
from hotfoot.readiness.gluster_told import bricks_down, bricks_unserved, own_uuid

OWN = own_uuid(POOL["n2"])
PORT, PID = "<port>60802</port>", "<pid>284</pid>"
GLUSTER = """#!/bin/sh
case "$*" in
    *status*) if [ -e "$HERE/asked" ] && [ -e "$HERE/again" ]; then cat "$HERE/again"; else cat "$HERE/first"; fi;;
    *info*) cat "$HERE/volumes";;
    *start*) echo "$*" >> "$HERE/asked";;
esac
"""


def without_port(status: str = STATUS, pid: int = 284) -> str:
    """Return a status in which the brick of n2 runs as ``pid``, without a port."""
    before, port, after = status.partition(PORT)
    assert port
    return before + "<port>N/A</port>" + after.replace(PID, f"<pid>{pid}</pid>", 1)


@pytest.fixture
def brick() -> Iterator[subprocess.Popen[bytes]]:
    """A process that could be a brick; once it has ended nothing is left of it, as of a child of init."""
    with subprocess.Popen(["sleep", "600"]) as process:
        reaper = threading.Thread(target=process.wait)
        reaper.start()
        yield process
        process.kill()
        reaper.join()


def ran(folder: Path, first: str, again: str | None = None, connections: str = "") -> tuple[int, str, str]:
    """Return how the script ended, what it complained of, and what it asked for."""
    (folder / "info").write_text(f"UUID={OWN}\noperating-version=110000\n")
    (folder / "first").write_text(first)
    (folder / "volumes").write_text(INFO)
    if again is not None:
        (folder / "again").write_text(again)
    (folder / "connections").write_text(connections)
    for name, text in (("gluster", GLUSTER), ("ss", '#!/bin/sh\ncat "$HERE/connections"\n')):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    step = serve_bricks("n2").step
    assert isinstance(step, Command)
    argv = [*step.argv[:-2], str(folder / "info"), "0"]
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "HERE": str(folder)}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=60)
    asked = folder / "asked"
    return done.returncode, done.stderr, asked.read_text() if asked.exists() else ""


def test_a_brick_that_runs_without_a_port_is_found_on_its_own_server() -> None:
    (finding,) = everywhere(gluster_status=without_port())
    assert (finding.code, finding.host) == ("glusterfs.brick-without-port", "n2")
    assert finding.severity is Severity.DANGEROUS
    (change,) = finding.changes
    assert change.host == "n2"
    assert commands(finding)[0].startswith("python3 -I -c")


def test_a_daemon_that_is_started_is_looked_at_where_it_has_bricks() -> None:
    volume = PathFact(path="/var/lib/glusterd/vols/instances", exists=True)
    for paths, looks in (([volume], 1), ([], 0)):
        hosts = [
            server("n1"),
            server("n2", STOPPED).model_copy(update={"paths": {p.path: p for p in paths}}),
            server("n3"),
        ]
        (stopped,) = [finding for finding in found(*hosts) if finding.code == "glusterfs.not-running"]
        titles = [change.step.title for change in stopped.changes if isinstance(change.step, Command)]
        assert titles.count("see that clients find GlusterFS's bricks") == looks


def test_a_brick_that_is_down_has_no_port_either_and_is_no_other_finding() -> None:
    down = without_port().replace(
        "<status>1</status>\n          <port>N/A", "<status>0</status>\n          <port>N/A", 1
    )
    assert len(bricks_down(down, "instances")) == 1
    assert bricks_unserved(down, "instances") == ()
    assert bricks_unserved(STATUS, "instances") == ()


@pytest.mark.parametrize(
    "status",
    [
        STATUS,
        "<cliOutput><opRet>-1</opRet><opErrstr>No volumes present</opErrstr></cliOutput>",
        "<cliOutput><opRet>-1</opRet><opErrstr>Another transaction is in progress</opErrstr></cliOutput>",
        "Connection failed. Please check if gluster daemon is operational.",
    ],
)
def test_where_all_have_ports_or_nothing_is_known_nothing_is_done(tmp_path: Path, status: str) -> None:
    assert ran(tmp_path, status) == (0, "", "")


def test_a_brick_that_serves_nobody_is_ended_and_started_anew(tmp_path: Path, brick: subprocess.Popen[bytes]) -> None:
    own = f'ESTAB 0 0 10.0.0.2:49116 10.0.0.2:24007 users:(("glusterfsd",pid={brick.pid},fd=9))\n'
    others = f'ESTAB 0 0 10.0.0.2:50000 10.0.0.3:49150 users:(("other",pid=1{brick.pid},fd=9))\n'
    again = "--mode=script volume start instances force\n"
    assert ran(tmp_path, without_port(pid=brick.pid), STATUS, own + others) == (0, "", again)


@pytest.mark.parametrize(
    ("others", "pending", "ended"),
    [("59", [], True), ("59", ["xattrop-1"], True), ("59", ["xattrop-1", "8f1c"], False), ("N/A", [], False)],
)
def test_a_brick_with_clients_is_ended_only_if_the_other_copies_are_all_there(
    tmp_path: Path, brick: subprocess.Popen[bytes], others: str, pending: list[str], ended: bool
) -> None:
    index = tmp_path / "brick" / ".glusterfs" / "indices" / "xattrop"
    index.mkdir(parents=True)
    for name in pending:
        (index / name).touch()
    stuck = without_port(pid=brick.pid).replace("<port>49976<", f"<port>{others}<").replace(BRICK, f"{tmp_path}/brick")
    client = f'ESTAB 0 0 10.0.0.2:51510 10.0.0.3:49150 users:(("glusterfsd",pid={brick.pid},fd=12))\n'
    status, said, asked = ran(tmp_path, stuck, STATUS, client)
    assert (status == 0, asked != "", "has clients" not in said) == (ended, ended, ended)
    assert ended or brick.poll() is None


def test_a_brick_that_still_has_no_port_is_told(tmp_path: Path, brick: subprocess.Popen[bytes]) -> None:
    same = without_port(pid=brick.pid)
    status, said, asked = ran(tmp_path, same, same)
    assert status == 1
    assert asked
    assert "was started again, and its daemon knows no port of it" in said
