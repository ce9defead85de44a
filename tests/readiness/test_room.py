from __future__ import annotations

from typing import Any

import pytest
from tests.readiness.storage_hosts import GLUSTER, LOCAL, PATH, cluster, codes, folder, found, host

from hotfoot.readiness import room
from hotfoot.readiness.facts import MountFact
from hotfoot.readiness.finding import Severity

LOCAL_DISKS = cluster({"path": PATH, "type": "local"})
SHARED = cluster({"path": PATH, "type": "glusterfs", "servers": ["n1"], "folder": "/srv/brick"})


@pytest.mark.parametrize(
    ("free", "code", "severity"),
    [
        ({"free_bytes": 0}, "full", Severity.BLOCKS),
        ({"free_bytes": 300 << 20}, "nearly-full", Severity.DANGEROUS),
        ({"free_inodes": 0}, "no-inodes", Severity.BLOCKS),
        ({"free_inodes": 500}, "few-inodes", Severity.DANGEROUS),
    ],
)
def test_a_local_folder(free: Any, code: str, severity: Severity) -> None:
    (finding,) = found(room.TOPIC, LOCAL_DISKS, host("n1", folders=[folder(**free)]), host("n2"))
    assert (finding.code, finding.host, finding.severity) == (f"room.{code}", "n1", severity)


def test_room_enough() -> None:
    assert found(room.TOPIC, LOCAL_DISKS, host("n1"), host("n2")) == []


def test_file_systems_that_make_inodes_as_needed_tell_none() -> None:
    on_btrfs = LOCAL.model_copy(update={"fs_type": "btrfs"})
    assert found(room.TOPIC, LOCAL_DISKS, host("n1", folders=[folder(mount=on_btrfs, free_inodes=0)])) == []


def test_a_shared_folder_is_told_of_once_and_a_servers_own_too() -> None:
    full = folder(mount=GLUSTER, free_bytes=0)
    brick = folder("/srv/brick", mount=MountFact(target="/srv", source="/dev/vdb", fs_type="xfs"), free_bytes=0)
    hosts = [host("n1", mounts=[GLUSTER], folders=[full, brick]), host("n2", mounts=[GLUSTER], folders=[full, brick])]
    findings = found(room.TOPIC, SHARED, *hosts)
    assert codes(findings) == ["full n1", "full n1"]
    assert sorted("/srv/brick" in finding.what for finding in findings) == [False, True]


def test_nothing_is_said_of_a_folder_that_does_not_answer() -> None:
    for told in ({"hung": True}, {"problem": "Stale file handle"}, {"exists": False}):
        one = host("n1", folders=[folder(free_bytes=0, free_inodes=0, **told)])
        assert found(room.TOPIC, LOCAL_DISKS, one) == []
