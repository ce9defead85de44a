"""The firewall of a lab's hosts: turned on as an operator does who thinks of SSH alone.

Sources: ufw(8), firewall-cmd(1); firewalld's zone ``public`` lets SSH in by itself.
"""

from __future__ import annotations

from hotfoot.errors import ExitStatus
from hotfoot.lab.command import LabError, run
from hotfoot.lab.namespaces import host_argv
from hotfoot.lab.spec import Firewall, Lab, LabHost

_TURN_ON: dict[Firewall, str] = {
    "ufw": "ufw default deny incoming && ufw allow 22/tcp && ufw --force enable && systemctl -q enable ufw.service",
    # D-Bus has yet to learn who may be called firewalld: its package came after the bus was started.
    "firewalld": "systemctl reload dbus.service && systemctl -q enable --now firewalld.service",
}
# Where the kernel shows bridged packets to the rules for routed ones, guests would be cut off as well.
_LEAVE_BRIDGES = "for each in /proc/sys/net/bridge/bridge-nf-call-*; do test ! -e $each || echo 0 > $each; done"


def refuse(firewall: Firewall, *, other: bool) -> None:
    """Raise LabError where a firewall cannot be had together with what else is asked for."""
    if firewall != "none" and other:
        raise LabError(
            "--firewall is for hosts in namespaces: it goes neither with --hosts vm nor with --openstack.",
            ExitStatus.USAGE,
        )


def turn_on(lab: Lab, host: LabHost) -> None:
    """Turn a host's firewall on, now and at boot; nothing where the lab has none."""
    if lab.firewall != "none":
        run([*host_argv(lab, host), "sh", "-ec", f"{_LEAVE_BRIDGES}; {_TURN_ON[lab.firewall]}"], timeout_s=60)
