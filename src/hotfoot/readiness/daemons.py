"""Libvirt's daemons on a host: one libvirtd (Debian, Ubuntu) or several modular ones (RHEL 9, Fedora), by name."""

from __future__ import annotations

from dataclasses import dataclass

from hotfoot.readiness.facts import HostFacts

QEMU_CONF = "/etc/libvirt/qemu.conf"
FILES = (
    "/etc/libvirt/libvirtd.conf",
    "/etc/libvirt/virtqemud.conf",
    "/etc/libvirt/virtproxyd.conf",
)
UNITS = tuple(
    f"{daemon}{suffix}"
    for daemon in ("libvirtd", "virtqemud", "virtproxyd")
    for suffix in (".service", ".socket", "-ro.socket", "-admin.socket")
) + tuple(f"{daemon}-{kind}.socket" for daemon in ("libvirtd", "virtproxyd") for kind in ("tls", "tcp"))


@dataclass(frozen=True, slots=True)
class Daemons:
    """Which daemon runs instances (``qemu``), and which one other hosts speak to (``proxy``): units without suffix."""

    qemu: str
    proxy: str

    @property
    def service(self) -> str:
        """The service that runs instances, and reads qemu.conf."""
        return f"{self.qemu}.service"

    @property
    def socket(self) -> str:
        """The socket through which a client on the host reaches it."""
        return f"{self.qemu}.socket"

    @property
    def proxy_service(self) -> str:
        """The service that other hosts speak to."""
        return f"{self.proxy}.service"

    @property
    def proxy_conf(self) -> str:
        """The configuration file that says whom it lets in from other hosts."""
        return f"/etc/libvirt/{self.proxy}.conf"

    @property
    def qemu_daemon_conf(self) -> str:
        """The configuration file of the daemon that runs instances."""
        return f"/etc/libvirt/{self.qemu}.conf"

    def listening_socket(self, transport: str) -> str:
        """Return the socket unit of ``tls`` or ``tcp``."""
        return f"{self.proxy}-{transport}.socket"

    @property
    def local_sockets(self) -> tuple[str, ...]:
        """The sockets of the service that other hosts speak to, as clients on the host see them."""
        return tuple(f"{self.proxy}{suffix}.socket" for suffix in ("", "-ro", "-admin"))


MONOLITHIC = Daemons("libvirtd", "libvirtd")
MODULAR = Daemons("virtqemud", "virtproxyd")


def daemons_of(host: HostFacts) -> Daemons:
    """Return the daemons that a host uses: what runs, else what is installed, else what its distribution brings."""
    if host.libvirt is not None and host.libvirt.answers:
        return MODULAR if host.libvirt.modular else MONOLITHIC
    for state in ("active", "enabled", "load"):
        for daemons in (MONOLITHIC, MODULAR):
            if _is(host, daemons.socket, state) or _is(host, daemons.service, state):
                return daemons
    return MODULAR if host.os is not None and host.os.redhat_like else MONOLITHIC


def installed(host: HostFacts) -> bool:
    """Whether a libvirt daemon is there at all; True where it is not known."""
    if host.libvirt is not None and host.libvirt.answers:
        return True
    units = [
        host.units[name] for each in (MONOLITHIC, MODULAR) for name in (each.service, each.socket) if name in host.units
    ]
    return not units or any(unit.load not in ("not-found", "") for unit in units)


def active(host: HostFacts, unit: str) -> bool | None:
    """Whether a unit is active, None where it is not known."""
    found = host.units.get(unit)
    return None if found is None or not found.active else found.active in ("active", "reloading", "activating")


def enabled(host: HostFacts, unit: str) -> bool | None:
    """Whether a unit starts at boot, None where it is not known."""
    found = host.units.get(unit)
    return None if found is None or not found.enabled else found.enabled.startswith(("enabled", "static", "alias"))


def masked(host: HostFacts, unit: str) -> bool:
    """Whether a unit is masked."""
    found = host.units.get(unit)
    return found is not None and (found.load == "masked" or found.enabled.startswith("masked"))


def listens(host: HostFacts, port: int) -> bool | None:
    """Whether anything listens on a TCP port beyond loopback, None where it is not known."""
    if host.listeners is None:
        return None
    loopback = ("127.", "::1", "::ffff:127.")
    return any(each.port == port and not each.address.startswith(loopback) for each in host.listeners)


def _is(host: HostFacts, unit: str, state: str) -> bool:
    found = host.units.get(unit)
    if found is None:
        return False
    return {
        "active": found.active == "active",
        "enabled": found.enabled == "enabled",
        "load": found.load == "loaded",
    }[state]
