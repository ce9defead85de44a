"""A host's part in measuring the way between two: one sends as fast as it goes for a moment, the other counts.

Runs on Python 3.6 and newer, with the standard library alone, joined with its neighbours before it is sent. Each
question and answer is one line of JSON: ``listen`` opens one migration port, ``count`` tells what came through it,
``send`` fills the way. It ends with its input.
"""

import json
import os
import socket
import time
from typing import Any

from hotfoot.reach.proof.doors import listeners, migration_ports
from hotfoot.reach.proof.waiting import write_all

WAIT_S = 5.0
"""For the other one to connect, and for what it sends."""
WARM_SHARE = 0.35
"""The first part of the time is not counted: TCP begins slowly, and shapers let a burst through."""
_BLOCK = 1 << 17


class Speed:
    """One host while the trial lasts."""

    def __init__(self) -> None:
        self._listening: list[socket.socket] = []

    def take_part(self) -> None:
        """Answer until the input ends."""
        acts = {"listen": self._listen, "count": self._count, "send": self._send}
        rest = b""
        while True:
            block = os.read(0, 1 << 16)
            if not block:
                return
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                question = json.loads(line.decode())
                try:
                    answer = acts[question["act"]](question)
                except OSError as error:
                    answer = {"problem": error.strerror or str(error)}
                write_all(1, json.dumps(answer).encode() + b"\n")

    def _listen(self, _: "dict[str, Any]") -> "dict[str, Any]":
        self._listening = listeners(*migration_ports())[-1:]
        if not self._listening:
            return {"problem": "none of its migration ports is free"}
        return {"port": self._listening[0].getsockname()[1], "name": socket.gethostname()}

    def _count(self, question: "dict[str, Any]") -> "dict[str, Any]":
        """Count what comes from the one who knows the token, from some time after its first byte."""
        listener, token = self._listening[0], question["token"].encode()
        until = time.monotonic() + WAIT_S
        while True:
            listener.settimeout(max(0.01, until - time.monotonic()))
            caller, _ = listener.accept()
            caller.settimeout(max(0.01, until - time.monotonic()))
            said = b""
            while len(said) < len(token):
                block = caller.recv(len(token) - len(said))
                if not block:
                    break
                said += block
            if said == token:
                break
            caller.close()
        began = time.monotonic()
        counted, since, last = 0, began, began
        while time.monotonic() < until:
            block = caller.recv(_BLOCK)
            if not block:
                break
            last = time.monotonic()
            if last - began < WARM_SHARE * question["seconds"]:
                since = last
            else:
                counted += len(block)
        caller.close()
        return {"bytes": counted, "seconds": last - since}

    def _send(self, question: "dict[str, Any]") -> "dict[str, Any]":
        way = socket.create_connection((question["address"], question["port"]), WAIT_S)
        way.settimeout(WAIT_S)
        block = os.urandom(_BLOCK)  # what could be compressed on the way would tell too much
        way.sendall(question["token"].encode())
        until = time.monotonic() + question["seconds"]
        while time.monotonic() < until:
            way.sendall(block)
        way.close()
        return {}


if __name__ == "__main__":
    Speed().take_part()
    os._exit(0)
