"""Storage that hosts of the cluster serve themselves: what contradicts is told with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotfoot.cluster import Cluster, load
from hotfoot.errors import HotfootError

HOSTS = "hosts: [{name: n1, address: 10.0.0.1}, {name: n2, address: 10.0.0.2}, {name: n3, address: 10.0.0.3}]\n"


def read(folder: Path, *entries: str) -> Cluster:
    lines = "".join(f"  - {{{entry}}}\n" for entry in entries)
    (folder / "hotfoot.yaml").write_text(f"storage:\n{lines}{HOSTS}")
    return load(None, folder)


@pytest.mark.parametrize(
    ("entry", "source"),
    [
        ("path: /i, type: nfs, servers: [n1], folder: /srv/nova", "n1:/srv/nova"),
        ("path: /i, type: nfs, source: 'nas:/vol/nova'", "nas:/vol/nova"),
        ("path: /i, type: glusterfs, servers: [n1], volume: nova", "localhost:/nova"),
        ("path: /i, type: glusterfs, servers: [n1, n2, n3]", "localhost:/instances"),
        ("path: /i, type: cephfs, source: 'mon1,mon2:/nova'", "mon1,mon2:/nova"),
        ("path: /i, type: local", None),
        ("path: /i, type: nfs", None),
    ],
)
def test_what_is_mounted(tmp_path: Path, entry: str, source: str | None) -> None:
    assert read(tmp_path, entry).storage[0].mount_source == source


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("path: /i, type: nfs, servers: [n1, n2]", "storage entry 1: servers must be one host for nfs, not 2"),
        (
            "path: /i, type: glusterfs, servers: [n1, n2]",
            "storage entry 1: servers must be one host or three for glusterfs, not 2",
        ),
        ("path: /i, type: nfs, servers: [n9]", "storage entry 1: servers names n9, which is no host of this file"),
        ("path: /i, type: glusterfs, servers: [n1, n1, n2]", "storage entry 1: servers names a host twice"),
        (
            "path: /i, type: cephfs, servers: [n1]",
            "storage entry 1: servers is only for nfs and glusterfs; give the source of what serves cephfs",
        ),
        (
            "path: /i, type: local, servers: [n1]",
            "storage entry 1: servers is only for shared storage, but the type is local",
        ),
        (
            "path: /i, type: local, source: 'nas:/x'",
            "storage entry 1: source is only for shared storage, but the type is local",
        ),
        (
            "path: /i, type: nfs, source: 'nas:/x', monitors: [10.0.0.9]",
            "storage entry 1: monitors is only for cephfs, but the type is nfs",
        ),
        (
            "path: /srv/i, type: nfs, servers: [n1], folder: /srv/i/export",
            "storage entry 1: folder /srv/i/export must not be, hold or lie in the path /srv/i itself",
        ),
        (
            "path: /srv/i, type: nfs, servers: [n1], folder: /srv",
            "storage entry 1: folder /srv must not be, hold or lie in the path /srv/i itself",
        ),
    ],
)
def test_a_contradiction_is_one_sentence_with_its_line(tmp_path: Path, entry: str, sentence: str) -> None:
    with pytest.raises(HotfootError) as caught:
        read(tmp_path, entry)
    assert str(caught.value).splitlines() == [f"hotfoot.yaml:2: {sentence}."]


def test_ceph_and_iscsi(tmp_path: Path) -> None:
    text = """
