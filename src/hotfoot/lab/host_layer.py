"""What the hosts of some labs have above the common root: packages as they install themselves, known to dpkg.

The common root stays without them, since few labs need them. A layer fits the root that it was made on, and lies
between it and what a host itself writes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from hotfoot.lab.cache import Kept, built_once, version_of
from hotfoot.lab.command import LabError, run
from hotfoot.lab.image import SUITE, Image
from hotfoot.lab.spec import Firewall, Storage

Packages = tuple[str, ...]
_WITHOUT_KERNEL: dict[Storage, Packages] = {"cephfs": ("ceph-fuse",)}
_BY_KERNEL: dict[Storage, Packages] = {"cephfs": ("ceph-common",), "iscsi": ("open-iscsi",)}
_FORMAT = "2"
# apt is this machine's, as mmdebstrap has set it up for the suite; what is there already, the root's dpkg tells.
_DOWNLOAD = (
    'export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" && apt-get -q -y -o Dir::State::status={root}/var/lib/dpkg/status '
    "-o Dir::Cache::archives={debs} -o APT::Install-Recommends=false --download-only install {packages}"
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
# A firewall is turned on once the lab is up.
cd "$work/layer/etc/systemd/system" 2>/dev/null || exit 0
rm -f ./*.wants/ufw.service ./*.wants/firewalld.service ./dbus-org.fedoraproject.FirewallD1.service
"""


def packages_of(storage: Storage, firewall: Firewall, *, vm: bool = False) -> Packages:
    """Return what hosts have besides, for a storage and a firewall; with ``vm`` their own kernel reaches the storage.

    >>> packages_of("cephfs", "none"), packages_of("iscsi", "none", vm=True), packages_of("iscsi", "ufw")
    (('ceph-fuse',), ('open-iscsi',), ('ufw',))
    """
    of_storage = _BY_KERNEL if vm else _WITHOUT_KERNEL
    return (*of_storage.get(storage, ()), *((firewall,) if firewall != "none" else ()))


def ensure(picture: Image, packages: Packages, say: Callable[[str], None]) -> None:
    """Build a layer with packages, if there are any, unless it is cached; two callers at once build it once.

    Raises LabError with the reason where it cannot be built.
    """
    if packages:
        built_once(_kept(picture, packages), lambda work: _build(picture, packages, work), say)


def cached(picture: Image, packages: Packages) -> Path | None:
    """Return the layer, which must have been built; None where there are no packages."""
    if not packages:
        return None
    kept = _kept(picture, packages)
    if not kept.is_there:
        names = " and ".join(packages)
        raise LabError(f"The lab's {names} is gone from the cache; `hotfoot lab down` and `lab up` make it anew.")
    return kept.folder / "layer"


def name_of(picture: Image, packages: Packages) -> str:
    """Return the name of the layer's folder, there or not, which is another for all that differs; empty without one."""
    return _kept(picture, packages).folder.name if packages else ""


def _kept(picture: Image, packages: Packages) -> Kept:
    version = version_of("\n".join([_FORMAT, picture.folder.name, *packages, _DOWNLOAD, _INSTALL]))
    names = " and ".join(packages)
    return Kept(f"layer-{'+'.join(packages)}", version, f"the hosts' {names}", f"Debian's {names}")


def _build(picture: Image, packages: Packages, work: Path) -> None:
    work.chmod(0o755)
    for name in ("debs/partial", "layer"):
        (work / name).mkdir(parents=True)
    download = _DOWNLOAD.format(root=picture.root, debs=work / "debs", packages=" ".join(packages))
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
