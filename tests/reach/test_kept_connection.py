"""Connections that are kept open for many commands, against a real sshd."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from hotfoot.cluster import Host
from hotfoot.errors import HotfootError
from hotfoot.reach.kept_connection import WORTH_IT, KeptConnections
from hotfoot.reach.ssh import SshAccess

from .conftest import Sshd
from .test_ssh import access

WHICH = "echo $SSH_CONNECTION"
"""Tells the port that the login came from: commands that share a login say the same."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: that of a socket must not be long."""
    with tempfile.TemporaryDirectory(prefix="kept-") as made:
        yield Path(made)


@pytest.fixture
def reach(sshd: Sshd, folder: Path) -> SshAccess:
    return access(sshd, folder)


@pytest.fixture
async def kept(reach: SshAccess) -> AsyncIterator[KeptConnections]:
    connections = KeptConnections(reach)
    yield connections
    await connections.close()


async def shared(kept: KeptConnections, host: Host) -> str:
    """Ask until two commands in turn came over one login; returns which."""
    last = ""
    for _ in range(200):
        now = (await kept.run(host, WHICH, 30)).stdout
        if now == last:
            return now
        last = now
        await asyncio.sleep(0.05)
    raise AssertionError("no two commands shared a login")


def keeping(path: Path) -> list[int]:
    """Return the processes that keep a connection open whose socket is at or below this path."""
    listed = subprocess.run(["pgrep", "-f", f"ControlPath={path}"], capture_output=True, text=True, check=False)
    return [int(pid) for pid in listed.stdout.split()]


def sockets(reach: SshAccess) -> list[Path]:
    return [path for path in reach.config.parent.iterdir() if path.is_socket()]


async def test_a_host_that_is_asked_often_is_logged_in_to_once(reach: SshAccess, kept: KeptConnections) -> None:
    host = reach.cluster.hosts[0]
    first = [(await kept.run(host, WHICH, 30)).stdout for _ in range(WORTH_IT - 1)]
    assert len(set(first)) == WORTH_IT - 1
    assert sockets(reach) == []
    login = await shared(kept, host)
    many = await asyncio.gather(*(kept.run(host, f"{WHICH}; exit {n}", 30) for n in range(5)))
    assert {done.stdout for done in many} == {login}
    assert [done.status for done in many] == [0, 1, 2, 3, 4]
    await kept.close()
    assert sockets(reach) == []


async def test_when_the_kept_connection_dies_commands_log_in_by_themselves(
    reach: SshAccess, kept: KeptConnections
) -> None:
    host = reach.cluster.hosts[0]
    login = await shared(kept, host)
    for pid in keeping(sockets(reach)[0]):
        os.kill(pid, signal.SIGKILL)
    assert (await kept.run(host, WHICH, 30)).stdout != login
    assert await shared(kept, host) != login


async def test_what_is_wrong_with_a_host_is_told_as_ever(sshd: Sshd, folder: Path) -> None:
    reach = access(sshd, folder, port=1)
    kept = KeptConnections(reach)
    for _ in range(WORTH_IT + 2):
        with pytest.raises(HotfootError, match="refuses connections at port 1"):
            await kept.run(reach.cluster.hosts[0], "true", 30)
    await kept.close()


async def test_a_place_whose_name_is_too_long_for_a_socket_costs_nothing_but_logins(sshd: Sshd, folder: Path) -> None:
    deep = folder / ("x" * 100)
    deep.mkdir()
    reach = access(sshd, deep)
    kept = KeptConnections(reach)
    done = [(await kept.run(reach.cluster.hosts[0], WHICH, 30)).stdout for _ in range(WORTH_IT + 4)]
    await kept.close()
    assert len(set(done)) == WORTH_IT + 4


_KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from hotfoot.cluster.validation import cluster_from
from hotfoot.reach.kept_connection import KeptConnections
from hotfoot.reach.ssh import prepare

folder, user, port, key, known_hosts = sys.argv[1:]
ssh = {"user": user, "port": int(port), "key": key, "known_hosts": known_hosts, "sudo": False}
reach = prepare(cluster_from({"hosts": [{"name": "n1", "address": "127.0.0.1", "ssh": ssh}]}), Path(folder))

async def main():
    kept = KeptConnections(reach)
    for _ in range(100):
        await kept.run(reach.cluster.hosts[0], "true", 30)
        if any(path.is_socket() for path in reach.config.parent.iterdir()):
            os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def test_nothing_is_left_of_a_process_that_was_killed(sshd: Sshd, folder: Path) -> None:
    own = [str(folder), sshd.user, str(sshd.port), str(sshd.key), str(sshd.known_hosts)]
    done = subprocess.run([sys.executable, "-c", _KILLED, *own], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    for _ in range(200):
        if not keeping(folder):
            break
        time.sleep(0.05)
    assert keeping(folder) == []
    assert [path for path in folder.rglob("*") if path.is_socket()] == []
