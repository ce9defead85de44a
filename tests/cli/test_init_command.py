"""`hotfoot init` refuses what cannot be asked in one sentence, and writes nothing then."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.lab.command import hotfoot


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("bad host!",), "a host must be made of letters, digits"),
        (("n1", "--port", "0"), "--port"),
        (("n1", "--user", "-x"), "--user must be a user name"),
    ],
)
def test_what_cannot_be_a_host_is_refused(tmp_path: Path, words: tuple[str, ...], sentence: str) -> None:
    file = tmp_path / "hotfoot.yaml"
    said = hotfoot("init", *words, "--output", str(file))
    assert said.status == 2, said.err
    assert sentence in said.err
    assert not file.exists()
