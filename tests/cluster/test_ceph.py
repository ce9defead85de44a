"""What the cluster file says of Ceph."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotfoot.cluster import load
from hotfoot.errors import HotfootError

UUID = "6d3b4c1e-98c5-4c7e-9a55-2f6e0c6a0f01"


def written(folder: Path, *, mode: int | None = 0o600, monitors: str = "[10.0.0.9, mon2.example.org]") -> Path:
    if mode is not None:
        keyring = folder / "nova.keyring"
        keyring.write_text("[client.nova]\n\tkey = AQ==\n")
        keyring.chmod(mode)
    file = folder / "hotfoot.yaml"
    file.write_text(
        "hosts: [{name: n1, address: 10.0.0.1}]\n"
        f"ceph: {{user: nova, secret: {UUID}, keyring: nova.keyring, monitors: {monitors}, pools: [vms, volumes]}}\n"
    )
    return file


def test_all_that_hosts_need_can_be_named(tmp_path: Path) -> None:
    ceph = load(written(tmp_path), tmp_path).ceph
    assert ceph is not None
    assert ceph.keyring == tmp_path / "nova.keyring"
    assert ceph.monitors == ("10.0.0.9", "mon2.example.org")
    assert ceph.pools == ("vms", "volumes")


@pytest.mark.parametrize(("mode", "said"), [(0o640, "others may read"), (None, "there is no file")])
def test_a_keyring_that_is_open_or_missing_is_a_mistake(tmp_path: Path, mode: int | None, said: str) -> None:
    with pytest.raises(HotfootError, match=said):
        load(written(tmp_path, mode=mode), tmp_path)


def test_a_monitor_that_is_no_address_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(HotfootError, match="must be an IP address or a DNS name"):
        load(written(tmp_path, monitors="['10.0.0']"), tmp_path)


def of_files(folder: Path, source: str, *, mode: int = 0o600) -> Path:
    keyring = folder / "compute.keyring"
    keyring.write_text("[client.compute]\n\tkey = AQ==\n")
    keyring.chmod(mode)
    file = folder / "hotfoot.yaml"
    file.write_text(
        "hosts: [{name: n1, address: 10.0.0.1}]\nstorage:\n"
        f"  - {{path: /i, type: cephfs, source: '{source}', keyring: compute.keyring, monitors: [10.0.0.9]}}\n"
    )
    return file


def test_a_file_system_has_its_keyring_and_monitors(tmp_path: Path) -> None:
    (storage,) = load(of_files(tmp_path, "compute@.disks=/nova"), tmp_path).storage
    assert (storage.keyring, storage.monitors) == (tmp_path / "compute.keyring", ("10.0.0.9",))
    with pytest.raises(HotfootError, match="storage entry 1: keyring: others may read"):
        load(of_files(tmp_path, "compute@.disks=/nova", mode=0o644), tmp_path)


def test_whose_keyring_it_is_the_source_says(tmp_path: Path) -> None:
    with pytest.raises(HotfootError, match="keyring needs a source that names the user"):
        load(of_files(tmp_path, "10.0.0.9:/nova"), tmp_path)
