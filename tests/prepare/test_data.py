"""Copying for a move of data, between two folders; moves between real mounts are tried in the lab."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotfoot.prepare.on_host.data import changed_since, copy_all, locked, names_in, refuse_conflicts, remove_copies
from hotfoot.prepare.on_host.programs import Trouble


class Folders:
    def __init__(self, folder: Path) -> None:
        self.source, self.target, self.copies = folder / "source", folder / "target", folder / "copies"
        self.source.mkdir(parents=True)
        self.target.mkdir()

    def fill(self) -> None:
        (self.source / "inst" / "deep").mkdir(parents=True)
        (self.source / "inst" / "disk").write_bytes(b"data")
        (self.source / "inst" / "disk").chmod(0o640)
        (self.source / "inst" / "link").symlink_to("../_base/img")
        os.utime(self.source / "inst" / "disk", ns=(1_000_000_007, 2_000_000_009))
        os.utime(self.source / "inst", ns=(3, 4_000_000_000))

    def copy(self) -> None:
        names = list(names_in(str(self.source)))
        refuse_conflicts(str(self.source), str(self.target), names)
        copy_all(str(self.source), str(self.target), names, str(self.copies))

    def tree(self, top: Path) -> dict[str, tuple[int, int, str | bytes | None]]:
        found = {}
        for path in sorted(top.rglob("*")):
            seen = path.lstat()
            content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
            found[str(path.relative_to(top))] = (seen.st_mode, seen.st_mtime_ns, content)
        return found

    def remove(self) -> None:
        remove_copies(str(self.target), str(self.copies))

    @property
    def changed(self) -> list[str]:
        return list(changed_since(str(self.target), str(self.copies)))


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    made = Folders(tmp_path)
    made.fill()
    return made


def test_everything_arrives_with_modes_times_and_links(folders: Folders) -> None:
    folders.copy()
    assert folders.tree(folders.target) == folders.tree(folders.source)
    assert folders.changed == []
    folders.remove()
    assert folders.tree(folders.target) == {}
    assert not folders.copies.exists()


def test_holes_stay_holes(folders: Folders) -> None:
    disk = folders.source / "hole"
    with disk.open("wb") as file:
        file.truncate(64 << 20)
        file.seek(10 << 20)
        file.write(b"x" * 4096)
    folders.copy()
    copied = folders.target / "hole"
    assert copied.stat().st_size == 64 << 20
    assert copied.read_bytes() == disk.read_bytes()
    assert copied.stat().st_blocks <= disk.stat().st_blocks + 8


@pytest.mark.parametrize("there", ["other content", "a folder"])
def test_nothing_is_written_over(folders: Folders, there: str) -> None:
    (folders.target / "inst").mkdir()
    disk = folders.target / "inst" / "disk"
    disk.mkdir() if there == "a folder" else disk.write_text(there)
    before = folders.tree(folders.target)
    with pytest.raises(Trouble, match=r"other files of the same names.*inst/disk; nothing was copied"):
        folders.copy()
    assert folders.tree(folders.target) == before


def test_what_is_there_alike_is_left_when_copies_are_removed(folders: Folders) -> None:
    (folders.target / "inst").mkdir()
    (folders.target / "inst" / "disk").write_bytes(b"data")
    folders.copy()
    folders.remove()
    assert list(folders.tree(folders.target)) == ["inst", "inst/disk"]


def test_a_copy_that_was_changed_is_told_and_left(folders: Folders) -> None:
    folders.copy()
    (folders.target / "inst" / "disk").write_bytes(b"newer")
    assert folders.changed == ["inst/disk"]
    folders.remove()
    assert list(folders.tree(folders.target)) == ["inst", "inst/disk"]


def test_a_copy_that_somebody_uses_is_told(folders: Folders) -> None:
    folders.copy()
    assert list(locked(str(folders.target), str(folders.copies))) == []
    script = "import fcntl, sys; f = open(sys.argv[1], 'rb'); fcntl.lockf(f, fcntl.LOCK_SH); print(flush=True); input()"
    argv = [sys.executable, "-c", script, str(folders.target / "inst" / "disk")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert list(locked(str(folders.target), str(folders.copies))) == ["inst/disk"]
        holder.communicate(b"\n")
    assert list(locked(str(folders.target), str(folders.copies))) == []


def test_what_a_killed_copy_left_is_removed_or_made_whole(folders: Folders) -> None:
    folders.copy()
    partial = folders.target / "inst" / ".disk.hotfoot-moving"
    partial.write_bytes(b"da")
    (folders.target / "inst" / "disk").unlink()
    folders.copies.write_text(folders.copies.read_text() + '["cut off')
    folders.copy()
    assert folders.tree(folders.target)["inst/disk"][2] == b"data"
    partial.write_bytes(b"da")
    folders.remove()
    assert folders.tree(folders.target) == {}


def test_folders_that_a_killed_copy_made_get_their_modes_and_times(folders: Folders) -> None:
    (folders.target / "inst").mkdir(mode=0o700)
    (folders.source / "inst").chmod(0o711)
    names = list(names_in(str(folders.source)))
    copy_all(str(folders.source), str(folders.target), names, str(folders.copies), {"inst"})
    os.utime(folders.source / "inst", ns=(3, 4_000_000_000))
    assert folders.tree(folders.target) == folders.tree(folders.source)


CONTENTS = st.dictionaries(st.sampled_from(["a", "b", "c/d", "c/e/f"]), st.binary(max_size=64), max_size=4)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CONTENTS, CONTENTS)
def test_after_a_copy_and_its_removal_the_share_is_as_before(
    tmp_path_factory: pytest.TempPathFactory, mine: dict[str, bytes], theirs: dict[str, bytes]
) -> None:
    folders = Folders(tmp_path_factory.mktemp("move"))
    for top, contents in ((folders.source, mine), (folders.target, theirs)):
        for name, content in contents.items():
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_bytes(content)
    before = {name: content for name, (_, _, content) in folders.tree(folders.target).items()}
    try:
        folders.copy()
    except Trouble:
        assert any(mine[name] != theirs[name] for name in mine.keys() & theirs.keys())
    else:
        after = folders.tree(folders.target)
        assert all(after[name][2] == content for name, content in {**theirs, **mine}.items())
    folders.remove()
    assert {name: content for name, (_, _, content) in folders.tree(folders.target).items()} == before
