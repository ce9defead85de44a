"""Faults on request: a host's link cut and mended, its libvirtd, a QEMU, or the whole host killed."""

from __future__ import annotations

from hotfoot.errors import ExitStatus
from hotfoot.lab import namespaces, network, storage, store
from hotfoot.lab.command import LabError, run
from hotfoot.lab.instances import hosts_of
from hotfoot.lab.spec import Lab, LabHost


def cut_link(lab: Lab, host: LabHost) -> None:
    """Cut a host's management link at the switch; its instances' network stays."""
    network.set_link(lab, host, up=False)


def mend_link(lab: Lab, host: LabHost) -> None:
    """Mend a link that was cut, and mount the storage again if its client has given up meanwhile."""
    network.set_link(lab, host, up=True)
    storage.mount_again(lab, host)
    storage.wait_until_healed(lab, host)


def kill_libvirtd(lab: Lab, host: LabHost) -> None:
    """Kill -9 a host's libvirtd; its systemd starts it again, as on any host."""
    _pkill(lab, host, ["-x", "libvirtd"], f"No libvirtd runs on {host.name}; it starts at the next connection.")


def kill_qemu(lab: Lab, instance_name: str, host_name: str | None) -> str:
    """Kill -9 an instance's QEMU; return the host. On two hosts at once (in a move) the host must be named."""
    instance = lab.instance(instance_name)
    places = [host_name] if host_name else hosts_of(lab).get(str(instance.uuid), [])
    if len(places) != 1:
        where = f"active on {' and '.join(places)}: name one with --host" if places else "active on no host"
        raise LabError(f"Instance {instance.name} is {where}.", ExitStatus.USAGE)
    host = lab.host(places[0])
    missing = f"No QEMU of {instance.name} runs on {host.name}."
    _pkill(lab, host, ["-f", f"^/usr/bin/qemu-system-x86_64 -name guest={instance.name},"], missing)
    return host.name


def kill_host(lab_name: str, host: LabHost) -> None:
    """End a whole host at once, as a power cut would: its instances with it."""
    namespaces.host_argv(store.load(lab_name), host)
    namespaces.kill(host.init_pid)


def _pkill(lab: Lab, host: LabHost, match: list[str], missing: str) -> None:
    argv = namespaces.host_argv(lab, host)
    script = 'pkill -9 "$@"; status=$?; [ $status = 1 ] && echo none; [ $status -le 1 ]'
    if run([*argv, "sh", "-c", script, "sh", *match]).strip() == "none":
        raise LabError(missing)
