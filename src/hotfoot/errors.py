"""What ends a command early: one sentence for the operator, and the exit status that a script sees."""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """Exit statuses of every command; docs/exit-codes.md explains each."""

    COMPLETED = 0
    ERROR = 1
    USAGE = 2
    REFUSED = 3
    FAILED_ON_SOURCE = 4
    ABORTED = 5
    UNKNOWN_STATE = 6
    FINDINGS_DANGEROUS = 7
    FINDINGS_BLOCK = 8
    INTERRUPTED = 130


class HotfootError(Exception):
    """Something the operator has to know: what is wrong, where, and what to do, in one sentence.

    The faces print the message and end with ``status``; a traceback is never shown for it.
    """

    def __init__(self, message: str, status: ExitStatus = ExitStatus.ERROR) -> None:
        super().__init__(message)
        self.status = status
