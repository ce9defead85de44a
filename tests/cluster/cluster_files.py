"""Cluster files in a folder: loaded, or what they are refused with."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotfoot.cluster import Cluster, load
from hotfoot.errors import ExitStatus, HotfootError


def loaded(folder: Path, text: str) -> Cluster:
    """Load a cluster file of this text."""
    (folder / "hotfoot.yaml").write_text(text)
    return load(None, folder)


def refused(folder: Path, text: str) -> list[str]:
    """Return the mistakes for which it is refused, each with its line."""
    with pytest.raises(HotfootError) as caught:
        loaded(folder, text)
    assert caught.value.status == ExitStatus.USAGE
    return [line.partition("hotfoot.yaml:")[2] for line in str(caught.value).splitlines()]
