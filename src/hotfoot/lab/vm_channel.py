"""Commands on hosts that are virtual machines: one SSH connection to each, over the instances' network.

It goes to the link-local address of a host's bridge br0, which every Linux bridge has, so that it is there while the
management link is cut, or not set up yet. It belongs to the lab's namespaces and ends with them. One connection is
opened and shared, since a new one takes seconds where the machine emulates the hosts' processors.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from hotfoot.lab.spec import Lab, LabHost
from hotfoot.lab.store import folder_of

_ENVIRONMENT = "PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What root logs in with, and under which name known_hosts holds the host's key."""

    key: Path
    known_hosts: Path
    known_as: str


def link_local(mac: str) -> str:
    """Return the IPv6 link-local address that Linux gives to an interface.

    >>> link_local("52:54:00:79:00:0b")
    'fe80::5054:ff:fe79:b'
    """
    octets = [int(word, 16) for word in mac.split(":")]
    octets[0] ^= 2
    groups = [octets[0] << 8 | octets[1], octets[2] << 8 | 0xFF, 0xFE00 | octets[3], octets[4] << 8 | octets[5]]
    return "fe80::" + ":".join(f"{group:x}" for group in groups)


def first_address(host: LabHost) -> str:
    """Return where a host is reached that has booted for the first time, and has no br0 of its own yet."""
    return f"{link_local(host.management_mac)}%mgmt"


def address(host: LabHost) -> str:
    """Return where a host of a lab is reached, in the lab's own network namespace."""
    return f"{link_local(host.bridge_mac)}%data"


def credentials(lab: Lab, host: LabHost) -> Credentials:
    """Return what a lab's own keys say of a host."""
    folder = folder_of(lab.name) / "ssh"
    return Credentials(folder / "id_ed25519", folder / "known_hosts", host.name)


def _options(lab: Lab, host: LabHost, login: Credentials) -> list[str]:
    words = ["-F", "none", "-S", str(control_path(lab, host)), "-i", str(login.key), "-l", "root"]
    options = {
        "UserKnownHostsFile": login.known_hosts,
        "GlobalKnownHostsFile": "none",
        "HostKeyAlias": login.known_as,
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
        "ConnectTimeout": 5,
        "ServerAliveInterval": 15,
        "LogLevel": "ERROR",
    }
    return words + [word for name, value in options.items() for word in ("-o", f"{name}={value}")]


def argv(lab: Lab, host: LabHost) -> list[str]:
    """Return the words that run a command on a host as root, its words kept apart, on a terminal where there is one."""
    options = shlex.join(_options(lab, host, credentials(lab, host)))
    # bash on both sides: it quotes here what it reads there.
    script = (
        "[ -t 0 ] && [ -t 1 ] && terminal=-t; "
        f'exec ssh $terminal {options} {address(host)} "exec env -i {_ENVIRONMENT} TERM=\\"${{TERM:-dumb}}\\" ${{*@Q}}"'
    )
    return ["nsenter", "-t", str(lab.supervisor_pid), "--net", "--", "bash", "-c", script, "bash"]


def connection_argv(lab: Lab, host: LabHost, place: str, login: Credentials) -> list[str]:
    """Return the words that open the shared connection to a host and hold it."""
    ssh = ["ssh", "-M", "-N", *_options(lab, host, login), place]
    return ["nsenter", "-t", str(lab.supervisor_pid), "--net", "--pid", "--", *ssh]


def control_path(lab: Lab, host: LabHost) -> Path:
    """Return the socket of the shared connection; it is there once root is logged in."""
    return folder_of(lab.name) / "ssh" / f"to-{host.name}"


def path_obstacle(lab_name: str) -> str | None:
    """Return why a lab's folder is too deep for the sockets in it (108 bytes with ssh's own suffix), None if not."""
    path = folder_of(lab_name) / "ssh" / "to-n99"
    return f"{path} is too long for a socket; let HOTFOOT_RUN name a shorter folder" if len(str(path)) > 90 else None
