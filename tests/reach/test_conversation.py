from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from hotfoot.cluster.validation import cluster_from
from hotfoot.errors import HotfootError
from hotfoot.reach.conversation import Conversation, begin
from hotfoot.reach.ssh import prepare

from .conftest import Sshd, free_port

ECHO = """
import sys
for line in sys.stdin:
    print("heard " + line.strip(), flush=True)
"""


async def start(sshd: Sshd, folder: Path, source: str, **ssh: Any) -> Conversation:
    own = {"user": sshd.user, "port": sshd.port, "key": str(sshd.key), "known_hosts": str(sshd.known_hosts)}
    host = {"name": "n1", "address": "127.0.0.1", "ssh": own | ssh}
    access = prepare(cluster_from({"hosts": [host]}), folder)
    return await begin(access, access.cluster.hosts[0], source, "tried.py")


async def test_lines_go_to_and_fro(sshd: Sshd, tmp_path: Path) -> None:
    talk = await start(sshd, tmp_path, ECHO)
    try:
        await talk.tell("one")
        assert await talk.hear() == "heard one"
        await talk.tell("two" * 100_000)
        assert await talk.hear() == "heard " + "two" * 100_000
    finally:
        await talk.close()


async def test_the_program_sees_the_end_and_may_clean_up(sshd: Sshd, tmp_path: Path) -> None:
    mark = tmp_path / "cleaned"
    source = f"import sys\nprint('ready', flush=True)\nsys.stdin.read()\nopen({str(mark)!r}, 'w').close()\n"
    talk = await start(sshd, tmp_path, source)
    assert await talk.hear() == "ready"
    await talk.close()
    assert mark.exists()


async def test_a_program_that_does_not_end_is_left_behind(sshd: Sshd, tmp_path: Path) -> None:
    talk = await start(sshd, tmp_path, "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n")
    pid = int(await talk.hear())
    try:
        async with asyncio.timeout(5):
            await talk.close(patience_s=0.2)
    finally:
        os.kill(pid, 9)


async def test_a_program_that_fails_says_why(sshd: Sshd, tmp_path: Path) -> None:
    talk = await start(sshd, tmp_path, "raise ValueError('no such thing')")
    try:
        with pytest.raises(HotfootError) as caught:
            await talk.hear()
    finally:
        await talk.close()
    assert str(caught.value) == "the program that Hotfoot runs on host n1 ended early: ValueError: no such thing"


async def test_a_host_that_is_not_there(sshd: Sshd, tmp_path: Path) -> None:
    talk = await start(sshd, tmp_path, ECHO, port=free_port())
    try:
        with pytest.raises(HotfootError, match="refuses connections at port"):
            await talk.hear()
    finally:
        await talk.close()
