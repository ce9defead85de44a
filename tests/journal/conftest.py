"""Journals of both kinds: a file of SQLite, and a PostgreSQL server that the tests start for themselves."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from hotfoot.journal.place import Place
from hotfoot.journal.store import Store


def _programs() -> Path | None:
    """Debian keeps the server's programs out of the PATH, by version."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return folders[-1] if folders else None


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a server on a socket of its own, run by a user who is not root, as it demands."""
    programs = _programs()
    if programs is None:
        if os.environ.get("CI"):
            pytest.fail("CI must try the journal on PostgreSQL: install what Debian calls postgresql")
        pytest.skip("this machine has no PostgreSQL server")
    user = "nobody" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="hotfoot-pg-"))
    if user:
        shutil.chown(folder, user)
    data = folder / "data"
    made = subprocess.run(
        [programs / "initdb", "--pgdata", data, "--username", "hotfoot", "--auth", "trust", "--no-sync",
         "--encoding", "UTF8", "--locale", "C"],
        user=user, capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    server = subprocess.Popen(
        [programs / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"],
        user=user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
    )  # fmt: skip
    try:
        url = f"postgresql://hotfoot@/postgres?host={folder}"
        while True:
            try:
                psycopg.connect(url).close()
                break
            except psycopg.OperationalError:
                assert server.poll() is None, "the PostgreSQL server ended"
                time.sleep(0.1)
        yield url
    finally:
        server.send_signal(signal.SIGINT)  # its fast shutdown: a connection that some test left open holds nothing up
        server.wait()
        shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty journal of each kind."""
    if request.param == "sqlite":
        yield Place(file=tmp_path / "journal" / "migrations.sqlite3")
        return
    url = request.getfixturevalue("postgresql")
    yield Place(url=url)
    with psycopg.connect(url) as connection:
        connection.execute(
            "DROP TABLE IF EXISTS samples, actions, migrations, plan_moves, plans, hosts_out, definitions,"
            " alembic_version"
        )


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    """A store on an empty journal."""
    store = Store(place)
    yield store
    store.close()
