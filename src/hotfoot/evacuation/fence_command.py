"""Switching a host off by the operator's own command, which tells by its exit status whether the host is off."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import suppress

from hotfoot.evacuation.bmc import NotOff


async def run_fence(command: Sequence[str], timeout_s: float) -> None:
    """Run the fence command, without a shell; return only when it ended with 0, which says that the host is off.

    Raises NotOff otherwise; what still runs of it after its time is killed.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise NotOff(f"cannot be run: {why}") from None
    try:
        async with asyncio.timeout(timeout_s):
            said, _ = await process.communicate()
    except TimeoutError:
        raise NotOff(f"did not end within {timeout_s:g} s") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode != 0:
        last = next((line for line in reversed(said.decode(errors="replace").splitlines()) if line.strip()), "")
        raise NotOff(f"ended with {process.returncode}{f' ({last.strip()[:300]})' if last else ''}")
