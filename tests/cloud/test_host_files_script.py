"""The script that looks at files, run by a real shell."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from hotfoot.cloud.host_files import answer, question

pytestmark = pytest.mark.skipif(shutil.which("findmnt") is None, reason="this machine has no findmnt")


def test_it_tells_of_files_present_and_missing(tmp_path: Path) -> None:
    present, missing = tmp_path / "a b'c", tmp_path / "not" / "there"
    present.write_bytes(b"x" * 1234)
    script = question([str(present), str(missing)], ["lo", "no-such-bridge"])
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    said = answer(done.stdout)
    assert (said.files[str(present)].exists, said.files[str(present)].size_bytes) == (True, 1234)
    assert said.files[str(present)].inode == present.stat().st_ino
    assert not said.files[str(missing)].exists
    assert said.files[str(missing)].fs_type == said.files[str(present)].fs_type != ""
    assert said.files[str(missing)].free_bytes > 0
    assert said.missing_devices == ("no-such-bridge",)


def test_it_tells_what_libvirt_was_told_is_shared(tmp_path: Path) -> None:
    conf = tmp_path / "qemu.conf"
    conf.write_text(
        '#shared_filesystems = [\n#  "/commented"\n#]\n'
        f'shared_filesystems = [\n  "{tmp_path}/one", # "{tmp_path}/none"\n  \'{tmp_path}/two/\'\n]\nuser = "/three"\n'
    )
    paths = [f"{tmp_path}/{name}/disk" for name in ("one", "two", "none", "one-more")]
    script = question(paths, []).replace("/etc/libvirt/qemu.conf", str(conf))
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    files = answer(done.stdout).files
    assert [files[path].told_shared for path in paths] == [True, True, False, False]


def test_it_tells_the_addresses_of_the_host() -> None:
    listed = subprocess.run(
        ["ip", "-json", "addr", "show", "scope", "global"], capture_output=True, text=True, check=True
    ).stdout
    mine = {info["local"] for link in json.loads(listed) for info in link.get("addr_info", []) if "local" in info}
    done = subprocess.run(["sh", "-c", question([], [])], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert set(answer(done.stdout).addresses) == mine


def test_it_tells_whether_userfaultfd_may_be_used() -> None:
    done = subprocess.run(["sh", "-c", question([], [])], capture_output=True, text=True, check=True)
    sysctl, device = Path("/proc/sys/vm/unprivileged_userfaultfd"), Path("/dev/userfaultfd")
    for_all = sysctl.exists() and sysctl.read_text().strip() == "1"
    by_device = device.exists() and bool(device.stat().st_mode & 0o006 == 0o006)
    group = device.exists() and device.stat().st_mode & 0o060 == 0o060 and device.group() != "root"
    assert answer(done.stdout).userfaultfd is (for_all or by_device or group)
