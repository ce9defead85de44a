"""A host's part in proving what needs two hosts: told what to do line by line, over its standard input.

Runs as root on Python 3.6 and newer, with the standard library alone, joined with its neighbours before it is sent.
Each question and answer is one line of JSON with the key ``beat``: ``prepare`` (write and lock tokens, listen on
migration ports), ``look`` (read the others' tokens, knock at their ports, log in to them and to iSCSI targets),
``clean`` (remove and end).
When its input ends, on a signal, and after a long silence it cleans up and ends by itself.
"""

import json
import os
import pwd
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hotfoot.reach.proof.doors import addresses_in, knock, listeners, migration_ports
from hotfoot.reach.proof.iscsi import target_seen
from hotfoot.reach.proof.pools import PoolToken
from hotfoot.reach.proof.tokens import FolderToken, Keeper
from hotfoot.reach.proof.waiting import Ended, Lines, Waiter, said, write_all

ANSWER_S = 10.0
"""How long a file system may take for one token before it counts as hung."""
LOOK_S = 60.0
TRY_S = 20
AT_ONCE = 4
"""Peers looked at at the same time: sshd drops logins at random when more than 10 are under way (MaxStartups)."""

_SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SAID_CHARACTERS = 1000


class Host:
    """One host while the proof lasts: what it holds, and what it looks at."""

    def __init__(self) -> None:
        self._waiter = Waiter(Lines(0))
        self._keepers: list[Keeper] = []
        self._answering: list[Keeper] = []
        self._listening: list[socket.socket] = []
        self._running: set[subprocess.Popen[bytes]] = set()

    def take_part(self) -> None:
        """Answer the questions until the last; whatever happens, nothing is left."""
        beats = {"prepare": self._prepare, "look": self._look, "clean": self._clean}
        try:
            while True:
                question = self._waiter.question()
                answer = beats[question["beat"]](question)
                write_all(1, json.dumps(dict(answer, beat=question["beat"])).encode() + b"\n")
                if question["beat"] == "clean":
                    return
        except (Ended, BrokenPipeError):
            pass
        finally:
            for process in list(self._running):
                process.terminate()
            for keeper in self._keepers:
                keeper.let_go()

    def _prepare(self, question: "dict[str, Any]") -> "dict[str, Any]":
        tokens = question["tokens"]
        for path, token in tokens.items():
            self._keepers.append(Keeper(path, FolderToken(path, token)))
        for asked in question.get("pools", ()):
            self._keepers.append(Keeper(asked["place"], PoolToken(asked)))
        held = self._hear(self._keepers, time.monotonic() + ANSWER_S)
        hung = {"problem": f"the storage did not answer within {ANSWER_S:g} s", "refused": False}
        self._answering = [keeper for keeper in self._keepers if keeper.path in held]
        self._listening = listeners(*migration_ports())
        return {
            "folders": {keeper.path: held.get(keeper.path) or hung for keeper in self._keepers},
            "ports": [each.getsockname()[1] for each in self._listening],
            "addresses": addresses_in(question["network"]) if question["network"] else [],
        }

    def _look(self, question: "dict[str, Any]") -> "dict[str, Any]":
        until = time.monotonic() + LOOK_S
        asked = [keeper for keeper in self._keepers if question["tokens"].get(keeper.path)]
        for keeper in asked:
            keeper.ask({"tokens": question["tokens"][keeper.path]})
        seen: dict[str, Any] = {}
        targets: dict[str, Any] = {}
        done_read, done_write = os.pipe()
        pool = ThreadPoolExecutor(AT_ONCE)

        def look_at(peer: "dict[str, Any]") -> None:
            try:
                seen[peer["host"]] = self._look_at(peer)
            finally:
                os.write(done_write, b".")

        def log_in(target: "dict[str, Any]") -> None:
            try:
                targets[target["target"]] = target_seen(target)
            finally:
                os.write(done_write, b".")

        for target in question["targets"]:
            pool.submit(log_in, target)
        for peer in question["peers"]:
            pool.submit(look_at, peer)
        # Time for each token's turn, on top of what one may take.
        most = max([len(tokens) for tokens in question["tokens"].values()] or [0])
        tokens = self._hear(asked, min(until, time.monotonic() + ANSWER_S + most * 0.1))
        left = len(question["peers"]) + len(question["targets"])
        while left and time.monotonic() < until:
            if done_read in self._waiter.wait([done_read], until):
                left -= len(os.read(done_read, 1 << 10))
        return {"tokens": tokens, "peers": dict(seen), "targets": dict(targets)}

    def _clean(self, _: "dict[str, Any]") -> "dict[str, Any]":
        """Have all tokens removed, and wait for it, but not for a file system that hangs."""
        for keeper in self._keepers:
            keeper.let_go()
        waiting, self._keepers = self._answering, []
        until = time.monotonic() + ANSWER_S
        while waiting and time.monotonic() < until:
            ready = self._waiter.wait([keeper.descriptor for keeper in waiting], until)
            waiting = [keeper for keeper in waiting if keeper.descriptor not in ready or not keeper.hear()[1]]
        return {}

    def _hear(self, keepers: "list[Keeper]", until: float) -> "dict[str, Any]":
        """Return each keeper's answer by its path; those that do not answer in time are left out."""
        answers: dict[str, Any] = {}
        waiting = list(keepers)
        while waiting and time.monotonic() < until:
            ready = self._waiter.wait([keeper.descriptor for keeper in waiting], until)
            for keeper in [each for each in waiting if each.descriptor in ready]:
                answer, ended = keeper.hear()
                if answer is not None:
                    answers[keeper.path] = answer
                if answer is not None or ended:
                    waiting.remove(keeper)
        return answers

    def _look_at(self, peer: "dict[str, Any]") -> "dict[str, Any]":
        states = knock([(address, port) for address, port in peer["knock"]])
        ports = {str(port): states[address, port] for address, port in peer["knock"] if (address, port) in states}
        complaints = {}
        for name, trial in peer["tries"].items():
            # Where the port is closed the ports tell, and a try would only take its time.
            if states.get(tuple(trial["at"]), "open") == "open":
                complaints[name] = self._try(trial)
        return {"ports": ports, "said": complaints}

    def _try(self, trial: "dict[str, Any]") -> str:
        complaint = self._complaint_of(trial)
        # What sshd does to a login when too many others are under way.
        if "kex_exchange_identification" in complaint or "Connection closed by" in complaint:
            time.sleep(1)
            complaint = self._complaint_of(trial)
        return complaint

    def _complaint_of(self, trial: "dict[str, Any]") -> str:
        """Run a program as a user; return what it complained about, nothing when it succeeded."""
        try:
            who = pwd.getpwnam(trial["user"] or "root")
        except KeyError:
            return f"user {trial['user']} does not exist"
        env = {"PATH": _SEARCH, "LC_ALL": "C", "HOME": who.pw_dir, "USER": who.pw_name, "LOGNAME": who.pw_name}
        argv = ["runuser", "-u", who.pw_name, "--"] if who.pw_uid != os.getuid() else []
        # Limited by a program of its own, so that it ends even when this one was killed.
        argv = ["timeout", "-k", "2", str(TRY_S)] + argv + trial["argv"]
        try:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, cwd="/"
            )
        except OSError as error:
            return f"{argv[0]}: {said(error)}"
        self._running.add(process)
        complaint = process.communicate()[0].decode(errors="replace").strip()
        self._running.discard(process)
        if process.returncode == 0:
            return ""
        if process.returncode in (124, 137, -9):  # timeout(1) kills itself too, once it had to kill
            return f"no answer within {TRY_S} s"
        return complaint[:_SAID_CHARACTERS] or f"ended with status {process.returncode}"


if __name__ == "__main__":
    os.environ["PATH"] = _SEARCH
    Host().take_part()
    os._exit(0)  # a thread may still wait for a program that was told to end
