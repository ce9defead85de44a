"""What is built once and kept: whole or not there, whoever is killed, and however many ask."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hotfoot.lab.cache import Kept, built_once, version_of
from hotfoot.lab.command import LabError, run

# A process of its own that builds: it says "half" with half of the work done, and goes on when it is told to.
BUILDER = """
import sys
from pathlib import Path
from hotfoot.lab.cache import Kept, built_once

def build(work):
    with Path(sys.argv[1]).open("a") as builds:
        builds.write("built\\n")
    (work / "first").write_text("1")
    print("half", flush=True)
    sys.stdin.readline()
    (work / "second").write_text("2")

print(built_once(Kept("cake", "v1", "the cake", "flour"), build, lambda words: None), flush=True)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOTFOOT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@contextmanager
def builder(builds: Path) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-c", BUILDER, str(builds)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def says(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def cake(version: str = "v1") -> Kept:
    return Kept("cake", version, "the cake", "flour and eggs")


def bake(work: Path) -> None:
    (work / "first").write_text("1")
    (work / "second").write_text("2")


def silent(words: str) -> None:
    pass


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def refuse(error: BaseException) -> Callable[[Path], None]:
    def build(work: Path) -> None:
        bake(work)
        raise error

    return build


def test_it_is_built_once_and_found_from_then_on(cache: Path) -> None:
    said: list[str] = []
    folder = built_once(cake(), bake, said.append)
    assert names(cache) == ["cake-v1"]
    assert names(folder) == []
    assert sorted(path.name for path in folder.iterdir()) == ["first", "second"]
    assert said[0] == f"building the cake once, in {cache} (flour and eggs)"
    assert built_once(cake(), refuse(AssertionError("built twice")), silent) == folder


def test_a_build_that_was_killed_begins_anew_and_leaves_nothing(cache: Path, tmp_path: Path) -> None:
    with builder(tmp_path / "builds") as process:
        assert says(process) == "half"
        process.kill()
        process.wait()
    left = names(cache)
    assert len(left) == 1
    assert left[0].startswith("building-cake-")
    assert not cake().is_there
    folder = built_once(cake(), bake, silent)
    assert (folder / "second").read_text() == "2"
    assert names(cache) == ["cake-v1"]


def test_two_at_once_build_it_once(cache: Path, tmp_path: Path) -> None:
    builds = tmp_path / "builds"
    with builder(builds) as first:
        assert says(first) == "half"
        with builder(builds) as second:
            assert first.stdin
            first.stdin.write("\n")
            first.stdin.flush()
            assert says(first) == says(second) == str(cache / "cake-v1")
    assert builds.read_text() == "built\n"


def test_things_of_other_names_are_built_at_the_same_time_and_left_alone(cache: Path, tmp_path: Path) -> None:
    with builder(tmp_path / "builds") as process:
        assert says(process) == "half"
        built_once(Kept("bread", "v1", "the bread", "flour"), bake, silent)
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
        assert says(process) == str(cache / "cake-v1")
    assert (cache / "cake-v1" / "first").read_text() == "1"
    assert names(cache) == ["bread-v1", "cake-v1"]


@pytest.mark.parametrize(
    ("error", "told"), [(LabError("There are no eggs."), "There are no eggs."), (OSError(28, "No space left"), "space")]
)
def test_a_build_that_fails_says_why_in_one_sentence_and_leaves_nothing(
    cache: Path, error: Exception, told: str
) -> None:
    with pytest.raises(LabError, match=f"^Building the cake in {cache} failed: .*{told}"):
        built_once(cake(), refuse(error), silent)
    assert names(cache) == []
    assert built_once(cake(), bake, silent).is_dir()


def test_a_program_that_complains_is_named(cache: Path) -> None:
    def build(work: Path) -> None:
        run(["sh", "-c", "echo flour is out >&2; exit 3"])

    with pytest.raises(LabError, match=r"Building the cake in .* ended with 3: flour is out"):
        built_once(cake(), build, silent)
    assert names(cache) == []


def test_one_who_gives_up_waiting_leaves_nothing(cache: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        built_once(cake(), refuse(KeyboardInterrupt()), silent)
    assert names(cache) == []


def test_a_cache_that_cannot_be_there_is_told(cache: Path) -> None:
    cache.write_text("a file in its place")
    with pytest.raises(LabError, match=r"^Building the cake in .* failed: .*cache"):
        built_once(cake(), bake, silent)


def test_older_versions_go_unless_a_process_uses_them(cache: Path) -> None:
    built_once(cake("v1"), bake, silent)
    built_once(cake("v2"), bake, silent)
    assert names(cache) == ["cake-v2"]
    used = built_once(cake("v3"), bake, silent)
    # Waits on its input, with the folder among its words.
    argv = ["sh", "-c", "echo up; read -r line", "sh", str(used)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert says(process) == "up"
        built_once(cake("v4"), bake, silent)
        assert names(cache) == ["cake-v3", "cake-v4"]
    finally:
        process.communicate("\n")
    built_once(cake("v5"), bake, silent)
    assert names(cache) == ["cake-v5"]


def test_another_recipe_is_another_version() -> None:
    assert version_of("flour") == version_of("flour") != version_of("flour and eggs")
