from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from hotfoot.reach.private_folder import private_folder


def test_the_runtime_folder_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "hotfoot").mkdir(mode=0o755)
    assert private_folder() == tmp_path / "hotfoot"
    assert stat.S_IMODE((tmp_path / "hotfoot").stat().st_mode) == 0o700


def test_a_symbolic_link_put_there_first_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "hotfoot").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert private_folder() != tmp_path / "hotfoot"


def test_without_a_runtime_folder_a_private_one_in_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if Path(f"/run/user/{os.getuid()}").exists():
        pytest.skip(f"this machine has /run/user/{os.getuid()}")
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert private_folder() == tmp_path / f"hotfoot-{os.getuid()}"
