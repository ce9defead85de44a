"""One move under strain, brought to a phase by what libvirt and Hotfoot say, not by sleeping."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import threading
import time
from typing import Any

from tests.lab.fault_matrix.cell import Phase
from tests.lab.fault_matrix.stage import INSTANCE, Around, Stage

from hotfoot.lab.command import LabError

_REACH_S, _END_S = 90.0, 150.0
_LONGEST_PAUSE_MS = 60_000


class Missed(Exception):
    """The move never was in that phase."""


class Move:
    """A ``hotfoot migrate`` under way."""

    def __init__(self, stage: Stage, around: Around, source: str, destination: str, phase: Phase) -> None:
        policy = "must-finish" if phase is Phase.POST_COPY else "gentle"
        words = ("migrate", INSTANCE, destination, "--no-forecast", "--json", "--policy", policy)
        self.process = stage.start(around, *words)
        self.said: list[str] = []
        self._stage, self._source, self._phase = stage, source, phase
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        self.said += iter(self.process.stderr)

    def reach(self) -> None:
        """Return as soon as the move is in its phase; raises Missed."""
        end = time.monotonic() + _REACH_S
        while not self._there():
            if self.process.poll() is not None:
                self._reader.join()
                raise Missed(f"it had ended: {self.process.stdout.read()} {' '.join(self.said)}")
            if time.monotonic() > end:
                raise Missed(f"not within {_REACH_S:.0f} s")
            time.sleep(0.05)

    def _there(self) -> bool:
        job, state = self._look()
        iteration = int(found[1]) if (found := re.search(r"Iteration: +(\d+)", job)) else 0
        match self._phase:
            case Phase.FIRST:
                return iteration == 1
            case Phase.LATER:
                return iteration >= 2
            case Phase.SWITCH:
                if iteration >= 2 and state.startswith("running"):
                    # What remains takes seconds over this link: so long the guest stands still between the hosts.
                    self._virsh("migrate-setmaxdowntime", INSTANCE, str(_LONGEST_PAUSE_MS))
                return state.startswith("paused")
            case Phase.POST_COPY:
                return "post-copy" in state

    def _look(self) -> tuple[str, str]:
        return self._virsh("domjobinfo", INSTANCE), self._virsh("domstate", INSTANCE, "--reason")

    def _virsh(self, *words: str) -> str:
        with contextlib.suppress(LabError):  # no job yet, or none any more
            return self._stage.on(self._source, "virsh", "-q", *words)
        return ""

    def end(self) -> tuple[int | None, dict[str, Any]]:
        """Wait for the end; return the exit status (None: it was killed) and the result, empty without one."""
        out: str = ""
        try:
            self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.give_up()  # it would outlive the test
            raise
        out = self.process.stdout.read()
        self._reader.join()
        said = "".join(self.said)
        assert "Traceback" not in said, said
        if self.process.returncode < 0:
            return None, {}
        return self.process.returncode, json.loads(out.strip().splitlines()[-1])

    def give_up(self) -> None:
        """Kill a move that missed its phase, or does not end."""
        self.process.kill()
        self.process.wait()
