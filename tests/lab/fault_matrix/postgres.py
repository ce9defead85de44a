"""A PostgreSQL server of the test's own, which can be killed and started again."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

import psycopg

_START_S = 60.0


class Postgres:
    """A server on a socket of its own, run by a user who is not root, as it demands."""

    def __init__(self) -> None:
        programs = self.programs()
        assert programs, "this machine has no PostgreSQL server"
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="hotfoot-matrix-"))
        self._user = "nobody" if os.geteuid() == 0 else None
        self.url = f"postgresql://hotfoot@/postgres?host={self._folder}"

    @staticmethod
    def programs() -> Path | None:
        """Debian keeps the server's programs out of the PATH, by version."""
        if found := shutil.which("initdb"):
            return Path(found).resolve().parent
        folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        return folders[-1] if folders else None

    def __enter__(self) -> Postgres:
        if self._user:
            shutil.chown(self._folder, self._user)
        words = ["--username", "hotfoot", "--auth", "trust", "--encoding", "UTF8", "--locale", "C"]
        made = subprocess.run(
            [self._programs / "initdb", "--pgdata", self._folder / "data", "--no-sync", *words],
            user=self._user, capture_output=True, text=True, check=False, cwd="/",
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        self.start()
        return self

    def start(self) -> None:
        """Start it; after a kill it waits for its last children."""
        data = self._folder / "data"
        end = time.monotonic() + _START_S
        while True:
            self._server = subprocess.Popen(
                [self._programs / "postgres", "-D", data, "-k", self._folder, "-c", "listen_addresses="],
                user=self._user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
            )  # fmt: skip
            while self._server.poll() is None:
                try:
                    psycopg.connect(self.url).close()
                    return
                except psycopg.OperationalError:
                    assert time.monotonic() < end, "the PostgreSQL server does not answer"
                    time.sleep(0.1)
            assert time.monotonic() < end, "the PostgreSQL server does not start"
            time.sleep(0.2)

    def kill(self) -> None:
        """Kill it with -9."""
        self._server.kill()
        self._server.wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.terminate()
        self._server.wait()
        shutil.rmtree(self._folder)
