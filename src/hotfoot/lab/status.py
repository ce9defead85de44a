"""How a lab's hosts and instances are right now."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hotfoot.lab import instances, namespaces, network, witness
from hotfoot.lab.command import LabError
from hotfoot.lab.spec import Lab, LabHost, LabInstance
from hotfoot.lab.witness import WitnessStatus


@dataclass(frozen=True, slots=True)
class HostState:
    """A host: ``up``, ``up, link cut`` or ``down``; memory that its processes hold, instances included."""

    state: str
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class InstanceState:
    """An instance: the hosts on which it is active, and what its witness says; None: it does not answer."""

    instance: LabInstance
    hosts: tuple[str, ...]
    witness: WitnessStatus | None

    @property
    def load(self) -> str:
        """What it does, in words."""
        if self.witness is None:
            return "does not answer"
        return f"{self.witness.load}, {self.witness.blocks_written} disk blocks written"

    def load_as_json(self) -> dict[str, object]:
        """Return ``rate_mib``, ``area_mib`` and ``pattern``, each None where it does not answer."""
        return {key: getattr(self.witness, key, None) for key in ("rate_mib", "area_mib", "pattern")}


def host_states(lab: Lab) -> dict[str, HostState]:
    """Return the state of each host by name."""
    return {host.name: _host_state(lab, host) for host in lab.hosts}


def _host_state(lab: Lab, host: LabHost) -> HostState:
    if not namespaces.is_running(host.init_pid, host.init_started):
        return HostState("down", 0)
    state = "up" if network.link_is_up(lab, host) else "up, link cut"
    return HostState(state, _memory_bytes(namespaces.host_cgroup(lab.name, host.name)))


def _memory_bytes(cgroup: Path) -> int:
    """Return the proportional set size of all processes below a cgroup, in bytes (what they share is divided)."""
    total_kib = 0
    for members in cgroup.rglob("cgroup.procs"):
        with contextlib.suppress(OSError):
            for pid in members.read_text().split():
                with contextlib.suppress(OSError):
                    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                    total_kib += next(int(row.split()[1]) for row in rows if row.startswith("Pss:"))
    return total_kib * 1024


def instance_states(lab: Lab) -> list[InstanceState]:
    """Return the state of each instance, in the lab's order."""
    places = instances.hosts_of(lab)

    def look(instance: LabInstance) -> InstanceState:
        hosts = tuple(places.get(str(instance.uuid), []))
        try:
            return InstanceState(instance, hosts, witness.ask(instance.address, "stat", 2))
        except LabError:
            return InstanceState(instance, hosts, None)

    with ThreadPoolExecutor() as pool:
        return list(pool.map(look, lab.instances))
