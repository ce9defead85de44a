"""The files that make a host out of the common root: a pure function from its place in the lab to its files."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid5

from hotfoot.lab.spec import INSTANCES_PATH, LabHost, Transport, controller_address
from hotfoot.lab.trust import Trust

_LIBVIRT_SOCKETS: dict[Transport, tuple[str, ...]] = {
    "tls": ("libvirtd-tls.socket",),
    "ssh": (),
    "tcp": ("libvirtd-tcp.socket",),
}
# Nothing that a host in namespaces could use, and each costs start-up time; a path unit an inotify instance too.
_MASKED = (
    "console-getty.service getty@tty1.service run-rpc_pipefs.mount rpcbind.service rpcbind.socket "
    "apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer "
    "xfs_scrub_all.timer dpkg-db-backup.timer logrotate.timer systemd-networkd-wait-online.service "
    "nfs-blkmap.service nfs-server.service proc-fs-nfsd.mount systemd-udevd.service "
    "systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service "
    "systemd-ask-password-console.path systemd-ask-password-wall.path"
).split()
_UNITS = "usr/lib/systemd/system"
_OWN_UNITS = "etc/systemd/system"


@dataclass(frozen=True, slots=True)
class File:
    """A file to lay over the root: ``link_to`` set makes it a symbolic link; group None means root."""

    content: str = ""
    mode: int = 0o644
    group: str | None = None
    link_to: str | None = None


def host_files(
    host: LabHost,
    hosts: tuple[LabHost, ...],
    lab_number: int,
    transport: Transport,
    trust: Trust,
    memory_mib: int,
) -> dict[str, File]:
    """Return the host's own files by path relative to its root."""
    names = [(each.address, each.name) for each in hosts]
    known_hosts = "".join(f"{each.name},{each.address} {trust.host_keys[each.name].public}" for each in hosts)
    mine = trust.hosts[host.name]
    found = base_files(host, trust, memory_mib) | {
        "etc/hosts": File(
            "127.0.0.1 localhost\n"
            + "".join(f"{address} {name}\n" for address, name in names)
            + f"{controller_address(lab_number)} controller\n"
        ),
        "etc/pki/CA/cacert.pem": File(trust.authority),
        "etc/pki/qemu/ca-cert.pem": File(trust.authority),
        "root/.ssh/id_ed25519": File(trust.login.private, 0o600),
        "root/.ssh/known_hosts": File(known_hosts),
        "etc/libvirt/libvirtd.conf": File(
            f'host_uuid = "{host.uuid}"\n' + ('auth_tcp = "none"\n' if transport == "tcp" else "")
        ),
        # The kernel of the machine may have AppArmor while the host's namespaces cannot load profiles.
        "etc/libvirt/qemu.conf": File('user = "libvirt-qemu"\ngroup = "kvm"\nsecurity_driver = "none"\n'),
        "etc/libvirt/storage/instances.xml": File(_pool_xml(host)),
        "etc/libvirt/storage/autostart/instances.xml": File(link_to="/etc/libvirt/storage/instances.xml"),
    }
    for role in ("server", "client"):
        found[f"etc/pki/libvirt/{role}cert.pem"] = File(mine.public)
        found[f"etc/pki/libvirt/private/{role}key.pem"] = File(mine.private, 0o600)
        found[f"etc/pki/qemu/{role}-cert.pem"] = File(mine.public)
        found[f"etc/pki/qemu/{role}-key.pem"] = File(mine.private, 0o640, group="libvirt-qemu")
    for socket in _LIBVIRT_SOCKETS[transport]:
        found[f"{_OWN_UNITS}/sockets.target.wants/{socket}"] = File(link_to=f"/{_UNITS}/{socket}")
    return found


def base_files(
    host: LabHost, trust: Trust, memory_mib: int, *, unmasked: frozenset[str] = frozenset()
) -> dict[str, File]:
    """Return what any lab host must have: its identity, its links, and root's login from this machine.

    ``unmasked`` are units that this host shall be able to start, of those that a lab host never needs otherwise.
    """
    network = "[Network]\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
    found = {
        "etc/hostname": File(f"{host.name}\n"),
        "etc/machine-id": File(f"{host.uuid.hex}\n", 0o444),
        "etc/resolv.conf": File("# the lab has no name server; see /etc/hosts\n"),
        "root/.ssh/authorized_keys": File(trust.login.public, 0o600),
        "etc/ssh/ssh_host_ed25519_key": File(trust.host_keys[host.name].private, 0o600),
        "etc/ssh/ssh_host_ed25519_key.pub": File(trust.host_keys[host.name].public),
        # Keys only: a lab host is reachable from the whole machine.
        "etc/ssh/sshd_config.d/hotfoot.conf": File("PasswordAuthentication no\nUseDNS no\n"),
        "etc/systemd/network/10-eth0.network": File(f"[Match]\nName=eth0\n{network}Address={host.address}/24\n"),
        "etc/systemd/network/10-br0.netdev": File(
            "[NetDev]\nName=br0\nKind=bridge\n[Bridge]\nSTP=no\nForwardDelaySec=0\n"
        ),
        "etc/systemd/network/11-br0.network": File(f"[Match]\nName=br0\n{network}"),
        "etc/systemd/network/12-eth1.network": File(f"[Match]\nName=eth1\n{network}Bridge=br0\n"),
        "etc/systemd/journald.conf.d/hotfoot.conf": File("[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\n"),
        "etc/hotfoot-lab/meminfo": File(meminfo(memory_mib)),
        f"{_OWN_UNITS}/multi-user.target.wants/systemd-networkd.service": File(
            link_to=f"/{_UNITS}/systemd-networkd.service"
        ),
    }
    for unit in _MASKED:
        if unit not in unmasked:
            found[f"{_OWN_UNITS}/{unit}"] = File(link_to="/dev/null")
    return found


def meminfo(memory_mib: int) -> str:
    """Return a /proc/meminfo of a host with that much memory, all of it free.

    A namespace has no memory of its own to report: without this every host of the lab would claim the whole
    machine's. It is a fixed text; what instances use is counted by their sizes.
    """
    total_kib = memory_mib * 1024
    rows = {"MemTotal": total_kib, "MemFree": total_kib, "MemAvailable": total_kib, "Buffers": 0, "Cached": 0}
    rows |= {"SwapCached": 0, "SwapTotal": 0, "SwapFree": 0, "Hugepagesize": 2048}
    text = "".join(f"{name + ':':<16}{kib:>8} kB\n" for name, kib in rows.items())
    return text + "HugePages_Total:       0\nHugePages_Free:        0\n"


def _pool_xml(host: LabHost) -> str:
    """Return a directory pool over the instances' folder: with it, libvirt makes files for block migration.

    It has a UUID, because libvirtd would draw a new one at each start, and lose the pool to its own running one.
    """
    place = f"<target><path>{INSTANCES_PATH}</path></target>"
    return f"<pool type='dir'><name>instances</name><uuid>{uuid5(host.uuid, 'pool')}</uuid>{place}</pool>\n"
