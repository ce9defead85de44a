"""Light hosts: to be looked at in great number, without instances, each in a user namespace of its own.

What the kernel counts by user, inotify instances above all, would run out with some twenty hosts: all of them have
one root. A user namespace's use is charged to the user who made it (user_namespaces(7)), so each of these is made by
a user that nobody else is. Inside all users are who they are outside, so that files need no other owners, and root
has no power over anything but the host. All mounts are made by this machine's root, as for any host: the kernel lets
a user namespace do less there.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from hotfoot.errors import ExitStatus
from hotfoot.lab import namespaces
from hotfoot.lab.command import LabError
from hotfoot.lab.host_files import File
from hotfoot.lab.spec import Firewall, Lab, LabHost, Storage

# Between what systemd gives to containers and the end of what it gives at all (systemd.io/UIDS-GIDS): nobody's.
_FIRST_MAKER = 1_900_000_000
_USERS = 65536
# What only this machine's root may mount, and systemd would try.
_MASKED = ("sys-kernel-config.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount")
_HELD_S = 60
_TIMEOUT_S = 20


def maker(lab_number: int, host_number: int) -> int:
    """Return the user who makes a host's user namespace: another for each host of each lab, and nobody else's.

    >>> maker(0, 1), maker(2, 50)
    (1900000001, 1900000562)
    """
    return _FIRST_MAKER + 256 * lab_number + host_number


def refuse(light: bool, instance_count: int, storage_kind: Storage, firewall: Firewall, *, other: bool) -> None:
    """Raise LabError where light hosts cannot be had together with what else is asked for."""
    if light and (instance_count or storage_kind != "none" or firewall != "none" or other):
        raise LabError(
            "--light is for hosts to look at, without instances and with storage none: it goes neither with --hosts vm "
            "nor with --bare, --cpu-differs, --firewall or --openstack.",
            ExitStatus.USAGE,
        )


def refuse_instance(lab: Lab) -> None:
    """Raise LabError where an instance is to start in a lab of light hosts."""
    if lab.light:
        raise LabError(f"Lab {lab.name} is a light one: its hosts are to look at, and run none.", ExitStatus.USAGE)


def files(lab: Lab) -> dict[str, File]:
    """Return what a light host has besides, by path relative to its root; nothing where hosts are others."""
    return {f"etc/systemd/system/{unit}": File(link_to="/dev/null") for unit in _MASKED if lab.light}


def hold(lab_name: str, lab_number: int, supervisor: int, host: LabHost, log: Path) -> int:
    """Make a host's user namespace and those that belong to it; return the PID of a process that holds them.

    It does so for a minute; whoever has entered them by then holds them too. Raises LabError.
    """
    user = str(maker(lab_number, host.number))
    # The right to make namespaces is kept, since some machines give it to root alone.
    argv = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"]
    argv += ["--inh-caps=+sys_admin", "--ambient-caps=+sys_admin", "unshare", "--user", *namespaces.OWN]
    argv += ["--propagation", "unchanged", "sleep", str(_HELD_S)]
    inside = ["nsenter", "-t", str(supervisor), "--mount", "--net", "--pid", "--", *argv]
    outer = namespaces.spawn(namespaces.in_cgroup(lab_name, host, inside), lab_name, log)
    holder = namespaces.wait_for_descendant(outer, generations=1, log=log)
    ours = os.readlink("/proc/self/ns/user")
    end = time.monotonic() + _TIMEOUT_S
    try:
        while os.readlink(f"/proc/{holder}/ns/user") == ours:  # unshare makes all of them at once
            if time.monotonic() > end:
                raise TimeoutError
            time.sleep(0.01)
        for kind in ("uid", "gid"):
            Path(f"/proc/{holder}/{kind}_map").write_text(f"0 0 {_USERS}")
    except OSError:
        said = log.read_text(errors="replace").strip().splitlines()
        raise LabError(
            f"The user namespace of {host.name} could not be made: {said[-1] if said else 'no message'} (see {log})."
        ) from None
    return holder
