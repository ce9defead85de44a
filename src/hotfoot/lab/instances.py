"""Instances of a lab: made, killed, loaded and verified."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from hotfoot.errors import ExitStatus
from hotfoot.lab import ceph, iscsi, iscsi_hosts, light, openstack_servers, store, witness
from hotfoot.lab.command import LabError, run
from hotfoot.lab.namespaces import host_argv, is_running
from hotfoot.lab.spec import INSTANCES_PATH, Lab, LabHost, LabInstance, Pattern, check_choice, plan_instance

GUEST_FOLDER = "/var/lib/hotfoot-lab"
LEAST_MEMORY_MIB = 80
DISK_MIB = 64
_BOOT_TIMEOUT_S = 180


@dataclass(frozen=True, slots=True)
class Load:
    """Memory that a witness rewrites: ``area_mib`` of it, at ``rate_mib`` MiB/s (0: it rests), by a ``Pattern``."""

    rate_mib: int = 0
    area_mib: int = 16
    pattern: str = "circle"

    def check(self, memory_mib: int) -> None:
        """Raise HotfootError where the load cannot fit an instance of that memory, or there is no such pattern."""
        check_choice(self.pattern, Pattern, "pattern")
        most = memory_mib - 56  # what kernel and witness need besides
        if not 0 <= self.rate_mib <= 10_000:
            raise LabError(f"A rate is 0 to 10000 MiB/s, not {self.rate_mib}.", ExitStatus.USAGE)
        if not 0 <= self.area_mib <= most:
            raise LabError(
                f"An area of {self.area_mib} MiB does not fit: in {memory_mib} MiB there is room for {most} MiB.",
                ExitStatus.USAGE,
            )


@dataclass(frozen=True, slots=True)
class Verification:
    """What the check of one instance found; ``whole`` only if nothing at all was wrong."""

    instance: str
    host: str
    whole: bool
    faults: tuple[str, ...]
    pages: int
    blocks: int
    uptime_s: float


def domain_xml(lab: Lab, instance: LabInstance, load: Load) -> str:
    """Return the libvirt definition of an instance."""
    kind, machine, cpu = ("kvm", "pc", "<cpu mode='host-model'/>")
    if lab.accelerator == "tcg" and not lab.cpu_differs:
        cpu = "<cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model></cpu>"
    if lab.accelerator == "tcg":
        kind = "qemu"
    cmdline = _kernel_words(instance, load)
    return f"""<domain type='{kind}'><name>{instance.name}</name><uuid>{instance.uuid}</uuid>
<memory unit='MiB'>{instance.memory_mib}</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='{machine}'>hvm</type><kernel>{GUEST_FOLDER}/vmlinuz</kernel>
<initrd>{GUEST_FOLDER}/initramfs.gz</initrd><cmdline>{cmdline}</cmdline></os>
<features><acpi/></features>{cpu}<on_crash>destroy</on_crash><devices>
{_disk_xml(lab, instance)}
<interface type='bridge'><mac address='{instance.mac}'/><source bridge='br0'/><model type='virtio'/></interface>
<serial type='pty'><log file='/var/log/libvirt/qemu/{instance.name}-console.log' append='on'/>
<target port='0'/></serial><memballoon model='none'/></devices></domain>"""


def _kernel_words(instance: LabInstance, load: Load) -> str:
    """Return the guest's kernel command line."""
    return (
        # A time-stamp counter that jumps between hosts must not stop the guest's clock.
        "console=ttyS0 print-fatal-signals=1 loglevel=4 tsc=unstable panic=-1 "
        f"hotfoot.address={instance.address}/24 "
        f"hotfoot.rate={load.rate_mib} hotfoot.area={load.area_mib} hotfoot.pattern={load.pattern}"
    )


def _disk_xml(lab: Lab, instance: LabInstance) -> str:
    if lab.storage == "ceph":
        return ceph.disk_xml(lab, instance)
    if lab.storage == "iscsi":
        return iscsi_hosts.disk_xml(lab, instance) if lab.vm_accelerator else iscsi.disk_xml(lab, instance)
    return f"""<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none'/>
<source file='{_disk_path(instance)}'/><target dev='vda' bus='virtio'/></disk>"""


