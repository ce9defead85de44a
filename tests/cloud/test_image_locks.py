"""What qemu-img says of an image that somebody has open, and of which images that tells anything."""

from __future__ import annotations

from hotfoot.cloud.image_locks import Lock, answer, lockable, question, untold
from hotfoot.inventory import Disk

FILE = Disk(target="vda", kind="file", source="/srv/a b.qcow2", format="qcow2")
HELD = (
    "qemu-img: Could not open '/srv/a.qcow2': Failed to get shared \"write\" lock "
    "Is another process using the image [/srv/a.qcow2]?"
)


def test_a_lock_is_told_from_other_troubles() -> None:
    said = f"Welcome!\nlock\t/a\tfree\nlock\t/b\t{HELD}\nlock\t/c\tqemu-img: Could not open '/c': Permission denied\n"
    assert answer(said) == {"/a": Lock.FREE, "/b": Lock.HELD, "/c": Lock.UNTOLD}


def test_only_own_files_have_locks_that_tell() -> None:
    disks = [
        FILE,
        Disk(target="vdb", kind="network", source="vms/b", protocol="rbd"),
        Disk(target="vdc", kind="block", source="/dev/sdb"),
        Disk(target="sda", kind="file", source="/iso", device="cdrom", read_only=True),
        Disk(target="vdd", kind="file", source="/shared", shareable=True),
    ]
    assert [disk.target for disk in lockable(disks)] == ["vda"]
    assert [disk.target for disk in untold(disks)] == ["vdb", "vdc"]
    assert "look qcow2 '/srv/a b.qcow2'" in question(disks)
