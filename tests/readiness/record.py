"""Records facts of real hosts for the tests of topics: ``python -m tests.readiness.record KIND ...``.

    hosts CLUSTER_FILE NAME      what the hosts of a cluster (a lab) tell now
    root FOLDER HOST NAME        what a root file system tells by chroot, no systemd in it (needs root)

Writes ``recorded/NAME.json``: one ``Facts``. Names ending in ``-by-hand`` are not recorded but written from
documentation, and this script leaves them alone. Of proofs between hosts none is in them.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from hotfoot.cluster import load
from hotfoot.reach.facts import facts_of
from hotfoot.reach.probe.script import probe_script
from hotfoot.reach.ssh import prepare
from hotfoot.readiness.facts import Facts, HostFacts
from hotfoot.readiness.judge import TOPICS
from hotfoot.readiness.wanted import Wanted, wanted

FOLDER = Path(__file__).with_name("recorded")
# What is worth having in a recording whatever today's topics look at.
_MORE = Wanted(
    files=(
        "/etc/hosts",
        "/etc/fstab",
        "/etc/exports",
        "/etc/exports.d/*",
        "/etc/idmapd.conf",
        "/etc/nftables.conf",
        "/etc/nova/*.conf",
        "/etc/libvirt/libvirtd.conf",
        "/etc/libvirt/virtproxyd.conf",
        "/etc/libvirt/virtqemud.conf",
        "/etc/libvirt/qemu.conf",
        "/etc/default/libvirtd",
        "/etc/sysconfig/libvirtd",
        "/etc/ssh/sshd_config",
        "/etc/ssh/sshd_config.d/*",
        "/etc/ssh/ssh_config",
        "/etc/ssh/ssh_config.d/*",
        "/etc/ssh/ssh_known_hosts",
    ),
    paths=(
        "/etc/pki/libvirt",
        "/etc/pki/libvirt/private",
        "/etc/pki/qemu",
        "/root/.ssh",
        "/root/.ssh/*",
        "/var/lib/nova",
        "/var/lib/nova/.ssh",
        "/var/lib/nova/.ssh/*",
        "/var/lib/nova/instances",
        "/dev/kvm",
        "/dev/fuse",
        "/dev/userfaultfd",
    ),
    units=(
        "chrony.service",
        "chronyd.service",
        "firewalld.service",
        "glusterd.service",
        "libvirtd-tcp.socket",
        "libvirtd-tls.socket",
        "libvirtd.service",
        "libvirtd.socket",
        "nfs-server.service",
        "nftables.service",
        "nova-compute.service",
        "openstack-nova-compute.service",
        "ssh.service",
        "ssh.socket",
        "sshd.service",
        "systemd-timesyncd.service",
        "ufw.service",
        "virtproxyd-tcp.socket",
        "virtproxyd-tls.socket",
        "virtproxyd.socket",
        "virtqemud.service",
        "virtqemud.socket",
    ),
    packages=(
        "glusterfs-client",
        "glusterfs-fuse",
        "glusterfs-server",
        "libvirt-clients",
        "libvirt-daemon-kvm",
        "libvirt-daemon-system",
        "nfs-common",
        "nfs-kernel-server",
        "nfs-utils",
        "nova-compute",
        "openssh-server",
        "qemu-block-extra",
        "qemu-kvm",
        "qemu-system-x86",
    ),
)


def _with_more(asked: Wanted) -> Wanted:
    lists = ("files", "paths", "units", "packages")
    return asked.model_copy(
        update={name: tuple(sorted({*getattr(asked, name), *getattr(_MORE, name)})) for name in lists}
    )


def _of_hosts(cluster_file: Path) -> Facts:
    cluster = load(cluster_file, Path.cwd(), certificates=False)
    return asyncio.run(facts_of(prepare(cluster), cluster, _with_more(wanted(cluster, TOPICS))))


def _of_root(root: Path, host: str) -> Facts:
    asked = {
        kind: sorted({word for topic in TOPICS for word in getattr(topic, kind)})
        for kind in ("files", "paths", "units", "packages")
    }
    asked |= {"names": [host], "folders": ["/var/lib/nova/instances"]}
    question = _with_more(Wanted.model_validate({**asked, "migration_user": "nova"}))
    inside = 'mount --bind "$1" "$1" && mount -t proc p "$1/proc" && hostname "$2" && exec chroot "$1" python3 -I -B -'
    argv = ["unshare", "--mount", "--pid", "--fork", "--uts", "--net", "--", "sh", "-c", inside, "sh", str(root), host]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    script = probe_script(question).encode()
    done = subprocess.run(argv, input=script, stdout=subprocess.PIPE, env=environment, check=True)
    return Facts(hosts=(HostFacts.model_validate({**json.loads(done.stdout), "host": host}),))


def main(arguments: list[str]) -> None:
    """Record, and say where."""
    match arguments:
        case ["hosts", cluster_file, name]:
            facts = _of_hosts(Path(cluster_file))
        case ["root", folder, host, name]:
            facts = _of_root(Path(folder), host)
        case _:
            sys.exit(__doc__)
    for silent in facts.silent:
        sys.exit(f"{silent.host}: {silent.reason}")
    path = FOLDER / f"{name}.json"
    path.write_text(facts.model_dump_json(indent=1, exclude_defaults=True) + "\n")
    print(f"{path}: {', '.join(host.host for host in facts.hosts)}, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
