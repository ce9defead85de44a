"""CephFS as the shared folder: mounted by the kernel, or by ceph-fuse where libvirt is told; a key that stays secret.

Sources: requirement A5 of live migration with libvirt and Nova, mount.ceph(8), mount.fuse.ceph(8); the comments of
libvirt's qemu.conf on shared_filesystems. That libvirt does not take ceph-fuse for shared by itself was tried (libvirt
11.3: "Unsafe migration").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hotfoot.cluster import Cluster, Storage
from hotfoot.readiness import ceph_client, cephfs_mount, fstab
from hotfoot.readiness.change import Change, EditFile, Install, Phase, SetMode
from hotfoot.readiness.daemons import QEMU_CONF, daemons_of
from hotfoot.readiness.edit import SetKey
from hotfoot.readiness.facts import Facts, HostFacts, MountFact
from hotfoot.readiness.finding import Finding, Severity, Topic
from hotfoot.readiness.libvirt_conf import read
from hotfoot.readiness.libvirt_mistakes import refresh
from hotfoot.readiness.listing import listed
from hotfoot.readiness.mounting import boot_entry, changes_to_mount, shared_mount
from hotfoot.readiness.storage_owner import runs_nova

FUSE_PACKAGE = "ceph-fuse"
SECRET_FILES = "/etc/ceph/*secret*"
"""Where mount.ceph's option secretfile usually points; other places are not looked at."""
_KEY = "shared_filesystems"
_KNOWS_IT = 11
"""Major version of libvirt from which on the key is known; older ones, where their own qemu.conf explains it."""


def judge(cluster: Cluster, facts: Facts) -> Iterable[Finding]:
    """Return what is wrong with the clients of the declared CephFS storages."""
    declared = [storage for storage in cluster.storage if storage.type == "cephfs"]
    if declared:
        yield from _common(cluster, declared, facts)
    for storage in declared:
        yield from _two_clients(storage, facts)
        for host in facts.hosts:
            yield from _key(storage, host)
            yield from _fuse(storage, host, facts)
            yield from _secret(storage, host)
            yield from _secret_file(storage, host)


def _common(cluster: Cluster, declared: list[Storage], facts: Facts) -> Iterator[Finding]:
    """What all storages need of a host once; what the topic of RBD tells of it is not told twice."""
    told = [host for host in facts.hosts if cluster.ceph is not None and runs_nova(host)]
    for host in facts.hosts:
        if any(_is_fuse(_mount(storage, host)) for storage in declared):
            continue  # whatever it was installed from
        if cephfs_mount.only_by_fuse(host):
            yield from ceph_client.without_program("cephfs", host, FUSE_PACKAGE)
        elif host not in told:
            yield from ceph_client.without_program("cephfs", host)
    if cluster.ceph is None:
        yield from ceph_client.judge_access("cephfs", facts.hosts)
    if cluster.ceph is None or not cluster.ceph.monitors:
        sources = [cephfs_mount.read(storage.source) for storage in declared if storage.source]
        monitors = [each for storage in declared for each in storage.monitors]
        monitors = monitors or [each for source in sources for each in source.monitors]
        cluster_id = next((source.fsid for source in sources if source.fsid), None)
        users = [host for host in facts.hosts if host not in told]
        yield from ceph_client.judge_conf("cephfs", users, users, tuple(dict.fromkeys(monitors)), cluster_id)


def _mount(storage: Storage, host: HostFacts) -> MountFact | None:
    folder = host.storage.folder(storage.path) if host.storage else None
    return shared_mount(folder, storage) if folder else None


def _is_fuse(mount: MountFact | None) -> bool:
    return mount is not None and mount.fs_type in cephfs_mount.FUSE_TYPES


