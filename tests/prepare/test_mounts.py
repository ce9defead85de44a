"""What fstab says against what the kernel shows; mounts themselves are tried in the lab."""

from __future__ import annotations

import pytest

from hotfoot.prepare.on_host.mounts import Entry, shown_source


@pytest.mark.parametrize(
    ("entry", "shown"),
    [
        (Entry("none", "fuse.ceph", "ceph.id=nova,_netdev"), "ceph-fuse"),
        (Entry("nova@.disks=/", "ceph", "noatime"), "nova@.disks=/"),
        (Entry("nas:/srv", "nfs4", "hard"), "nas:/srv"),
    ],
)
def test_ceph_fuse_shows_nothing_but_itself(entry: Entry, shown: str) -> None:
    assert shown_source(entry) == shown
