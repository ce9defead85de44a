"""Secrets in files of the controller."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotfoot.errors import HotfootError
from hotfoot.reach.secret_file import secret_value
from hotfoot.readiness.change import DefineSecret

KEYRING = """
[client.other]
\tkey = b3RoZXI=
[client.nova]
\tkey = Z2VoZWlt
\tcaps mon = "profile rbd"
"""


def step(path: Path, entity: str = "") -> DefineSecret:
    return DefineSecret(uuid="u", kind="iscsi", usage="x", file=str(path), entity=entity)


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "secret"
    path.touch(mode)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_password_is_the_first_line(tmp_path: Path) -> None:
    assert secret_value(step(written(tmp_path, "pass word \nnote\n"))) == b"pass word "


def test_a_key_is_that_of_its_user_in_the_keyring(tmp_path: Path) -> None:
    assert secret_value(step(written(tmp_path, KEYRING), "client.nova")) == b"geheim"


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o620])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path, "geheim\n", mode)
    with pytest.raises(HotfootError, match=f"chmod 600 {path}"):
        secret_value(step(path))


@pytest.mark.parametrize("text", ["", "\n", "  \ngeheim\n"])
def test_an_empty_first_line_is_no_password(tmp_path: Path, text: str) -> None:
    with pytest.raises(HotfootError, match="holds no password in its first line"):
        secret_value(step(written(tmp_path, text)))


@pytest.mark.parametrize("text", ["", "[client.nova]\n", "[client.nova]\nkey = ***\n", "key = Z2VoZWlt\n"])
def test_a_keyring_without_the_key_is_named_and_its_text_is_not(tmp_path: Path, text: str) -> None:
    with pytest.raises(HotfootError, match=r"holds no key of client\.nova") as caught:
        secret_value(step(written(tmp_path, text), "client.nova"))
    assert "Z2VoZWlt" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HotfootError, match="cannot be read: No such file"):
        secret_value(step(tmp_path / "none"))
