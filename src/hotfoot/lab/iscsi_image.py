"""The program of the lab's SAN, fetched once: no host has it, so that it lies apart from the hosts' image."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from hotfoot.lab.command import run
from hotfoot.lab.image import SUITE
from hotfoot.lab.places import cache_folder

_PACKAGE = "tgt"
_PROGRAMS = ("tgtd", "tgtadm")


def ensure(say: Callable[[str], None]) -> Path:
    """Return a folder with the target's programs in ``usr/sbin``; their libraries are those of the hosts' image.

    Two callers at once fetch it once. Raises LabError with the reason if it cannot be fetched.
    """
    cache = cache_folder()
    final = cache / f"san-{SUITE}"
    with (cache / "san-build.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if final.is_dir():
            return final
        say("fetching the iSCSI target once")
        for left in cache.glob("building-san-*"):
            shutil.rmtree(left, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix="building-san-", dir=cache))
        try:
            _fetch(work)
            work.chmod(0o755)
            work.rename(final)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
        return final


def _fetch(work: Path) -> None:
    """Unpack the programs of the package; it is never installed, so no scripts of it run."""
    unpack = (
        f'cd "$1" && export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" && apt-get -q download {_PACKAGE} && '
        f"dpkg-deb -x {_PACKAGE}_*.deb {work}/unpacked"
    )
    run(
        ["mmdebstrap", "--mode=root", "--variant=custom", "--quiet", "--customize-hook=" + unpack, SUITE]
        + [str(work / "empty")],
        timeout_s=300,
    )
    place = work / "usr" / "sbin"
    place.mkdir(parents=True)
    for program in _PROGRAMS:
        (work / "unpacked" / "usr" / "sbin" / program).rename(place / program)
    shutil.rmtree(work / "unpacked")
    shutil.rmtree(work / "empty")
