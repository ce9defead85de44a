from __future__ import annotations

from typing import Any

import pytest
from tests.readiness.storage_hosts import (
    GLUSTER,
    LOCAL,
    NAMES,
    NFS,
    NFS_LINE,
    PATH,
    cluster,
    codes,
    folder,
    host,
    proofs,
    titles,
    with_files,
)
from tests.readiness.storage_hosts import found as judged

from hotfoot.readiness import shared_path
from hotfoot.readiness.change import MakeFolder, Mount, MoveData, SetMode
from hotfoot.readiness.facts import HostFacts, MountFact, Proofs, UnitFact
from hotfoot.readiness.finding import Finding, Severity

NFS_CLUSTER = cluster({"path": PATH, "type": "nfs", "source": "n1:/srv/nova"})
UNKNOWN_SOURCE = cluster({"path": PATH, "type": "nfs"})


def right(name: str, **other: Any) -> HostFacts:
    return host(name, **{"mounts": [NFS], "files": {"/etc/fstab": NFS_LINE}, **other})


def found(*hosts: HostFacts, proved: Proofs | None = None, declared: Any = NFS_CLUSTER) -> list[Finding]:
    return judged(shared_path.TOPIC, declared, *hosts, proved=proved)


def remounted(target: str = PATH, **different: Any) -> MountFact:
    return NFS.model_copy(update={"target": target, **different})


def test_hosts_that_are_right_have_no_finding() -> None:
    hosts = [right(name) for name in NAMES]
    assert found(*hosts) == found(*hosts, proved=proofs(hosts)) == []
    assert found(*hosts, proved=proofs(hosts), declared=UNKNOWN_SOURCE) == []


def test_a_local_folder_is_mended_by_fstab_and_a_mount() -> None:
    hosts = (host("n1"), right("n2"))
    (finding,) = findings = found(*hosts)
    assert codes(findings) == ["not-mounted n1"]
    assert finding.severity is Severity.BLOCKS
    assert "/ is ext4 from /dev/vda1" in finding.evidence
    assert titles(findings, *hosts) == [
        "n1: write /etc/fstab",
        f"n1: mount {PATH}",
        f"n1: wait until {PATH} answers",
    ]
    (after, _) = with_files(findings, *hosts)
    assert after.text("/etc/fstab") == NFS_LINE
    mounted = after.model_copy(update={"storage": right("n1").storage})
    assert found(mounted, right("n2")) == []


def test_a_folder_that_is_not_there_is_made() -> None:
    lacking = host("n1", folders=[folder(exists=False)])
    (finding,) = found(lacking, right("n2"))
    assert finding.what.startswith(f"{PATH} does not exist on n1")
    assert next(type(change.step) for change in finding.changes) is MakeFolder


def test_the_source_that_nobody_declared_is_taken_from_the_other_hosts() -> None:
    (finding,) = found(host("n1"), right("n2"), declared=UNKNOWN_SOURCE)
    assert NFS_LINE.strip() in finding.remedy
    (first, second) = found(host("n1"), host("n2"), declared=UNKNOWN_SOURCE)
    assert first.changes == second.changes == ()
    assert "in the cluster file" in first.remedy


def test_data_in_the_local_folder_is_moved_and_kept() -> None:
    full = host("n1", folders=[folder(entries=3)])
    (finding,) = found(full, right("n2"))
    assert finding.code == "shared_path.data-below"
    assert finding.changes[1].step == MoveData(path=PATH, source="n1:/srv/nova", keep=f"{PATH}.before-hotfoot")
    assert titles([finding], full, right("n2"))[0] == "n1: write /etc/fstab"


def test_data_is_not_moved_while_instances_run_from_there() -> None:
    (finding,) = found(host("n1", folders=[folder(entries=3, open_by=("web1", "web2"))]), right("n2"))
    assert (finding.code, finding.changes) == ("shared_path.data-below", ())
    assert "Stop web1 and web2" in finding.remedy


