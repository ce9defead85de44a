"""The lab's SAN: an iSCSI target in user space (tgt) with a LUN for each instance.

QEMU itself logs in to it; where hosts are virtual machines, their kernels do (``iscsi_hosts``).

It is no host of the lab, and nobody prepares it: as an operator's SAN it is there before the hosts are, at an address
of its own on the management network, and lets in who knows the password (CHAP). It ends with the lab.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID, uuid5

from hotfoot.lab import iscsi_image, namespaces, store
from hotfoot.lab.command import LabError, run
from hotfoot.lab.namespaces import host_argv
from hotfoot.lab.spec import Lab, LabHost, LabInstance

USER = "hotfoot"
PASSWORD_FILE = "chap"
"""Below the lab's folder."""
_SECRETS = UUID("2d8f1f0e-6a39-4a0c-8f0f-5f4b6f1f6f57")
_TGTADM = ("tgtadm", "--lld", "iscsi")
_START_S = 20
_DISK_MIB = 64

# In the supervisor's namespaces: the hosts' root as the lower layer, and the program of the target above it.
_START = """set -eu
san=$1 programs=$2 root=$3 address=$4
mkdir -p "$san/upper" "$san/work" "$san/root"
mount -t overlay -o "lowerdir=$programs:$root,upperdir=$san/upper,workdir=$san/work" overlay "$san/root"
mount -t proc proc "$san/root/proc"
mount --bind /dev "$san/root/dev"
mount -t tmpfs -o mode=755 run "$san/root/run"
mkdir -p "$san/root/srv/luns"
ip address add "$address/24" dev mgmt
exec chroot "$san/root" /usr/sbin/tgtd -f --iscsi "portal=$address:3260"
"""
_SET_UP = """set -eu
read -r password
tgtadm --lld iscsi --mode target --op new --tid 1 -T "$1"
tgtadm --lld iscsi --mode target --op bind --tid 1 -I ALL
tgtadm --lld iscsi --mode account --op new --user "$2" --password "$password"
tgtadm --lld iscsi --mode account --op bind --tid 1 --user "$2"
"""


def address(lab: Lab) -> str:
    """Return where the SAN is, on the management network."""
    return f"10.77.{lab.number}.252"


def target(lab: Lab) -> str:
    """Return the name of its one target."""
    return f"iqn.2020-01.org.hotfoot:{lab.name}"


def secret(lab: Lab) -> UUID:
    """Return the UUID that libvirt's secret with the password has on every host."""
    return uuid5(_SECRETS, lab.name)


def password(lab: Lab) -> str:
    """Return what a host must know to log in."""
    return (store.folder_of(lab.name) / PASSWORD_FILE).read_text().strip()


def lun(instance: LabInstance) -> int:
    """Return the number of an instance's LUN, from 1 on: that of the instance's address."""
    return int(instance.address.rpartition(".")[2]) - 100


def cluster_lines(lab: Lab) -> list[str]:
    """Return what the lab's cluster file says of the SAN."""
    if lab.vm_accelerator:  # each host logs in itself, by the password in its iscsid.conf
        return ["iscsi:", f"  - {{portal: {address(lab)}, target: '{target(lab)}'}}"]
    chap = f"{{user: {USER}, password_file: {PASSWORD_FILE}, secret: {secret(lab)}}}"
    return [
        "iscsi:",
        f"  - {{portal: {address(lab)}, target: '{target(lab)}', initiator: qemu,",
        f"     chap: {chap}}}",
    ]


def start(lab: Lab, root: Path, say: Callable[[str], None]) -> None:
    """Start the SAN with a password of its own, which is in the lab's folder; the supervisor must be up.

    ``root`` is that of the hosts' image, whose libraries it uses.
    """
    programs = iscsi_image.ensure(say)
    folder = store.folder_of(lab.name)
    drawn = secrets.token_hex(8)
    file = folder / PASSWORD_FILE
    file.touch(0o600)
    file.write_text(f"{drawn}\n")
    inside = ["nsenter", "-t", str(lab.supervisor_pid), "--mount", "--net", "--pid", "--"]
    log = folder / "log" / "san.log"
    argv = ["sh", "-c", _START, "sh", str(folder / "disks" / "san"), str(programs), str(root)]
    outer = namespaces.spawn([*inside, *argv, address(lab)], lab.name, log)
    end = time.monotonic() + _START_S
    while True:
        with contextlib.suppress(LabError):
            _inside(lab, [*_TGTADM, "--mode", "sys", "--op", "show"])
            break
        if time.monotonic() > end or namespaces.started_at(outer) is None:
            said = log.read_text(errors="replace").strip().splitlines()
            raise LabError(f"The iSCSI target did not start: {said[-1] if said else 'no message'} (see {log}).")
        time.sleep(0.1)
    _inside(lab, ["sh", "-c", _SET_UP, "sh", target(lab), USER], stdin=f"{drawn}\n")


def define_secret(lab: Lab, host: LabHost) -> None:
    """Have a host's libvirt hold the password, as hosts have it that are ready."""
    xml = f"<secret ephemeral='no' private='yes'><uuid>{secret(lab)}</uuid><usage type='iscsi'>"
    xml += f"<target>{target(lab)}</target></usage></secret>"
    virsh = [*host_argv(lab, host), "virsh", "-q"]
    run([*virsh, "secret-define", "/dev/stdin"], stdin=xml)
    run([*virsh, "secret-set-value", str(secret(lab)), "--plain", "--file", "/dev/stdin"], stdin=password(lab))


def disk_xml(lab: Lab, instance: LabInstance) -> str:
    """Return the disk of an instance, as libvirt defines it."""
    return f"""<disk type='network' device='disk'><driver name='qemu' type='raw' cache='none'/>
<source protocol='iscsi' name='{target(lab)}/{lun(instance)}'><host name='{address(lab)}' port='3260'/>
<auth username='{USER}'><secret type='iscsi' uuid='{secret(lab)}'/></auth></source>
<target dev='vda' bus='virtio'/></disk>"""


def make_lun(lab: Lab, instance: LabInstance) -> None:
    """Make the LUN of an instance, empty."""
    number = str(lun(instance))
    script = (
        f'truncate -s {_DISK_MIB}M "/srv/luns/$1" && '
        'tgtadm --lld iscsi --mode logicalunit --op new --tid 1 --lun "$1" --backing-store "/srv/luns/$1"'
    )
    _inside(lab, ["sh", "-c", script, "sh", number])


def remove_lun(lab: Lab, instance: LabInstance) -> None:
    """Remove the LUN of an instance that has ended."""
    number = str(lun(instance))
    script = 'tgtadm --lld iscsi --mode logicalunit --op delete --tid 1 --lun "$1"; rm -f "/srv/luns/$1"'
    _inside(lab, ["sh", "-c", script, "sh", number])


def _inside(lab: Lab, argv: Sequence[str], stdin: str | None = None) -> str:
    root = store.folder_of(lab.name) / "disks" / "san" / "root"
    enter = ["nsenter", "-t", str(lab.supervisor_pid), "--mount", "--net", "--pid", "--", "chroot", str(root)]
    return run([*enter, *argv], stdin=stdin)
