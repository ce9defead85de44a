"""The cached root file system of the lab's Ceph cluster: Debian 13 with Ceph's own packages, apart from the hosts'."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from hotfoot.lab.command import run
from hotfoot.lab.image import SUITE, in_use
from hotfoot.lab.places import cache_folder

PACKAGES = ("ceph-mon", "ceph-osd", "ceph-common")
_FORMAT = "1"
_PREFIX = "ceph-"


def ensure(say: Callable[[str], None]) -> Path:
    """Return the root, building it first where it is not cached; two callers at once build it once.

    Raises LabError with the reason if it cannot be built.
    """
    cache = cache_folder()
    final = cache / f"{_PREFIX}{hashlib.sha256(' '.join([_FORMAT, SUITE, *PACKAGES]).encode()).hexdigest()[:12]}"
    with (cache / "ceph-build.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not final.is_dir():
            for left in cache.glob("building-ceph-*"):
                shutil.rmtree(left, ignore_errors=True)
            say("building Ceph's image once (Debian 13 with a monitor and an OSD)")
            started = time.monotonic()
            work = Path(tempfile.mkdtemp(prefix="building-ceph-", dir=cache))
            try:
                work.chmod(0o755)
                _build(work / "root")
                work.rename(final)
            except BaseException:
                shutil.rmtree(work, ignore_errors=True)
                raise
            for old in cache.glob(f"{_PREFIX}*/"):
                if old != final and not in_use(old):
                    shutil.rmtree(old, ignore_errors=True)
            say(f"image built in {time.monotonic() - started:.0f} s")
    return final / "root"


def _build(root: Path) -> None:
    run(
        ["mmdebstrap", "--mode=root", "--variant=minbase", "--quiet"]
        + ["--aptopt=APT::Install-Recommends false", f"--include={','.join(PACKAGES)}", SUITE, str(root)],
        timeout_s=900,
    )
    for left in root.glob("var/lib/apt/lists/*"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()
