"""What a lab is made of: names, addresses and choices, as immutable values (and the form of its state file).

Addressing: lab number N (0 to 255, the first one free) has the management network 10.77.N.0/24 and the
instances' network 10.88.N.0/24. Host i is .10+i on the first; the machine itself is .254 on both; instance j is
.100+j on the second. Virtual machines get the time from .253 on the first; an iSCSI target
is at .252 there, a monitor of Ceph at .251, OpenStack's control plane at .250.
"""

from __future__ import annotations

import re
from typing import Literal, get_args
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.lab.accelerator import Accelerator

Transport = Literal["tls", "ssh", "tcp"]
Storage = Literal["glusterfs", "nfs", "cephfs", "ceph", "iscsi", "none"]
Firewall = Literal["none", "ufw", "firewalld"]
Pattern = Literal["circle", "random", "hot"]

INSTANCES_PATH = "/var/lib/nova/instances"
BRICK = "/srv/brick/instances"
MOST_HOSTS = 50
MOST_FAKE_HOSTS = 200
MOST_INSTANCES = 150
_LAB_NAMESPACE = UUID("6f1c2a5e-3c1d-4d1b-9a57-2a5b7a9c4e10")


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LabHost(_Value):
    """One host of a lab; ``init_pid`` is its systemd as this machine sees it, 0 while it is down."""

    name: str
    number: int
    address: str
    uuid: UUID
    init_pid: int = 0
    init_started: int = 0

    @property
    def management_mac(self) -> str:
        """The MAC address of its eth0: the same after each start, as a real machine's."""
        return f"52:54:00:77:00:{self.number:02x}"

    @property
    def data_mac(self) -> str:
        """The MAC address of its eth1."""
        return f"52:54:00:78:00:{self.number:02x}"

    @property
    def bridge_mac(self) -> str:
        """The MAC address of its br0, where it is a virtual machine."""
        return f"52:54:00:79:00:{self.number:02x}"


class LabInstance(_Value):
    """One instance; ``boot_id`` is what its kernel drew at boot, so that a restart cannot pass for a move.

    ``domain`` is libvirt's name for it where that is another, as with OpenStack.
    """

    name: str
    uuid: UUID
    address: str
    mac: str
    memory_mib: int
    boot_id: str
    domain: str | None = None

    @property
    def domain_name(self) -> str:
        """What libvirt calls it."""
        return self.domain or self.name


class Lab(_Value):
    """A lab; ``supervisor_pid`` is the first process of its namespaces, ``ready`` is set once all of it is up.

    A ``bare`` one has hosts that nobody has prepared: ``transport`` and ``storage`` are what its cluster file wants.
    With ``cpu_differs`` the last host gives its instances less of a CPU than the others, and they have all of it.
    ``accelerator`` is the instances'; ``vm_accelerator`` that of hosts which are virtual machines, else None.
    With a ``firewall`` each host lets nobody in but to SSH.
    With ``openstack`` instances are made by its Nova, which has ``fake_hosts`` more without a hypervisor. With
    ``volumes`` it has Cinder too, on a Ceph cluster, and instances have their disks there.
    The hosts of a ``light`` one are to be looked at, and run no instances.
    """

    name: str
    number: int
    transport: Transport
    storage: Storage
    accelerator: Accelerator
    accelerator_reason: str
    link_rate: str
    supervisor_pid: int
    supervisor_started: int
    hosts: tuple[LabHost, ...]
    instances: tuple[LabInstance, ...] = ()
    bare: bool = False
    vm_accelerator: Accelerator | None = None
    cpu_differs: bool = False
    firewall: Firewall = "none"
    openstack: bool = False
    fake_hosts: int = 0
    volumes: bool = False
    light: bool = False
    ready: bool = False

    def host(self, name: str) -> LabHost:
        """Return a host by name; raises HotfootError that lists the hosts there are."""
        for host in self.hosts:
            if host.name == name:
                return host
        known = ", ".join(host.name for host in self.hosts)
        raise HotfootError(f"Lab {self.name} has no host {name}; it has {known}.", ExitStatus.USAGE)

    def instance(self, name: str) -> LabInstance:
        """Return an instance by name or UUID; raises HotfootError that lists the instances there are."""
        for instance in self.instances:
            if name in (instance.name, str(instance.uuid)):
                return instance
        known = ", ".join(instance.name for instance in self.instances) or "none"
        raise HotfootError(f"Lab {self.name} has no instance {name}; it has {known}.", ExitStatus.USAGE)


