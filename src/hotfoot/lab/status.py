"""How a lab's hosts and instances are right now."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hotfoot.lab import namespaces, network, witness
from hotfoot.lab.command import LabError
from hotfoot.lab.instances import Places
from hotfoot.lab.spec import Lab, LabHost, LabInstance
from hotfoot.lab.witness import WitnessStatus


@dataclass(frozen=True, slots=True)
class HostState:
    """A host: ``up``, ``up, link cut``, ``up, libvirt silent`` or ``down``; memory that its processes hold, instances
    included.
    """

    state: str
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class InstanceState:
    """An instance: the hosts on which it is active, in words, and what its witness says; None: it does not answer."""

    instance: LabInstance
    where: str
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


def host_states(lab: Lab, places: Places) -> dict[str, HostState]:
    """Return the state of each host by name."""
    return {host.name: _host_state(lab, host, silent=host.name in places.silent) for host in lab.hosts}


def _host_state(lab: Lab, host: LabHost, *, silent: bool) -> HostState:
    if not namespaces.is_running(host.init_pid, host.init_started):
        return HostState("down", 0)
    state = "up" if network.link_is_up(lab, host) else "up, link cut"
    if silent:
        state += ", libvirt silent"
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


def instance_states(lab: Lab, places: Places) -> list[InstanceState]:
    """Return the state of each instance, in the lab's order."""

    def look(instance: LabInstance) -> InstanceState:
        where = places.in_words(instance)
        try:
            return InstanceState(instance, where, witness.ask(instance.address, "stat", 2))
        except LabError:
            return InstanceState(instance, where, None)

    with ThreadPoolExecutor() as pool:
        return list(pool.map(look, lab.instances))
