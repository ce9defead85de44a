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
    """What is mounted: ``/dev/sda1``, ``server:/export`` ..."""
    free_bytes: int = 0
    """Room left in that file system for unprivileged programs."""
    wwid: str = ""
    """World-wide name or serial of a block device; empty when it has none, or the path is a file."""


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
class PairFacts:
    """One instance, its source and one destination, looked at together."""

    destination: str
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


@dataclass(frozen=True, slots=True)
class DeclaredStorage:
    """What the operator declares in the cluster file about one folder."""

    path: str
    shared: bool