def _make_disk(lab: Lab, host: LabHost, instance: LabInstance) -> None:
    if lab.storage == "ceph":
        ceph.make_disk(lab, instance, DISK_MIB)
        return
    if lab.storage == "iscsi":
        iscsi.make_lun(lab, instance)
        for each in running_hosts(lab) if lab.vm_accelerator else ():
            iscsi_hosts.find(lab, each, instance)
        return
    path = _disk_path(instance)
    script = f"qemu-img create -q -f qcow2 {path} {DISK_MIB}M && chown libvirt-qemu:kvm {path}"
    run([*host_argv(lab, host), "sh", "-c", script])


def _remove_disk(lab: Lab, instance: LabInstance) -> None:
    """Remove the disk of an instance that has ended everywhere: what is in use elsewhere would block on its lock."""
    if lab.storage == "ceph":
        with contextlib.suppress(LabError):
            ceph.remove_disk(lab, instance)
        return
    if lab.storage == "iscsi":
        for host in running_hosts(lab) if lab.vm_accelerator else ():
            with contextlib.suppress(LabError):
                iscsi_hosts.forget(lab, host, instance)
        with contextlib.suppress(LabError):
            iscsi.remove_lun(lab, instance)
        return
    for host in running_hosts(lab):
        with contextlib.suppress(LabError):
            run([*host_argv(lab, host), "rm", "-f", _disk_path(instance)])


def _disk_path(instance: LabInstance) -> str:
    return f"{INSTANCES_PATH}/{instance.name}.qcow2"


def _virsh(lab: Lab, host: LabHost, *words: str, stdin: str | None = None) -> str:
    return run([*host_argv(lab, host), "virsh", "-q", *words], stdin=stdin)


def running_hosts(lab: Lab) -> list[LabHost]:
    """Return the hosts that are up."""
    return [host for host in lab.hosts if is_running(host.init_pid, host.init_started)]


@dataclass(frozen=True, slots=True)
class Places:
    """Where instances are active now, as each host's libvirt says."""

    by_uuid: Mapping[str, tuple[str, ...]]
    silent: tuple[str, ...] = ()
    """Hosts that are up, whose libvirt does not answer: what is on no other host may be there."""

    def of(self, instance: LabInstance) -> tuple[str, ...]:
        """Return the hosts on which an instance is seen."""
        return self.by_uuid.get(str(instance.uuid), ())

    def in_words(self, instance: LabInstance) -> str:
        """Return the hosts of an instance, or that it has none, or that this is not known."""
        if not self.of(instance) and self.silent:
            return f"nobody knows where ({' and '.join(self.silent)} silent)"
        return " and ".join(self.of(instance)) or "nowhere"


def places_of(lab: Lab) -> Places:
    """Ask libvirt of all hosts that are up."""
    found: dict[str, tuple[str, ...]] = {}
    silent = []

    def look(host: LabHost) -> tuple[LabHost, str | None]:
        with contextlib.suppress(LabError):
            return host, run([*host_argv(lab, host), "timeout", "10", "virsh", "-q", "list", "--uuid"])
        return host, None

    with ThreadPoolExecutor() as pool:
        for host, text in pool.map(look, running_hosts(lab)):
            if text is None:
                silent.append(host.name)
            for uuid in (text or "").split():
                found[uuid] = (*found.get(uuid, ()), host.name)
    return Places(found, tuple(silent))


def add(
    lab_name: str, name: str | None, host_name: str | None, memory_mib: int, load: Load, group: str | None = None
) -> LabInstance:
    """Make an instance and wait until its witness answers; without a host, on the one with the fewest.

    ``group``: the server group (anti-affinity) that it is to be in, with OpenStack.
    """
    if not LEAST_MEMORY_MIB <= memory_mib <= 4096:
        raise LabError(f"An instance has {LEAST_MEMORY_MIB} to 4096 MiB of memory, not {memory_mib}.", ExitStatus.USAGE)
    load.check(memory_mib)
    with store.lock(lab_name):
        lab = store.load(lab_name)
        light.refuse_instance(lab)
        if group and not lab.openstack:
            raise LabError(f"Server groups are Nova's, which lab {lab_name} has not.", ExitStatus.USAGE)
        if host_name is None:
            counts = {host.name: 0 for host in running_hosts(lab)}
            for places in places_of(lab).by_uuid.values():
                for place in places:
                    counts[place] += 1
            if not counts:
                raise LabError(f"No host of lab {lab_name} is up.")
            host_name = min(counts, key=lambda place: (counts[place], place))
        host = lab.host(host_name)
        host_argv(lab, host)
        instance = plan_instance(lab, name, memory_mib)
        store.save(lab.model_copy(update={"instances": (*lab.instances, instance)}))
    try:
        instance = create(lab, host, instance, load, group)
        boot_id = witness.wait(instance.address, _BOOT_TIMEOUT_S).boot_id
    except BaseException:
        with contextlib.suppress(LabError):  # what went wrong at first is what is told
            _end(lab, instance)
        _strike_out(lab, instance)
        raise
    instance = instance.model_copy(update={"boot_id": boot_id})
    with store.lock(lab_name):
        lab = store.load(lab_name)
        kept = tuple(instance if each.address == instance.address else each for each in lab.instances)
        store.save(lab.model_copy(update={"instances": kept}))
    return instance


