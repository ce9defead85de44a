"""Who should own a storage path, and whether QEMU and Nova can work in it."""

from __future__ import annotations

from hotfoot.readiness.facts import HostFacts
from hotfoot.readiness.nova_conf import NOVA_CONF, nova_conf

NOVA_HOME = "/var/lib/nova"
"""Where Nova's packages have it keep what is its own; instances are in a folder below."""
QEMU_USERS = (("libvirt-qemu", "kvm"), ("qemu", "qemu"))
"""User and group of QEMU on Debian and Ubuntu, and on Red Hat's systems: what libvirt is built with there."""


def qemu_user(host: HostFacts) -> tuple[str, str]:
    """Return user and group of QEMU on a host, the distribution's where neither user is there."""
    for user, group in QEMU_USERS:
        if host.identity is not None and host.identity.user(user):
            return user, group
    return QEMU_USERS[1] if host.os is not None and host.os.redhat_like else QEMU_USERS[0]


def runs_nova(host: HostFacts) -> bool:
    """Whether Nova is set up on a host."""
    file = host.files.get(NOVA_CONF)
    return file is not None and file.exists


def is_novas(host: HostFacts, path: str) -> bool:
    """Whether a storage path is Nova's: there is a user nova, and it lies below its home or is its instances_path."""
    if host.identity is None or host.identity.user("nova") is None:
        return False
    conf = nova_conf(host)
    return f"{path}/".startswith(f"{NOVA_HOME}/") or (conf is not None and conf.instances_path == path)


def wanted_owner(host: HostFacts, path: str) -> str:
    """Return ``user:group`` that a storage path is to have: Nova's where it is Nova's, else QEMU's."""
    return "nova:nova" if is_novas(host, path) else ":".join(qemu_user(host))


def may_pass(host: HostFacts, user: str, mode: int, uid: int, gid: int) -> bool | None:
    """Whether a user may open files below a folder (the x bit), None where the user is not known."""
    known = host.identity.user(user) if host.identity else None
    if host.identity is None or known is None:
        return None
    if known.uid == uid:
        return bool(mode & 0o100)
    groups = {known.gid} | {group.gid for group in host.identity.groups if user in group.members}
    return bool(mode & (0o010 if gid in groups else 0o001))
