"""One instance against every other host: what of its definition stands in the way of going there.

Memory and what else changes from minute to minute is judged at the move itself; this is about what it is made of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from hotfoot.cluster import Cluster
from hotfoot.cluster.model import Storage
from hotfoot.readiness.consoles import pinned
from hotfoot.readiness.cpu import cpus_of, unfit
from hotfoot.readiness.cpu_model import HostCpu
from hotfoot.readiness.domain_xml import Domain, DomainDisk, read_domain
from hotfoot.readiness.emulator import FIRMWARE, version_of
from hotfoot.readiness.facts import Facts, FolderFact, HostFacts
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.listing import listed

_SHARED_TYPES = frozenset({"nfs", "nfs4", "fuse.glusterfs", "ceph", "fuse.ceph-fuse", "ocfs2", "gfs2"})
"""File systems that libvirt takes for shared (virFileIsSharedFS); ceph-fuse where it is told so (topic cephfs)."""
_MODULES = {
    "rbd": "rbd",
    "iscsi": "iscsi",
    "gluster": "gluster",
    "nfs": "nfs",
    "ssh": "ssh",
    "https": "curl",
    "http": "curl",
}
"""QEMU's block driver modules by the protocol of a network disk."""


def instance_findings(cluster: Cluster, facts: Facts, name: str) -> Mapping[str, tuple[Finding, ...]]:
    """Return for each other host that answered what keeps the instance from going there; empty: nothing known.

    ``name`` is the instance's name or UUID. Raises KeyError where no host that answered has it, ValueError where
    several run one of that name.
    """
    source, domain = where(facts, name)
    cpus = cpus_of(facts)
    return {
        host.host: tuple(_Judge(cluster, facts, source, host, domain, cpus).all())
        for host in facts.hosts
        if host.host != source.host
    }


def where(facts: Facts, name: str) -> tuple[HostFacts, Domain]:
    """Return the host that an instance (by name or UUID) runs on, and its definition.

    One that runs nowhere is taken where it is defined. Raises KeyError and ValueError as ``instance_findings``.
    """
    found = []
    for host in facts.hosts:
        for own, xml in host.libvirt.domains.items() if host.libvirt else ():
            domain = read_domain(xml)
            if domain is not None and name.lower() in (own.lower(), domain.uuid):
                found.append((own in (host.libvirt.running if host.libvirt else ()), host, domain))
    running = [each for each in found if each[0]] or found
    if not running:
        raise KeyError(name)
    if len(running) > 1:
        raise ValueError(f"{listed(host.host for _, host, _ in running)} have an instance {name}; name it by its UUID")
    _, host, domain = running[0]
    return host, domain