def create(lab: Lab, host: LabHost, instance: LabInstance, load: Load, group: str | None = None) -> LabInstance:
    """Make an instance's disk, define it persistently and start it; does not wait for its boot.

    Returns it as it then is: with OpenStack, Nova gives it another UUID, MAC address and domain name.
    """
    if lab.openstack:
        return openstack_servers.create(lab, host, instance, _kernel_words(instance, load), group)
    _make_disk(lab, host, instance)
    _virsh(lab, host, "define", "/dev/stdin", stdin=domain_xml(lab, instance, load))
    _virsh(lab, host, "start", instance.name)
    return instance


def kill(lab_name: str, name: str) -> LabInstance:
    """End an instance wherever it is, and remove its definition and its disk."""
    lab = store.load(lab_name)
    instance = lab.instance(name)
    _end(lab, instance)
    _strike_out(lab, instance)
    return instance


def _strike_out(lab: Lab, instance: LabInstance) -> None:
    with store.lock(lab.name):
        lab = store.load(lab.name)
        kept = tuple(each for each in lab.instances if each.address != instance.address)
        store.save(lab.model_copy(update={"instances": kept}))


def _end(lab: Lab, instance: LabInstance) -> None:
    if lab.openstack:
        openstack_servers.remove(lab, instance)
        return
    for host in running_hosts(lab):
        for words in (("destroy", str(instance.uuid)), ("undefine", str(instance.uuid))):
            with contextlib.suppress(LabError):
                _virsh(lab, host, *words)
    _remove_disk(lab, instance)


def set_load(lab: Lab, instance: LabInstance, load: Load) -> witness.WitnessStatus:
    """Make a running instance rewrite memory at another rate, over another area, by another pattern."""
    load.check(instance.memory_mib)
    return witness.ask(instance.address, f"dirty {load.rate_mib} {load.area_mib} {load.pattern}")


def verify(lab: Lab, instance: LabInstance) -> Verification:
    """Check one instance: in one place, never restarted, every page and every disk block as written."""
    seen = places_of(lab)
    places = seen.of(instance)
    faults = []
    if len(places) != 1:
        faults.append(f"active on {' and '.join(places)} at once" if places else f"active {seen.in_words(instance)}")
    try:
        status = witness.ask(instance.address, "check", 60)
    except LabError as error:
        return Verification(instance.name, ", ".join(places), False, (*faults, str(error).rstrip(".")), 0, 0, 0.0)
    if status.boot_id != instance.boot_id:
        faults.append("it was restarted: its kernel has another boot id than at first")
    if status.pages_bad:
        faults.append(f"{status.pages_bad} of {status.pages} memory pages differ from what was written")
    if not status.disk:
        faults.append("it has no disk")
    if status.blocks_bad:
        faults.append(f"{status.blocks_bad} of {status.blocks} disk blocks differ from what was written")
    if status.disk_errors:
        faults.append(f"{status.disk_errors} disk writes failed (errno {status.disk_errno})")
    return Verification(
        instance.name,
        ", ".join(places),
        not faults,
        tuple(faults),
        status.pages,
        status.blocks,
        status.uptime_s,
    )


def verify_all(lab: Lab, names: Sequence[str]) -> list[Verification]:
    """Check several instances, all of the lab if none is named."""
    chosen = [lab.instance(name) for name in names] if names else list(lab.instances)
    return [verify(lab, instance) for instance in chosen]
