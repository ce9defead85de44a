"""What there is: hosts, and the instances on them, as seen in one look. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hotfoot.nova_words import NovaHost, NovaServer


class InstanceState(StrEnum):
    """What an instance does; the value is the word that the operator reads."""

    RUNNING = "running"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    SHUTTING_DOWN = "shutting down"
    SHUT_OFF = "shut off"
    CRASHED = "crashed"
    IN_TRANSIT = "in transit"
    """One half of a migration: a QEMU that holds memory, but does not run the guest now."""
    UNKNOWN = "unknown"


MOVABLE_STATES = frozenset({InstanceState.RUNNING, InstanceState.PAUSED})
"""States in which there is a QEMU with memory to move; a paused instance arrives paused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """One disk of an instance, and where its data lives."""

    target: str
    """The guest's name of it, such as ``vda``."""
    kind: str
    """``file``, ``block``, ``network``, ``volume``, ``dir`` ...: libvirt's disk type.

    From Nova: ``cinder`` for a volume (``source`` is its UUID), and ``local`` for what Nova keeps on the host or in a
    pool of its own; which of both it does not tell.
    """
    source: str | None
    """Path on the host, or ``pool/image`` of a network disk; None for an empty drive."""
    format: str = "raw"
    device: str = "disk"
    read_only: bool = False
    shareable: bool = False
    cache: str = "default"
    protocol: str | None = None
    """``rbd``, ``iscsi``, ``nbd`` ... of a network disk."""
    size_bytes: int | None = None
    """Its size, where the cloud tells without looking at it."""

    @property
    def on_host(self) -> bool:
        """Whether the data is a file or device that each host must be asked about."""
        return self.source is not None and self.kind in ("file", "block")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """One network card of an instance."""

    mac: str
    kind: str
    """``bridge``, ``network``, ``direct``, ``ethernet``, ``hostdev`` ...: libvirt's interface type.

    From Nova ``port``: its UUID is the ``device`` and its state the ``model``, where the port itself was asked about.
    """
    source: str | None
    """Bridge, libvirt network or host device that it is joined to; Neutron's network from Nova."""
    device: str | None = None
    """The tap device on the host while the instance runs."""
    model: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One instance on one host. Memory in bytes, the uuid in lower case with dashes."""

    uuid: str
    name: str
    host: str
    """Empty where Nova has put it on none."""
    state: InstanceState
    persistent: bool
    vcpus: int
    memory_bytes: int
    disks: tuple[Disk, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    host_devices: tuple[str, ...] = ()
    """Devices of this host given to the guest that bind it here, in words."""
    boot_files: tuple[str, ...] = ()
    """Kernel, initrd, firmware: files that QEMU reads at its start on any host."""
    addresses: tuple[str, ...] = ()
    """Addresses that its definition declares (Nova writes them there)."""
    emulator: str = ""
    arch: str = ""
    machine: str = ""
    virt_type: str = ""
    nova: NovaServer | None = None
    """None on plain libvirt."""

    @property
    def running(self) -> bool:
        """Whether there is a live QEMU behind it, paused or not."""
        return self.state not in (InstanceState.SHUT_OFF, InstanceState.CRASHED, InstanceState.UNKNOWN)

    @property
    def movable(self) -> bool:
        """Whether its state lets it move live."""
        return self.state in MOVABLE_STATES


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One host in one look. When it did not answer, ``problem`` says why and the figures are zero."""

    name: str
    address: str
    problem: str | None = None
    libvirt_version: tuple[int, int, int] = (0, 0, 0)
    qemu_version: tuple[int, int, int] = (0, 0, 0)
    cpus: int = 0
    memory_total_bytes: int = 0
    memory_available_bytes: int = 0
    """What the host's system could give to new programs now (free and caches); from Nova, what Placement has free."""
    nova: NovaHost | None = None
    """None on plain libvirt."""

    @property
    def answers(self) -> bool:
        """Whether its libvirt answered; from Nova, whether nova-compute is up."""
        return self.problem is None


@dataclass(frozen=True, slots=True)
class Inventory:
    """All hosts of the cluster file, in its order, and all instances on those that answered."""

    hosts: tuple[Host, ...]
    instances: tuple[Instance, ...]

    def host(self, name: str) -> Host:
        """Return the host of that name; KeyError when there is none."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise KeyError(name)

    def on(self, host: str) -> tuple[Instance, ...]:
        """Return the instances on one host."""
        return tuple(instance for instance in self.instances if instance.host == host)

    def memory_free_bytes(self, host: str) -> int:
        """Return what a new instance can get on a host.

        The lesser of what the system reports as available and what remains after every running instance got
        all its memory: a guest that has not touched its memory yet will. Zero when the host does not answer.
        """
        asked = self.host(host)
        promised = sum(instance.memory_bytes for instance in self.on(host) if instance.running)
        return max(0, min(asked.memory_available_bytes, asked.memory_total_bytes - promised))
