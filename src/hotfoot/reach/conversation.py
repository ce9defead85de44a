"""A conversation with a program that runs on a host: lines to it, lines from it, until one of the two ends it."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress

from hotfoot.cluster import Host
from hotfoot.errors import HotfootError
from hotfoot.reach.ssh import SshAccess, input_settled

_MOST_LINE_BYTES = 32 << 20
_MOST_COMPLAINT_BYTES = 64 << 10

# Takes the program from the same channel as the conversation, byte by byte, so that nothing of what follows is lost.
_BOOT = """\
import os
source = b""
while len(source) < {length}:
    block = os.read(0, {length} - len(source))
    if not block:
        os._exit(3)
    source += block
exec(compile(source, {name!r}, "exec"))
"""


class Conversation:
    """A running program on a host; get one from ``begin``, and ``close`` it in any case.

    The program learns of the end of this one, however it comes about, from the end of its standard input.
    """

    def __init__(self, access: SshAccess, host: Host, process: asyncio.subprocess.Process) -> None:
        self._access = access
        self._host = host
        self._process = process
        self._complaint = bytearray()
        self._listener = asyncio.create_task(self._listen())

    async def tell(self, line: str) -> None:
        """Send one line; a program that has ended shows when it is heard."""
        assert self._process.stdin is not None
        with suppress(ConnectionError):
            self._process.stdin.write(line.encode() + b"\n")
            await self._process.stdin.drain()

    async def hear(self) -> str:
        """Wait for the next line, for as long as the caller lets it.

        Raises HotfootError when the host cannot be reached, or the program has ended.
        """
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if line:
            return line.decode(errors="replace").rstrip("\n")
        await self._process.wait()
        await self._listener
        raise HotfootError(self._why_it_ended())

    async def close(self, patience_s: float = 3.0) -> None:
        """End the conversation: the program sees the end of its input, and has some time to end by itself."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await self._process.wait()
        finally:
            if self._process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                await self._process.wait()
            await input_settled(self._process)
            self._listener.cancel()

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        while block := await self._process.stderr.read(1 << 16):
            if len(self._complaint) < _MOST_COMPLAINT_BYTES:
                self._complaint += block

    def _why_it_ended(self) -> str:
        status, complaint = self._process.returncode or 0, self._complaint.decode(errors="replace")
        failure = self._access.failure(self._host, status, complaint)
        if failure is not None:
            return failure
        if status == 127 and "python3" in complaint:
            return f"host {self._host.name} has no python3; install the package python3"
        said = next((line for line in reversed(complaint.splitlines()) if line.strip()), f"status {status}")
        return f"the program that Hotfoot runs on host {self._host.name} ended early: {said.strip()}"


async def begin(access: SshAccess, host: Host, source: str, name: str, *, anew: bool = False) -> Conversation:
    """Start a Python program (standard library only) on a host as root; its source goes ahead of the first line.

    ``name`` is what its tracebacks call it. It must take its lines by ``os.read(0, ...)`` or ``sys.stdin``; whether it
    runs at all shows when it is first heard. ``anew`` shares no connection that the operator's ssh holds open.
    """
    program = source.encode()
    pipe = asyncio.subprocess.PIPE
    # A session of its own: the terminal's Ctrl-C is hotfoot's alone, and one kill ends jump hosts too.
    process = await asyncio.create_subprocess_exec(
        access.command,
        *(("-o", "ControlPath=none") if anew else ()),
        *access.arguments(host, ["python3", "-I", "-c", _BOOT.format(length=len(program), name=name)]),
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        start_new_session=True,
        limit=_MOST_LINE_BYTES,
    )
    assert process.stdin is not None
    process.stdin.write(program)  # not waited for: a caller who is cancelled here could not close what it began
    return Conversation(access, host, process)