def _two_clients(storage: Storage, facts: Facts) -> Iterator[Finding]:
    """Hosts that mount by ceph-fuse where others do by the kernel, now or once they are prepared."""
    by_fuse, by_kernel = [], []
    for host in facts.hosts:
        mount = _mount(storage, host)
        if _is_fuse(mount) or (mount is None and cephfs_mount.only_by_fuse(host)):
            by_fuse.append(host.host)
        elif mount is not None or (host.storage is not None and host.storage.cephfs_in_kernel):
            by_kernel.append(host.host)
    for name in by_fuse if by_kernel else ():
        yield Finding(
            code="cephfs.two-clients",
            severity=Severity.BLOCKS,
            host=name,
            what=f"{name} has {storage.path} by ceph-fuse, other hosts by the kernel.",
            evidence=f"By the kernel: {listed(by_kernel)}; by ceph-fuse: {listed(by_fuse)}.",
            why="What both say of a file does not prove that it is the same one: instances with disks there are not "
            "migrated between the two.",
            remedy=f"Give {name} a kernel with a client of CephFS, or mount by ceph-fuse everywhere, and tell "
            f"libvirt on each host ({_KEY} in {QEMU_CONF}).",
        )


def _key(storage: Storage, host: HostFacts) -> Iterator[Finding]:
    """The key of the user that the source names; a mount that is there may have its key from elsewhere."""
    user = cephfs_mount.read(storage.source).user if storage.source else None
    if user is None or (storage.keyring is None and _mount(storage, host) is not None):
        return
    path = ceph_client.keyring(user)
    fact = host.paths.get(path)
    if fact is not None and fact.exists:
        return
    changes: tuple[Change, ...] = ()
    if storage.keyring is not None:
        file = str(storage.keyring)
        changes = (ceph_client.writing_keyring(user, file, host, mode=0o600, owner="root:root"),)
    yield Finding(
        code="cephfs.no-keyring",
        severity=Severity.BLOCKS,
        host=host.host,
        what=f"{host.host} has no key of the Ceph user {user}.",
        evidence=f"{path} is not there.",
        why=f"What is mounted on {storage.path} is mounted as that user, whose key is taken from there.",
        remedy=f"Where the admin key is: ceph auth get client.{user}; put it into {path} on {host.host} with mode "
        "0600, or into a file of this machine that the cluster file names (storage: keyring), for hotfoot prepare to "
        "give to the hosts.",
        changes=changes,
    )


def _fuse(storage: Storage, host: HostFacts, facts: Facts) -> Iterator[Finding]:
    folder = host.storage.folder(storage.path) if host.storage else None
    if folder is None or _told(storage, host):
        return
    mount = shared_mount(folder, storage)
    if cephfs_mount.only_by_fuse(host):
        if mount is None or _is_fuse(mount):
            yield _not_told(storage, host, mount)
        return
    if mount is None or not _is_fuse(mount):
        return
    users = f", drained of {listed(folder.open_by)}," if folder.open_by else ""
    program = Change(host=host.host, phase=Phase.PACKAGES, step=Install(packages=(ceph_client.PACKAGE,)))
    changes = changes_to_mount(storage, host, facts)
    yield Finding(
        code="cephfs.fuse",
        severity=Severity.BLOCKS,
        host=host.host,
        what=f"{storage.path} on {host.host} is mounted by ceph-fuse, which libvirt does not take for shared.",
        evidence=f"{mount.target} is {mount.fs_type} from {mount.source}.",
        why="libvirt refuses to migrate instances with disks there (Unsafe migration), and Nova never overrides that.",
        remedy=f"Mount it on {host.host}{users} by the kernel: type ceph in /etc/fstab instead of fuse.ceph.",
        changes=(program, *changes) if changes and ceph_client.PACKAGE not in host.packages else changes,
    )