class _Judge:
    def __init__(
        self,
        cluster: Cluster,
        facts: Facts,
        source: HostFacts,
        destination: HostFacts,
        domain: Domain,
        cpus: Mapping[str, HostCpu],
    ) -> None:
        self.cluster, self.facts, self.source, self.destination = cluster, facts, source, destination
        self.domain, self.cpus = domain, cpus

    def all(self) -> Iterator[Finding]:
        yield from self._devices()
        yield from self._cpu()
        yield from self._machine()
        yield from self._firmware()
        for disk in self.domain.disks:
            yield from self._disk(disk)
        yield from self._names()
        yield from self._console()

    def _devices(self) -> Iterator[Finding]:
        for device in self.domain.staying:
            yield self._blocks(
                "device-stays",
                what=f"{self.domain.name} uses {device}, which cannot move with it.",
                evidence=f"the definition of {self.domain.name} on {self.source.host}",
                why="What is in the device is known to that host alone; libvirt refuses to move a guest that uses it.",
                remedy="Detach it first, or move the instance cold and give it another there.",
            )

    def _cpu(self) -> Iterator[Finding]:
        there = self.cpus.get(self.destination.host)
        if there is not None and (why := unfit(self.facts, self.domain.cpu, self.cpus.get(self.source.host), there)):
            yield self._blocks(
                "cpu",
                what=f"The CPU of {self.domain.name} does not run on {self.destination.host}: {why}.",
                evidence=f"mode {self.domain.cpu.mode or 'default'}, model {self.domain.cpu.model or 'the host'}; "
                f"{self.destination.host} has {there.words()}",
                why="A guest does not live through the loss of a CPU feature that it may use, and libvirt refuses.",
                remedy="Give it a CPU that both hosts run, from its next start on: `hotfoot prepare --topic cpu`"
                " declares one, and defines instances with it where cpu.instances in the cluster file says so.",
            )

    def _machine(self) -> Iterator[Finding]:
        qemu = self.destination.qemu
        if qemu is None:
            return
        if not qemu.emulator:
            yield self._blocks(
                "no-emulator",
                what=f"There is no QEMU on {self.destination.host}.",
                evidence="libvirt knows no emulator there",
                why="The instance runs in it.",
                remedy=f"`hotfoot prepare --host {self.destination.host}` installs it.",
            )
        elif qemu.machines and self.domain.machine and self.domain.machine not in qemu.machines:
            yield self._blocks(
                "machine",
                what=f"QEMU on {self.destination.host} does not know the machine type {self.domain.machine}.",
                evidence=f"QEMU {qemu.version or 'of unknown version'} on {self.destination.host}",
                why="The destination cannot build the same main board, and refuses the instance.",
                remedy=f"Bring QEMU on {self.destination.host} to the version on {self.source.host}.",
            )
        here, there = version_of(self.source), version_of(self.destination)
        if here and there and there[:2] < here[:2]:
            yield self._finding(
                "older-qemu",
                Severity.DANGEROUS,
                what=f"QEMU on {self.destination.host} is older than on {self.source.host}.",
                evidence=f"{'.'.join(map(str, there))} there, {'.'.join(map(str, here))} here",
                why="It may not know the state of the instance's devices; the move then fails at its end.",
                remedy=f"Bring QEMU on {self.destination.host} to the same version first.",
            )

    def _firmware(self) -> Iterator[Finding]:
        for path in self.domain.boot_files:
            known = any(fnmatchcase(path, pattern) for pattern in FIRMWARE) and self.destination.paths
            file = self.destination.paths.get(path)
            if known and (file is None or not file.exists):
                yield self._blocks(
                    "firmware",
                    what=f"{self.destination.host} lacks {path}, which {self.domain.name} starts from.",
                    evidence=f"no {path} on {self.destination.host}",
                    why="The destination's QEMU opens it before the instance arrives, and ends without it.",
                    remedy=f"`hotfoot prepare --topic emulator --host {self.destination.host}` installs it.",
                )

    def _disk(self, disk: DomainDisk) -> Iterator[Finding]:
        if disk.kind == "network":
            yield from self._network_disk(disk)
        elif disk.kind == "file" and disk.read_only:
            yield from self._read_only_file(disk)
        elif disk.kind == "file":
            yield from self._file(disk)

    def _network_disk(self, disk: DomainDisk) -> Iterator[Finding]:
        module = _MODULES.get(disk.protocol)
        drivers = self.destination.qemu.drivers if self.destination.qemu else ()
        here = self.source.qemu.drivers if self.source.qemu else ()
        # Where no driver comes as a module, all are built in.
        if module and drivers and module in here and module not in drivers:
            yield self._blocks(
                "driver-missing",
                what=f"QEMU on {self.destination.host} cannot open {disk.target} ({disk.protocol}:{disk.source}).",
                evidence=f"drivers there: {listed(drivers)}",
                why=f"Its driver for {disk.protocol} is a package of its own.",
                remedy="Install it there (qemu-block-extra on Debian and Ubuntu, qemu-kvm-block-* on Red Hat).",
            )
        libvirt = self.destination.libvirt
        if disk.secret and libvirt is not None and libvirt.answers:
            known = {*libvirt.secrets, *libvirt.secrets.values()}
            if disk.secret not in known and not any(disk.secret in usage.split() for usage in libvirt.secrets.values()):
                yield self._blocks(
                    "secret-missing",
                    what=f"{self.destination.host} lacks the libvirt secret {disk.secret}, which {disk.target} needs.",
                    evidence=f"secrets there: {listed(libvirt.secrets) or 'none'}",
                    why='Without its key the storage lets nobody in: "no secret with matching uuid".',
                    remedy="Define it there with the same UUID, and set its value (`virsh secret-define`,"
                    " `virsh secret-set-value`).",
                )

    def _file(self, disk: DomainDisk) -> Iterator[Finding]:
        storage = self._storage(disk)
        here, there = self._folder(self.source, storage), self._folder(self.destination, storage)
        if storage is not None and storage.shared:
            if there is not None and not _is_mounted(there):
                yield self._blocks(
                    "storage-not-mounted",
                    what=f"{disk.target} lies on {storage.path}, which is not mounted on {self.destination.host}.",
                    evidence=f"{storage.path} on {self.destination.host} is on"
                    f" {there.mount.fs_type if there.mount else 'no file system that is known'}",
                    why="The destination's QEMU opens the disk by the same path, and finds another folder, or nothing.",
                    remedy=f"`hotfoot prepare --topic shared_path --host {self.destination.host}`.",
                )
            elif here is not None and not _is_mounted(here):
                yield self._blocks(
                    "disk-below-storage",
                    what=f"{disk.target} lies in the local folder {storage.path} of {self.source.host}, where shared"
                    " storage is declared.",
                    evidence=f"{storage.path} on {self.source.host} is on"
                    f" {here.mount.fs_type if here.mount else 'no file system that is known'}",
                    why="The destination sees the shared storage there, not this disk.",
                    remedy="Move the data onto the shared storage first (topic shared_path).",
                )
            return
        if self._seen_shared(disk):
            return
        yield self._finding(
            "disk-copied",
            Severity.ADVICE,
            what=f"{disk.target} of {self.domain.name} is local to {self.source.host} and is copied at a move.",
            evidence=f"{disk.source} lies on no shared storage of the cluster file",
            why="A block migration takes as long as the disk is large, and needs the room at the destination.",
            remedy="None is needed; on shared storage only the memory moves.",
        )
        yield from self._no_pool(disk)

    def _no_pool(self, disk: DomainDisk) -> Iterator[Finding]:
        """Judge whether libvirt there can make the file that is copied; Nova makes it itself.

        libvirt asks for an active pool whose target is the very folder (qemuMigrationDstPrecreateDisk).
        """
        libvirt = self.destination.libvirt
        if self.domain.of_nova or libvirt is None or not libvirt.answers or libvirt.active_pools is None:
            return
        folder = str(PurePosixPath(disk.source).parent)
        active = {name: libvirt.pools[name] for name in libvirt.active_pools if name in libvirt.pools}
        if folder in (path.rstrip("/") or "/" for path in active.values()):
            return
        name = next((name for name, path in libvirt.pools.items() if path.rstrip("/") == folder), None)
        there = f"; the pool {name} of that folder is not active" if name else ""
        start = (
            f"`virsh pool-start {name}`"
            if name
            else (
                f"`virsh pool-define-as NAME dir --target {folder}`, `virsh pool-build NAME`, `virsh pool-start NAME`"
            )
        )
        yield self._blocks(
            "no-pool",
            what=f"libvirt on {self.destination.host} cannot make the copy of {disk.target}: no active storage pool"
            f" there has the folder {folder}.",
            evidence=f"active pools: {listed(f'{pool} ({path})' for pool, path in active.items()) or 'none'}{there}",
            why='The file is made in the pool of its folder; without one the move ends with "no storage pool with'
            ' matching target path", unless a file of that size is there already.',
            remedy=f"On {self.destination.host}: {start}, and `virsh pool-autostart {name or 'NAME'}`.",
        )

    def _read_only_file(self, disk: DomainDisk) -> Iterator[Finding]:
        storage = self._storage(disk)
        if (storage is not None and storage.shared) or self._seen_shared(disk):
            return
        file = self.destination.paths.get(disk.source)
        if file is not None and file.exists:
            return
        yield self._finding(
            "local-medium",
            Severity.DANGEROUS if file is None else Severity.BLOCKS,
            what=f"{disk.target} of {self.domain.name} is read from a file of {self.source.host}: {disk.source}.",
            evidence=f"{disk.device}, on no shared storage of the cluster file; on {self.destination.host} it"
            f" {'was not looked for' if file is None else 'is not there'}",
            why="It is not copied at a move; where it is missing, the destination's QEMU does not start.",
            remedy=f"Eject it (`virsh change-media {self.domain.name} {disk.target} --eject`), or copy the file there.",
        )

    def _names(self) -> Iterator[Finding]:
        if self.domain.networks and self.destination.libvirt is not None:
            networks = self.destination.libvirt.networks
            for name in self.domain.networks:
                if networks is not None and name not in networks:
                    yield self._blocks(
                        "network-missing",
                        what=f"{self.destination.host} has no active libvirt network {name}.",
                        evidence=f"active there: {listed(networks) or 'none'}",
                        why="The instance's network card is plugged into it before the instance arrives.",
                        remedy=f"Define and start it there (`virsh net-start {name}`).",
                    )
        links = self.destination.names.links if self.destination.names else None
        for bridge in self.domain.bridges if links is not None else ():
            if bridge not in (links or ()):
                yield self._blocks(
                    "bridge-missing",
                    what=f"{self.destination.host} has no bridge {bridge}.",
                    evidence=f"its links: {listed(links or ())}",
                    why="The instance's network card is plugged into it before the instance arrives.",
                    remedy="Make it there, on the same network.",
                )

    def _console(self) -> Iterator[Finding]:
        if found := pinned(self.source, self.domain):
            yield self._blocks(
                "console-pinned",
                what=f"The console of {self.domain.name} insists on an address of {self.source.host}.",
                evidence=f"<graphics listen='{listed(found)}'>",
                why='The destination\'s QEMU ends with "Failed to bind socket: Cannot assign requested address".',
                remedy="Take the address out of its definition (`virsh edit`); it counts from its next start.",
            )

    def _storage(self, disk: DomainDisk) -> Storage | None:
        path = PurePosixPath(disk.source)
        above = [each for each in self.cluster.storage if path.is_relative_to(each.path)]
        return max(above, key=lambda each: len(each.path), default=None)

    def _folder(self, host: HostFacts, storage: Storage | None) -> FolderFact | None:
        return host.storage.folder(storage.path) if storage is not None and host.storage is not None else None

    def _seen_shared(self, disk: DomainDisk) -> bool:
        """Whether both hosts have a shared file system above the path, from the same place."""
        seen = []
        for host in (self.source, self.destination):
            mounts = host.storage.mounts if host.storage else ()
            path = PurePosixPath(disk.source)
            above = [each for each in mounts if path.is_relative_to(each.target)]
            nearest = max(above, key=lambda each: len(each.target), default=None)
            seen.append((nearest.target, nearest.source) if nearest and nearest.fs_type in _SHARED_TYPES else None)
        return seen[0] is not None and seen[0] == seen[1]

    def _blocks(self, code: str, *, what: str, evidence: str, why: str, remedy: str) -> Finding:
        return self._finding(code, Severity.BLOCKS, what=what, evidence=evidence, why=why, remedy=remedy)

    def _finding(self, code: str, severity: Severity, *, what: str, evidence: str, why: str, remedy: str) -> Finding:
        return Finding(
            code=f"instance.{code}",
            severity=severity,
            host=self.source.host,
            peer=self.destination.host,
            what=what,
            evidence=evidence,
            why=why,
            remedy=remedy,
        )


def _is_mounted(folder: FolderFact) -> bool:
    """Whether the folder is on a shared file system, as far as is known."""
    return folder.mount is None or folder.mount.fs_type in _SHARED_TYPES
