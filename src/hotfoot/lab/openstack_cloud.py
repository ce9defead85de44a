"""The lab's OpenStack: its control plane beside the hosts, and nova-compute on each of them.

All of it is real but the hosts of Nova's fake driver, which ``lab up --fake-hosts`` adds. The control plane's processes
live in the lab's own namespaces, at an address of their own on the management network, and end with the lab.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

from hotfoot.errors import ExitStatus
from hotfoot.lab import ceph, namespaces, openstack_image, store
from hotfoot.lab.command import LabError, run
from hotfoot.lab.host_files import File
from hotfoot.lab.namespaces import host_argv
from hotfoot.lab.openstack_config import (
    CLOUDS_FILE,
    COMPUTE_UNIT,
    PROGRAMS,
    clouds_text,
    controller_files,
)
from hotfoot.lab.openstack_parts import Passwords, address, apis, services, url
from hotfoot.lab.own_files import write_host_files
from hotfoot.lab.spec import MOST_FAKE_HOSTS, Lab, LabHost, Storage

_TOOLS = "controller.sh service.sh serve.py seed.py await_port.py".split()
_SERVICE = f"/{PROGRAMS}/lib/service.sh"
_MODULES = {"ports.py": "hotfoot_lab_ports.py", "fakecompute.py": "fakecompute.py"}
"""Of the lab, imported by OpenStack's own programs: the mechanism driver, and the hosts of the fake driver."""
_ENTRY_POINT = "[neutron.ml2.mechanism_drivers]\nhotfoot_lab = hotfoot_lab_ports:TapMechanismDriver\n"
_START_S = 180
_RESTART_S = 60
_QUEUE_PORT = 5672


def refuse(openstack: bool, fake_hosts: int, volumes: bool, storage_kind: Storage, *, other: bool) -> None:
    """Raise LabError where OpenStack cannot be had together with what else is asked for."""
    if openstack and (other or storage_kind in ("cephfs", "ceph", "iscsi")):
        raise LabError(
            "--openstack is for hosts in namespaces that are ready for instances, with storage glusterfs, nfs or none: "
            "it goes neither with --hosts vm nor with --bare or --cpu-differs.",
            ExitStatus.USAGE,
        )
    if volumes and not openstack:
        raise LabError("--volumes are those of OpenStack's Cinder: they need --openstack.", ExitStatus.USAGE)
    if fake_hosts and not openstack:
        raise LabError("--fake-hosts are computes of OpenStack: they need --openstack.", ExitStatus.USAGE)
    if not 0 <= fake_hosts <= MOST_FAKE_HOSTS:
        raise LabError(f"A lab has 0 to {MOST_FAKE_HOSTS} fake hosts, not {fake_hosts}.", ExitStatus.USAGE)


def start(lab: Lab, say: Callable[[str], None]) -> tuple[Passwords, int]:
    """Start the control plane, which then comes up beside the hosts; ``wait`` for it with the process that is returned.

    The passwords are this lab's own: in files that root alone reads, and on no command line.
    """
    root = openstack_image.ensure(say)
    say("starting OpenStack's control plane beside the hosts")
    folder = store.folder_of(lab.name)
    passwords = Passwords(*(secrets.token_urlsafe(18) for _ in range(3)))
    keys = [base64.urlsafe_b64encode(os.urandom(32)).decode() for _ in range(4)]
    own = folder / "openstack" / "files"
    found = controller_files(lab, passwords, (keys[0], keys[1], keys[2], keys[3]))
    key_and_monitor = ceph.client_files(lab) if lab.volumes else {}
    write_host_files(own, found | key_and_monitor | _own_programs(), {})
    clouds = clouds_file(lab)
    clouds.touch(0o600)
    clouds.write_text(clouds_text(lab, passwords))
    argv: list[str | Path] = ["nsenter", "-t", str(lab.supervisor_pid), "--mount", "--net", "--pid", "--"]
    argv += ["sh", own / PROGRAMS / "lib" / "controller.sh"]
    argv += [root, folder / "disks" / "openstack", own, logs(lab), address(lab)]
    return passwords, namespaces.spawn([str(word) for word in argv], lab.name, folder / "log" / "openstack.log")


def _own_programs() -> dict[str, File]:
    """Return what the control plane has of the lab's own, by path relative to its root."""
    places = {name: f"{PROGRAMS}/lib/{name}" for name in _TOOLS}
    places |= {name: f"{PROGRAMS}/python/{module}" for name, module in _MODULES.items()}
    found = {place: File((files("hotfoot.lab") / "openstack" / name).read_text()) for name, place in places.items()}
    told = f"{PROGRAMS}/python/hotfoot_lab-1.dist-info"
    return found | {
        f"{told}/METADATA": File("Metadata-Version: 2.1\nName: hotfoot-lab\nVersion: 1\n"),
        f"{told}/entry_points.txt": File(_ENTRY_POINT),
    }


def clouds_file(lab: Lab) -> Path:
    """Return the lab's clouds.yaml, there or not."""
    return store.folder_of(lab.name) / CLOUDS_FILE


def logs(lab: Lab) -> Path:
    """Return the folder with the logs of the control plane's services."""
    return store.folder_of(lab.name) / "log" / "openstack"


