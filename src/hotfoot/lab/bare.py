"""Bare hosts: as an operator's guide finds them before its first step, with real work for check and prepare.

Root can log in from this machine, and that is all. The hosts do not know each other by name, key or certificate,
libvirt does not listen, nothing is shared, and users that must agree have different numbers on each host.
"""

from __future__ import annotations

from dataclasses import dataclass

from hotfoot.lab.host_files import File, base_files
from hotfoot.lab.spec import INSTANCES_PATH, Lab, LabHost, Storage
from hotfoot.lab.trust import Trust

MIGRATION_USER = "nova"
FIRST_BOOT = "etc/hotfoot-lab/first-boot.sh"
"""Run once by ``host/init.sh``, with the host's root as its own, before systemd."""
_NFS_UNITS = frozenset({"nfs-server.service", "proc-fs-nfsd.mount", "run-rpc_pipefs.mount"})


@dataclass(frozen=True, slots=True)
class BareIds:
    """Numbers on one host: of user and group nova, and of user libvirt-qemu and its group kvm."""

    nova: int
    qemu: int


def bare_ids(number: int) -> BareIds:
    """Return the numbers of a host (1 to 50): no two hosts agree, and those of n1 and n2 are swapped.

    >>> bare_ids(1), bare_ids(2)
    (BareIds(nova=511, qemu=512), BareIds(nova=512, qemu=511))
    """
    if number == 2:
        return BareIds(nova=512, qemu=511)
    return BareIds(nova=501 + 10 * number, qemu=502 + 10 * number)


def servers_of(lab: Lab) -> tuple[str, ...]:
    """Return the hosts that are to serve a bare lab's storage: three for GlusterFS where there are so many."""
    count = 3 if lab.storage == "glusterfs" and len(lab.hosts) >= 3 else 1
    return tuple(host.name for host in lab.hosts[:count])


def bare_host_files(host: LabHost, trust: Trust, storage: Storage, memory_mib: int) -> dict[str, File]:
    """Return a bare host's own files by path relative to its root."""
    return base_files(host, trust, memory_mib, unmasked=_NFS_UNITS if storage == "nfs" else frozenset()) | {
        # As Debian's installer writes it.
        "etc/hosts": File(
            f"127.0.0.1\tlocalhost\n127.0.1.1\t{host.name}\n\n"
            "# The following lines are desirable for IPv6 capable hosts\n"
            "::1     localhost ip6-localhost ip6-loopback\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n"
        ),
        FIRST_BOOT: File(_first_boot(host), 0o700),
    }


def _first_boot(host: LabHost) -> str:
    """Return the script that makes users and their files, with the host's own programs as its packages would."""
    ids = bare_ids(host.number)
    return f"""set -eu
groupmod --gid {ids.qemu} kvm
old_uid=$(id -u libvirt-qemu)
usermod --uid {ids.qemu} libvirt-qemu
find /etc /var -xdev -uid "$old_uid" -exec chown -h {ids.qemu}:{ids.qemu} {{}} +
groupadd --gid {ids.nova} nova
useradd --uid {ids.nova} --gid nova --groups kvm,libvirt --home-dir /var/lib/nova --no-create-home \
--shell /usr/sbin/nologin nova
mkdir -p /var/lib/nova/keys /var/lib/nova/tmp /var/lib/nova/networks /var/log/nova /var/cache/nova {INSTANCES_PATH}
echo 'made by {host.name}' > /var/lib/nova/keys/notes
echo 'made by {host.name}' > /var/lib/nova/tmp/left-over
echo 'made by {host.name}' > /var/cache/nova/left-over
chmod 0600 /var/lib/nova/keys/notes
chown -R nova:nova /var/lib/nova /var/cache/nova
chown nova:adm /var/log/nova
chown libvirt-qemu:kvm /var/lib/libvirt/qemu
# What a lab host cannot do without: a host UUID of its own, and no AppArmor, whose profiles namespaces cannot load.
echo 'host_uuid = "{host.uuid}"' >> /etc/libvirt/libvirtd.conf
echo 'security_driver = "none"' >> /etc/libvirt/qemu.conf
systemctl --quiet disable nfs-server.service
"""