def _not_told(storage: Storage, host: HostFacts, mount: MountFact | None) -> Finding:
    name, path = host.host, storage.path
    settings = read(host.text(QEMU_CONF))
    named = settings.values.get(_KEY)
    paths = tuple(str(each) for each in named) if isinstance(named, tuple) else ()
    quoted = ", ".join(f'"{each}"' for each in (*paths, path))
    value = f"[ {quoted} ]"
    changes: tuple[Change, ...] = ()
    remedy = f"Give {name} a kernel with a client of CephFS, or libvirt {_KNOWS_IT} or newer, which can be told."
    if _can_be_told(host):
        edit = EditFile(path=QEMU_CONF, edits=(SetKey(key=_KEY, value=value),))
        changes = (Change(host=name, phase=Phase.LIBVIRT, step=edit), *refresh(host, daemons_of(host).service))
        remedy = f"Set {_KEY} = {value} in {QEMU_CONF} on {name}; or give it a kernel with a client of CephFS."
    return Finding(
        code="cephfs.fuse-not-shared",
        severity=Severity.BLOCKS,
        host=name,
        what=f"libvirt on {name} does not know that {path} is shared: only ceph-fuse can mount CephFS there.",
        evidence="The running kernel has no CephFS, and no module of it; "
        + (f"{mount.target} is {mount.fs_type}; " if mount else "")
        + (f"{settings.shown(_KEY)}." if named is not None else f"{QEMU_CONF} does not set {_KEY}."),
        why="libvirt refuses to migrate instances with disks on a file system that it takes for local (Unsafe "
        "migration), and a source would give a disk that has moved away back to root.",
        remedy=remedy,
        changes=changes,
    )


def _told(storage: Storage, host: HostFacts) -> bool:
    """Whether libvirt on a host has been told that a storage is shared, whatever it is mounted by."""
    named = read(host.text(QEMU_CONF)).values.get(_KEY)
    folders = [str(each).rstrip("/") for each in named] if isinstance(named, tuple) else []
    return any(f"{storage.path}/".startswith(f"{folder}/") for folder in folders if folder)


def _can_be_told(host: HostFacts) -> bool:
    major = (host.libvirt.version if host.libvirt else "").partition(".")[0]
    return _KEY in host.text(QEMU_CONF) or (major.isdecimal() and int(major) >= _KNOWS_IT)


def _secret(storage: Storage, host: HostFacts) -> Iterator[Finding]:
    entry = boot_entry(host, storage)
    if entry is None or entry.unit or entry.option("secret") is None:
        return
    user = entry.option("name") or "guest"
    key = ceph_client.keyring(user)
    fact = host.paths.get(key)
    options = tuple(option for option in entry.options if not option.startswith("secret="))
    line = fstab.render(entry.source, storage.path, entry.fs_type, options)
    step = EditFile(path=fstab.PATH, edits=(fstab.edit_for(storage.path, line),))
    yield Finding(
        code="cephfs.secret-in-fstab",
        severity=Severity.DANGEROUS,
        host=host.host,
        what=f"The Ceph key of {user} stands in /etc/fstab of {host.host}, which everybody may read.",
        evidence=f"The entry of {storage.path} has secret=.",
        why="Whoever has the key may read and change every file there, instances' disks among them.",
        remedy=f"Put the key into {key} (mode 0600), take secret= out of /etc/fstab on {host.host}, and give the user "
        "a new key in Ceph.",
        changes=(Change(host=host.host, phase=Phase.STORAGE, step=step),) if fact is not None and fact.exists else (),
    )


def _secret_file(storage: Storage, host: HostFacts) -> Iterator[Finding]:
    entry = boot_entry(host, storage)
    path = entry.option("secretfile") if entry is not None else None
    fact = host.paths.get(path) if path else None
    if path is None or fact is None or not fact.exists or not fact.mode & 0o007:
        return
    yield Finding(
        code="cephfs.secret-file-open",
        severity=Severity.DANGEROUS,
        host=host.host,
        what=f"Everybody on {host.host} may read the Ceph key {path}.",
        evidence=f"Mode {fact.mode:04o}, owner {host.owner_of(fact.uid, fact.gid)}; {storage.path} is mounted with it.",
        why="Whoever has the key may read and change every file there, instances' disks among them.",
        remedy=f"chmod 0600 {path} on {host.host}; root alone mounts.",
        changes=(Change(host=host.host, phase=Phase.STORAGE, step=SetMode(path=path, mode=0o600)),),
    )


TOPIC = Topic(
    name="cephfs",
    title="CephFS",
    judge=judge,
    files=(*fstab.FILES, ceph_client.CONF, QEMU_CONF),
    paths=(ceph_client.KEYRINGS, SECRET_FILES),
    packages=(ceph_client.PACKAGE, FUSE_PACKAGE),
    sections=("storage", "libvirt"),
)
