"""Ceph on clients: what CephFS and RBD both need, and each for itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.readiness.storage_hosts import PATH, cluster, codes, folder, found, host, planned, with_files

from hotfoot.cluster import Ceph, Cluster
from hotfoot.cluster.validation import cluster_from
from hotfoot.readiness import ceph_rbd, cephfs, shared_path
from hotfoot.readiness.change import Command, DefineSecret, Install, Mount, Phase, PutFile, PutKeyring, SetMode
from hotfoot.readiness.facts import (
    Facts,
    HostFacts,
    LibvirtFact,
    MountFact,
    PathFact,
    PoolProof,
    Proofs,
    QemuFact,
)
from hotfoot.readiness.finding import Finding, Severity

UUID = "6d3b4c1e-98c5-4c7e-9a55-2f6e0c6a0f01"
CONF = "[global]\nfsid = aa11\nmon_host = 10.0.0.9\n"
KEYRING = "/etc/ceph/ceph.client.nova.keyring"
DISK = """<domain><name>{name}</name><devices><disk type='network' device='disk'>
  <auth username='nova'><secret type='ceph' uuid='{uuid}'/></auth>
  <source protocol='rbd' name='vms/{name}'/><target dev='vda'/></disk></devices></domain>"""
NFS_ONLY = cluster({"path": PATH, "type": "nfs"})


def declared() -> Cluster:
    return cluster_from(
        {
            "hosts": [{"name": "n1", "address": "10.0.0.1"}, {"name": "n2", "address": "10.0.0.2"}],
            "ceph": {"user": "nova", "secret": UUID},
        }
    )


def ready(
    name: str,
    *,
    secrets: dict[str, str] | None = None,
    files: dict[str, str] | None = None,
    mode: int | None = 0o640,
    drivers: tuple[str, ...] = ("rbd",),
    packages: tuple[str, ...] = ("ceph-common",),
    domains: dict[str, str] | None = None,
    health: str = "HEALTH_OK",
    **other: Any,
) -> HostFacts:
    one = host(
        name,
        files={"/etc/ceph/ceph.conf": CONF} if files is None else files,
        packages=packages,
        storage={"ceph_health": health},
        nova=162,
        **other,
    )
    key = PathFact(path=KEYRING, exists=mode is not None, mode=mode or 0, uid=0, gid=162)
    known = {UUID: "client.nova secret"} if secrets is None else secrets
    libvirt = LibvirtFact(answers=True, secrets=known, domains=domains or {}, running=tuple(domains or {}))
    return one.model_copy(
        update={"paths": {KEYRING: key}, "libvirt": libvirt, "qemu": QemuFact(emulator="q", drivers=drivers)}
    )


def rbd(*hosts: HostFacts, on: Cluster | None = None) -> list[Finding]:
    return found(ceph_rbd.TOPIC, on or declared(), *hosts)


def test_hosts_that_are_right_have_no_finding() -> None:
    assert rbd(ready("n1"), ready("n2")) == []


def test_nothing_is_judged_where_nobody_uses_ceph() -> None:
    assert rbd(host("n1"), host("n2"), on=NFS_ONLY) == []


def test_a_host_that_lacks_the_secret_gets_it_from_its_keyring() -> None:
    (finding,) = rbd(ready("n1"), ready("n2", secrets={}))
    assert (finding.code, finding.host, finding.severity) == ("ceph_rbd.no-secret", "n2", Severity.BLOCKS)
    (step,) = (change.step for change in finding.changes)
    assert isinstance(step, Command)
    assert step.argv[-3:] == (UUID, "nova", KEYRING)
    assert step.undo[-2:] == ("secret-undefine", UUID)


def test_a_secret_of_another_uuid_is_shown() -> None:
    (finding,) = rbd(ready("n1"), ready("n2", secrets={"11111111-0000-0000-0000-000000000000": "client.nova secret"}))
    assert "It has 11111111-0000-0000-0000-000000000000 (client.nova secret)." in finding.evidence


def test_what_instances_use_is_needed_on_every_host_without_any_declaration() -> None:
    running = ready("n1", domains={"web1": DISK.format(name="web1", uuid=UUID)})
    (finding,) = rbd(running, ready("n2", secrets={}), on=NFS_ONLY)
    assert (finding.code, finding.host, finding.changes) == ("ceph_rbd.no-secret", "n2", ())
    assert "web1 on n1 uses it" in finding.evidence


def test_novas_secret_is_needed_too_and_one_for_all() -> None:
    conf = "[libvirt]\nrbd_user = nova\nrbd_secret_uuid = {}\n"
    other = "99999999-0000-0000-0000-000000000000"
    files = [{"/etc/ceph/ceph.conf": CONF, "/etc/nova/nova.conf": conf.format(uuid)} for uuid in (UUID, UUID, other)]
    hosts = [ready(f"n{number}", files=each) for number, each in enumerate(files, 1)]
    findings = rbd(*hosts, on=NFS_ONLY)
    assert codes(findings) == ["no-secret n1", "no-secret n2", "no-secret n3", "nova-secret n3"]
    after = with_files([each for each in findings if each.code.endswith("nova-secret")], *hosts)
    assert rbd(*after, on=NFS_ONLY) == []


def test_the_driver_of_qemu() -> None:
    (finding,) = rbd(ready("n1", drivers=("nfs",)))
    assert finding.code == "ceph_rbd.no-driver"
    assert [change.step for change in finding.changes] == [Install(packages=("qemu-block-extra",))]


NOVA = {"/etc/ceph/ceph.conf": CONF, "/etc/nova/nova.conf": "[libvirt]\nimages_type = rbd\n"}
VOLUMES_ONLY = {**NOVA, "/etc/nova/nova.conf": f"[libvirt]\nrbd_user = nova\nrbd_secret_uuid = {UUID}\n"}


def test_the_keyring() -> None:
    assert rbd(ready("n1", mode=None)) == []  # QEMU takes the key from libvirt's secret
    assert codes(rbd(ready("n1", mode=None, files=NOVA))) == ["no-keyring n1"]
    assert codes(rbd(ready("n1", mode=None, secrets={}))) == ["no-keyring n1", "no-secret n1"]
    (finding,) = rbd(ready("n1", mode=0o644))
    assert finding.code == "ceph_rbd.keyring-open"
    assert [change.step for change in finding.changes] == [SetMode(path=KEYRING, mode=0o640)]
    (finding,) = rbd(ready("n1", mode=0o600, files=NOVA))
    assert finding.code == "ceph_rbd.keyring-closed"


def test_client_and_configuration() -> None:
    assert rbd(ready("n1", packages=())) == []
    assert codes(rbd(ready("n1", packages=(), files=NOVA))) == ["no-client n1"]
    lacking = ready("n2", files=NOVA)
    absent = lacking.files["/etc/ceph/ceph.conf"].model_copy(update={"exists": False, "content": None})
    lacking = lacking.model_copy(update={"files": {**lacking.files, "/etc/ceph/ceph.conf": absent}})
    (finding,) = rbd(ready("n1"), lacking)
    assert finding.code == "ceph_rbd.no-conf"
    assert [change.step for change in finding.changes] == [PutFile(path="/etc/ceph/ceph.conf", content=CONF)]
    other = ready("n2", files={"/etc/ceph/ceph.conf": CONF.replace("aa11", "bb22")})
    (finding,) = rbd(ready("n1"), other, ready("n3"))
    assert (finding.code, finding.host) == ("ceph_rbd.other-cluster", "n2")


def test_where_only_volumes_are_in_ceph_qemu_alone_opens_them() -> None:
    one = ready("n1", packages=(), files=VOLUMES_ONLY, mode=None)
    absent = one.files["/etc/ceph/ceph.conf"].model_copy(update={"exists": False, "content": None})
    assert rbd(one.model_copy(update={"files": {**one.files, "/etc/ceph/ceph.conf": absent}})) == []
    assert codes(rbd(ready("n1", secrets={}, files=VOLUMES_ONLY))) == ["no-secret n1"]


def test_health() -> None:
    assert rbd(ready("n1", health="HEALTH_WARN 1 pool has no replicas")) == []
    assert codes(rbd(ready("n1", health="HEALTH_ERR 1 full osd"))) == ["health n1"]
    away = ready("n1").model_copy(update={"failures": {"storage.ceph": "timed out"}})
    assert codes(rbd(away)) == ["unreachable n1"]


def test_the_uuid_of_the_documentation() -> None:
    on = replace(declared(), ceph=Ceph(user="nova", secret=ceph_rbd.DOCUMENTED_UUID))
    (finding,) = rbd(ready("n1", secrets={ceph_rbd.DOCUMENTED_UUID: "x"}), on=on)
    assert (finding.code, finding.severity) == ("ceph_rbd.documented-uuid", Severity.ADVICE)


def told_everything() -> Cluster:
    """A cluster file with all that prepare needs to make clients of hosts."""
    ceph = {
        "user": "nova",
        "secret": UUID,
        "keyring": "/root/keys/nova.keyring",
        "monitors": ["10.0.0.9", "fd00::9"],
        "pools": ["vms"],
    }
    return replace(declared(), ceph=cluster_from({"ceph": ceph}).ceph)


def bare(name: str) -> HostFacts:
    """A host that no Ceph has ever been on."""
    one = ready(name, mode=None, secrets={}, packages=())
    absent = one.files["/etc/ceph/ceph.conf"].model_copy(update={"exists": False, "content": None})
    return one.model_copy(update={"files": {**one.files, "/etc/ceph/ceph.conf": absent}})


def test_a_bare_host_becomes_a_client_by_what_the_cluster_file_names() -> None:
    findings = rbd(bare("n1"), bare("n2"), on=told_everything())
    assert codes(findings) == [
        f"{what} {name}" for what in ("no-conf", "no-keyring", "no-secret") for name in ("n1", "n2")
    ]
    changes = [change for finding in findings if finding.host == "n1" for change in finding.changes]
    assert {change.step.do: change.phase for change in changes} == {
        "put": Phase.STORAGE,
        "keyring": Phase.STORAGE,
        "secret": Phase.LIBVIRT,
    }
    steps = {type(change.step): change.step for change in changes}
    conf, keyring, secret = steps[PutFile], steps[PutKeyring], steps[DefineSecret]
    assert isinstance(conf, PutFile)
    assert conf.content == "[global]\nmon_host = 10.0.0.9,[fd00::9]\n"
    assert isinstance(keyring, PutKeyring)
    assert (keyring.path, keyring.mode, keyring.owner) == (KEYRING, 0o640, "root:root")
    assert isinstance(secret, DefineSecret)
    assert (secret.uuid, secret.file, secret.entity) == (UUID, "/root/keys/nova.keyring", "client.nova")


def test_nova_may_read_the_keyring_that_it_is_given() -> None:
    without = ready("n1", mode=None, files=NOVA)
    (finding,) = rbd(without, on=told_everything())
    (step,) = (change.step for change in finding.changes)
    assert isinstance(step, PutKeyring)
    assert step.owner == "root:nova"


def proved(*pools: PoolProof, hosts: tuple[HostFacts, ...] | None = None) -> list[Finding]:
    names = hosts or (ready("n1"), ready("n2"), ready("n3"))
    return list(ceph_rbd.judge(told_everything(), Facts(hosts=names, proofs=Proofs(pools=pools))))


RIGHT = {"pool": "vms", "same": True, "lock_refused": True}


def pool(writer: str, reader: str, **told: Any) -> PoolProof:
    return PoolProof.model_validate({"writer": writer, "reader": reader, **(told or RIGHT), "pool": "vms"})


def test_a_pool_that_all_write_read_and_lock_is_right() -> None:
    assert proved(pool("n1", "n2"), pool("n2", "n1")) == []


def test_a_key_that_ceph_refuses_is_told_once_and_given_anew() -> None:
    away = {"problem": "Ceph refuses the key of client.nova: Permission denied", "failed_on": "n2", "refused": True}
    (finding,) = proved(pool("n1", "n2", **away), pool("n2", "n1", **away), pool("n2", "n3", **away), pool("n1", "n3"))
    assert (finding.code, finding.host, finding.severity) == ("ceph_rbd.key-refused", "n2", Severity.BLOCKS)
    assert [type(change.step) for change in finding.changes] == [PutKeyring, DefineSecret]


def test_a_pool_that_cannot_be_written_is_for_a_person() -> None:
    away = {"problem": "client.nova cannot write in the pool vms: Operation not permitted", "failed_on": "n1"}
    (finding,) = proved(pool("n1", "n2", **away))
    assert (finding.code, finding.host, finding.changes) == ("ceph_rbd.pool-failed", "n1", ())
    assert "profile rbd pool=vms" in finding.remedy


def test_pools_of_two_clusters_and_locks_that_do_not_hold() -> None:
    (finding,) = proved(pool("n1", "n2", same=False))
    assert (finding.code, finding.host, finding.peer) == ("ceph_rbd.pool-not-the-same", "n2", "n1")
    (finding,) = proved(pool("n1", "n2", same=True, lock_refused=False))
    assert (finding.code, finding.severity) == ("ceph_rbd.pool-locks", Severity.DANGEROUS)
    (finding,) = proved(pool("n1", "n2", same=True, lock_error="Operation not permitted"))
    assert "Operation not permitted" in finding.evidence


def test_a_host_that_is_known_to_be_wrong_is_not_told_twice() -> None:
    failed = pool("n1", "n2", problem="there is no key of client.nova", failed_on="n2")
    findings = proved(failed, hosts=(ready("n1"), ready("n2", secrets={})))
    assert codes(findings) == ["no-secret n2"]


KERNEL = MountFact(target=PATH, source="nova@.fs=/nova", fs_type="ceph", options="rw,name=nova,secret=<hidden>")
LINE = f"nova@.fs=/nova {PATH} ceph noatime,_netdev,nofail 0 0"
CEPHFS = cluster({"path": PATH, "type": "cephfs", "source": "nova@.fs=/nova"})


def on_cephfs(mount: MountFact = KERNEL, line: str = LINE, **told: Any) -> HostFacts:
    files = {"/etc/ceph/ceph.conf": CONF, "/etc/fstab": f"{line}\n"}
    return ready("n1", files=files, mounts=[mount], folders=[folder(mount=mount, **told)])


def test_cephfs_that_is_right() -> None:
    assert found(cephfs.TOPIC, CEPHFS, on_cephfs()) == []


def test_ceph_fuse_is_refused_by_libvirt() -> None:
    fuse = KERNEL.model_copy(update={"fs_type": "fuse.ceph-fuse", "source": "ceph-fuse"})
    one = on_cephfs(fuse, f"none {PATH} fuse.ceph ceph.id=nova,_netdev 0 0")
    (finding,) = findings = found(cephfs.TOPIC, CEPHFS, one)
    assert (finding.code, finding.severity) == ("cephfs.fuse", Severity.BLOCKS)
    assert Mount(path=PATH, again=True) in [change.step for change in finding.changes]
    assert with_files(findings, one)[0].text("/etc/fstab") == f"{LINE}\n"
    (finding,) = found(cephfs.TOPIC, CEPHFS, on_cephfs(fuse, open_by=("web1",)))
    assert finding.changes == ()


@pytest.mark.parametrize("keyring", [True, False])
def test_a_key_in_fstab(keyring: bool) -> None:
    one = on_cephfs(line=f"mon1:/nova {PATH} ceph name=nova,secret=@secret:0@,_netdev 0 0")
    if not keyring:
        one = one.model_copy(update={"paths": {}})
    (finding,) = findings = found(cephfs.TOPIC, CEPHFS, one)
    assert (finding.code, finding.severity) == ("cephfs.secret-in-fstab", Severity.DANGEROUS)
    assert bool(finding.changes) is keyring
    if keyring:
        assert with_files(findings, one)[0].text("/etc/fstab") == f"mon1:/nova {PATH} ceph name=nova,_netdev 0 0\n"


@pytest.mark.parametrize(("mode", "open_to_all"), [(0o644, True), (0o600, False), (0o640, False)])
def test_a_file_with_the_key_that_everybody_may_read(mode: int, open_to_all: bool) -> None:
    secret = "/etc/ceph/nova.secret"
    one = on_cephfs(line=f"mon1:/nova {PATH} ceph name=nova,secretfile={secret},_netdev 0 0")
    one = one.model_copy(update={"paths": {**one.paths, secret: PathFact(path=secret, exists=True, mode=mode)}})
    findings = found(cephfs.TOPIC, CEPHFS, one)
    assert codes(findings) == (["secret-file-open n1"] if open_to_all else [])
    steps = [change.step for each in findings for change in each.changes]
    assert steps == ([SetMode(path=secret, mode=0o600)] if open_to_all else [])


FSID = "0b3c7d4e-98c5-4c7e-9a55-2f6e0c6a0f02"
OWN_KEY = "/etc/ceph/ceph.client.compute.keyring"
QEMU_CONF = "/etc/libvirt/qemu.conf"
FUSE = MountFact(target=PATH, source="ceph-fuse", fs_type="fuse.ceph-fuse", options="rw")
FUSE_LINE = (
    f"none {PATH} fuse.ceph ceph.id=compute,ceph.client_fs=disks,ceph.client_mountpoint=/nova,_netdev,nofail 0 0\n"
)
NAMED = cluster(
    {
        "path": PATH,
        "type": "cephfs",
        "source": f"compute@{FSID}.disks=/nova",
        "keyring": "/root/keys/compute.keyring",
        "monitors": ["10.0.0.9"],
    }
)


def compute(
    name: str,
    *,
    kernel: bool | None,
    packages: tuple[str, ...],
    mount: MountFact | None = None,
    files: dict[str, str] | None = None,
    key: bool = False,
    libvirt: str = "11.3.0",
) -> HostFacts:
    """A host that is to mount CephFS."""
    one = host(
        name,
        files={QEMU_CONF: "#shared_filesystems = [\n", "/etc/fstab": "", **(files or {})},
        packages=packages,
        mounts=[mount] if mount else (),
        folders=[folder(mount=mount)] if mount else None,
        storage={"cephfs_in_kernel": kernel},
    )
    conf = "/etc/ceph/ceph.conf"
    absent = one.files["/etc/fstab"].model_copy(update={"path": conf, "exists": False, "content": None})
    return one.model_copy(
        update={
            "files": {conf: absent, **one.files},
            "paths": {OWN_KEY: PathFact(path=OWN_KEY, exists=True, mode=0o600)} if key else {},
            "libvirt": LibvirtFact(answers=True, version=libvirt),
        }
    )


def both(*hosts: HostFacts, on: Cluster = NAMED) -> list[Finding]:
    return [*found(cephfs.TOPIC, on, *hosts), *found(shared_path.TOPIC, on, *hosts)]


def test_a_host_whose_kernel_has_no_cephfs_mounts_it_by_ceph_fuse_and_libvirt_is_told() -> None:
    one = compute("n1", kernel=False, packages=())
    findings = both(one)
    assert codes(findings) == [
        f"{what} n1" for what in ("fuse-not-shared", "no-client", "no-conf", "no-keyring", "not-mounted")
    ]
    steps = [change.step for change in planned(findings, one).changes]
    assert Install(packages=("ceph-fuse",)) in steps
    (keyring,) = (step for step in steps if isinstance(step, PutKeyring))
    assert (keyring.path, keyring.mode, keyring.owner) == (OWN_KEY, 0o600, "root:root")
    (after,) = with_files(findings, one)
    assert after.text("/etc/ceph/ceph.conf") == f"[global]\nfsid = {FSID}\nmon_host = 10.0.0.9\n"
    assert after.text("/etc/fstab") == FUSE_LINE
    assert after.text(QEMU_CONF).endswith(f'shared_filesystems = [ "{PATH}" ]\n')
    order = [step for step in steps if isinstance(step, PutKeyring | PutFile | Mount)]
    assert isinstance(order[-1], Mount)
    done = compute(
        "n1",
        kernel=False,
        packages=("ceph-fuse",),
        mount=FUSE,
        files={path: after.text(path) for path in ("/etc/ceph/ceph.conf", "/etc/fstab", QEMU_CONF)},
        key=True,
    )
    assert both(done) == []


@pytest.mark.parametrize("kernel", [True, None])
def test_a_host_whose_kernel_may_have_cephfs_mounts_it_by_the_kernel(kernel: bool | None) -> None:
    one = compute("n1", kernel=kernel, packages=())
    findings = both(one)
    assert codes(findings) == ["no-client n1", "no-conf n1", "no-keyring n1", "not-mounted n1"]
    assert Install(packages=("ceph-common",)) in [change.step for change in planned(findings, one).changes]
    (after,) = with_files(findings, one)
    assert after.text("/etc/fstab") == f"compute@{FSID}.disks=/nova {PATH} ceph noatime,_netdev,nofail 0 0\n"


def fuse_host(told: str, **other: Any) -> HostFacts:
    files = {"/etc/ceph/ceph.conf": CONF, "/etc/fstab": FUSE_LINE, QEMU_CONF: told}
    return compute("n1", packages=("ceph-fuse",), mount=FUSE, files=files, key=True, **other)


def test_folders_that_libvirt_was_told_of_stay_in_its_list() -> None:
    one = fuse_host('shared_filesystems = [\n  "/srv/nvram",\n  "/srv/tpm"\n]\n', kernel=False)
    (finding,) = findings = both(one)
    assert (finding.code, finding.severity) == ("cephfs.fuse-not-shared", Severity.BLOCKS)
    (after,) = with_files(findings, one)
    assert after.text(QEMU_CONF) == f'shared_filesystems = [ "/srv/nvram", "/srv/tpm", "{PATH}" ]\n'


@pytest.mark.parametrize("told", [PATH, "/var/lib/nova/", "/var/lib"])
def test_a_folder_above_tells_libvirt_too_whatever_the_kernel_could_do(told: str) -> None:
    for kernel in (True, False):
        assert both(fuse_host(f"shared_filesystems = [ '{told}' ]\n", kernel=kernel)) == []


def test_a_libvirt_that_cannot_be_told_is_for_a_person() -> None:
    (finding,) = both(fuse_host("", kernel=False, libvirt="9.0.0"))
    assert (finding.code, finding.changes) == ("cephfs.fuse-not-shared", ())
    assert "libvirt 11 or newer" in finding.remedy


def test_a_mount_that_is_there_may_have_its_key_from_elsewhere() -> None:
    unnamed = cluster({"path": PATH, "type": "cephfs", "source": "compute@.fs=/nova"})
    mount = KERNEL.model_copy(update={"source": "compute@.fs=/nova"})
    line = f"{mount.source} {PATH} ceph secretfile=/root/key,_netdev 0 0"
    files = {"/etc/ceph/ceph.conf": CONF, "/etc/fstab": line}
    one = compute("n1", kernel=True, packages=("ceph-common",), mount=mount, files=files)
    assert found(cephfs.TOPIC, unnamed, one) == []
    bare_one = compute("n1", kernel=True, packages=("ceph-common",), files=files)
    (finding,) = found(cephfs.TOPIC, unnamed, bare_one)
    assert (finding.code, finding.changes) == ("cephfs.no-keyring", ())


def test_who_mounts_by_ceph_fuse_elsewhere_mounts_here_too_where_the_source_names_nobody() -> None:
    declared = cluster({"path": PATH, "type": "cephfs", "source": "mon1,mon2:/nova"})
    ready_one = fuse_host(f'shared_filesystems = [ "{PATH}" ]\n', kernel=False)
    new = compute("n2", kernel=False, packages=("ceph-fuse",))
    findings = both(ready_one, new, on=declared)
    assert codes(findings) == ["fuse-not-shared n2", "no-conf n2", "not-mounted n2"]
    after = with_files(findings, ready_one, new)[1]
    line = f"none {PATH} fuse.ceph ceph.id=compute,ceph.client_mountpoint=/nova,_netdev,nofail 0 0\n"
    assert after.text("/etc/fstab") == line


def test_hosts_of_both_clients_are_told_apart_mounted_or_not() -> None:
    fuse = fuse_host(f'shared_filesystems = [ "{PATH}" ]\n', kernel=False)
    mount = KERNEL.model_copy(update={"source": f"compute@{FSID}.disks=/nova"})
    files = {"/etc/ceph/ceph.conf": CONF, "/etc/fstab": f"{mount.source} {PATH} ceph noatime,_netdev,nofail 0 0\n"}
    mounted = compute("n2", kernel=None, packages=("ceph-common",), mount=mount, files=files, key=True)
    (finding,) = both(fuse, mounted)
    assert (finding.code, finding.host, finding.changes) == ("cephfs.two-clients", "n1", ())
    for kernel, told in ((True, True), (None, False)):
        other = compute("n2", kernel=kernel, packages=("ceph-common",), files=files, key=True)
        assert ("two-clients n1" in codes(both(fuse, other))) is told
