"""What was looked at before a migration, on both hosts. Values; sharing.py and preflight.py judge them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSight:
    """One path as one host sees it; of a missing file, the file system of its nearest folder."""

    path: str
    exists: bool
    inode: int = 0
    size_bytes: int = 0
    fs_type: str = ""
    """As in /proc/mounts: ``ext4``, ``nfs4``, ``fuse.glusterfs`` ..."""
    mount_source: str = ""
    """What is mounted: ``/dev/sda1``, ``server:/export`` ...; of ceph-fuse ``CLUSTER-ID/POOL`` of a file,
    ``CLUSTER-ID/`` of a folder, nothing where it does not tell."""
    free_bytes: int = 0
    """Room left in that file system for unprivileged programs."""
    wwid: str = ""
    """World-wide name or serial of a block device; empty when it has none, or the path is a file."""
    told_shared: bool = False
    """Whether libvirt there was told that the path is shared (``shared_filesystems`` of its qemu.conf)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFiles:
    """The answer of one host to one round trip, about the paths and devices asked for."""

    files: Mapping[str, FileSight] = field(default_factory=dict)
    missing_devices: tuple[str, ...] = ()
    """Network devices (bridges) that this host does not have."""
    addresses: tuple[str, ...] = ()
    """IP addresses that this host has."""
    userfaultfd: bool | None = None
    """Whether QEMU may use userfaultfd here, which post-copy needs; None: not known."""
    problem: str | None = None
    """Why the host could not be asked; then nothing above is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NovaFacts:
    """What Nova and Placement say about one server and its move; nova_preflight.py judges it."""

    under_way: str | None = None
    """The migration of it that is in progress, in words; None when there is none."""
    needs: Mapping[str, int] = field(default_factory=dict)
    """What it takes of each resource class; empty when Placement did not say."""
    names_cold_host: bool = True
    """Whether this Nova takes a destination for a cold migration (from microversion 2.56 on)."""
    visible: bool = False
    """Whether libvirt on its source can be asked, so that the whole migration can be seen."""
    leftover_bindings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Hosts to which its ports are still bound by a move that was broken off, each with the ports (ids)."""
    seen_elsewhere: tuple[str, ...] = ()
    """Hosts on which libvirt has it alive, where it is not on the one that Nova names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFacts:
    """One instance, its source and one destination, looked at together."""

    destination: str
    """Empty where the cloud is to choose it."""
    job_under_way: bool = False
    source_files: HostFiles = field(default_factory=HostFiles)
    destination_files: HostFiles = field(default_factory=HostFiles)
    cpu_problem: str | None = None
    machine_problem: str | None = None
    missing_networks: tuple[str, ...] = ()
    """libvirt networks that the destination lacks, or that are not active there."""
    pool_folders: frozenset[str] | None = None
    """Target folders of the destination's active storage pools; None when it could not say."""
    stream_address: str | None = None
    """Where the destination receives memory: declared, or found in ``stream_network``."""
    stream_network: str | None = None
    """The network declared for the memory stream."""
    nova: NovaFacts | None = None
    """Set where Nova moves the instance; then Nova looks at disks, processors and networks, and nothing above is."""


@dataclass(frozen=True, slots=True)
class DeclaredStorage:
    """What the operator declares in the cluster file about one folder."""

    path: str
    shared: bool
