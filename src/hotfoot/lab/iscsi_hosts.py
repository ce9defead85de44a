"""The lab's SAN as hosts with a kernel of their own use it: open-iscsi logs in, and LUNs are devices of the host.

A LUN has the same name on every host, below /dev/disk/by-path: udev makes it of portal, target and number.
"""

from __future__ import annotations

from hotfoot.lab import iscsi
from hotfoot.lab.command import LabError, run
from hotfoot.lab.namespaces import host_argv
from hotfoot.lab.spec import Lab, LabHost, LabInstance

_NAME_FILE = "/etc/iscsi/initiatorname.iscsi"
_CONFIGURATION = "/etc/iscsi/iscsid.conf"
# The package's own name is of the image, and the same on every host.
_INTRODUCE = f"""set -eu
umask 077
echo "InitiatorName=$1" > {_NAME_FILE}
cat >> {_CONFIGURATION}
chmod 600 {_CONFIGURATION}
if systemctl is-active --quiet iscsid.service; then systemctl restart iscsid.service; fi
"""
# A record that discovery makes has user and password from iscsid.conf.
_LOG_IN = """set -eu
iscsiadm -m discovery -t sendtargets -p "$2" >/dev/null
iscsiadm -m node -T "$1" -p "$2" --op update -n node.startup -v automatic
iscsiadm -m node -T "$1" -p "$2" --login >/dev/null
"""
_IS_LOGGED_IN = 'grep -qxF "$1" /sys/class/iscsi_session/*/targetname 2>/dev/null'
_FIND = f"""if ! {_IS_LOGGED_IN}; then exit 0; fi
iscsiadm -m session --rescan >/dev/null && udevadm settle
for try in $(seq 100); do
    if [ -b "$2" ]; then exit 0; fi
    sleep 0.2
done
echo "$2 does not appear" >&2
exit 1
"""
_FORGET = """set -eu
if [ -b "$1" ]; then
    device=$(readlink -f "$1")
    echo 1 > "/sys/block/${device##*/}/device/delete"
fi
"""


def initiator_name(host: LabHost) -> str:
    """Return the name by which the target knows a host: no two hosts have the same."""
    return f"iqn.1993-08.org.debian:01:{host.uuid.hex[-12:]}"


def device(lab: Lab, instance: LabInstance) -> str:
    """Return the name that an instance's LUN has on every host."""
    number = iscsi.lun(instance)
    return f"/dev/disk/by-path/ip-{iscsi.address(lab)}:3260-iscsi-{iscsi.target(lab)}-lun-{number}"


def disk_xml(lab: Lab, instance: LabInstance) -> str:
    """Return the disk of an instance, as libvirt defines it."""
    return f"""<disk type='block' device='disk'><driver name='qemu' type='raw' cache='none'/>
<source dev='{device(lab, instance)}'/><target dev='vda' bus='virtio'/></disk>"""


def introduce(lab: Lab, host: LabHost) -> None:
    """Give a host a name of its own, and the password, as whoever set it up for this SAN has done.

    Bare hosts too: the cluster file has no place for the password of hosts that log in themselves.
    """
    keys = {"authmethod": "CHAP", "username": iscsi.USER, "password": iscsi.password(lab)}
    lines = "".join(f"node.session.auth.{key} = {value}\n" for key, value in keys.items())
    run([*host_argv(lab, host), "sh", "-c", _INTRODUCE, "sh", initiator_name(host)], stdin=lines)


def log_in(lab: Lab, host: LabHost) -> None:
    """Have a host logged in to the SAN, now and at each boot, as ``hotfoot prepare`` would."""
    run([*host_argv(lab, host), "sh", "-c", _LOG_IN, "sh", iscsi.target(lab), iscsi.address(lab)], timeout_s=180)


def wait_for_login(lab: Lab, host: LabHost, timeout_s: float) -> None:
    """Wait until a host that was started again has logged in by itself; raises LabError if it does not."""
    script = f"for try in $(seq {timeout_s:.0f}); do if {_IS_LOGGED_IN}; then exit 0; fi; sleep 1; done; exit 1"
    try:
        run([*host_argv(lab, host), "sh", "-c", script, "sh", iscsi.target(lab)], timeout_s=timeout_s + 60)
    except LabError:
        raise LabError(
            f"Host {host.name} is up, but it is not logged in to the iSCSI target; see `hotfoot lab exec {host.name} "
            "-- journalctl -b -u open-iscsi`."
        ) from None


def find(lab: Lab, host: LabHost, instance: LabInstance) -> None:
    """Have a host that is logged in see an instance's new LUN; raises LabError where the device does not appear."""
    words = ["sh", "-c", _FIND, "sh", iscsi.target(lab), device(lab, instance)]
    run([*host_argv(lab, host), *words], timeout_s=180)


def forget(lab: Lab, host: LabHost, instance: LabInstance) -> None:
    """Take the device of a LUN that is about to be removed from a host."""
    run([*host_argv(lab, host), "sh", "-c", _FORGET, "sh", device(lab, instance)])
