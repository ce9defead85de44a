"""The probe, run on this machine by a Python of its own, as a host runs it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hotfoot.reach.probe import storage
from hotfoot.reach.probe.frame import Apart, Failed
from hotfoot.reach.probe.script import probe_script
from hotfoot.readiness.facts import HostFacts
from hotfoot.readiness.wanted import Wanted


def probe(*prefix: str, python: str = sys.executable, path: str | None = None, **wanted: Any) -> HostFacts:
    """What the probe tells; ``prefix`` are words before python's, ``path`` is its PATH."""
    environment = {**os.environ, "PATH": path if path is not None else os.environ["PATH"]}
    done = subprocess.run(
        [*prefix, python, "-I", "-B", "-"],
        input=probe_script(Wanted.model_validate(wanted)).encode(),
        capture_output=True,
        env=environment,
        check=True,
        timeout=30,
    )
    assert done.stderr == b""
    assert done.stdout.count(b"\n") == 1
    return HostFacts.model_validate({**json.loads(done.stdout), "host": "n1"})


def stub(folder: Path, name: str, script: str) -> None:
    """A program that stands before the real one in PATH."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def pythons() -> list[str]:
    """Other Pythons of this machine, from the oldest that hosts have."""
    versions = [f"3.{minor}" for minor in range(6, 15)]
    found = [shutil.which(f"python{version}") for version in versions]
    managed = [str(path) for path in sorted(Path.home().glob(".pyenv/versions/3.*/bin/python3"))]
    return [path for path in (*found, *managed) if path and "/shims/" not in path]


def test_every_section_is_told_or_says_why() -> None:
    facts = probe(names=("localhost",), units=("ssh.service",), packages=("bash",), folders=("/tmp",))
    for section in ("os", "names", "clock", "identity", "listeners", "firewall", "pki", "libvirt", "qemu", "storage"):
        assert getattr(facts, section) is not None or facts.failures[section]
    assert facts.units or facts.failures["units"]
    assert facts.os is not None
    assert facts.os.kernel == os.uname().release
    assert facts.os.python == "{}.{}.{}".format(*sys.version_info)
    assert facts.clock is not None
    assert abs(facts.clock.now_s - time.time()) < 5
    assert facts.free_bytes["/"] > 0
    assert 0 < facts.elapsed_s < 20


@pytest.mark.parametrize("python", pythons())
def test_old_and_new_pythons(python: str) -> None:
    asked = [python, "-c", "import sys; print(*sys.version_info[:3], sep='.')"]
    version = subprocess.run(asked, capture_output=True, check=True)
    facts = probe(python=python, files=("/etc/passwd",), names=("localhost",), folders=("/",))
    assert facts.os is not None
    assert facts.os.python == version.stdout.decode().strip()
    assert facts.files["/etc/passwd"].exists
    assert {failed.partition(".")[0] for failed in facts.failures} <= {"units", "names", "firewall"}


def test_users_groups_and_names() -> None:
    facts = probe(names=("localhost", "no-such-host.invalid"), users=("root", "no-such-user"))
    assert facts.identity is not None
    root = facts.identity.user("root")
    assert root is not None
    assert (root.uid, root.gid) == (0, 0)
    assert facts.identity.group("root") is not None
    assert facts.identity.processes.keys() <= {0}
    assert facts.names is not None
    assert facts.names.hostname == socket.gethostname()
    assert "127.0.0.1" in facts.names.resolved["localhost"] or "::1" in facts.names.resolved["localhost"]
    assert facts.names.resolved.get("no-such-host.invalid", ()) == ()


@pytest.mark.skipif(shutil.which("ip") is None, reason="this machine has no ip")
def test_addresses_are_those_that_ip_tells() -> None:
    facts = probe()
    told = subprocess.run(["ip", "-json", "address", "show"], capture_output=True, check=True)
    ours = [each["local"] for link in json.loads(told.stdout) for each in link.get("addr_info", ())]
    assert facts.names is not None
    assert list(facts.names.addresses) == [each for each in ours if not each.startswith("127.") and each != "::1"]


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="this machine has no dpkg")
def test_packages_are_those_that_dpkg_tells() -> None:
    argv = ["dpkg-query", "--show", "--showformat=${db:Status-Status}\t${Package}\t${Version}\n"]
    rows = [
        row.split("\t") for row in subprocess.run(argv, capture_output=True, check=True, text=True).stdout.splitlines()
    ]
    versions = {row[1]: row[2] for row in rows if row[0] == "installed"}
    facts = probe(packages=(*(row[1] for row in rows), "no-such-package"))
    assert facts.packages == versions


def test_listeners() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("::1", 0), family=socket.AF_INET6) as two:
        opened = {one.getsockname()[:2], two.getsockname()[:2]}
        facts = probe()
    assert opened <= {(each.address, each.port) for each in facts.listeners or ()}


def test_files_by_content_with_marks_for_secrets(tmp_path: Path) -> None:
    text = "[database]\nconnection = mysql://nova:hunter2@db/nova\n# ü\n"
    conf = tmp_path / "nova.conf"
    conf.write_text(text)
    conf.chmod(0o640)
    (tmp_path / "link.conf").symlink_to("nova.conf")
    (tmp_path / "dangling.conf").symlink_to("nowhere")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\0")
    (tmp_path / "large").write_bytes(b"x" * (256 * 1024 + 1))
    (tmp_path / "folder").mkdir()
    facts = probe(files=(f"{tmp_path}/*", f"{tmp_path}/missing"))
    told = facts.files[str(conf)]
    assert told.content == "[database]\nconnection = @secret:0@\n# ü\n"
    assert told.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert (told.exists, told.mode, told.uid, told.gid) == (True, 0o640, os.getuid(), os.getgid())
    link = facts.files[f"{tmp_path}/link.conf"]
    assert (link.content, link.link_to) == (told.content, "nova.conf")
    dangling = facts.files[f"{tmp_path}/dangling.conf"]
    assert (dangling.exists, dangling.link_to) == (False, "nowhere")
    for name in ("binary", "large", "folder"):
        assert facts.files[f"{tmp_path}/{name}"].exists
        assert facts.files[f"{tmp_path}/{name}"].content is None
    assert not facts.files[f"{tmp_path}/missing"].exists
    assert "hunter2" not in facts.model_dump_json()


def test_paths_by_their_outside_only(tmp_path: Path) -> None:
    (tmp_path / "a.key").write_text("hunter2")
    (tmp_path / "a.key").chmod(0o600)
    facts = probe(paths=(f"{tmp_path}/*.key", str(tmp_path), f"{tmp_path}/missing", "/dev/null", "~root/"))
    key = facts.paths[f"{tmp_path}/a.key"]
    assert (key.kind, key.mode, key.size_bytes) == ("file", 0o600, 7)
    assert facts.paths[str(tmp_path)].kind == "folder"
    assert facts.paths["/dev/null"].kind == "character"
    assert not facts.paths[f"{tmp_path}/missing"].exists
    assert facts.paths["/root/"].exists
    assert "hunter2" not in facts.model_dump_json()


def test_a_user_that_is_not_there_has_no_home() -> None:
    assert not probe(files=("~no-such-user/.ssh/config",)).files["~no-such-user/.ssh/config"].exists


def test_a_program_that_is_broken_costs_its_own_section_only(tmp_path: Path) -> None:
    stub(tmp_path / "bin", "systemctl", "echo 'Connection timed out' >&2; exit 1")
    stub(tmp_path / "bin", "sshd", "sleep 60")
    facts = probe(
        path=f"{tmp_path}/bin:{os.environ['PATH']}",
        units=("ssh.service", "dbus.service", "systemd-journald.service"),
        files=("/etc/passwd",),
    )
    assert "Connection timed out" in facts.failures["units"]
    assert "did not answer within 8 s" in facts.failures["ssh"]
    assert facts.ssh is None
    assert facts.units == {}
    assert facts.files["/etc/passwd"].exists
    assert facts.os is not None
    assert facts.elapsed_s < 40


def test_records_of_iscsi_targets_say_whether_they_are_logged_in_to_at_boot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, startup in {
        "iqn.2020-01.org.example:one/10.0.0.9,3260,1/default": "manual",
        "iqn.2020-01.org.example:one/10.0.1.9,3260,1/default": "automatic",
        "IQN.2020-01.org.example:two/10.0.0.9,3260": "manual",
    }.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(
            f"# BEGIN RECORD 2.1.11\nnode.name = x\nnode.startup = {startup}\nnode.tpgt = 1\n"
        )
    monkeypatch.setattr(storage, "_ISCSI_RECORDS", (str(tmp_path), str(tmp_path / "missing")))
    found = storage._records()
    assert found == {"iqn.2020-01.org.example:one": "automatic", "iqn.2020-01.org.example:two": "manual"}


def test_a_storage_path_that_is_an_ordinary_folder(tmp_path: Path) -> None:
    (tmp_path / "disk").touch()
    facts = probe(folders=(str(tmp_path), f"{tmp_path}/missing"))
    assert facts.storage is not None
    here = facts.storage.folder(str(tmp_path))
    assert here is not None
    assert here.mount is not None
    assert (here.exists, here.entries, here.hung, here.below_entries) == (True, 1, False, None)
    assert here.free_bytes > 0
    assert here.mount.fs_type
    missing = facts.storage.folder(f"{tmp_path}/missing")
    assert missing is not None
    assert (missing.exists, missing.hung) == (False, False)


def test_whether_the_kernel_has_cephfs(tmp_path: Path) -> None:
    facts = probe(folders=(str(tmp_path),))
    assert facts.storage is not None
    module = Path("/lib/modules", os.uname().release, "kernel/fs/ceph")
    there = "ceph" in facts.storage.kernel_filesystems or bool(list(module.glob("ceph.ko*")))
    assert facts.storage.cephfs_in_kernel is there


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
def test_what_a_mount_hides_is_counted_and_the_mount_stays(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    for name in ("one", "two"):
        (folder / name).touch()
    inside = 'mount -t tmpfs hidden "$1" && touch "$1/three" && shift && "$@" && test -e "$0/three"'
    facts = probe(
        *("unshare", "--mount", "--", "sh", "-c", inside, str(folder), str(folder)),
        folders=(str(folder),),
        files=(f"{folder}/*",),
    )
    assert facts.storage is not None
    told = facts.storage.folder(str(folder))
    assert told is not None
    assert told.mount is not None
    assert (told.mount.target, told.mount.fs_type) == (str(folder), "tmpfs")
    assert (told.entries, told.below_entries) == (1, 2)
    assert list(facts.files) == [f"{folder}/three"]


# Mounts a FUSE file system whose server never says a word, and runs a program: whoever touches it waits for ever.
_HUNG = """
import ctypes, os, subprocess, sys
folder, argv = sys.argv[1], sys.argv[2:]
fuse = os.open("/dev/fuse", os.O_RDWR)
options = "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other" % fuse
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b"hung", os.fsencode(folder), b"fuse", 0, options.encode()) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
sys.exit(subprocess.run(argv, check=False).returncode)
"""


@pytest.mark.skipif(os.geteuid() != 0 or not os.path.exists("/dev/fuse"), reason="needs root and FUSE")
def test_a_file_system_that_hangs_hangs_nothing_else(tmp_path: Path) -> None:
    hung = tmp_path / "hung"
    hung.mkdir()
    began_s = time.monotonic()
    facts = probe(
        *("unshare", "--mount", "--", sys.executable, "-c", _HUNG, str(hung)),
        folders=(str(hung), str(tmp_path)),
        files=(f"{hung}/a.conf", "/etc/passwd"),
        paths=(f"{hung}/*", str(hung), f"{tmp_path}/*"),
    )
    assert time.monotonic() - began_s < 12
    assert facts.storage is not None
    folder = facts.storage.folder(str(hung))
    assert folder is not None
    assert (folder.hung, folder.exists) == (True, False)
    assert folder.mount is not None
    assert folder.mount.fs_type == "fuse"
    other = facts.storage.folder(str(tmp_path))
    assert other is not None
    assert (other.hung, other.exists) == (False, True)
    assert facts.files[f"{hung}/a.conf"].hung
    assert facts.files["/etc/passwd"].content
    assert facts.paths[str(hung)].hung
    assert facts.identity is not None


@pytest.mark.skipif(shutil.which("openssl") is None, reason="this machine has no openssl")
def test_the_digest_of_a_key_is_that_of_its_certificate(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    from hotfoot.reach.probe.trust import _add_digests

    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for name in ("a.pem", "b.pem"):
        text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / name).write_bytes(text)
    (tmp_path / "broken.pem").write_text("no key\n")
    told: list[dict[str, Any]] = [{"path": f"{tmp_path}/{name}.pem"} for name in ("a", "b", "broken")]
    _add_digests(told)
    digest = hashlib.sha256(public).hexdigest()
    assert [each.get("public_key_sha256") for each in told] == [digest, digest, None]


def test_keys_of_rsa_need_no_openssl(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    from hotfoot.reach.probe.trust import _public_half

    key = rsa.generate_private_key(65537, 2048)
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
        text = key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()
        assert _public_half(text) == public
        assert _public_half(text[:700] + text[-40:]) is None
        assert _public_half(key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"x")).decode()) is None
    other = ec.generate_private_key(ec.SECP256R1())
    assert _public_half(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()) is None
    assert _public_half("") is None


def test_work_apart_that_hangs_is_left_behind() -> None:
    def work() -> Iterator[str | dict[str, int]]:
        yield {"first": 1}
        time.sleep(60)
        yield {"second": 2}

    assert Apart(work()).told(3) == ([{"first": 1}], True)


def test_work_apart_that_ends_or_fails() -> None:
    assert Apart(iter([{"a": 1}, {"b": None}])).told(5) == ([{"a": 1}, {"b": None}], False)

    def broken() -> Iterator[object]:
        yield {}
        raise ValueError("no good")

    with pytest.raises(Failed, match="ValueError: no good"):
        Apart(broken()).told(5)
