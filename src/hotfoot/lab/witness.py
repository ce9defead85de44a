"""Talking to the witness inside an instance: its counters, its load, and its check of memory and disk."""

from __future__ import annotations

import json
import socket
import time

from pydantic import BaseModel, ConfigDict

from hotfoot.lab.command import LabError

COMMAND_PORT = 7000
COUNTER_PORT = 7001


class WitnessStatus(BaseModel):
    """What a witness says of itself; the last four fields only in answer to a check."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    boot_id: str
    uptime_s: float
    rate_mib: int
    area_mib: int
    pattern: str
    page_writes: int
    blocks_per_second: int
    blocks_written: int
    disk_errors: int
    disk_errno: int
    disk: bool
    counter: int
    error: str | None = None
    pages: int = 0
    pages_bad: int = 0
    blocks: int = 0
    blocks_bad: int = 0

    @property
    def load(self) -> str:
        """What it does to memory, in words."""
        return f"rewrites {self.area_mib} MiB at {self.rate_mib} MiB/s ({self.pattern})" if self.rate_mib else "rests"


def ask(address: str, command: str, timeout_s: float = 20) -> WitnessStatus:
    """Send one command and return the answer; raises LabError if the instance does not answer in time."""
    try:
        with socket.create_connection((address, COMMAND_PORT), timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(command.encode() + b"\n")
            with connection.makefile() as answer:
                line = answer.readline()
    except OSError as error:
        raise LabError(f"The witness at {address} does not answer: {error.strerror or error}.") from None
    try:
        status = WitnessStatus.model_validate(json.loads(line))
    except ValueError:
        raise LabError(f"The witness at {address} broke off its answer.") from None
    if status.error:
        raise LabError(f"The witness at {address} refused `{command}`: {status.error}.")
    return status


def wait(address: str, timeout_s: float) -> WitnessStatus:
    """Wait until a booting instance's witness answers; raises LabError with the last reason."""
    end = time.monotonic() + timeout_s
    while True:
        try:
            return ask(address, "stat", 1)
        except LabError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


class CounterConnection:
    """One TCP connection to an instance that stays open across moves and counts; a lost one is lost for good."""

    def __init__(self, address: str, timeout_s: float = 20) -> None:
        self._socket = socket.create_connection((address, COUNTER_PORT), timeout_s)
        self._socket.settimeout(timeout_s)
        self._answers = self._socket.makefile()
        self.answers = 0

    def count(self) -> int:
        """Ask for the next number; raises LabError if the connection is lost."""
        try:
            self._socket.sendall(b"\n")
            line = self._answers.readline()
        except OSError as error:
            raise LabError(f"The TCP connection to the instance was lost: {error.strerror or error}.") from None
        if not line.endswith("\n"):
            raise LabError("The TCP connection to the instance was closed by the other side.")
        self.answers += 1
        return int(line)

    def close(self) -> None:
        """Close the connection."""
        self._answers.close()
        self._socket.close()