def wait(lab: Lab, outer: int) -> None:
    """Wait until every API answers; raises LabError with the last words of what failed instead."""
    folder = store.folder_of(lab.name)
    end = time.monotonic() + _START_S
    while not (folder / "openstack" / "started").exists():
        if time.monotonic() > end or namespaces.started_at(outer) is None:
            log = folder / "log" / "openstack.log"
            said = log.read_text(errors="replace").strip().splitlines() or ["no message"]
            raise LabError(f"The lab's OpenStack did not come up: {said[-1]} (see {log} and {logs(lab)}).")
        time.sleep(0.1)
    for service in apis(lab):
        _wait_for_answer(lab, service, end)


def start_computes(lab: Lab) -> None:
    """Start nova-compute on all hosts, from now on at each boot, and the hosts of the fake driver.

    Only now: one that starts before the APIs answer waits for half a minute before it asks again.
    """
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda host: start_compute(lab, host), lab.hosts))
    if lab.fake_hosts:
        _service(lab, "start", "fake-hosts")


def start_compute(lab: Lab, host: LabHost) -> None:
    """Start a host's nova-compute, and have it started at each boot."""
    _refuse_without(lab)
    run([*host_argv(lab, host), "systemctl", "--quiet", "enable", "--now", COMPUTE_UNIT])


def kill_compute(lab: Lab, host: LabHost) -> None:
    """Kill -9 a host's nova-compute; unlike libvirtd it stays down until it is started."""
    _refuse_without(lab)
    argv = [*host_argv(lab, host), "systemctl"]
    if run([*argv, "show", "--property=ActiveState", "--value", COMPUTE_UNIT]).strip() != "active":
        raise LabError(f"No nova-compute runs on {host.name}; `hotfoot lab fault start-nova-compute` starts it.")
    run([*argv, "kill", "--signal=KILL", COMPUTE_UNIT])


def compute_state(lab: Lab, host: LabHost) -> str:
    """Return the state of a host's nova-compute in systemd's word, ``down`` where the host is."""
    with contextlib.suppress(LabError):
        shown = run([*host_argv(lab, host), "systemctl", "show", "--property=ActiveState", "--value", COMPUTE_UNIT])
        return shown.strip()
    return "down"


def last_error(lab: Lab, host: LabHost) -> str:
    """Return the last error in the log of a host's nova-compute, in a sentence."""
    script = "grep -h ' ERROR ' /var/log/nova/nova-compute.log | tail -n 1 | cut -c 1-300"
    with contextlib.suppress(LabError):
        said = run([*host_argv(lab, host), "sh", "-c", script]).strip().rstrip(".")
        return f"nova-compute of {host.name} says: {said or 'nothing wrong'}."
    return f"{host.name} is down."


def start_service(lab: Lab, name: str) -> None:
    """Start a service of the control plane that was stopped; it answers when this returns."""
    _service(lab, "start", name)
    end = time.monotonic() + _RESTART_S
    if name in apis(lab):
        _wait_for_answer(lab, name, end)
    if name == "rabbitmq":
        while True:
            try:
                socket.create_connection((address(lab), _QUEUE_PORT), 1).close()
                return
            except OSError as error:
                if time.monotonic() > end:
                    raise LabError(f"RabbitMQ of lab {lab.name} does not answer: {error}.") from None
                time.sleep(0.1)


def stop_service(lab: Lab, name: str) -> None:
    """Stop a service of the control plane, with all its processes."""
    _service(lab, "stop", name)


def service_states(lab: Lab) -> dict[str, str]:
    """Return ``up`` or ``down`` for each service of the control plane: whether its process is there."""
    root = _root(lab)
    found = {}
    for name in services(lab):
        with contextlib.suppress(LabError):
            found[name] = run([*_inside(lab, root), "sh", _SERVICE, "status", name]).strip()
    return {name: found.get(name, "down") for name in services(lab)}


def _service(lab: Lab, verb: str, name: str) -> None:
    _refuse_without(lab)
    known = services(lab)
    if name not in (*known, "fake-hosts"):
        raise LabError(f"{name!r} is no service of the lab's OpenStack: use {', '.join(known)}.", ExitStatus.USAGE)
    run([*_inside(lab, _root(lab)), "env", namespaces.mark(lab.name), "sh", _SERVICE, verb, name])


def _refuse_without(lab: Lab) -> None:
    if not lab.openstack:
        raise LabError(f"Lab {lab.name} has no OpenStack; `hotfoot lab up --openstack` makes one.", ExitStatus.USAGE)


def _root(lab: Lab) -> Path:
    return store.folder_of(lab.name) / "disks" / "openstack" / "root"


def _inside(lab: Lab, root: Path) -> Sequence[str]:
    return ["nsenter", "-t", str(lab.supervisor_pid), "--mount", "--net", "--pid", "--", "chroot", str(root)]


def _wait_for_answer(lab: Lab, service: str, end: float) -> None:
    """Wait until a service answers by HTTP, whatever it says."""
    while True:
        try:
            urllib.request.urlopen(url(lab, service), timeout=10).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError as error:
            if time.monotonic() > end:
                raise LabError(
                    f"{service} of lab {lab.name} does not answer at {url(lab, service)}: {error} (see {logs(lab)})."
                ) from None
            time.sleep(0.1)
