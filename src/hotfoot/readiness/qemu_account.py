"""As whom QEMU runs on a host: what qemu.conf says, else what the distribution does."""

from __future__ import annotations

from dataclasses import dataclass

from hotfoot.readiness.daemons import QEMU_CONF
from hotfoot.readiness.facts import HostFacts, IdentityFact, PathFact, UserFact
from hotfoot.readiness.libvirt_conf import read

USERS = ("libvirt-qemu", "qemu")
"""Debian's and Red Hat's name of QEMU's user."""


@dataclass(frozen=True, slots=True)
class QemuAccount:
    """QEMU's user, and all groups that its processes are in."""

    user: str
    uid: int
    gids: frozenset[int]
    group_names: tuple[str, ...]
    key_group: str
    """The group that its private keys belong to: its own (the distribution's, where QEMU runs as root)."""

    def may_read(self, file: PathFact) -> bool:
        """Whether its processes may read a file."""
        if self.uid == 0 or file.mode & 0o004:
            return True
        if file.uid == self.uid:
            return bool(file.mode & 0o400)
        return file.gid in self.gids and bool(file.mode & 0o040)


def qemu_account(host: HostFacts) -> QemuAccount | None:
    """Return QEMU's account on a host; None where its users are not known, or have none of the names."""
    if host.identity is None:
        return None
    settings = read(host.text(QEMU_CONF))
    wanted = settings.text("user")
    usual = next((found for name in USERS if (found := host.identity.user(name))), None)
    user = host.identity.user(wanted.lstrip("+")) if wanted else usual
    if user is None:
        return None
    group = settings.text("group")
    groups = [
        each for each in host.identity.groups if each.gid == user.gid or user.name in each.members or each.name == group
    ]
    return QemuAccount(
        user=user.name,
        uid=user.uid,
        gids=frozenset(each.gid for each in groups),
        group_names=tuple(each.name for each in groups),
        key_group=_key_group(host.identity, usual if user.uid == 0 and usual else user),
    )


def _key_group(identity: IdentityFact, user: UserFact) -> str:
    # kvm has whoever may use /dev/kvm; a group of the user's own name has nobody else.
    own = identity.group(user.name)
    if own is not None and (user.gid == own.gid or user.name in own.members):
        return own.name
    return next((each.name for each in identity.groups if each.gid == user.gid), "root")
