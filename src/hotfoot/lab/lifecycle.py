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
    image,
    instances,
    machine,
    namespaces,
    network,
    storage,
    store,
    trust,
    witness,
)
from hotfoot.lab.cluster_text import cluster_text
from hotfoot.lab.command import LabError, run
from hotfoot.lab.host_files import File, host_files
from hotfoot.lab.spec import (
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
_HOST_TIMEOUT_S = 40
_INSTANCE_TIMEOUT_S = 60


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
) -> Lab:
    """Bring up a lab from nothing, or raise and leave nothing.

    A lab of that name that is running is refused; the remains of one that was killed, also while it came up,
    are removed first.
    """
    check_name(name)
    parse_rate(link_rate)
    load.check(memory_mib)
    plan_hosts(name, 0, host_count)
    if not 0 <= instance_count <= 60:
        raise LabError(f"A lab starts with 0 to 60 instances, not {instance_count}.", ExitStatus.USAGE)
    for obstacle in (*machine.obstacles(), storage.obstacle(storage_kind)):
        if obstacle:
            raise LabError(f"This machine cannot run the lab: {obstacle}.", ExitStatus.REFUSED)
    picture = image.ensure(say)
    with store.lock(f"up-{name}"):
        _refuse_if_running(name)
        down(name)
        verdict = accelerator.probe(picture)
        say(f"instances run under {verdict.accelerator.upper()}, because {verdict.reason}")
        try:
            lab = _start(name, host_count, transport, storage_kind, verdict, link_rate, picture, say)
            if storage_kind != "none":
                say(f"setting up {storage_kind} on {len(lab.hosts)} hosts")
            storage.prepare(lab)
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda host: start_pool(lab, host), lab.hosts))
            if instance_count:
                say(f"starting {instance_count} instances")
            return _start_instances(lab, instance_count, memory_mib, load)
        except BaseException:
            down(name)
            raise


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
    name: str,
    host_count: int,
    transport: Transport,
    storage_kind: Storage,
    verdict: accelerator.Verdict,
    link_rate: str,
    picture: image.Image,
    say: Callable[[str], None],
) -> Lab:
    folder = store.folder_of(name)
    (folder / "disks").mkdir(parents=True)
    folder.chmod(0o700)
    with store.lock("all"):
        supervisor = namespaces.start_supervisor(name, folder / "disks", folder / "log" / "supervisor.log")
        number = network.first_free_number(store.numbers())
        lab = Lab(
            name=name,
            number=number,
            transport=transport,
            storage=storage_kind,
            accelerator=verdict.accelerator,
            accelerator_reason=f"{verdict.reason}: {verdict.detail}" if verdict.detail else verdict.reason,
            link_rate=link_rate,
            supervisor_pid=supervisor,
            supervisor_started=namespaces.started_at(supervisor) or 0,
            hosts=plan_hosts(name, number, host_count),
        )
        store.save(lab)
        network.build(supervisor, number)
    say(f"starting {host_count} hosts, joined by {transport}")
    keys = trust.issue([(host.name, host.address) for host in lab.hosts])
    _write_controller_files(lab, keys)
    groups = _groups(picture.root)
    for host in lab.hosts:
        _write_files(
            folder / "hosts" / host.name,
            host_files(host, lab.hosts, number, transport, keys, HOST_MEMORY_MIB),
            groups,
        )
    with ThreadPoolExecutor() as pool:
        hosts = tuple(pool.map(lambda host: _boot(lab, host, picture.folder), lab.hosts))
    lab = lab.model_copy(update={"hosts": hosts})
    store.save(lab)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda host: wait_until_ready(lab, host), hosts))
    return lab


def _boot(lab: Lab, host: LabHost, picture: Path) -> LabHost:
    folder = store.folder_of(lab.name)
    pid = namespaces.start_host(lab.name, lab.supervisor_pid, host, picture, folder, lab.accelerator == "kvm")
    network.connect(lab.supervisor_pid, host, pid)
    network.shape(lab.supervisor_pid, host, pid, lab.link_rate)
    return host.model_copy(update={"init_pid": pid, "init_started": namespaces.started_at(pid) or 0})


def wait_until_ready(lab: Lab, host: LabHost) -> None:
    """Wait until a host's own libvirt answers on the host."""
    end = time.monotonic() + _HOST_TIMEOUT_S
    while True:
        try:
            run(
                [*namespaces.host_argv(lab, host), "virsh", "-q", "-c", "qemu:///system", "version"],
                timeout_s=20,
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
            raise LabError("The lab's image is gone from the cache; `hotfoot lab down` and `lab up` make it anew.")
        fresh = _boot(lab, host, picture.folder)
        hosts = tuple(fresh if each.name == host_name else each for each in lab.hosts)
        lab = lab.model_copy(update={"hosts": hosts})
        store.save(lab)
    wait_until_ready(lab, fresh)
    storage.mount_again(lab, fresh)
    if len(instances.running_hosts(lab)) == len(lab.hosts):
        storage.wait_until_healed(lab, fresh)
    start_pool(lab, fresh)


def _groups(root: Path) -> dict[str, int]:
    rows = [line.split(":") for line in (root / "etc/group").read_text().splitlines()]
    return {row[0]: int(row[2]) for row in rows}


def _write_files(folder: Path, found: dict[str, File], groups: dict[str, int]) -> None:
    for relative, file in found.items():
        path = folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        if file.link_to is not None:
            path.symlink_to(file.link_to)
            continue
        with path.open("w") as out:
            os.fchmod(out.fileno(), file.mode)
            out.write(file.content)
        os.chown(path, 0, groups[file.group] if file.group else 0)
    # Folders that this tree brings along must not open up what the root keeps private.
    for private in ("root", "root/.ssh", "etc/pki/libvirt/private"):
        (folder / private).chmod(0o700)


def _write_controller_files(lab: Lab, keys: trust.Trust) -> None:
    folder = store.folder_of(lab.name)
    known_hosts = "".join(f"{h.name},{h.address} {keys.host_keys[h.name].public}" for h in lab.hosts)
    written = {
        "pki/cacert.pem": (keys.authority, 0o644),
        "pki/clientcert.pem": (keys.controller.public, 0o644),
        "pki/clientkey.pem": (keys.controller.private, 0o600),
        "ssh/id_ed25519": (keys.login.private, 0o600),
        "ssh/known_hosts": (known_hosts, 0o644),
        "hotfoot.yaml": (cluster_text(lab), 0o644),
    }
    for relative, (content, mode) in written.items():
        path = folder / relative
        path.parent.mkdir(exist_ok=True)
        path.touch(mode)
        path.write_text(content)


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
        instances.create(lab, host, instance, load)
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
