"""The program of the lab's SAN, fetched once: no host has it, so that it lies apart from the hosts' image."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from hotfoot.lab.cache import Kept, built_once
from hotfoot.lab.command import run
from hotfoot.lab.image import SUITE

_PACKAGE = "tgt"
_PROGRAMS = ("tgtd", "tgtadm")


def ensure(say: Callable[[str], None]) -> Path:
    """Return a folder with the target's programs in ``usr/sbin``; their libraries are those of the hosts' image.

    Two callers at once fetch it once. Raises LabError with the reason if it cannot be fetched.
    """
    kept = Kept("san", SUITE, "the iSCSI target", f"Debian's package {_PACKAGE}")
    return built_once(kept, _fetch, say)


def _fetch(work: Path) -> None:
    """Unpack the programs of the package; it is never installed, so no scripts of it run."""
    work.chmod(0o755)
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
