"""The state files of running labs, one folder for each, changed under a lock."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from hotfoot.errors import ExitStatus
from hotfoot.lab.command import LabError
from hotfoot.lab.places import labs_folder
from hotfoot.lab.spec import Lab


def folder_of(name: str) -> Path:
    """Return a lab's folder, there or not."""
    return labs_folder() / name


def cluster_file_of(name: str) -> Path:
    """Return a lab's cluster file, there or not."""
    return folder_of(name) / "hotfoot.yaml"


def save(lab: Lab) -> None:
    """Write a lab's state so that a reader sees the old or the new one, never half of it."""
    path = folder_of(lab.name) / "lab.json"
    beside = path.with_suffix(f".{os.getpid()}")
    beside.write_text(lab.model_dump_json(indent=1))
    beside.replace(path)


def load(name: str) -> Lab:
    """Return a lab's state; raises LabError if there is no such lab, or it is broken."""
    path = folder_of(name) / "lab.json"
    try:
        return Lab.model_validate_json(path.read_text())
    except FileNotFoundError:
        others = ", ".join(names()) or "none"
        raise LabError(
            f"There is no lab {name} (running: {others}); `hotfoot lab up --name {name}` makes it.",
            ExitStatus.USAGE,
        ) from None
    except ValidationError:
        raise LabError(f"{path} is damaged; `hotfoot lab down --name {name}` cleans up.") from None
    except PermissionError:
        raise LabError(f"{path} cannot be read: labs belong to root; run this with sudo.") from None


def names() -> list[str]:
    """Return the names of the labs that have a folder, whole or broken."""
    folder = labs_folder()
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def numbers() -> set[int]:
    """Return the lab numbers that are taken by labs with a readable state."""
    found = set()
    for name in names():
        with contextlib.suppress(LabError):
            found.add(load(name).number)
    return found


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold a lock on one lab's state, or (by the name ``all``) on the choice of a lab number."""
    folder = labs_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