def test_another_file_system_is_not_mounted_over() -> None:
    disk = MountFact(target=PATH, source="/dev/vdb", fs_type="xfs", options="rw")
    (finding,) = found(host("n1", mounts=[disk], folders=[folder(mount=disk, entries=3)]), right("n2"))
    assert (finding.code, finding.changes) == ("shared_path.wrong-type", ())
    (finding,) = found(host("n1", mounts=[GLUSTER]), right("n2"))
    assert finding.code == "shared_path.wrong-type"
    assert finding.what == f"{PATH} on n1 is fuse.glusterfs, but the cluster file says nfs."


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ({"hung": True}, "hung"),
        ({"problem": "Stale file handle"}, "stale"),
        ({"exists": False}, "stale"),
    ],
)
def test_a_mount_that_does_not_answer_is_made_anew_unless_instances_use_it(told: dict[str, Any], code: str) -> None:
    (finding,) = found(right("n1", folders=[folder(mount=NFS, **told)]), right("n2"))
    assert finding.code == f"shared_path.{code}"
    assert [change.step for change in finding.changes] == [Mount(path=PATH, again=True)]
    (finding,) = found(right("n1", folders=[folder(mount=NFS, open_by=("web1",), **told)]), right("n2"))
    assert finding.changes == ()
    assert "Drain n1 first (web1 use it)" in finding.remedy


@pytest.mark.parametrize("source", ["n1.example.org:/srv/nova", "10.0.0.1:/srv/nova/", "N1:/srv/nova"])
def test_one_server_has_many_names(source: str) -> None:
    other = remounted(source=source)
    assert found(right("n1", mounts=[other]), right("n2")) == []


def test_another_source_is_found_unless_the_hosts_prove_that_it_is_the_same() -> None:
    other = remounted(source="nas2:/srv/nova")
    hosts = [right("n1", mounts=[other]), right("n2")]
    (finding,) = [each for each in found(*hosts) if each.severity is Severity.BLOCKS]
    assert (finding.code, finding.host) == ("shared_path.other-source", "n1")
    assert Mount(path=PATH, again=True) in [change.step for change in finding.changes]
    assert "shared_path.other-source" not in [each.code for each in found(*hosts, proved=proofs(hosts))]


def test_of_sources_that_nobody_declared_the_hosts_that_have_the_other_are_named() -> None:
    other = remounted(source="a:/srv/nova")
    (finding,) = [
        each for each in found(right("n1", mounts=[other]), right("n2"), declared=UNKNOWN_SOURCE)
        if each.severity is Severity.BLOCKS
    ]  # fmt: skip
    assert finding.what == f"{PATH} on n1 is mounted from a:/srv/nova; on n2 it is n1:/srv/nova."


def test_read_only() -> None:
    mount = remounted(options=f"ro,{NFS.options.removeprefix('rw,')}")
    (finding,) = found(right("n1", mounts=[mount]), right("n2"))
    assert (finding.code, len(finding.changes)) == ("shared_path.read-only", 1)
    written = right("n1", mounts=[mount], files={"/etc/fstab": NFS_LINE.replace("hard", "ro,hard")})
    findings = found(written, right("n2"))
    assert codes(findings) == ["read-only n1"]
    assert with_files(findings, written)[0].text("/etc/fstab") == NFS_LINE


@pytest.mark.parametrize("fstab", ["", "#" + NFS_LINE, NFS_LINE.replace("hard", "noauto,hard")])
def test_a_mount_that_the_next_boot_forgets(fstab: str) -> None:
    hosts = (right("n1", files={"/etc/fstab": fstab}), right("n2"))
    findings = found(*hosts)
    assert codes(findings) == ["not-at-boot n1"]
    assert found(*with_files(findings, *hosts)) == []


def test_what_the_next_boot_mounts_by_other_means() -> None:
    by_automount = right("n1", files={"/etc/fstab": NFS_LINE.replace("hard", "noauto,x-systemd.automount")})
    autofs = MountFact(target=PATH, source="auto.nova", fs_type="autofs", options="")
    by_autofs = right("n1", mounts=[autofs, NFS], files={}, folders=[folder(mount=NFS)])
    unit = "[Mount]\nWhat=n1:/srv/nova\nWhere=/var/lib/nova/instances\nType=nfs4\n"
    by_unit = right("n1", files={"/etc/systemd/system/var-lib-nova-instances.mount": unit})
    above = right("n1", mounts=[remounted("/var/lib/nova")], files={})
    for one in (by_automount, by_autofs, by_unit, above):
        assert found(one, right("n2")) == []


def test_the_next_boot_mounts_something_else() -> None:
    hosts = (right("n1", files={"/etc/fstab": NFS_LINE.replace("n1:", "old:")}), right("n2"))
    findings = found(*hosts)
    assert codes(findings) == ["other-at-boot n1"]
    assert found(*with_files(findings, *hosts)) == []


LIBVIRTD = UnitFact(name="libvirtd.service", load="loaded", active="active", enabled="enabled")
COMPUTE = UnitFact(name="nova-compute.service", load="loaded", active="active", enabled="enabled")
DROP_IN = "/etc/systemd/system/{}.d/hotfoot-var-lib-nova-instances.conf"
MINE = {"nova": 162, "folders": [folder(mount=NFS, uid=162, gid=162)]}


