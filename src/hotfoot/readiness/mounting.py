"""What is mounted on a declared storage path, what should be, and the changes that bring it there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from hotfoot.cluster import Storage
from hotfoot.readiness import cephfs_mount, fstab
from hotfoot.readiness.change import Change, Command, EditFile, MakeFolder, Mount, Phase
from hotfoot.readiness.facts import Facts, FolderFact, HostFacts, MountFact
from hotfoot.readiness.mount_users import changes_to_wait


def shared_mount(folder: FolderFact, storage: Storage) -> MountFact | None:
    """Return the mount that a path is on if it is of the declared shared type, None where it is not."""
    mount = folder.mount
    return mount if mount is not None and mount.fs_type in fstab.FS_TYPES.get(storage.type, ()) else None


def looked_at(storage: Storage, facts: Facts) -> Iterable[tuple[HostFacts, FolderFact]]:
    """Give each host that could tell about a storage path, with what it told."""
    for host in facts.hosts:
        folder = host.storage.folder(storage.path) if host.storage else None
        if folder is not None:
            yield host, folder


def mount_over(facts: HostFacts, path: str) -> MountFact | None:
    """Return the mount that a path lies on: the nearest above it, the last made where two are on one folder."""
    mounts = facts.storage.mounts if facts.storage else ()
    over = [mount for mount in mounts if path == mount.target or path.startswith(mount.target.rstrip("/") + "/")]
    return max(reversed(over), key=lambda mount: len(mount.target), default=None)


def source_of(storage: Storage, facts: Facts) -> str | None:
    """Return what should be mounted: what the cluster file says, else what most hosts have mounted there."""
    if storage.mount_source is not None:
        return storage.mount_source
    seen = Counter(
        mount.source
        for _, folder in looked_at(storage, facts)
        if (mount := shared_mount(folder, storage))
        and mount.target == storage.path
        # ceph-fuse does not let the kernel know what it has mounted.
        and mount.source not in cephfs_mount.FUSE_SOURCES
    )
    return max(seen, key=lambda source: (seen[source], source), default=None)


def same_source(storage: Storage, one: str, other: str, facts: Facts) -> bool:
    """Whether two sources name the same file system, as far as names and addresses can tell.

    GlusterFS: any server of the volume gives the same volume. CephFS: monitors may be listed differently, and
    ceph-fuse names nothing at all: taken for the same, as the devices of OCFS2 and GFS2, which each host names itself.
    NFS: one server has several names.
    """
    if one == other or storage.type in ("ocfs2", "gfs2"):
        return True
    if storage.type == "glusterfs":
        return _after_server(one).strip("/") == _after_server(other).strip("/")
    if storage.type == "cephfs":
        fuse = cephfs_mount.FUSE_SOURCES
        return one in fuse or other in fuse or cephfs_mount.read(one).path == cephfs_mount.read(other).path
    if _after_server(one).rstrip("/") != _after_server(other).rstrip("/"):
        return False
    return bool(_server(one, facts) & _server(other, facts))


def boot_entry(host: HostFacts, storage: Storage) -> fstab.Entry | None:
    """Return what mounts a path at boot, None where nothing does (``noauto`` without automounting)."""
    for entry in fstab.entries_for(host, storage.path):
        if entry.option("noauto") is None or entry.option("x-systemd.automount") is not None:
            return entry
    return None


def changes_to_mount(storage: Storage, host: HostFacts, facts: Facts) -> tuple[Change, ...]:
    """Return what mounts the declared storage on a host, now and at every boot; nothing where the source is unknown.

    Nothing either while instances on the host have disks below the path: they would lose sight of them.
    """
    folder = host.storage.folder(storage.path) if host.storage else None
    at_boot = change_at_boot(storage, host, facts)
    if not at_boot or (folder is not None and folder.open_by):
        return ()
    changes: list[Change] = []
    mounted = any(mount.target == storage.path for mount in host.storage.mounts) if host.storage else False
    if folder is None or not (folder.exists or mounted):
        changes.append(Change(host=host.host, phase=Phase.STORAGE, step=MakeFolder(path=storage.path)))
    mount = Change(host=host.host, phase=Phase.STORAGE, step=Mount(path=storage.path, again=mounted))
    return (*changes, *at_boot, mount, *first_access(storage, host.host), *changes_to_wait(storage, host))


def first_access(storage: Storage, host: str) -> tuple[Change, ...]:
    """Return what waits until a file can be made on NFS that was just mounted.

    A server that was just started asks for names and clients first, or has its period of grace (up to 90 s): whoever
    looks at once takes it for hung. Whether files can be made at all is for the trials to say.
    """
    if storage.type != "nfs":
        return ()
    script = 'file=$(mktemp "$1/.hotfoot-first.XXXXXX") && rm -f "$file" || true'
    step = Command(
        title=f"wait until {storage.path} answers", argv=("sh", "-c", script, "sh", storage.path), timeout_s=120
    )
    return (Change(host=host, phase=Phase.STORAGE, step=step),)


def change_at_boot(storage: Storage, host: HostFacts, facts: Facts) -> tuple[Change, ...]:
    """Return what has the declared storage mounted at boot: one line of /etc/fstab."""
    line = boot_line(storage, host, facts)
    if line is None:
        return ()
    edit = EditFile(path=fstab.PATH, edits=(fstab.edit_for(storage.path, line),))
    return (Change(host=host.host, phase=Phase.STORAGE, step=edit),)


def boot_line(storage: Storage, host: HostFacts, facts: Facts) -> str | None:
    """Return the line of /etc/fstab that a host should have, None where nobody knows the source.

    A CephFS user that the source does not name is taken from a host that has it mounted already.
    """
    source = source_of(storage, facts)
    if source is None:
        return None
    if storage.type == "cephfs":
        by_fuse = cephfs_mount.only_by_fuse(host)
        return cephfs_mount.line_for(storage.path, source, _cephfs_user(storage, facts), by_fuse=by_fuse)
    return fstab.line_for(storage, host.host, source)


def _cephfs_user(storage: Storage, facts: Facts) -> str | None:
    names = Counter(
        option.removeprefix("name=")
        for _, folder in looked_at(storage, facts)
        if (mount := shared_mount(folder, storage))
        for option in mount.options.split(",")
        if option.startswith("name=")
    )
    at_boot = (boot_entry(host, storage) for host, _ in looked_at(storage, facts))
    names.update(user for entry in at_boot if entry and (user := entry.option("ceph.id")))
    return max(names, key=lambda name: (names[name], name), default=None)


def _after_server(source: str) -> str:
    if source.startswith("["):  # an IPv6 address
        return source.partition("]:")[2]
    return source.partition(":")[2]


def _server(source: str, facts: Facts) -> set[str]:
    name = (source.partition("]:")[0] if source.startswith("[") else source.partition(":")[0]).strip("[]").lower()
    found = {name}
    for host in facts.hosts:
        if host.names is None:
            continue
        own = {host.host.lower(), host.names.hostname.lower(), host.names.fqdn.lower(), *host.names.addresses}
        if name in own:
            found |= own - {""}
        found.update(host.names.resolved.get(name, ()))
    return found
