"""The cluster file: what the operator declares, typed, and answered with one sentence per mistake."""

from hotfoot.cluster.duration import parse_duration_ms
from hotfoot.cluster.file import load
from hotfoot.cluster.model import (
    Ceph,
    Cluster,
    Host,
    Iscsi,
    Libvirt,
    MigrationNetwork,
    NamedPolicy,
    Policy,
    Ssh,
    Storage,
    StorageType,
    Transport,
)
from hotfoot.cluster.rate import parse_rate

__all__ = [
    "Ceph",
    "Cluster",
    "Host",
    "Iscsi",
    "Libvirt",
    "MigrationNetwork",
    "NamedPolicy",
    "Policy",
    "Ssh",
    "Storage",
    "StorageType",
    "Transport",
    "load",
    "parse_duration_ms",
    "parse_rate",
]
