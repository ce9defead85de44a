"""The two halves of the throughput trial, run against each other on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hotfoot.reach.probe.script import joined
from hotfoot.reach.proof.speed import ON_HOST

TOKEN = "0123456789abcdef"


class Half:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def tell(self, **question: Any) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self._process.stdout
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@contextmanager
def half() -> Iterator[Half]:
    argv = [sys.executable, "-I", "-c", joined("hotfoot.reach.proof", ON_HOST)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Half(process)
        finally:
            assert process.stdin
            process.stdin.close()
            process.wait()
    assert process.returncode == 0


def test_what_one_sends_the_other_counts() -> None:
    with half() as counter, half() as sender:
        counter.tell(act="listen")
        port = counter.hear()["port"]
        counter.tell(act="count", token=TOKEN, seconds=0.2)
        sender.tell(act="send", address="127.0.0.1", port=port, token=TOKEN, seconds=0.2)
        assert sender.hear() == {}
        counted = counter.hear()
        assert counted["bytes"] > 0
        assert counted["seconds"] > 0


def test_a_caller_who_does_not_know_the_token_is_not_counted() -> None:
    with half() as counter, half() as stranger, half() as sender:
        counter.tell(act="listen")
        port = counter.hear()["port"]
        counter.tell(act="count", token=TOKEN, seconds=0.2)
        stranger.tell(act="send", address="127.0.0.1", port=port, token=TOKEN[::-1], seconds=0.0)
        stranger.hear()
        sender.tell(act="send", address="127.0.0.1", port=port, token=TOKEN, seconds=0.2)
        assert sender.hear() == {}
        assert counter.hear()["bytes"] > 0


def test_a_closed_port_is_told() -> None:
    with half() as counter, half() as sender:
        counter.tell(act="listen")
        port = counter.hear()["port"]
        sender.tell(act="send", address="127.0.0.1", port=port - 1, token=TOKEN, seconds=0.1)
        assert "refused" in sender.hear()["problem"]


def test_the_program_is_one_that_old_python_reads() -> None:
    source = joined("hotfoot.reach.proof", ON_HOST)
    assert source.isascii()
    compile(source, "host_speed.py", "exec")
