"""Sections of the probe: configuration files by content, secrets marked; other paths by mode and owner."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from hotfoot.reach.probe.frame import MOST_TEXT_BYTES, Apart, digest, is_remote, matching, mount_of
from hotfoot.reach.probe.secrets import mark

_MOST_MATCHES = 200
_PATH_HUNG_AFTER_S = 8.0


def file_of(path: str) -> "dict[str, Any]":
    """Return a configuration file: its content with marks in place of secrets, and the digest of the real one."""
    told = {"path": path, "exists": False, "link_to": os.readlink(path) if os.path.islink(path) else None}
    try:
        found = os.stat(path)
    except OSError:
        return told
    told.update(exists=True, mode=stat.S_IMODE(found.st_mode), uid=found.st_uid, gid=found.st_gid, content=None)
    if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_TEXT_BYTES:
        return told
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_TEXT_BYTES + 1)
    except OSError:
        return told
    if len(data) <= MOST_TEXT_BYTES:
        told["sha256"] = digest(data)
        with suppress(UnicodeDecodeError):  # an editor would damage what is no text
            told["content"] = None if b"\0" in data else mark(data.decode("utf-8"))[0]
    return told


class Places:
    """Paths that were asked for, looked at by ``look``; those on remote file systems apart, since they may hang."""

    def __init__(
        self,
        patterns: "list[str]",
        look: "Callable[[str], dict[str, Any]]",
        homes: "dict[str, str]",
        mounts: "list[dict[str, str]]",
    ) -> None:
        self.look = look
        local, far = [], {}  # type: list[str], dict[str, list[str]]
        for pattern in (_expanded(pattern, homes) for pattern in patterns):
            if _is_far(_fixed(pattern), mounts):
                far.setdefault(_target(_fixed(pattern), mounts), []).append(pattern)
            else:
                local += matches(pattern)
        self.near = [path for path in dict.fromkeys(local) if not _is_far(path, mounts)]
        for path in dict.fromkeys(local):
            if _is_far(path, mounts):
                far.setdefault(_target(path, mounts), []).append(path)
        self.far = [(patterns, Apart(_looked(patterns, look))) for patterns in far.values()]

    def told(self) -> "dict[str, dict[str, Any]]":
        """Return what was found, by path; a path that hangs has ``hung``."""
        found = {path: self.look(path) for path in self.near}
        for patterns, apart in self.far:
            seen, hung = apart.told(_PATH_HUNG_AFTER_S)
            found.update((each["path"], each) for each in seen)
            if hung:
                late = [pattern for pattern in patterns if pattern not in found]
                found.update((path, {"path": path, "exists": False, "hung": True}) for path in late)
        return found


def _is_far(path: str, mounts: "list[dict[str, str]]") -> bool:
    return is_remote(mount_of(path, mounts))


def _target(path: str, mounts: "list[dict[str, str]]") -> str:
    mount = mount_of(path, mounts)
    return mount["target"] if mount else ""


def matches(pattern: str) -> "list[str]":
    """Return what a pattern with ``*`` matches; a path without one is returned, there or not."""
    return matching(pattern)[:_MOST_MATCHES] if "*" in pattern else [pattern]


def _looked(patterns: "list[str]", look: "Callable[[str], dict[str, Any]]") -> "Iterator[dict[str, Any]]":
    for pattern in patterns:
        for path in matches(pattern):
            yield look(path)


def _fixed(pattern: str) -> str:
    """Return the part of a pattern that leads to its first ``*``."""
    return pattern if "*" not in pattern else os.path.dirname(pattern.partition("*")[0])


def _expanded(pattern: str, homes: "dict[str, str]") -> str:
    """Replace ``~USER/`` by the user's home; it stays where there is no such user, and matches nothing."""
    if not pattern.startswith("~"):
        return pattern
    user, _, rest = pattern[1:].partition("/")
    return os.path.join(homes[user], rest) if user in homes else pattern