def test_services_that_start_on_the_empty_folder() -> None:
    hosts = (right("n1", units=[COMPUTE, LIBVIRTD], **MINE), right("n2"))
    (finding,) = findings = found(*hosts)
    assert (finding.code, finding.severity) == ("shared_path.not-awaited", Severity.DANGEROUS)
    assert finding.what == f"nova-compute.service and libvirtd.service on n1 start even when {PATH} is not mounted."
    assert titles(findings, *hosts) == [
        f"n1: write {DROP_IN.format('nova-compute.service')}",
        f"n1: write {DROP_IN.format('libvirtd.service')}",
        "n1: have systemd read its units again",
    ]
    (after, _) = with_files(findings, *hosts)
    assert f"[Unit]\nRequiresMountsFor={PATH}\n" in after.text(DROP_IN.format("libvirtd.service"))
    assert found(after, hosts[1]) == []
    without = right("n1", units=[UnitFact(name="libvirtd.service", load="not-found")])
    assert found(without, right("n2")) == []
    # What is Nova's only is not required by Nova where it has its instances elsewhere.
    images = "/srv/images"
    mount = remounted(images)
    declared = cluster({"path": images, "type": "nfs", "source": "n1:/srv/nova"})
    other = {**MINE, "folders": [folder(images, mount=mount)], "mounts": [mount]}
    fstab = {"/etc/fstab": NFS_LINE.replace(PATH, images)}
    (finding,) = found(right("n1", units=[COMPUTE, LIBVIRTD], files=fstab, **other), declared=declared)
    assert finding.what.startswith("libvirtd.service on n1 starts even")


@pytest.mark.parametrize(
    "files",
    [
        {"/etc/systemd/system/libvirtd.service.d/mine.conf": f"[Unit]\nRequiresMountsFor=/srv {PATH}/x\n"},
        {"/etc/systemd/system/libvirtd.service.d/mine.conf": "[Unit]\nRequires=var-lib-nova-instances.mount\n"},
        {"/etc/systemd/system/libvirtd.service": f'[Unit]\nRequiresMountsFor="{PATH}"\n[Service]\n'},
        {"/etc/fstab": NFS_LINE.replace("nofail", "nofail,x-systemd.required-by=libvirtd.service")},
        {"/etc/fstab": NFS_LINE.replace("nofail", "noauto,x-systemd.automount")},
    ],
)
def test_services_that_wait_for_the_storage(files: dict[str, str]) -> None:
    waiting = right("n1", units=[LIBVIRTD], files={"/etc/fstab": NFS_LINE, **files})
    assert found(waiting, right("n2")) == []


def test_a_first_mount_has_the_services_wait_for_it_afterwards() -> None:
    hosts = (host("n1", units=[LIBVIRTD]), right("n2"))
    findings = found(*hosts)
    assert codes(findings) == ["not-mounted n1"]
    assert titles(findings, *hosts)[1:] == [
        f"n1: mount {PATH}",
        f"n1: wait until {PATH} answers",
        f"n1: write {DROP_IN.format('libvirtd.service')}",
        "n1: have systemd read its units again",
    ]
    (after, _) = with_files(findings, *hosts)
    assert found(after.model_copy(update={"storage": right("n1").storage}), right("n2")) == []


def test_a_mount_that_needs_a_daemon_of_the_host_is_not_required() -> None:
    declared = cluster({"path": PATH, "type": "glusterfs", "source": "localhost:/instances"})
    line = {"/etc/fstab": f"localhost:/instances {PATH} glusterfs defaults,_netdev,nofail 0 0\n"}
    assert found(host("n1", mounts=[GLUSTER], files=line, units=[LIBVIRTD]), declared=declared) == []


def test_qemu_must_pass() -> None:
    closed = right("n1", folders=[folder(mount=NFS, mode=0o750, uid=0, gid=0)])
    (finding,) = found(closed, right("n2"))
    assert finding.code == "shared_path.closed"
    assert [change.step for change in finding.changes] == [SetMode(path=PATH, mode=0o751 | 0o010)]
    passable: Any
    for passable in ({"mode": 0o711, "uid": 0}, {"mode": 0o700}, {"mode": 0o710, "uid": 0, "gid": 993}):
        assert found(right("n1", folders=[folder(mount=NFS, **passable)]), right("n2")) == []


NOVA_CONF = "/etc/nova/nova.conf"


