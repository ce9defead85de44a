"""SSH connections that stay open as long as many commands run on the same hosts.

A login costs a quarter of a second of processor time, on the host most of it; a plan asks its hosts for every move.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hotfoot.cluster import Host
from hotfoot.errors import HotfootError
from hotfoot.reach.ssh import Completed, SshAccess, control_path

WORTH_IT = 4
"""A host that is asked so often is worth a connection that stays; one migration asks less."""
OPEN_S = 15.0

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class _Kept:
    process: asyncio.subprocess.Process
    socket: Path


class KeptConnections:
    """Commands on hosts; those of a host that is asked often share one login (OpenSSH's ``ControlMaster``).

    Invariants: no command waits for a connection to be kept, and none fails for what is wrong with one: it then logs in
    by itself. None outlives this process, however that ends: on the host a ``cat`` holds it open that reads from here.
    """

    def __init__(self, access: SshAccess) -> None:
        self._access = access
        self._asked: Counter[str] = Counter()
        self._opening: dict[str, asyncio.Task[_Kept | None]] = {}

    async def run(self, host: Host, script: str, timeout_s: float) -> Completed:
        """Run a shell script on a host, as ``SshAccess.run`` does; it may run twice, if the connection breaks in it.

        Raises HotfootError.
        """
        self._asked[host.name] += 1
        kept = self._kept(host)
        if kept is not None:
            try:
                return await self._access.run(host, script, timeout_s=timeout_s, through=kept.socket)
            except HotfootError:
                await self._let_go(host)
        return await self._access.run(host, script, timeout_s=timeout_s)

    async def close(self) -> None:
        """Close what is open."""
        for opening in self._opening.values():
            opening.cancel()
        await asyncio.gather(*self._opening.values(), return_exceptions=True)
        for opening in self._opening.values():
            if not opening.cancelled() and opening.exception() is None and (kept := opening.result()):
                await _end(kept.process)
        self._opening.clear()

    def _kept(self, host: Host) -> _Kept | None:
        """Return the connection to a host, once it is open; open one where that is worth it."""
        opening = self._opening.get(host.name)
        if opening is None:
            if self._asked[host.name] >= WORTH_IT:
                self._opening[host.name] = asyncio.create_task(self._open(host))
            return None
        kept = opening.result() if opening.done() else None
        if kept and kept.process.returncode is not None:
            self._forget(host)
            return None
        return kept

    async def _let_go(self, host: Host) -> None:
        opening = self._forget(host)
        if opening and opening.done() and (kept := opening.result()):
            await _end(kept.process)

    def _forget(self, host: Host) -> asyncio.Task[_Kept | None] | None:
        """Forget a connection that is of no use any more; the next one is opened after as many commands again."""
        self._asked[host.name] = 0
        return self._opening.pop(host.name, None)

    async def _open(self, host: Host) -> _Kept | None:
        socket = self._access.config.parent / f"{os.getpid()}.{next(_numbers)}"
        hold = self._access.arguments(host, "echo; exec cat >/dev/null", as_root=False)
        process = await asyncio.create_subprocess_exec(
            self._access.command,
            *("-o", "ControlMaster=yes", "-o", f"ControlPath={control_path(socket)}", "-o", "ControlPersist=no"),
            *hold,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(OPEN_S):
                if await process.stdout.readline():
                    return _Kept(process, socket)
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            await _end(process)
            raise
        await _end(process)
        return None


async def _end(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)  # which takes its socket away
        try:
            async with asyncio.timeout(1.0):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
