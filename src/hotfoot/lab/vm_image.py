"""The cached image of hosts that are whole virtual machines: a disk, a kernel, an initramfs and a key to log in.

Made from the root file system that hosts in namespaces share, for some storages with a layer of packages above it,
with the kernel's modules and what only a machine of its own needs. The states of booted hosts that are kept with it
lie in ``states`` (see ``vm_state``).
"""

from __future__ import annotations

import gzip
import io
import lzma
import shutil
import tarfile
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from hotfoot.lab import cache, host_layer
from hotfoot.lab.cache import Kept, built_once, version_of
from hotfoot.lab.command import run
from hotfoot.lab.host_files import File
from hotfoot.lab.host_layer import Packages
from hotfoot.lab.image import KERNEL_PACKAGE, SUITE, Image
from hotfoot.lab.trust import ssh_key
from hotfoot.reach.certificates import KeyPair

IMAGE_NAME = "hotfoot-vm-image"
"""The name by which known_hosts knows a virtual machine that has no lab's own key yet."""
ROOT_MOUNT = "/dev/vda / ext4 defaults,noatime 0 1\n"
_FORMAT = "1"
_DISK_GIB = 4
# The kernel has ext4 and virtio-pci built in.
_BOOT_MODULES = ("virtio_blk",)
_MASKED = (
    "apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer xfs_scrub_all.timer "
    "dpkg-db-backup.timer logrotate.timer systemd-networkd-wait-online.service systemd-firstboot.service "
    "getty@tty1.service serial-getty@ttyS0.service nfs-blkmap.service"
).split()
_PRIVATE_FOLDERS = ("root/.ssh", "etc/pki/libvirt/private")
_NAME = "vm"


@dataclass(frozen=True, slots=True)
class VmImage:
    """A finished image; ``picture`` is the root file system that it was made from, whose QEMU runs it."""

    folder: Path
    picture: Image

    @property
    def disk(self) -> Path:
        """The raw disk, never written to."""
        return self.folder / "disk.raw"

    @property
    def kernel(self) -> Path:
        """The hosts' kernel."""
        return self.folder / "vmlinuz"

    @property
    def initramfs(self) -> Path:
        """The hosts' initramfs, which finds the disk and goes there."""
        return self.folder / "initramfs.gz"

    @property
    def login_key(self) -> Path:
        """Root's private key until a lab's own is in place."""
        return self.folder / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """The SSH host key until a lab's own is in place, under ``IMAGE_NAME``."""
        return self.folder / "known_hosts"

    def lock(self) -> AbstractContextManager[None]:
        """Hold the lock under which the image and the states in it are made."""
        return cache.lock(self.folder.name.rpartition("-")[0])

    def program(self, name: str) -> list[str]:
        """Return the words that run a program of the image's root on this machine, with that root's libraries."""
        root = self.picture.root
        return [
            str(root / "lib64/ld-linux-x86-64.so.2"),
            "--library-path",
            str(root / "usr/lib/x86_64-linux-gnu"),
            str(root / "usr/bin" / name),
        ]


def cached(picture: Image, packages: Packages) -> VmImage | None:
    """Return the image of today's recipe, with packages besides, if it is there."""
    kept = _kept(picture, packages)
    return VmImage(kept.folder, picture) if kept.is_there else None


def ensure(picture: Image, packages: Packages, say: Callable[[str], None]) -> VmImage:
    """Return the image, building it first where it is not cached; two callers at once build it once.

    The layer with the ``packages`` must have been built. Raises LabError with the reason if it cannot be built.
    """
    kept = _kept(picture, packages)
    return VmImage(built_once(kept, lambda work: _build(picture, packages, work), say), picture)


def _script() -> str:
    return (files("hotfoot.lab") / "host" / "vm_image.sh").read_text()


def _kept(picture: Image, packages: Packages) -> Kept:
    layer = host_layer.name_of(picture, packages)
    recipe = [_FORMAT, picture.folder.name, layer, KERNEL_PACKAGE, *_BOOT_MODULES, _script(), _INIT]
    recipe += [f"{path} {file}" for path, file in _image_files(KeyPair("", ""), KeyPair("", "")).items()]
    content = " and ".join(["the lab image, a kernel and its modules", *packages])
    return Kept("+".join([_NAME, *packages]), version_of("\n".join(recipe)), "the virtual machines' image", content)


