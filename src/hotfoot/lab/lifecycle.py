"""A lab comes up and goes down.

Invariant: whatever is killed, at whatever moment, ``down`` afterwards leaves no process, namespace, mount, link,
cgroup or file of the lab. It does not rely on the state file: processes are found by a mark in their
environment, links and cgroups by their names.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hotfoot.errors import ExitStatus
from hotfoot.lab import (
    accelerator,
    ceph,
    host_layer,
    image,
    instances,
    iscsi,
    iscsi_hosts,
    light,
    machine,
    namespaces,
    network,
    older_cpu,
    openstack_cloud,
    openstack_config,
    openstack_image,
    openstack_servers,
    room,
    storage,
    store,
    trust,
    vm_host,
    vm_image,
    vm_state,
    witness,
)
from hotfoot.lab import firewall as closed
from hotfoot.lab.bare import bare_host_files
from hotfoot.lab.command import LabError, run
from hotfoot.lab.host_files import host_files
from hotfoot.lab.own_files import groups_of, write_controller_files, write_host_files
from hotfoot.lab.spec import (
    Firewall,
    Lab,
    LabHost,
    LabInstance,
    Storage,
    Transport,
    check_name,
    parse_rate,
    plan_hosts,
    plan_instance,
)

HOST_MEMORY_MIB = 2048
_NO_IMAGE = "The lab's image is gone from the cache; `hotfoot lab down` and `lab up` make it anew."
_HOST_TIMEOUT_S = 120
_INSTANCE_TIMEOUT_S = 180


def up(
    name: str,
    *,
    host_count: int,
    instance_count: int,
    transport: Transport,
    storage_kind: Storage,
    link_rate: str,
    memory_mib: int,
    load: instances.Load,
    say: Callable[[str], None],
    bare: bool = False,
    vm: bool = False,
    cpu_differs: bool = False,
    firewall: Firewall = "none",
    openstack: bool = False,
    fake_hosts: int = 0,
    volumes: bool = False,
    light_hosts: bool = False,
) -> Lab:
    """Bring up a lab from nothing, or raise and leave nothing.

    A lab of that name that is running is refused; the remains of one that was killed, also while it came up,
    are removed first. A ``bare`` lab's hosts are left as they are before anybody prepares them; with ``vm`` they
    are virtual machines with a kernel of their own, with ``cpu_differs`` the last gives instances less of a CPU.
    With a ``firewall`` each host has it turned on at the end, open for SSH alone.
    With ``openstack`` its Nova makes the instances, and has ``fake_hosts`` more that are none; with ``volumes`` they
    have their disks in Cinder. ``light_hosts`` are to be looked at, and run no instances.
    """
    check_name(name)
    parse_rate(link_rate)
    load.check(memory_mib)
    plan_hosts(name, 0, host_count)
    if not 0 <= instance_count <= 60:
        raise LabError(f"A lab starts with 0 to 60 instances, not {instance_count}.", ExitStatus.USAGE)
    if bare and instance_count:
        raise LabError(
            "A bare lab starts without instances, since its hosts are not ready for any; leave --instances out, and "
            f"once `hotfoot prepare` has run, `hotfoot lab instance add --name {name}` starts one.",
            ExitStatus.USAGE,
        )
    if cpu_differs and (vm or bare or host_count < 2):
        raise LabError(
            "--cpu-differs is for labs of two or more hosts in namespaces that are ready for instances: it goes neither"
            " with --hosts vm nor with --bare.",
            ExitStatus.USAGE,
        )
    openstack_cloud.refuse(openstack, fake_hosts, volumes, storage_kind, other=bare or vm or cpu_differs)
    closed.refuse(firewall, other=openstack or vm)
    light.refuse(light_hosts, instance_count, storage_kind, firewall, other=bare or vm or cpu_differs or openstack)
    own_kind: list[str | None] = [*(vm_host.obstacles(name, host_count) if vm else [storage.obstacle(storage_kind)])]
    if not (vm or light_hosts):
        own_kind.append(room.obstacle(host_count))
    for obstacle in (*machine.obstacles(), *own_kind):
        if obstacle:
            raise LabError(f"This machine cannot run the lab: {obstacle}.", ExitStatus.REFUSED)
    picture = image.ensure(say)
    packages = host_layer.packages_of(storage_kind, firewall, vm=vm)
    host_layer.ensure(picture, packages, say)
    virtual = vm_image.ensure(picture, packages, say) if vm else None
    if openstack:
        openstack_image.ensure(say)
    with store.lock(f"up-{name}"):
        _refuse_if_running(name)
        down(name)
        verdict = accelerator.probe(picture)
        vm_accelerator = verdict.accelerator if vm else None
        if vm:
            say(f"hosts are virtual machines under {verdict.accelerator.upper()}, because {verdict.reason}")
            verdict = vm_host.instances_verdict(verdict)
        say(f"instances run under {verdict.accelerator.upper()}, because {verdict.reason}")
        try:
            lab = Lab(
                name=name,
                number=0,
                transport=transport,
                storage=storage_kind,
                accelerator=verdict.accelerator,
                accelerator_reason=f"{verdict.reason}: {verdict.detail}" if verdict.detail else verdict.reason,
                link_rate=link_rate,
                supervisor_pid=0,
                supervisor_started=0,
                hosts=(),
                bare=bare,
                vm_accelerator=vm_accelerator,
                cpu_differs=cpu_differs,
                firewall=firewall,
                openstack=openstack,
                fake_hosts=fake_hosts,
                volumes=volumes,
                light=light_hosts,
            )
            lab, control_plane = _start(lab, host_count, picture, virtual, say)
            if not bare:
                _set_up_storage(lab, say)
            if lab.openstack:
                say("waiting for OpenStack's services")
                openstack_servers.join(lab, control_plane, instances.DISK_MIB)
            if instance_count:
                say(f"starting {instance_count} instances")
            lab = _start_instances(lab, instance_count, memory_mib, load)
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda host: closed.turn_on(lab, host), lab.hosts))
            return lab
        except BaseException:
            down(name)
            raise


def _set_up_storage(lab: Lab, say: Callable[[str], None]) -> None:
    if lab.storage != "none":
        say(f"setting up {lab.storage} on {len(lab.hosts)} hosts")
    storage.prepare(lab)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda host: start_pool(lab, host), lab.hosts))


def _refuse_if_running(name: str) -> None:
    try:
        lab = store.load(name)
    except LabError:
        return
    if lab.ready and namespaces.is_running(lab.supervisor_pid, lab.supervisor_started):
        raise LabError(
            f"Lab {name} is running; `hotfoot lab status --name {name}` shows it, "
            f"`hotfoot lab down --name {name}` removes it.",
            ExitStatus.REFUSED,
        )


def _start(
    lab: Lab, host_count: int, picture: image.Image, virtual: vm_image.VmImage | None, say: Callable[[str], None]
) -> tuple[Lab, int]:
    """Start a lab's hosts; return it, and the process that starts OpenStack's control plane meanwhile (else 0)."""
    name, bare = lab.name, lab.bare
    folder = store.folder_of(name)
    (folder / "disks").mkdir(parents=True)
    folder.chmod(0o700)
    with store.lock("all"):
        supervisor = namespaces.start_supervisor(name, folder / "disks", folder / "log" / "supervisor.log")
        number = network.first_free_number(store.numbers())
        fresh = {
            "number": number,
            "supervisor_pid": supervisor,
            "supervisor_started": namespaces.started_at(supervisor) or 0,
            "hosts": plan_hosts(name, number, host_count, vm=virtual is not None),
        }
        lab = lab.model_copy(update=fresh)
        store.save(lab)
        network.build(supervisor, number)
    if lab.storage == "cephfs" or ceph.has_pool(lab):
        ceph.start(lab, say)
    if lab.storage == "iscsi":
        iscsi.start(lab, picture.root, say)
    passwords, control_plane = openstack_cloud.start(lab, say) if lab.openstack else (None, 0)
    if virtual:
        vm_state.ensure(virtual, lab, say)
        vm_host.start_time_server(lab)
    say(f"starting {host_count} {'bare hosts' if bare else f'hosts, joined by {lab.transport}'}")
    keys = trust.issue([(host.name, host.address) for host in lab.hosts])
    write_controller_files(lab, keys)
    groups = groups_of(picture.root)
    owns = {
        host.name: bare_host_files(host, keys, lab.storage, HOST_MEMORY_MIB)
        if bare
        else host_files(host, lab.hosts, number, lab.transport, keys, HOST_MEMORY_MIB)
        for host in lab.hosts
    }
    node_memory_mib = HOST_MEMORY_MIB // max(1, len(list(Path("/sys/devices/system/node").glob("node[0-9]*"))))

    def boot(host: LabHost) -> LabHost:
        if virtual is None:
            own = owns[host.name] | light.files(lab)
            if lab.cpu_differs:
                own |= older_cpu.files(host, lab.hosts[-1])
            if passwords:
                own |= openstack_config.compute_files(lab, host, passwords, node_memory_mib)
            write_host_files(folder / "hosts" / host.name, own, groups)
            return ready(_boot(lab, host, picture))
        pid = vm_host.start(lab, host, virtual, vm_state.folder(virtual, lab, host))
        vm_host.move_in(lab, host, pid, virtual, vm_host.vm_files(lab, host, owns[host.name]), groups)
        host = _shaped(lab, host, pid)
        if lab.storage == "iscsi":
            iscsi_hosts.introduce(lab, host)
        return ready(host)

    def ready(host: LabHost) -> LabHost:
        wait_until_ready(lab, host)
        return host

    # A worker goes on to its next host when one is up: so many as fifty that boot at once would all be too slow.
    with ThreadPoolExecutor() as pool:
        hosts = tuple(pool.map(boot, lab.hosts))
    lab = lab.model_copy(update={"hosts": hosts})
    store.save(lab)
    return lab, control_plane


def _boot(lab: Lab, host: LabHost, picture: image.Image) -> LabHost:
    folder = store.folder_of(lab.name)
    programs = openstack_image.programs() if lab.openstack else None
    layer = host_layer.cached(picture, host_layer.packages_of(lab.storage, lab.firewall))
    kvm = lab.accelerator == "kvm"
    holder = None
    if lab.light:
        holder = light.hold(lab.name, lab.number, lab.supervisor_pid, host, namespaces.host_log(folder, host))
    pid = namespaces.start_host(
        lab.name, lab.supervisor_pid, host, picture.folder, folder, kvm, programs, layer, holder
    )
    if holder:
        namespaces.kill(holder)
    network.connect(lab.supervisor_pid, host, pid)
    return _shaped(lab, host, pid)


def _boot_again(lab: Lab, host: LabHost, picture: image.Image) -> LabHost:
    if lab.vm_accelerator is None:
        network.disconnect(lab.supervisor_pid, host)
        return _boot(lab, host, picture)
    virtual = vm_image.cached(picture, host_layer.packages_of(lab.storage, lab.firewall, vm=True))
    if virtual is None:
        raise LabError(_NO_IMAGE)
    pid = vm_host.start(lab, host, virtual, vm_state.folder(virtual, lab, host))
    vm_host.log_in_again(lab, host, pid)
    return _shaped(lab, host, pid)


def _shaped(lab: Lab, host: LabHost, pid: int) -> LabHost:
    running = host.model_copy(update={"init_pid": pid, "init_started": namespaces.started_at(pid) or 0})
    network.shape(lab, running, lab.link_rate)
    return running


def wait_until_ready(lab: Lab, host: LabHost) -> None:
    """Wait until a host's own libvirt answers on the host."""
    end = time.monotonic() + _HOST_TIMEOUT_S
    while True:
        try:
            run(
                [*namespaces.host_argv(lab, host), "virsh", "-q", "-c", "qemu:///system", "version"],
                timeout_s=60,
            )
            return
        except LabError as error:
            if time.monotonic() > end or not namespaces.is_running(host.init_pid, host.init_started):
                raise LabError(f"Host {host.name} did not come up: {error}") from None
            time.sleep(0.2)


