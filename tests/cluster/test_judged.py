from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hotfoot.cluster import load
from hotfoot.errors import HotfootError
from hotfoot.state import state_folder

FILE = """\
ssh: {key: id}
policy: {deadline: 10m, bandwidth: 1Gbit/s}
policies: [{name: nightly, base: must-finish}]
policy_of: {vm1: nightly}
rules: [{name: databases, kind: apart, instances: [db1, db2]}]
balance: {every: 5m}
fence: {command: [off, "{host}"]}
hosts: [{name: n1, address: 10.0.0.1}, {name: n2, address: 10.0.0.2, ssh: {sudo: true}}]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "id").touch(0o600)
    path = tmp_path / "hotfoot.yaml"
    path.write_text(FILE)
    return path


def kept() -> list[Path]:
    return list((state_folder() / "clusters").glob("*"))


def heavy_modules_of_loading(path: Path) -> str:
    code = (
        "import sys; from pathlib import Path; from hotfoot.cluster import load; "
        f"load(Path({str(path)!r}), Path.cwd()); print(sorted({{'pydantic', 'ruamel.yaml'}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_what_was_judged_is_the_same_the_next_time_and_judged_no_more(file: Path) -> None:
    first = load(file, Path.cwd())
    assert load(file, Path.cwd()) == first
    assert heavy_modules_of_loading(file) == "[]"


def test_another_text_is_judged(file: Path) -> None:
    load(file, Path.cwd())
    file.write_text(FILE.replace("every: 5m", "every: often"))
    with pytest.raises(HotfootError, match=r"balance\.every must be a duration"):
        load(file, Path.cwd())
    file.write_text(FILE.replace("10.0.0.2", "10.0.0.3"))
    assert load(file, Path.cwd()).host("n2").address == "10.0.0.3"
    assert len(kept()) == 1


def test_another_home_is_judged(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "id").touch(0o600)
    file.write_text(FILE.replace("key: id", "key: ~/id"))
    for name in ("one", "two"):
        monkeypatch.setenv("HOME", str(tmp_path / name))
        assert load(file, Path.cwd()).ssh.key == tmp_path / name / "id"


def test_named_files_are_looked_at_each_time(file: Path, tmp_path: Path) -> None:
    load(file, Path.cwd())
    (tmp_path / "id").unlink()
    with pytest.raises(HotfootError, match=r"hotfoot.yaml:1: ssh.key: there is no file"):
        load(file, Path.cwd())


def test_a_file_with_mistakes_is_not_kept(file: Path) -> None:
    file.write_text(FILE + "x: 1\n")
    for _ in range(2):
        with pytest.raises(HotfootError, match='unknown key "x"'):
            load(file, Path.cwd())
    assert kept() == []


def test_a_password_is_in_no_second_place(file: Path) -> None:
    file.write_text(FILE + "journal: {url: 'postgresql://h:secret@db/hotfoot'}\n")
    file.chmod(0o600)
    load(file, Path.cwd())
    assert kept() == []


@pytest.mark.parametrize("rubbish", [b"", b"\x80\x05.", b"[]"])
def test_what_is_broken_is_judged_anew(file: Path, rubbish: bytes) -> None:
    first = load(file, Path.cwd())
    (place,) = kept()
    place.write_bytes(rubbish)
    assert load(file, Path.cwd()) == first
    assert heavy_modules_of_loading(file) == "[]"


def test_nothing_is_run_that_stands_in_what_was_kept(file: Path, tmp_path: Path) -> None:
    first = load(file, Path.cwd())
    (place,) = kept()
    place.write_bytes(f"cos\nsystem\n(S'touch {tmp_path}/run'\ntR.".encode())
    assert load(file, Path.cwd()) == first
    assert not (tmp_path / "run").exists()


def test_what_others_may_write_is_not_looked_into(file: Path) -> None:
    load(file, Path.cwd())
    (place,) = kept()
    modes = [each.stat().st_mode & 0o777 for each in (place, place.parent, state_folder())]
    assert modes == [0o600, 0o700, 0o700]  # the journal comes to lie there too
    place.chmod(0o666)
    assert heavy_modules_of_loading(file) == "['pydantic', 'ruamel.yaml']"


def test_where_nothing_can_be_kept_the_file_is_judged_each_time(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", os.devnull)
    assert load(file, Path.cwd()) == load(file, Path.cwd())