ceph: {user: cinder, secret: 6D3B4C1E-98C5-4C7E-9A55-2F6E0C6A0F01}
iscsi: [{portal: san.example.org, target: 'iqn.2020-01.org.example:disks'}, {portal: '[fd00::1]:3261', target: eui.1}]
"""
    (tmp_path / "hotfoot.yaml").write_text(text + HOSTS)
    cluster = load(None, tmp_path)
    assert cluster.ceph is not None
    assert cluster.ceph.secret == "6d3b4c1e-98c5-4c7e-9a55-2f6e0c6a0f01"
    assert [each.portal for each in cluster.iscsi] == ["san.example.org:3260", "[fd00::1]:3261"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("ceph: {user: x, secret: abc}", 'ceph.secret must be a UUID such as printed by uuidgen, not "abc"'),
        (
            "iscsi: [{portal: 'a:99999', target: eui.1}]",
            'iscsi entry 1: portal must be an address with or without a port, such as 10.0.0.9:3260, not "a:99999"',
        ),
        (
            "iscsi: [{portal: a, target: disks}]",
            "iscsi entry 1: target must be the name of an iSCSI target, such as iqn.2020-01.org.example:disks, "
            'not "disks"',
        ),
    ],
)
def test_what_is_wrong_with_them(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "hotfoot.yaml").write_text(f"{text}\n{HOSTS}")
    with pytest.raises(HotfootError) as caught:
        load(None, tmp_path)
    assert str(caught.value).splitlines() == [f"hotfoot.yaml:1: {sentence}."]


CHAP = "chap: {user: cloud, password_file: chap, secret: 6D3B4C1E-98C5-4C7E-9A55-2F6E0C6A0F01}"


def iscsi(tmp_path: Path, more: str) -> Cluster:
    (tmp_path / "hotfoot.yaml").write_text(f"iscsi: [{{portal: a, target: eui.1, {more}}}]\n{HOSTS}")
    return load(None, tmp_path)


def test_the_password_of_a_target_is_in_a_file_beside_the_cluster_file(tmp_path: Path) -> None:
    (tmp_path / "chap").touch(0o600)
    (entry,) = iscsi(tmp_path, f"initiator: qemu, {CHAP}").iscsi
    assert entry.chap is not None
    assert entry.chap.password_file == tmp_path / "chap"
    assert entry.chap.secret == "6d3b4c1e-98c5-4c7e-9a55-2f6e0c6a0f01"


@pytest.mark.parametrize(
    ("initiator", "mode", "sentence"),
    [
        ("qemu", None, "chap.password_file: there is no file {file}"),
        (
            "qemu",
            0o640,
            "chap.password_file: others may read {file}, which holds a secret: `chmod 600 {file}`",
        ),
        (
            "host",
            0o600,
            "chap is only for initiator qemu; the hosts' own logins have theirs in /etc/iscsi/iscsid.conf",
        ),
    ],
)
def test_what_is_wrong_with_a_password(tmp_path: Path, initiator: str, mode: int | None, sentence: str) -> None:
    file = tmp_path / "chap"
    if mode is not None:
        file.touch()
        file.chmod(mode)
    with pytest.raises(HotfootError) as caught:
        iscsi(tmp_path, f"initiator: {initiator}, {CHAP}")
    assert str(caught.value).splitlines() == [f"hotfoot.yaml:1: iscsi entry 1: {sentence.format(file=file)}."]


def test_two_targets_may_share_a_secret_but_not_with_two_passwords(tmp_path: Path) -> None:
    for name in ("chap", "other"):
        (tmp_path / name).touch(0o600)
    entries = [f"portal: a, target: eui.{number}, initiator: qemu, {CHAP}" for number in (1, 2)]
    file = tmp_path / "hotfoot.yaml"
    file.write_text(f"iscsi:\n  - {{{entries[0]}}}\n  - {{{entries[1]}}}\n{HOSTS}")
    assert len(load(None, tmp_path).iscsi) == 2
    other = entries[1].replace("file: chap", "file: other")
    file.write_text(f"iscsi:\n  - {{{entries[0]}}}\n  - {{{other}}}\n{HOSTS}")
    with pytest.raises(HotfootError, match=r"yaml:3: iscsi entry 2: chap has the secret of line 2 with another"):
        load(None, tmp_path)


def test_a_target_of_qemu_is_declared_once(tmp_path: Path) -> None:
    entry = "  - {portal: a, target: eui.1, initiator: qemu}\n"
    (tmp_path / "hotfoot.yaml").write_text(f"iscsi:\n{entry}{entry}{HOSTS}")
    with pytest.raises(HotfootError, match=r"yaml:3: the iSCSI target eui\.1 is declared twice, first in line 2"):
        load(None, tmp_path)