def start_host(lab_name: str, host_name: str) -> None:
    """Start a host that was killed: its disk is as it left it, its storage is mounted again."""
    picture = image.cached()
    with store.lock(lab_name):
        lab = store.load(lab_name)
        host = lab.host(host_name)
        if namespaces.is_running(host.init_pid, host.init_started):
            raise LabError(f"Host {host_name} of lab {lab_name} is up.", ExitStatus.REFUSED)
        if picture is None:
            raise LabError(_NO_IMAGE)
        fresh = _boot_again(lab, host, picture)
        hosts = tuple(fresh if each.name == host_name else each for each in lab.hosts)
        lab = lab.model_copy(update={"hosts": hosts})
        store.save(lab)
    wait_until_ready(lab, fresh)
    if lab.bare:  # what it has by now is hotfoot's work, and must come up by itself
        return
    storage.mount_again(lab, fresh)
    if len(instances.running_hosts(lab)) == len(lab.hosts):
        storage.wait_until_healed(lab, fresh)
    start_pool(lab, fresh)


def start_pool(lab: Lab, host: LabHost) -> None:
    """Start a host's pool again: at boot its folder was the empty one below the shared storage."""
    script = "virsh -q pool-destroy instances >/dev/null 2>&1; virsh -q pool-start instances"
    run([*namespaces.host_argv(lab, host), "sh", "-c", script])


