"""What the lab builds once and keeps: a folder in the cache for each thing, with its version in the name.

Invariant: a folder with its final name is whole. It is built beside, and renamed when it is finished, so that a
build that failed leaves nothing, and one that was killed leaves only what the next build of that thing removes.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hotfoot.lab.command import LabError
from hotfoot.lab.places import cache_folder


@dataclass(frozen=True, slots=True)
class Kept:
    """A thing that is kept in the cache, there or not."""

    name: str
    """Of its folders' names the part before the hyphen; it has none itself."""
    version: str
    """Changes with all that it is made of: see ``version_of``."""
    title: str
    """What messages call it."""
    content: str
    """What is in it, for the one who waits."""

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        return cache_folder() / f"{self.name}-{self.version}"

    @property
    def is_there(self) -> bool:
        """Whether it has been built."""
        return self.folder.is_dir()


def version_of(recipe: str) -> str:
    """Return a version that is another for every other recipe."""
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold the lock under which things of that name are built."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{name}-build.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def built_once(kept: Kept, build: Callable[[Path], None], say: Callable[[str], None]) -> Path:
    """Return the thing's folder; where it is not there, ``build`` first fills an empty one, of mode 700.

    Two callers at once build it once. Older versions that no process uses are removed after a build. Raises
    LabError with the reason where it cannot be built, and leaves nothing.
    """
    if kept.is_there:
        return kept.folder
    try:
        with lock(kept.name):
            if not kept.is_there:
                _build(kept, build, say)
    except (LabError, OSError) as error:
        raise LabError(f"Building {kept.title} in {cache_folder()} failed: {error}") from None
    return kept.folder


def _build(kept: Kept, build: Callable[[Path], None], say: Callable[[str], None]) -> None:
    cache = cache_folder()
    for left in cache.glob(f"building-{kept.name}-*"):
        shutil.rmtree(left, ignore_errors=True)
    say(f"building {kept.title} once, in {cache} ({kept.content})")
    started = time.monotonic()
    # Another name each time: a program that a killed build has left may still write to its folder.
    work = Path(tempfile.mkdtemp(prefix=f"building-{kept.name}-", dir=cache))
    try:
        build(work)
        work.rename(kept.folder)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    for old in cache.glob(f"{kept.name}-*/"):
        if old != kept.folder and not _in_use(old):
            shutil.rmtree(old, ignore_errors=True)
    say(f"built in {time.monotonic() - started:.0f} s")


def _in_use(folder: Path) -> bool:
    """Tell whether a process of this machine has it in an overlay, or was started with its path."""
    for told in (*Path("/proc").glob("[0-9]*/mounts"), *Path("/proc").glob("[0-9]*/cmdline")):
        with contextlib.suppress(OSError):
            if str(folder).encode() in told.read_bytes():
                return True
    return False