def check_name(name: str) -> str:
    """Return ``name`` if it can name a lab; raises HotfootError otherwise."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,19}", name):
        raise HotfootError(
            f"{name!r} cannot name a lab: use at most 20 lower-case letters, digits and hyphens, a letter first.",
            ExitStatus.USAGE,
        )
    return name


def check_choice(value: str, choices: object, what: str) -> str:
    """Return ``value`` if it is one of a Literal's words; raises HotfootError that lists them otherwise."""
    words = get_args(choices)
    if value not in words:
        raise HotfootError(f"{value!r} is no {what}: use {', '.join(words[:-1])} or {words[-1]}.", ExitStatus.USAGE)
    return value


def parse_hosts(text: str) -> tuple[bool, int]:
    """Return whether hosts are to be virtual machines, and how many; raises HotfootError for anything else.

    >>> parse_hosts("3"), parse_hosts("vm"), parse_hosts("vm:2")
    ((False, 3), (True, 3), (True, 2))
    """
    found = re.fullmatch(r"(vm)(?::(\d{1,4}))?|(\d{1,4})", text.strip())
    if not found:
        raise HotfootError(
            f"{text!r} is no number of hosts: write 3 for hosts in namespaces, or vm or vm:2 for virtual machines.",
            ExitStatus.USAGE,
        )
    return bool(found[1]), int(found[2] or found[3] or 3)


def parse_rate(text: str) -> int:
    """Return a link rate as tc writes it, in bit/s.

    >>> parse_rate("1gbit"), parse_rate("200mbit"), parse_rate("0.5gbit")
    (1000000000, 200000000, 500000000)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg])bit(?:/s)?", text.strip().lower())
    rate = int(float(found[1]) * {"k": 10**3, "m": 10**6, "g": 10**9}[found[2]]) if found else 0
    if not 64_000 <= rate <= 100_000_000_000:
        raise HotfootError(
            f"{text!r} is no link rate: write it like 200mbit or 1gbit, from 64kbit to 100gbit.",
            ExitStatus.USAGE,
        )
    return rate


def controller_address(lab_number: int) -> str:
    """Return the machine's own address on the lab's management network."""
    return f"10.77.{lab_number}.254"


def time_server_address(lab_number: int) -> str:
    """Return where virtual machines get the time on a lab's management network."""
    return f"10.77.{lab_number}.253"


def controller_data_address(lab_number: int) -> str:
    """Return the machine's own address on the lab's instance network."""
    return f"10.88.{lab_number}.254"


def plan_hosts(lab_name: str, lab_number: int, count: int, *, vm: bool = False) -> tuple[LabHost, ...]:
    """Return ``count`` hosts n1, n2 ... with their addresses and lasting UUIDs.

    Those of virtual machines are the same in every lab: they are part of the states from which they go on.
    """
    origin = "virtual machine" if vm else lab_name
    if not 1 <= count <= MOST_HOSTS:
        raise HotfootError(f"A lab has 1 to {MOST_HOSTS} hosts, not {count}.", ExitStatus.USAGE)
    return tuple(
        LabHost(
            name=f"n{i}",
            number=i,
            address=f"10.77.{lab_number}.{10 + i}",
            uuid=uuid5(_LAB_NAMESPACE, f"{origin}/host/{i}"),
        )
        for i in range(1, count + 1)
    )


def plan_instance(lab: Lab, name: str | None, memory_mib: int) -> LabInstance:
    """Return the next instance of a lab: the first free number gives address, MAC and (without a name) name."""
    taken = {instance.address for instance in lab.instances}
    names = {instance.name for instance in lab.instances}
    for number in range(1, MOST_INSTANCES + 1):
        address = f"10.88.{lab.number}.{100 + number}"
        free_name = name or f"vm{number}"
        if address in taken or (name is None and free_name in names):
            continue
        if free_name in names:
            raise HotfootError(f"Lab {lab.name} has an instance {free_name} already.", ExitStatus.USAGE)
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}", free_name):
            raise HotfootError(
                f"{free_name!r} cannot name an instance: use letters, digits, dots, hyphens.",
                ExitStatus.USAGE,
            )
        return LabInstance(
            name=free_name,
            uuid=uuid5(_LAB_NAMESPACE, f"{lab.name}/{lab.supervisor_started}/instance/{free_name}"),
            address=address,
            mac=f"52:54:00:88:{lab.number:02x}:{number:02x}",
            memory_mib=memory_mib,
            boot_id="",
        )
    raise HotfootError(f"Lab {lab.name} is full: it has {MOST_INSTANCES} instances.", ExitStatus.USAGE)
