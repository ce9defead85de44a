"""Where the journal of migrations lies, and a first look whether anything in it is left open."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from hotfoot.cluster.journal_url import check_journal_url, without_password
from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.state import state_folder

ENVIRONMENT = "HOTFOOT_JOURNAL"
_SQLITE = "sqlite:///"


@dataclass(frozen=True, slots=True)
class Place:
    """A file of SQLite, or a database of PostgreSQL by its URL: one of the two."""

    file: Path | None = None
    url: str = ""

    @property
    def name(self) -> str:
        """What the operator calls it; never with a password."""
        return str(self.file) if self.file is not None else without_password(self.url)

    @property
    def exists(self) -> bool:
        """Whether anything can have been written; a file that is not there is not made by reading."""
        return self.file is None or self.file.exists()

    @property
    def may_hold_open(self) -> bool:
        """Whether it is worth opening to look for migrations that have not ended; True where only that tells.

        Of a file this costs a millisecond, while SQLAlchemy costs a tenth of a second, at every command.
        """
        if self.file is None:
            return True
        if not self.file.exists():
            return False
        try:
            with closing(sqlite3.connect(self.file, timeout=1.0)) as database:
                return bool(database.execute("SELECT 1 FROM migrations WHERE ended_ms IS NULL LIMIT 1").fetchone())
        except sqlite3.Error:
            return True  # opening it in earnest tells what is wrong


def place_of(declared: str | None, environ: Mapping[str, str] = os.environ) -> Place:
    """Return the place that the environment names, else the cluster file, else the one of this user.

    Raises HotfootError (usage).
    """
    url = environ.get(ENVIRONMENT) or declared
    if not url:
        return Place(file=state_folder() / "migrations.sqlite3")
    try:
        check_journal_url(url)
    except ValueError as error:
        raise HotfootError(f"{ENVIRONMENT} {error}.", ExitStatus.USAGE) from None
    if url.startswith(_SQLITE):
        return Place(file=Path(url.removeprefix(_SQLITE)))
    return Place(url=url)