@pytest.mark.parametrize("owner", [0, 64055, 4242])
def test_nova_owns_its_folder(owner: int) -> None:
    files = {"/etc/fstab": NFS_LINE, NOVA_CONF: "[DEFAULT]\n"}
    owned = [folder(mount=NFS, uid=owner, gid=0)]
    (finding,) = found(*(right(name, files=files, nova=162, folders=owned) for name in NAMES))  # once: all see the same
    assert (finding.code, finding.host, finding.severity) == ("shared_path.owner", "n1", Severity.BLOCKS)
    assert [change.step for change in finding.changes] == [SetMode(path=PATH, owner="nova:nova")]
    # The user is there, and Nova is not set up yet: it will not work, migrations by libvirt do.
    (finding,) = found(*(right(name, nova=162, folders=owned) for name in NAMES))
    assert (finding.code, finding.severity) == ("shared_path.owner", Severity.DANGEROUS)
    assert [change.step for change in finding.changes] == [SetMode(path=PATH, owner="nova:nova")]
    assert found(*(right(name, folders=owned) for name in NAMES)) == []
    mine = [folder(mount=NFS, uid=162, gid=162)]
    assert found(*(right(name, files=files, nova=162, folders=mine) for name in NAMES)) == []


def test_qemu_still_passes_once_the_folder_is_nova_s() -> None:
    owned = [folder(mount=NFS, uid=0, gid=993, mode=0o750)]
    (finding,) = found(*(right(name, nova=162, folders=owned) for name in NAMES))
    assert [change.step for change in finding.changes] == [SetMode(path=PATH, owner="nova:nova", mode=0o751)]
    assert "chmod 0751" in finding.remedy


def test_a_folder_that_is_not_nova_s_may_belong_to_anybody() -> None:
    images = "/var/lib/libvirt/images"
    mount = remounted(images)
    declared = cluster({"path": images, "type": "nfs", "source": "n1:/srv/nova"})
    files = {"/etc/fstab": NFS_LINE.replace(PATH, images), NOVA_CONF: "[DEFAULT]\n"}
    told = [folder(images, mount=mount, uid=0, gid=0)]
    hosts = [right(name, mounts=[mount], folders=told, files=files, nova=162) for name in NAMES]
    assert found(*hosts, declared=declared) == []
    there = {**files, NOVA_CONF: f"[DEFAULT]\ninstances_path = {images}\n"}
    hosts = [right(name, mounts=[mount], folders=told, files=there, nova=162) for name in NAMES]
    assert codes(found(*hosts, declared=declared)) == ["owner n1"]


def test_a_mount_over_data_is_told() -> None:
    (finding,) = found(right("n1", folders=[folder(mount=NFS, below_entries=2)]), right("n2"))
    assert (finding.code, finding.severity) == ("shared_path.hidden-data", Severity.ADVICE)


def test_declared_local_but_shared() -> None:
    declared = cluster({"path": PATH, "type": "local"})
    assert codes(found(right("n1"), host("n2"), declared=declared)) == ["declared-local n1"]


def test_glusterfs_of_any_server_is_one_volume() -> None:
    declared = cluster({"path": PATH, "type": "glusterfs", "source": "localhost:/instances"})
    line = {"/etc/fstab": f"n2:/instances {PATH} glusterfs defaults,_netdev,nofail 0 0\n"}
    by_name = GLUSTER.model_copy(update={"source": "n2:instances"})
    assert found(host("n1", mounts=[by_name], files=line), declared=declared) == []
    other = GLUSTER.model_copy(update={"source": "n2:/other"})
    assert "other-source n1" in codes(found(host("n1", mounts=[other], files=line), declared=declared))


def test_cephfs_takes_its_user_from_a_host_that_has_it_mounted() -> None:
    declared = cluster({"path": PATH, "type": "cephfs", "source": "mon1,mon2:/nova"})
    mount = MountFact(target=PATH, source="mon2,mon1:/nova", fs_type="ceph", options="rw,name=nova,secret=<hidden>")
    line = f"mon1,mon2:/nova {PATH} ceph name=nova,noatime,_netdev,nofail 0 0"
    ready = host("n2", mounts=[mount], files={"/etc/fstab": line})
    (finding,) = found(host("n1"), ready, declared=declared)
    assert line in finding.remedy
    (alone,) = found(host("n1"), declared=declared)
    assert (alone.code, alone.changes) == ("shared_path.not-mounted", ())


def test_nothing_is_said_of_a_host_that_could_not_tell() -> None:
    assert found(right("n1", folders=[]), HostFacts(host="n2"), right("n3")) == []
    assert LOCAL.fs_type == "ext4"
