"""Changing the schema of a journal by Alembic, step by step."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection


class UnknownStep(Exception):
    """The journal is at a step that this Hotfoot does not have."""


def upgrade(database: Connection) -> None:
    """Carry out the steps that are missing, in the connection's transaction. Raises UnknownStep."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("schema")).replace("%", "%%"))
    config.attributes["connection"] = database
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise UnknownStep(str(error)) from None