def _image_files(login: KeyPair, host_key: KeyPair) -> dict[str, File]:
    """Return what every virtual machine has, whatever its lab: its way in, and no boot that asks or waits."""
    network = "etc/systemd/network"
    found = {
        "etc/fstab": File(ROOT_MOUNT),
        "etc/hostname": File("localhost\n"),
        "etc/machine-id": File("", 0o444),
        "etc/hosts": File("127.0.0.1 localhost\n"),
        "etc/resolv.conf": File(),
        "root/.ssh/authorized_keys": File(login.public, 0o600),
        "etc/ssh/ssh_host_ed25519_key": File(host_key.private, 0o600),
        "etc/ssh/ssh_host_ed25519_key.pub": File(host_key.public),
        f"{network}/10-eth0.network": File("[Match]\nName=eth0\n[Network]\nLinkLocalAddressing=ipv6\n"),
        "etc/systemd/system/multi-user.target.wants/systemd-networkd.service": File(
            link_to="/usr/lib/systemd/system/systemd-networkd.service"
        ),
        "etc/systemd/journald.conf.d/hotfoot.conf": File("[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\n"),
    }
    return found | {f"etc/systemd/system/{unit}": File(link_to="/dev/null") for unit in _MASKED}


def packed(found: Mapping[str, File], groups: Mapping[str, int]) -> bytes:
    """Return files as an uncompressed tar archive, owned by root and the group that each names."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for folder in _PRIVATE_FOLDERS:
            if any(path.startswith(f"{folder}/") for path in found):
                entry = tarfile.TarInfo(folder)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o700
                archive.addfile(entry)
        for path, file in found.items():
            entry = tarfile.TarInfo(path)
            entry.mtime = int(time.time())
            if file.link_to is not None:
                entry.type, entry.linkname = tarfile.SYMTYPE, file.link_to
                archive.addfile(entry)
                continue
            content = file.content.encode()
            entry.size, entry.mode = len(content), file.mode
            entry.gid = groups[file.group] if file.group else 0
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _build(picture: Image, packages: Packages, work: Path) -> None:
    layer = host_layer.cached(picture, packages)
    _fetch_kernel(work)
    unpacked = work / "kernel"
    shutil.copy(next((unpacked / "boot").glob("vmlinuz-*")), work / "vmlinuz")
    login, host_key = ssh_key(), ssh_key()
    (work / "id_ed25519").touch(0o600)
    (work / "id_ed25519").write_text(login.private)
    (work / "known_hosts").write_text(f"{IMAGE_NAME} {host_key.public}")
    (work / "files.tar").touch(0o600)
    (work / "files.tar").write_bytes(packed(_image_files(login, host_key), {}))
    _write_boot_tree(unpacked, work / "initramfs")
    with as_file(files("hotfoot.lab") / "host" / "vm_image.sh") as script:
        run(
            [
                *("unshare", "--mount", "--propagation=private", "sh"),
                *(script, picture.folder, work, f"{_DISK_GIB}G", layer or ""),
            ],
            timeout_s=300,
        )
    archive = work / "initramfs.cpio"
    with gzip.open(work / "initramfs.gz", "wb", compresslevel=6) as out:
        out.write(archive.read_bytes())
    archive.unlink()
    (work / "files.tar").unlink()
    shutil.rmtree(unpacked)
    shutil.rmtree(work / "initramfs")
    (work / "disk.raw").chmod(0o600)
    (work / "states").mkdir(0o700)


def _fetch_kernel(work: Path) -> None:
    """Unpack the kernel package below ``work/kernel``; it is never installed, so no scripts of it run."""
    unpack = (
        f'cd "$1" && export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" && name=$(apt-cache depends {KERNEL_PACKAGE} | '
        "sed -n 's/.*Depends: \\(linux-image-[^ ]*\\).*/\\1/p' | head -n1) && "
        f'apt-get -q download "$name" && dpkg-deb -x linux-image-*.deb {work}/kernel'
    )
    empty = work / "empty"
    run(
        ["mmdebstrap", "--mode=root", "--variant=custom", "--quiet", "--customize-hook=" + unpack, SUITE, empty],
        timeout_s=300,
    )
    shutil.rmtree(empty)


_INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
while read -r module; do /bin/busybox insmod "/modules/$module"; done < /modules/order
until [ -b /dev/vda ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 -o noatime /dev/vda /root
/bin/busybox umount /proc
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root /sbin/init
"""


def _write_boot_tree(kernel: Path, tree: Path) -> None:
    for folder in ("bin", "proc", "dev", "root", "modules"):
        (tree / folder).mkdir(parents=True)
    (tree / "init").write_text(_INIT)
    (tree / "init").chmod(0o755)
    order = []
    for name in _BOOT_MODULES:
        found = next(kernel.glob(f"usr/lib/modules/**/{name}.ko*"))
        content = found.read_bytes()
        (tree / "modules" / f"{name}.ko").write_bytes(lzma.decompress(content) if found.suffix == ".xz" else content)
        order.append(f"{name}.ko\n")
    (tree / "modules/order").write_text("".join(order))
