"""A real sshd on loopback, with keys made for the test and nothing of the machine's own changed."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_SEARCH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"

# As root, sshd needs /run/sshd and a user of its own; where the machine has none, they exist for it alone.
_PRIVATE = """
set -e
mount -t tmpfs tmpfs /run
mkdir /run/sshd
if ! grep -q ^sshd: /etc/passwd; then
    cp /etc/passwd /run/passwd
    echo 'sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin' >>/run/passwd
    mount --bind /run/passwd /etc/passwd
fi
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class Sshd:
    """A listening sshd: all of its files lie in one folder."""

    folder: Path
    port: int
    user: str

    @property
    def key(self) -> Path:
        return self.folder / "user_key"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    def trust(self, key: Path) -> None:
        kind, text, *_ = key.with_suffix(".pub").read_text().split()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {kind} {text}\n")


def make_key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    program = shutil.which("sshd", path=_SEARCH)
    if program is None or shutil.which("ssh-keygen") is None:
        pytest.skip("no sshd on this machine: install openssh-server")
    folder = tmp_path_factory.mktemp("sshd")
    daemon = Sshd(folder, free_port(), getpass.getuser())
    for name in ("host_key", "user_key"):
        make_key(folder / name)
    daemon.trust(folder / "host_key")
    shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{daemon.port}\n"
        f"HostKey {folder}/host_key\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\n"
        f"PidFile {folder}/pid\n"
        "StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n"
        f"PermitRootLogin yes\nAllowUsers {daemon.user}\n"
    )
    argv = [program, "-D", "-e", "-f", str(folder / "sshd_config")]
    if os.getuid() == 0:
        argv = ["unshare", "--mount", "--", "sh", "-c", _PRIVATE, "sh", *argv]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(argv, stderr=log, stdin=subprocess.DEVNULL)
    try:
        for _ in range(500):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", daemon.port)) == 0:
                    break
            if process.poll() is not None:
                pytest.skip(f"sshd does not run here: {(folder / 'log').read_text().strip()}")
            time.sleep(0.02)
        if pwd.getpwnam(daemon.user).pw_shell.endswith(("nologin", "false")):
            pytest.skip(f"the user {daemon.user} has no login shell")
        yield daemon
    finally:
        process.terminate()
        process.wait()
