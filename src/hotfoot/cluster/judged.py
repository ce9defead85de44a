"""Cluster files that were found right, kept as they were understood: the same text is not judged twice.

To import pydantic and build its validators takes longer than all else that a short command does.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from hotfoot import __version__
from hotfoot.cluster.model import Cluster
from hotfoot.state import state_folder

_OTHERS_MAY_WRITE = 0o022


def recall(path: Path, text: str) -> Cluster | None:
    """Return what the file at ``path`` declares, where this text of it was kept; else None.

    Invariant: it is what the judgement of this very text gave, by this very code, for the same home folder. What is
    not this user's own, or others could have written, is not looked into.
    """
    try:
        with _place(path).open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_uid != os.geteuid() or status.st_mode & _OTHERS_MAY_WRITE:
                return None
            mark, cluster = _Values(file).load()
    except Exception:  # whatever is wrong with what was kept, the file itself says the same again
        return None
    return cluster if mark == _mark(text) and isinstance(cluster, Cluster) else None


class _Values(pickle.Unpickler):
    """Reads what a cluster consists of, and nothing that could run a program."""

    def find_class(self, module: str, name: str) -> object:
        if module not in (*(f"hotfoot.cluster.{part}" for part in ("model", "balance", "fence", "rule")), "pathlib"):
            raise pickle.UnpicklingError(f"{module}.{name} is no part of a cluster")
        return super().find_class(module, name)


def keep(path: Path, text: str, cluster: Cluster) -> None:
    """Keep what the file declares; where that cannot be, the next command judges it again."""
    with suppress(OSError, RuntimeError):  # such as a user without a home
        kept = _place(path)
        for folder in (kept.parent.parent, kept.parent):  # parents would be made for all to read
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{kept.name}.", dir=kept.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                pickle.dump((_mark(text), cluster), file)
            os.replace(temporary, kept)
        except OSError:
            os.unlink(temporary)
            raise


def _place(path: Path) -> Path:
    return state_folder() / "clusters" / hashlib.sha256(os.fsencode(os.path.abspath(path))).hexdigest()[:32]


def _mark(text: str) -> str:
    """Return what changes with all that the judgement depends on: text, home, code."""
    here = Path(__file__).parent
    code = sorted((file.name, file.stat().st_mtime_ns) for file in here.glob("*.py"))
    about = repr((text, os.path.expanduser("~"), __version__, sys.version_info, code))
    return hashlib.sha256(about.encode()).hexdigest()
