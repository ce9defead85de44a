"""The program that is sent to hosts, run here as a host runs it: its standard input and output are pipes."""

from __future__ import annotations

import ast
import getpass
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hotfoot.reach.probe.script import joined
from hotfoot.reach.proof.doors import knock
from hotfoot.reach.proof.proofs import ON_HOST

RUN = "0123456789ab"


class Program:
    """One running program that takes a host's part."""

    def __init__(self, host: str, patience_s: int = 120) -> None:
        self.host = host
        source = joined("hotfoot.reach.proof", ON_HOST)
        assert "SILENCE_S = 120" in source
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", source.replace("SILENCE_S = 120", f"SILENCE_S = {patience_s}")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **question: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert answer.pop("beat") == question["beat"]
        return answer

    def prepare(self, *folders: Path, network: str | None = None) -> dict[str, Any]:
        tokens = {str(folder): f".hotfoot-proof-{RUN}.{n}-{self.host}" for n, folder in enumerate(folders)}
        return self.ask(beat="prepare", tokens=tokens, network=network)

    def read(self, folder: Path, writer: str, wrote: dict[str, Any]) -> dict[str, Any]:
        token = {"host": writer, "name": f".hotfoot-proof-{RUN}.0-{writer}"}
        token |= {key: wrote[key] for key in ("sha256", "uid", "gid") if key in wrote}
        found: dict[str, Any] = self.ask(beat="look", peers=[], targets=[], tokens={str(folder): [token]})
        seen: dict[str, Any] = found["tokens"][str(folder)][writer]
        return seen

    def look(self, *peers: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.ask(beat="look", peers=peers, targets=[], tokens={})["peers"]
        return found


@pytest.fixture
def start() -> Iterator[Callable[[str], Program]]:
    running: list[Program] = []

    def begin(host: str) -> Program:
        running.append(Program(host))
        return running[-1]

    yield begin
    for program in running:
        for pipe in (program.process.stdin, program.process.stdout):
            assert pipe is not None
            pipe.close()
        program.process.wait(10)


def gone(folder: Path, within_s: float = 5) -> bool:
    end = time.monotonic() + within_s
    while list(folder.iterdir()) and time.monotonic() < end:
        time.sleep(0.02)
    return not list(folder.iterdir())


def test_it_is_written_in_the_oldest_python_of_hosts() -> None:
    ast.parse(joined("hotfoot.reach.proof", ON_HOST), feature_version=(3, 6))


def test_two_hosts_on_one_folder(start: Callable[[str], Program], tmp_path: Path) -> None:
    writer, reader = start("n1"), start("n2")
    wrote = writer.prepare(tmp_path)["folders"][str(tmp_path)]
    reader.prepare(tmp_path)
    assert wrote["problem"] == wrote["lock_error"] == ""
    seen = reader.read(tmp_path, "n1", wrote)
    direct = seen.pop("direct")
    owner = tmp_path.stat()
    assert seen == {
        "problem": "",
        "same": True,
        "uid": owner.st_uid,
        "gid": owner.st_gid,
        "lock_refused": True,
        "lock_error": "",
    }
    assert isinstance(direct, bool)  # as this machine's file system has it
    assert writer.ask(beat="clean") == reader.ask(beat="clean") == {}
    assert list(tmp_path.iterdir()) == []
    assert writer.process.wait(5) == 0


def test_two_hosts_on_folders_of_their_own(start: Callable[[str], Program], tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    mine.mkdir()
    theirs.mkdir()
    wrote = start("n1").prepare(mine)["folders"][str(mine)]
    reader = start("n2")
    reader.prepare(theirs)
    assert reader.read(theirs, "n1", wrote) == {"problem": "", "same": False, "lock_error": ""}


def test_another_s_file_of_that_name_is_not_the_token(start: Callable[[str], Program], tmp_path: Path) -> None:
    writer, reader = start("n1"), start("n2")
    wrote = writer.prepare(tmp_path)["folders"][str(tmp_path)]
    reader.prepare(tmp_path)
    seen = reader.read(tmp_path, "n1", wrote | {"sha256": "0" * 64})
    assert seen["same"] is False


def test_a_lock_that_nobody_holds_is_given(start: Callable[[str], Program], tmp_path: Path) -> None:
    reader = start("n2")
    reader.prepare(tmp_path)
    token = tmp_path / f".hotfoot-proof-{RUN}.0-n1"
    token.write_bytes(b"x")
    seen = reader.read(tmp_path, "n1", {"sha256": hashlib.sha256(b"x").hexdigest()})
    assert (seen["same"], seen["lock_refused"], seen["lock_error"]) == (True, False, "")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_an_owner_that_a_file_system_tells_late_is_waited_for(start: Callable[[str], Program], tmp_path: Path) -> None:
    reader = start("n2")
    reader.prepare(tmp_path)
    token = tmp_path / f".hotfoot-proof-{RUN}.0-n1"
    token.write_bytes(b"x")
    wrote = {"sha256": hashlib.sha256(b"x").hexdigest(), "uid": 511, "gid": 511}
    assert (seen := reader.read(tmp_path, "n1", wrote))["uid"] == 0, seen
    late = threading.Timer(0.2, os.chown, (token, 511, 511))
    late.start()
    seen = reader.read(tmp_path, "n1", wrote)
    late.join()
    assert (seen["uid"], seen["gid"]) == (511, 511)


def test_a_folder_that_cannot_be_written(start: Callable[[str], Program], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    missing, file = tmp_path / "missing", tmp_path / "file"
    folders = start("n1").prepare(missing, file)["folders"]
    assert folders[str(missing)]["problem"] == "No such file or directory"
    assert folders[str(file)]["problem"] == "Not a directory"


def test_old_tokens_of_killed_hosts_go_and_nothing_else(start: Callable[[str], Program], tmp_path: Path) -> None:
    stale, young, strange = (
        tmp_path / name
        for name in (f".hotfoot-proof-{'a' * 12}.0-n7", f".hotfoot-proof-{'b' * 12}.0-n7", ".hotfoot-proof-of-mine")
    )
    for file in (stale, young, strange):
        file.touch()
    for file in (stale, strange):
        os.utime(file, (time.time() - 3700,) * 2)
    program = start("n1")
    program.prepare(tmp_path)
    program.ask(beat="clean")
    assert sorted(tmp_path.iterdir()) == sorted((young, strange))


@pytest.mark.parametrize("end", ["stdin", "SIGTERM", "SIGHUP", "SIGKILL"])
def test_no_token_stays_however_it_ends(start: Callable[[str], Program], tmp_path: Path, end: str) -> None:
    program = start("n1")
    program.prepare(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    if end == "stdin":
        assert program.process.stdin is not None
        program.process.stdin.close()
    else:
        program.process.send_signal(signal.Signals[end])
    program.process.wait(5)
    assert gone(tmp_path)


def test_no_token_stays_when_nobody_says_a_word_any_more(tmp_path: Path) -> None:
    program = Program("n1", patience_s=1)
    program.prepare(tmp_path)
    assert program.process.wait(5) == 0
    assert gone(tmp_path)


def test_no_token_stays_when_it_ends_while_it_looks(start: Callable[[str], Program], tmp_path: Path) -> None:
    program = start("n1")
    program.prepare(tmp_path)
    assert program.process.stdin is not None
    trial = {"at": ["127.0.0.1", 1], "user": getpass.getuser(), "argv": ["sleep", "30"]}
    peer = {"host": "n2", "knock": [], "tries": {"ssh": trial}}
    program.process.stdin.write(json.dumps({"beat": "look", "peers": [peer], "tokens": {}}) + "\n")
    program.process.stdin.close()
    began = time.monotonic()
    program.process.wait(5)
    assert time.monotonic() - began < 3
    assert gone(tmp_path)


def test_it_listens_where_migrations_would(start: Callable[[str], Program]) -> None:
    first, last = start("n1").prepare(network="127.0.0.0/8")["ports"]
    assert knock([("127.0.0.1", first), ("127.0.0.1", last)]) == {
        ("127.0.0.1", first): "open",
        ("127.0.0.1", last): "open",
    }
    assert first < last


def test_own_addresses_in_the_migration_network(start: Callable[[str], Program]) -> None:
    assert start("n1").prepare(network="127.0.0.0/8")["addresses"] == ["127.0.0.1"]
    assert start("n2").prepare(network="203.0.113.0/24")["addresses"] == []


def test_what_programs_complain_about(start: Callable[[str], Program]) -> None:
    def trial(script: str, user: str = getpass.getuser()) -> dict[str, Any]:
        return {"at": ["127.0.0.1", 1], "user": user, "argv": ["sh", "-c", script]}

    tries = {
        "well": trial("echo out; exit 0"),
        "badly": trial("echo said >&2; exit 3"),
        "silently": trial("exit 3"),
        "nobody": trial("true", "no-such-user"),
    }
    found = start("n1").look({"host": "n2", "knock": [], "tries": tries})
    assert found["n2"]["said"] == {
        "well": "",
        "badly": "said",
        "silently": "ended with status 3",
        "nobody": "user no-such-user does not exist",
    }


@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes another user")
def test_a_try_runs_as_the_user_with_the_user_s_own_home(start: Callable[[str], Program]) -> None:
    script = 'echo "$(id -un) $HOME $LC_ALL" >&2; exit 1'
    trial = {"at": ["127.0.0.1", 1], "user": "nobody", "argv": ["sh", "-c", script]}
    found = start("n1").look({"host": "n2", "knock": [], "tries": {"ssh": trial}})
    assert found["n2"]["said"]["ssh"].startswith("nobody /nonexistent C")


def test_a_closed_port_is_told_and_not_tried() -> None:
    with socket.socket() as full, socket.socket() as closed:
        full.bind(("127.0.0.1", 0))
        closed.bind(("127.0.0.1", 0))
        full.listen(0)
        callers = [socket.socket() for _ in range(4)]
        for caller in callers:  # more than may wait: the kernel then drops what comes, as a firewall does
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
        states = knock([full.getsockname(), closed.getsockname(), ("no-such-name.invalid", 22)])
        assert states == {full.getsockname(): "filtered", closed.getsockname(): "refused"}
        for caller in callers:
            caller.close()