def _start_instances(lab: Lab, count: int, memory_mib: int, load: instances.Load) -> Lab:
    planned: list[tuple[LabHost, LabInstance]] = []
    for i in range(count):
        instance = plan_instance(lab, None, memory_mib)
        lab = lab.model_copy(update={"instances": (*lab.instances, instance)})
        planned.append((lab.hosts[i % len(lab.hosts)], instance))

    def boot(pair: tuple[LabHost, LabInstance]) -> LabInstance:
        host, instance = pair
        instance = instances.create(lab, host, instance, load)
        status = witness.wait(instance.address, _INSTANCE_TIMEOUT_S)
        return instance.model_copy(update={"boot_id": status.boot_id})

    with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2)) as pool:
        lab = lab.model_copy(update={"instances": tuple(pool.map(boot, planned)), "ready": True})
    store.save(lab)
    return lab


def down(name: str) -> bool:
    """Remove a lab, whole or broken; return whether there was anything to remove."""
    check_name(name)
    folder = store.folder_of(name)
    numbers = set()
    with contextlib.suppress(LabError):
        lab = store.load(name)
        numbers.add(lab.number)
        if namespaces.is_running(lab.supervisor_pid, lab.supervisor_started):
            namespaces.kill(lab.supervisor_pid)
    end = time.monotonic() + 15
    found = False
    while left := namespaces.processes_of(name):
        found = True
        for pid in left:
            namespaces.kill(pid)
        if time.monotonic() > end:
            raise LabError(f"Processes of lab {name} do not end: {', '.join(map(str, left))}.")
        time.sleep(0.02)
    for number in numbers:
        network.remove_machine_links(number)
        while any(Path(f"/sys/class/net/{link}").exists() for link in network.machine_links(number)):
            time.sleep(0.02)
    namespaces.remove_cgroups(name)
    if folder.exists():
        found = True
        shutil.rmtree(folder)
    return found


def down_all() -> list[str]:
    """Remove every lab of this machine; return their names."""
    return [name for name in store.names() if down(name)]
