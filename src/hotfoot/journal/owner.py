"""Who moves an instance: a process of a user on a machine. Values; ``living`` asks the machine. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """One process, told from every other one, also after a restart of its machine."""

    user: str
    host: str
    """The machine's name, for the operator."""
    boot: str
    """This boot of this machine's kernel, and the process's namespace of process ids."""
    pid: int
    start: int
    """When the process started, in clock ticks since the boot: tells it from a later one of the same id."""

    def __str__(self) -> str:
        return f"{self.user}@{self.host} (pid {self.pid})"
