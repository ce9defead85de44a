"""Commands on hosts, by the OpenSSH client.

The client itself rather than an SSH library: it honours the operator's own configuration, agents, jump
hosts and hardware keys, and libvirt's qemu+ssh needs it anyway, so that both reach a host in the same way.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shlex
import shutil
import signal
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hotfoot.cluster import Cluster, Host
from hotfoot.errors import HotfootError
from hotfoot.reach.private_folder import private_folder
from hotfoot.reach.ssh_config import config_text, wrapper_text
from hotfoot.reach.ssh_failure import connection_failure, sudo_failure

_CONNECTION_FAILED = 255


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ran on a host: what it printed, undecodable bytes replaced, and its exit status."""

    stdout: str
    stderr: str
    status: int


@dataclass(frozen=True, slots=True)
class SshAccess:
    """How to reach the hosts of one cluster; get one from ``prepare``."""

    cluster: Cluster
    config: Path
    command: Path
    """A program that takes the arguments of ssh: for libvirt's URI parameter ``command=``."""

    async def run(
        self,
        host: Host,
        command: str | Sequence[str],
        *,
        stdin: str | bytes = b"",
        timeout_s: float = 30.0,
        as_root: bool = True,
        through: Path | None = None,
    ) -> Completed:
        """Run a program (a sequence) or a shell script (a string) on a host, with the C locale.

        With ``as_root`` it runs by ``sudo -n`` where the cluster file says ``sudo: true``. ``timeout_s``
        covers connecting too. ``through`` is the socket of a connection to this host that is kept open. A status
        other than 0 is the caller's to judge; not 255, which is ssh's own. When the time is over or the caller is
        cancelled the connection ends, but the command on the host may run on: one that must not has to limit itself.

        Raises HotfootError when the command could not be run, or did not end in time.
        """
        data = stdin.encode() if isinstance(stdin, str) else stdin
        arguments = self.arguments(host, command, as_root=as_root)
        if through is not None:
            arguments = ["-o", "ControlMaster=no", "-o", f"ControlPath={control_path(through)}", *arguments]
        status, out, err = await self._call(arguments, data, timeout_s, host)
        completed = Completed(out.decode(errors="replace"), err.decode(errors="replace"), status)
        if (failure := self.failure(host, completed.status, completed.stderr, as_root=as_root)) is not None:
            raise HotfootError(failure)
        return completed

    def arguments(self, host: Host, command: str | Sequence[str], *, as_root: bool = True) -> list[str]:
        """Return what ``command`` (the wrapper) is given to run a program or script on a host, as ``run`` does it."""
        argv = ["sh", "-c", command] if isinstance(command, str) else list(command)
        prefix = ["env", "LC_ALL=C"]
        sudo = ["sudo", "-n", "--", *prefix] if as_root and self.cluster.ssh_of(host).sudo else []
        return ["--", host.name, shlex.join([*prefix, *sudo, *argv])]

    def failure(self, host: Host, status: int, stderr: str, *, as_root: bool = True) -> str | None:
        """Say why a command could not be run at all; None if it ran, the status is then its own."""
        ssh = self.cluster.ssh_of(host)
        if status == _CONNECTION_FAILED or status < 0:
            return connection_failure(host, ssh, stderr)
        return sudo_failure(host, ssh, status, stderr) if as_root and ssh.sudo else None

    async def _call(self, arguments: list[str], data: bytes, timeout_s: float, host: Host) -> tuple[int, bytes, bytes]:
        pipe = asyncio.subprocess.PIPE
        # A session of its own: the terminal's Ctrl-C is hotfoot's alone, and one kill ends jump hosts too.
        process = await asyncio.create_subprocess_exec(
            self.command, *arguments, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        )
        try:
            async with asyncio.timeout(timeout_s):
                out, err = await process.communicate(data)
        except TimeoutError:
            raise HotfootError(
                f"a command on host {host.name} ({host.address}) did not end within {timeout_s:g} s; "
                "is the host overloaded, or a file system on it stuck?"
            ) from None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
            await input_settled(process)
        return process.returncode or 0, out, err


def control_path(socket: Path) -> str:
    """Write the socket of a connection that is kept open as ssh takes it; ``%`` begins a token there."""
    return str(socket).replace("%", "%%")


async def input_settled(process: asyncio.subprocess.Process) -> None:
    """Hear what became of the input of a process that has ended: asyncio (3.11) complains of what nobody heard."""
    assert process.stdin is not None
    process.stdin.close()
    if process.stdin.transport.get_write_buffer_size():  # which nobody will read any more
        process.stdin.transport.abort()
    with suppress(ConnectionError):
        await process.stdin.wait_closed()


def prepare(cluster: Cluster, folder: Path | None = None) -> SshAccess:
    """Write the ssh configuration and the wrapper below ``folder`` (by default the user's private folder).

    Their folder is named after their content: commands that run at the same time, even while the cluster file
    is being edited, each find what they wrote. Raises HotfootError without an ssh client.
    """
    program = shutil.which("ssh")
    if program is None:
        raise HotfootError("this machine has no ssh client; install the package openssh-client")
    text = config_text(cluster)
    digest = hashlib.sha256(f"{program}\n{text}\n{wrapper_text(program, Path())}".encode()).hexdigest()[:16]
    own = (folder or private_folder()) / f"ssh-{digest}"
    config, command = own / "config", own / "ssh"
    try:
        own.mkdir(mode=0o700, exist_ok=True)
        _write_once(config, text, 0o600)
        _write_once(command, wrapper_text(program, config), 0o700)
    except OSError as error:
        raise HotfootError(f"the ssh configuration cannot be written to {own}: {error.strerror}") from None
    return SshAccess(cluster, config, command)


def _write_once(path: Path, text: str, mode: int) -> None:
    """Put a whole file in place at once; one that is there with this content is in use, and left alone."""
    with suppress(FileNotFoundError, UnicodeDecodeError):
        if path.read_text() == text:
            return
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    Path(temporary).chmod(mode)
    Path(temporary).rename(path)
