"""Whether instance data in a local folder may be moved onto the shared storage, and the changes that do it.

Source: requirement A9 of live migration with libvirt and Nova: the guides say "stop, copy, restart, take precautions".
"""

from __future__ import annotations

from hotfoot.cluster import Storage
from hotfoot.readiness.change import Change, MoveData, Phase
from hotfoot.readiness.facts import Facts, FolderFact, HostFacts
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.fstab import parse
from hotfoot.readiness.listing import listed
from hotfoot.readiness.mount_users import changes_to_wait
from hotfoot.readiness.mounting import boot_line, change_at_boot, first_access

KEPT = ".before-hotfoot"
"""Added to a folder's name: where its old data stays until the operator deletes it."""


def below(storage: Storage, host: HostFacts, folder: FolderFact, facts: Facts) -> Finding | None:
    """Return the finding that a path which should be shared holds local data, None where it holds none.

    The path is known not to be mounted. Refused (no changes) while instances run from there, and where what would
    be mounted is not known.
    """
    if not folder.exists or folder.entries == 0:
        return None
    name, path, keep = host.host, storage.path, storage.path + KEPT
    changes = _changes(storage, host, facts) if not folder.open_by else ()
    if folder.open_by:
        remedy = (
            f"Stop {listed(folder.open_by)}, or migrate them with their disks to a host that needs no preparing; "
            "then prepare again: the data is moved, and the instances can be started from the shared storage."
        )
    elif changes:
        remedy = (
            f"Mount the storage elsewhere on {name}, copy everything, compare checksums, rename {path} to {keep}, "
            f"and mount the storage on {path}. Delete {keep} when all is well."
        )
    else:
        remedy = f"Give storage {path} a source (or servers) in the cluster file; then the data can be moved there."
    running = f"; {listed(folder.open_by)} run from there" if folder.open_by else ""
    return Finding(
        code="shared_path.data-below",
        severity=Severity.BLOCKS,
        host=name,
        what=f"{path} on {name} is a local folder with data in it; the {storage.type} storage is not mounted there.",
        evidence=f"{folder.entries} entries on {_where(folder)}{running}.",
        why="The disks in it are seen by this host only, so their instances cannot migrate without copying them; "
        "mounting over the folder would hide them.",
        remedy=remedy,
        changes=changes,
    )


def _changes(storage: Storage, host: HostFacts, facts: Facts) -> tuple[Change, ...]:
    line = boot_line(storage, host, facts)
    if line is None:
        return ()
    (entry,) = parse(line)
    step = MoveData(path=storage.path, source=entry.source, keep=storage.path + KEPT)
    move = Change(host=host.host, phase=Phase.STORAGE, step=step)
    first = first_access(storage, host.host)
    return (*change_at_boot(storage, host, facts), move, *first, *changes_to_wait(storage, host))


def _where(folder: FolderFact) -> str:
    return f"{folder.mount.source} ({folder.mount.fs_type})" if folder.mount else "a local file system"
