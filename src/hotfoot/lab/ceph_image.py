"""The cached root file system of the lab's Ceph cluster: Debian 13 with Ceph's own packages, apart from the hosts'."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from hotfoot.lab.cache import Kept, built_once, version_of
from hotfoot.lab.command import run
from hotfoot.lab.image import SUITE

PACKAGES = ("ceph-mon", "ceph-osd", "ceph-mds", "ceph-fuse", "ceph-common")
_FORMAT = "1"


def ensure(say: Callable[[str], None]) -> Path:
    """Return the root, building it first where it is not cached; two callers at once build it once.

    Raises LabError with the reason if it cannot be built.
    """
    version = version_of(" ".join([_FORMAT, SUITE, *PACKAGES]))
    kept = Kept("ceph", version, "Ceph's image", "Debian 13 with a monitor, an OSD and a metadata server")
    return built_once(kept, _build, say) / "root"


def _build(work: Path) -> None:
    work.chmod(0o755)
    root = work / "root"
    run(
        ["mmdebstrap", "--mode=root", "--variant=minbase", "--quiet"]
        + ["--aptopt=APT::Install-Recommends false", f"--include={','.join(PACKAGES)}", SUITE, str(root)],
        timeout_s=900,
    )
    for left in root.glob("var/lib/apt/lists/*"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()
