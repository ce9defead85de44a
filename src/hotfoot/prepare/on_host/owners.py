"""Who owns what on local file systems: listed before numbers change, given to its new owner after."""

import json
import os
import stat
from typing import Dict, Iterator, List, Set, Tuple

from hotfoot.prepare.on_host.ledger import packed, unpacked
from hotfoot.prepare.on_host.mounts import mounts

_LOCAL = set("ext2 ext3 ext4 xfs btrfs f2fs zfs jfs reiserfs bcachefs tmpfs ramfs devtmpfs".split())
# Their files belong to users of containers and of other systems, whose numbers only look alike.
_FOREIGN = ("/proc", "/sys", "/var/lib/docker", "/var/lib/containers", "/var/lib/containerd", "/var/lib/lxc",
            "/var/lib/lxd", "/var/lib/machines", "/var/snap/lxd", "/var/lib/hotfoot", "/snap")  # fmt: skip


def list_changes(path: str, uids: Dict[int, int], gids: Dict[int, int]) -> None:
    """Write the list of what will change: path, old UID, GID, new UID, GID, mode, capabilities; ``null`` at its end."""
    with open(path, "w", encoding="ascii") as file:
        os.chmod(path, 0o600)
        for each, found in _walk():
            uid, gid = uids.get(found.st_uid, found.st_uid), gids.get(found.st_gid, found.st_gid)
            if (uid, gid) == (found.st_uid, found.st_gid):
                continue
            mode = stat.S_IMODE(found.st_mode) if stat.S_ISREG(found.st_mode) else 0
            row = [each, found.st_uid, found.st_gid, uid, gid, mode & 0o6000 and mode, _capability(each)]
            file.write(json.dumps(row) + "\n")
        file.write("null\n")
        file.flush()
        os.fsync(file.fileno())


def is_whole(path: str) -> bool:
    """Whether a list was written to its end."""
    try:
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 5))
            return file.read() == b"null\n"
    except OSError:
        return False


def give(path: str, back: bool) -> List[str]:
    """Give each listed file its new owner (``back``: its old one); returns those that have neither."""
    left: List[str] = []
    if not is_whole(path):
        return left
    with open(path, encoding="ascii") as file:
        for line in file:
            row = json.loads(line)
            if row is None:
                break
            name, mode, capability = row[0], row[5], row[6]
            was, wanted = (tuple(row[3:5]), tuple(row[1:3])) if back else (tuple(row[1:3]), tuple(row[3:5]))
            try:
                found = os.lstat(name)
                now = (found.st_uid, found.st_gid)
                if now not in (was, wanted):
                    left.append(name)
                    continue
                if now != wanted:
                    os.lchown(name, wanted[0], wanted[1])
                if mode and stat.S_ISREG(found.st_mode):  # changing the owner takes these away
                    os.chmod(name, mode)
                if capability:
                    os.setxattr(name, "security.capability", unpacked(capability), follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                left.append(name)
    return left


def _walk() -> Iterator[Tuple[str, os.stat_result]]:
    """Everything on local file systems, each mount by itself; never a share, a container's files, or a brick."""
    table = mounts()
    targets = {row[1] for row in table}
    roots = [row[1] for row in table if row[2] in _LOCAL or (row[2] == "overlay" and row[1] == "/")]
    seen: Set[Tuple[int, int]] = set()
    for root in sorted(set(roots)):
        if _is_foreign(root):
            continue
        stack = [root]
        try:
            yield root, os.lstat(root)
        except OSError:
            continue
        while stack:
            folder = stack.pop()
            for path, found in _below(folder, targets):
                if stat.S_ISDIR(found.st_mode):
                    if (found.st_dev, found.st_ino) in seen or _is_brick(path):
                        continue
                    seen.add((found.st_dev, found.st_ino))
                    stack.append(path)
                yield path, found


def _below(folder: str, targets: Set[str]) -> List[Tuple[str, os.stat_result]]:
    try:
        # Not through a link that somebody put in the folder's place meanwhile.
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return []
    try:
        found = []
        for name in os.listdir(descriptor):
            path = os.path.join(folder, name)
            if path in targets or _is_foreign(path):  # not even looked at: its server may be dead
                continue
            try:
                found.append((path, os.stat(name, dir_fd=descriptor, follow_symlinks=False)))
            except OSError:
                continue
        return found
    finally:
        os.close(descriptor)


def _is_foreign(path: str) -> bool:
    return any(path == each or path.startswith(each + "/") for each in _FOREIGN)


def _is_brick(path: str) -> bool:
    """Whether a folder is GlusterFS's: what is in it belongs to the volume, and changes through the volume only."""
    try:
        os.getxattr(path, "trusted.glusterfs.volume-id")
    except OSError:
        return False
    return True


def _capability(path: str) -> str:
    try:
        return packed(os.getxattr(path, "security.capability", follow_symlinks=False))
    except OSError:
        return ""
