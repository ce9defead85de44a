"""What hosts that mount CephFS have above the common root: ceph-fuse as its package installs it, known to dpkg.

The common root stays without it, since only labs with that storage need it. The layer fits the root that it was made
on, and lies between it and what a host itself writes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from hotfoot.lab.cache import Kept, built_once, version_of
from hotfoot.lab.command import LabError, run
from hotfoot.lab.image import SUITE, Image
from hotfoot.lab.spec import Storage

PACKAGE = "ceph-fuse"
_FORMAT = "1"
# apt is this machine's, as mmdebstrap has set it up for the suite; what is there already, the root's dpkg tells.
_DOWNLOAD = (
    'export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" && apt-get -q -y -o Dir::State::status={root}/var/lib/dpkg/status '
    "-o Dir::Cache::archives={debs} -o APT::Install-Recommends=false --download-only install " + PACKAGE
)
_INSTALL = """set -eu
root=$1 work=$2
mkdir "$work/overlay" "$work/whole"
mount -t overlay -o "lowerdir=$root,upperdir=$work/layer,workdir=$work/overlay" overlay "$work/whole"
mkdir "$work/whole/tmp/debs"
mount --bind "$work/debs" "$work/whole/tmp/debs"
mount -t proc proc "$work/whole/proc"
printf '#!/bin/sh\\nexit 101\\n' > "$work/whole/usr/sbin/policy-rc.d"
chmod 755 "$work/whole/usr/sbin/policy-rc.d"
DEBIAN_FRONTEND=noninteractive chroot "$work/whole" sh -c 'dpkg --install /tmp/debs/*.deb'
rm "$work/whole/usr/sbin/policy-rc.d"
umount "$work/whole/proc" "$work/whole/tmp/debs"
rmdir "$work/whole/tmp/debs"
umount "$work/whole"
"""


def ensure(picture: Image, storage: Storage, say: Callable[[str], None]) -> None:
    """Build the layer where that storage needs it and it is not cached; two callers at once build it once.

    Raises LabError with the reason where it cannot be built.
    """
    if storage != "cephfs":
        return
    built_once(_kept(picture), lambda work: _build(picture, work), say)


def cached(picture: Image) -> Path:
    """Return the layer, which must have been built."""
    kept = _kept(picture)
    if not kept.is_there:
        raise LabError("The lab's ceph-fuse is gone from the cache; `hotfoot lab down` and `lab up` make it anew.")
    return kept.folder / "layer"


def _kept(picture: Image) -> Kept:
    version = version_of("\n".join([_FORMAT, picture.folder.name, PACKAGE, _DOWNLOAD, _INSTALL]))
    return Kept("cephfs", version, "the hosts' ceph-fuse", f"Debian's package {PACKAGE}")


def _build(picture: Image, work: Path) -> None:
    work.chmod(0o755)
    for name in ("debs/partial", "layer"):
        (work / name).mkdir(parents=True)
    download = _DOWNLOAD.format(root=picture.root, debs=work / "debs")
    run(
        ["mmdebstrap", "--mode=root", "--variant=custom", "--quiet", f"--customize-hook={download}", SUITE]
        + [str(work / "empty")],
        timeout_s=300,
    )
    run(
        ["unshare", "--mount", "--propagation=private", "sh", "-c", _INSTALL, "sh", str(picture.root), str(work)],
        timeout_s=300,
    )
    for left in ("debs", "empty", "overlay", "whole"):
        shutil.rmtree(work / left)
