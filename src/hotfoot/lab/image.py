"""The cached image: a Debian 13 root file system for hosts, and a kernel and initramfs for instances.

Built once with mmdebstrap: a changed recipe makes a new image, and an unchanged one is never built twice.
"""

from __future__ import annotations

import gzip
import lzma
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from hotfoot.lab.cache import Kept, built_once, version_of
from hotfoot.lab.command import run

SUITE = "trixie"
HOST_PACKAGES = (
    "systemd-sysv dbus udev kmod libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils "
    "qemu-block-extra openssh-server iproute2 iputils-ping nftables nfs-common nfs-kernel-server "
    "glusterfs-server python3 procps busybox-static systemd-timesyncd"
).split()
KERNEL_PACKAGE = "linux-image-cloud-amd64"
# In the order in which they load: each needs those before it.
GUEST_MODULES = (
    "virtio virtio_ring virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk failover net_failover "
    "virtio_net"
).split()
_FORMAT = "3"


@dataclass(frozen=True, slots=True)
class Image:
    """A finished image; ``root`` is never written to."""

    folder: Path

    @property
    def root(self) -> Path:
        """The hosts' root file system."""
        return self.folder / "root"

    @property
    def kernel(self) -> Path:
        """The instances' kernel."""
        return self.folder / "guest" / "vmlinuz"

    @property
    def initramfs(self) -> Path:
        """The instances' initramfs, with the witness in it."""
        return self.folder / "guest" / "initramfs.gz"


def _guest_source(name: str) -> str:
    return (files("hotfoot.lab") / "guest" / name).read_text()


def cached() -> Image | None:
    """Return the image of today's recipe if it is there."""
    kept = _kept()
    return Image(kept.folder) if kept.is_there else None


def ensure(say: Callable[[str], None]) -> Image:
    """Return the image, building it first where it is not cached (a minute or so, with a network of packages).

    Two callers at once build it once. Raises LabError with the reason if it cannot be built.
    """
    return Image(built_once(_kept(), _build, say))


def _kept() -> Kept:
    recipe = [_FORMAT, SUITE, *HOST_PACKAGES, KERNEL_PACKAGE, *GUEST_MODULES]
    recipe += [_guest_source("init.sh"), _guest_source("witness.c")]
    content = "Debian 13 with libvirt, QEMU and GlusterFS"
    return Kept("image", version_of("\n".join(recipe)), "the lab image", content)


def _build(work: Path) -> None:
    root, guest = work / "root", work / "guest"
    work.chmod(0o755)
    guest.mkdir()
    # The kernel is only unpacked, never installed: its scripts would make an initramfs that nobody boots.
    unpack_kernel = (
        'cd "$1/tmp" && export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" && '
        f"name=$(apt-cache depends {KERNEL_PACKAGE} | "
        "sed -n 's/.*Depends: \\(linux-image-[^ ]*\\).*/\\1/p' | head -n1) && "
        'apt-get -q download "$name" && dpkg-deb -x linux-image-*.deb "$1/kernel" && rm linux-image-*.deb'
    )
    run(
        ["mmdebstrap", "--mode=root", "--variant=minbase", "--quiet"]
        + ["--aptopt=APT::Install-Recommends false", f"--include={','.join(HOST_PACKAGES)}"]
        + ["--customize-hook=" + unpack_kernel, SUITE, root],
        timeout_s=900,
    )
    _guest(root, guest)
    shutil.rmtree(root / "kernel")
    for left in [*root.glob("var/lib/apt/lists/*"), *root.glob("etc/ssh/ssh_host_*")]:
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def _guest(root: Path, guest: Path) -> None:
    """Make the instances' kernel and initramfs from the unpacked kernel package, busybox and the witness."""
    boot = next((root / "kernel" / "boot").glob("vmlinuz-*"))
    shutil.copy(boot, guest / "vmlinuz")
    tree = root / "tmp" / "initramfs"
    for folder in ("bin", "proc", "sys", "dev", "modules"):
        (tree / folder).mkdir(parents=True)
    shutil.copy(root / "usr/bin/busybox", tree / "bin/busybox")
    source = guest / "witness.c"
    source.write_text(_guest_source("witness.c"))
    run(["cc", "-static", "-O2", "-pthread", "-o", tree / "bin/witness", source])
    (tree / "init").write_text(_guest_source("init.sh"))
    (tree / "init").chmod(0o755)
    order = []
    for name in GUEST_MODULES:
        found = list((root / "kernel").glob(f"**/{name}.ko*"))
        if not found:
            continue  # built into the kernel
        packed = found[0].read_bytes()
        (tree / "modules" / f"{name}.ko").write_bytes(lzma.decompress(packed) if found[0].suffix == ".xz" else packed)
        order.append(f"{name}.ko\n")
    (tree / "modules/order").write_text("".join(order))
    script = "cd /tmp/initramfs && busybox find . | busybox cpio -o -H newc > /tmp/initramfs.cpio"
    run(["chroot", root, "sh", "-c", script])
    archive = root / "tmp/initramfs.cpio"
    with gzip.open(guest / "initramfs.gz", "wb", compresslevel=6) as packed_archive:
        packed_archive.write(archive.read_bytes())
    archive.unlink()
    shutil.rmtree(tree)
