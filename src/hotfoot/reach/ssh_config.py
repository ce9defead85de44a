"""The OpenSSH client configuration that a cluster file amounts to: text, no I/O."""

from __future__ import annotations

import shlex
from pathlib import Path

from hotfoot.cluster import Cluster, Host

CONNECT_TIMEOUT_S = 10

# ssh takes the first value that it finds, so these win over the operator's own configuration that is included
# below them: a command in it, a terminal or a forwarded port would break commands without a terminal.
_COMMON = f"""\
Host *
    BatchMode yes
    StrictHostKeyChecking yes
    ConnectTimeout {CONNECT_TIMEOUT_S}
    ServerAliveInterval 5
    ServerAliveCountMax 3
    LogLevel ERROR
    RequestTTY no
    RemoteCommand none
    PermitLocalCommand no
    UpdateHostKeys no
    ForwardAgent no
    ForwardX11 no
    ClearAllForwardings yes
Match all
Include ~/.ssh/config
Include /etc/ssh/ssh_config
"""


def config_text(cluster: Cluster) -> str:
    """Write one Host block per host, matched by its name and its address; libvirt calls ssh with the address.

    Host keys are looked up in known_hosts under the address. What the cluster file leaves out comes from the
    operator's own ``~/.ssh/config`` (so do jump hosts and agents), then from the machine's.
    """
    blocks = [_host_block(cluster, host) for host in cluster.hosts]
    return f"# Written by Hotfoot for the cluster {cluster.name}.\n" + "".join(blocks) + _COMMON


def wrapper_text(ssh: str, config: Path) -> str:
    """Write the shell script that stands in for ``ssh``, for libvirt's URI parameter ``command=``.

    It ignores the terminal's Ctrl-C, as ssh then does too (it leaves ignored signals alone): the connection
    over which a migration has to be aborted must outlive the key press that asks for it.
    """
    return f'#!/bin/sh\ntrap "" INT\nexec {shlex.quote(ssh)} -F {shlex.quote(str(config))} "$@"\n'


def _host_block(cluster: Cluster, host: Host) -> str:
    ssh = cluster.ssh_of(host)
    lines = [f"Host {host.name} {host.address}", f"    HostName {host.address}"]
    if ssh.user is not None:
        lines.append(f"    User {ssh.user}")
    if ssh.port is not None:
        lines.append(f"    Port {ssh.port}")
    if ssh.key is not None:
        # Only this key: an agent full of others makes sshd hang up before the right one is offered.
        lines += [f"    IdentityFile {_quoted(ssh.key)}", "    IdentitiesOnly yes"]
    if ssh.known_hosts is not None:
        lines.append(f"    UserKnownHostsFile {_quoted(ssh.known_hosts)}")
    return "\n".join(lines) + "\n"


def _quoted(path: Path) -> str:
    """Quote a path; ``%`` begins a token of ssh_config, quotes and ``${`` are refused by the cluster file."""
    return '"{}"'.format(str(path).replace("\\", "\\\\").replace("%", "%%"))
