"""Instance data in a local folder is moved onto the shared storage: copied, compared, the old kept, and taken back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.command import Said, finish
from tests.lab.labs import TestLab, raised

from hotfoot.lab import storage

NAME = "bdata"
PATH = "/var/lib/nova/instances"
KEPT = f"{PATH}.before-hotfoot"
LOCAL = rf"""set -e
! mountpoint -q {PATH} || umount {PATH}
sed -i '\# {PATH} #d' /etc/fstab
systemctl daemon-reload
rm -rf {PATH} {KEPT}
install -d -m 0711 -o libvirt-qemu -g kvm {PATH}
cd {PATH}
mkdir _base stopped
head -c 3M /dev/urandom > _base/image
truncate -s 64M stopped/disk
head -c 1M /dev/urandom | dd of=stopped/disk bs=1M seek=20 conv=notrunc status=none
ln -s ../_base/image stopped/backing
chmod 0640 stopped/disk
chown -R libvirt-qemu:kvm stopped
touch -d '2024-05-06 07:08:09' _base/image stopped
"""
# Waits, on the host, until the copy of the large disk is under way; then the program that copies is killed.
KILLER = """for i in $(seq 1200); do
    if ls /run/hotfoot-move-*/stopped/.large.hotfoot-moving >/dev/null 2>&1; then
        pid=$(pgrep -f 'python3 -I -c.*hotfoot-[p]repare') && kill -KILL $pid && exit
    fi
    sleep 0.05
done
exit 1"""


@pytest.fixture(scope="module")
def stored(state: Path) -> Iterator[TestLab]:
    if reason := storage.obstacle("glusterfs"):
        pytest.skip(reason)
    with raised(NAME, "--hosts", "2", "--instances", "0") as lab:
        yield lab


@pytest.fixture
def lab(stored: TestLab) -> TestLab:
    """On n2 the storage is not mounted, and data is in its folder; n1 has it, and nothing is in it."""
    sh(stored, LOCAL)
    sh(stored, f"find {PATH} -mindepth 1 -delete", "n1")
    return stored


def sh(lab: TestLab, script: str, host: str = "n2") -> str:
    return lab.on(host, "sh", "-c", script)


def prepare(lab: TestLab, *words: str) -> Said:
    return lab.run("prepare", "--topic", "shared_path", *(words or ("--yes",)), "--json", timeout_s=400)


def undo(lab: TestLab, run: str, *words: str) -> Said:
    return lab.run("prepare", "--undo", run, *words, "--json", timeout_s=400)


def content(lab: TestLab, path: str, host: str = "n2", *, times: bool = True) -> list[str]:
    """All below a folder: name, kind, mode, owner, where links lead, and each file's size, time and digest."""
    time = "%T@" if times else ""
    names = rf"find . -mindepth 1 -printf '%P %y %m %U %G %l\n' -type f -printf '%P %s {time}\n'"
    return sh(lab, f"cd {path} && {{ {names}; find . -type f -exec sha256sum {{}} +; }} | sort", host).splitlines()


def is_mounted(lab: TestLab) -> bool:
    return "glusterfs" in sh(lab, f"findmnt -no FSTYPE -T {PATH}")


def test_what_an_instance_runs_from_is_not_moved_and_once_it_is_stopped_it_is(lab: TestLab) -> None:
    lab.lab("instance", "add", "vm1", "--host", "n2")
    refused = prepare(lab)
    assert (refused.status, refused.json["changes"]) == (8, []), refused.out
    (finding,) = [each for each in refused.json["findings"] if each["code"] == "shared_path.data-below"]
    assert "vm1" in finding["remedy"]
    sh(lab, "virsh -q destroy vm1")
    before = content(lab, PATH)

    moved = prepare(lab)
    assert moved.json["outcome"] == "completed", moved.out + moved.err
    assert is_mounted(lab)
    assert content(lab, KEPT) == before
    assert content(lab, PATH, "n1", times=False) == content(lab, KEPT, times=False)
    assert prepare(lab).json["changes"] == []

    # What was local can now move without its disk; and what an instance uses, or has written since, is kept.
    sh(lab, "virsh -q start vm1")
    assert lab.run("migrate", "vm1", "n1", "--no-forecast").status == 0
    run = moved.json["run"]
    used = undo(lab, run, "--force")
    assert used.status == 1, used.out
    assert any("vm1.qcow2 on the shared storage is in use" in str(change["problem"]) for change in used.json["changes"])
    sh(lab, f"virsh -q destroy vm1; echo more >> {PATH}/vm1.qcow2", "n1")
    changed = undo(lab, run)
    assert changed.status == 1, changed.out
    told = [str(change["problem"]) for change in changed.json["changes"]]
    assert any("vm1.qcow2 on the shared storage changed since" in each for each in told)
    assert is_mounted(lab)
    lab.lab("instance", "kill", "vm1")
    forced = undo(lab, run, "--force")
    assert forced.json["outcome"] == "undone", forced.out + forced.err
    assert not is_mounted(lab)
    assert content(lab, PATH) == before
    assert content(lab, PATH, "n1") == []


