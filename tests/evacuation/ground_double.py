"""A double of hosts of which n1 is dead: what is started runs, as told. The real ones are tried in tests/lab."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from tests.evacuation.definitions import uuid_of
from tests.plans.cluster_double import ClusterDouble

from hotfoot.cloud.image_locks import Lock
from hotfoot.cloud.protocol import MoveEnded, Offer
from hotfoot.definition import Definition
from hotfoot.evacuation.view import Ground
from hotfoot.inventory import Disk, Instance, InstanceState, Inventory
from hotfoot.migration.facts import FileSight, HostFiles
from hotfoot.migration.proof import Sighting


@dataclass
class GroundDouble(ClusterDouble):
    """Hosts n1 to n3; ``at`` says what runs on n2 and n3. A uuid is that of ``definitions.uuid_of``."""

    back: bool = False
    """n1 answers again."""
    refuses: set[tuple[str, str]] = field(default_factory=set)
    """Instance and host: a start that QEMU refuses."""
    locked: dict[str, int] = field(default_factory=dict)
    """Path to how many more looks find it locked."""
    files: set[str] = field(default_factory=set)
    """What every living host sees on shared storage."""
    started: list[tuple[str, str]] = field(default_factory=list)
    defined: dict[str, str] = field(default_factory=dict)
    """Name to the host that has it persistently."""
    autostarts: set[str] = field(default_factory=set)

    @property
    def ground(self) -> Ground:
        """This double where a ground is wanted; whatever it lacks fails the test."""
        return cast(Ground, self)

    def _instance(self, name: str) -> Instance:
        return replace(super()._instance(name), uuid=uuid_of(name), persistent=self.defined.get(name) == self.at[name])

    async def look(self, wanted: str | None = None, closely: Collection[str] | None = None) -> Inventory:
        seen = await super().look()
        hosts = (
            replace(host, problem="n1 does not answer.") if host.name == "n1" and not self.back else host
            for host in seen.hosts
        )
        return replace(seen, hosts=tuple(hosts))

    async def offer(self, host: str, machines: Sequence[tuple[Instance, str]]) -> Offer:
        return Offer(misfits=(None,) * len(machines))

    async def sights(self, host: str, paths: Sequence[str], devices: Sequence[str]) -> HostFiles:
        return HostFiles(
            files={
                path: FileSight(
                    path=path, exists=path in self.files, inode=7, fs_type="fuse.glusterfs", mount_source="n2:/v"
                )
                for path in paths
            }
        )

    async def sightings(self, uuid: str, hosts: Collection[str] | None = None) -> tuple[Sighting, ...]:
        places = {uuid_of(name): host for name, host in self.at.items()}
        return tuple(
            Sighting(host=host, state=InstanceState.RUNNING if places.get(uuid) == host else None)
            for host in hosts or ("n1", "n2", "n3")
        )

    async def definitions(self, host: str) -> tuple[Definition, ...]:
        return ()

    async def start(self, host: str, xml: str) -> None:
        name = xml.partition("<name>")[2].partition("</name>")[0]
        assert name not in self.at, f"{name} runs already"
        self.started.append((name, host))
        if (name, host) in self.refuses:
            raise MoveEnded("QEMU does not like it.")
        self.at[name] = host

    async def define(self, host: str, xml: str, *, autostart: bool) -> None:
        name = xml.partition("<name>")[2].partition("</name>")[0]
        self.defined[name] = host
        if autostart:
            self.autostarts.add(name)

    async def image_locks(self, host: str, disks: Sequence[Disk]) -> Mapping[str, Lock]:
        found = {}
        for disk in disks:
            path = disk.source or ""
            left = self.locked.get(path, 0)
            self.locked[path] = left - 1
            found[path] = Lock.HELD if left > 0 else Lock.FREE
        return found