def test_what_a_process_has_open_is_not_moved(lab: TestLab) -> None:
    before = content(lab, PATH)
    sh(lab, f"systemd-run -q --unit=reader sh -c 'exec sleep 600 < {PATH}/stopped/disk'")
    refused = prepare(lab)
    assert refused.status == 1, refused.out
    assert any("open" in (change["problem"] or "") for change in refused.json["changes"])
    assert content(lab, PATH) == before
    assert content(lab, PATH, "n1") == []
    sh(lab, "systemctl stop reader")
    moved = prepare(lab)
    assert moved.json["outcome"] == "completed", moved.out + moved.err
    for run in (moved.json["run"], refused.json["run"]):
        assert undo(lab, run).json["outcome"] == "undone"
    assert content(lab, PATH) == before
    assert content(lab, PATH, "n1") == []
    assert PATH not in sh(lab, "cat /etc/fstab")


def test_other_data_on_the_storage_is_never_written_over(lab: TestLab) -> None:
    before = content(lab, PATH)
    sh(lab, f"mkdir {PATH}/_base && echo other > {PATH}/_base/image", "n1")
    there = content(lab, PATH, "n1")
    refused = prepare(lab)
    assert refused.status == 1
    assert any("_base/image" in (change["problem"] or "") for change in refused.json["changes"])
    assert content(lab, PATH) == before
    assert content(lab, PATH, "n1") == there


def test_a_move_that_was_killed_is_repeated_and_all_of_it_taken_back(lab: TestLab) -> None:
    sh(lab, f"head -c 96M /dev/urandom > {PATH}/stopped/large")
    before = content(lab, PATH)
    prepared = lab.start("prepare", "--topic", "shared_path", "--yes", "--json")
    sh(lab, KILLER)
    killed = finish(prepared, timeout_s=400)
    assert killed.status == 1, killed.out
    assert content(lab, PATH) == before
    assert not is_mounted(lab)

    again = prepare(lab)
    assert again.json["outcome"] == "completed", again.out + again.err
    assert content(lab, KEPT) == before
    assert content(lab, PATH, "n1", times=False) == content(lab, KEPT, times=False)
    assert "hotfoot-move" not in sh(lab, "findmnt -no TARGET")

    first = undo(lab, killed.json["run"])
    assert first.status == 1  # the later run stands on it
    assert again.json["run"] in first.out
    for run in (again.json["run"], killed.json["run"]):
        assert undo(lab, run).json["outcome"] == "undone"
    assert content(lab, PATH) == before
    assert content(lab, PATH, "n1") == []


def test_the_exported_script_moves_it_too(lab: TestLab) -> None:
    before = content(lab, PATH)
    script = lab.run("prepare", "--topic", "shared_path", "--export", "shell").out
    sh(lab, f"mkdir {PATH}/_base && echo other > {PATH}/_base/image", "n1")
    refused = lab.run("lab", "exec", "--name", lab.name, "n2", "--", "sh", "-c", script, "sh", "n2")
    assert refused.status != 0
    assert "_base/image" in refused.out + refused.err
    assert content(lab, PATH) == before
    sh(lab, f"rm {PATH}/_base/image", "n1")
    lab.on("n2", "sh", "-c", script, "sh", "n2")
    assert is_mounted(lab)
    assert content(lab, KEPT) == before
    files = [line for line in content(lab, PATH, "n1", times=False) if not line.startswith("_base d ")]
    assert files == [line for line in content(lab, KEPT, times=False) if not line.startswith("_base d ")]
    assert "moved" not in lab.on("n2", "sh", "-c", script, "sh", "n2")
    assert prepare(lab, "--dry-run").json["changes"] == []
