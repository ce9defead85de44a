"""The cluster file: what the operator declares, typed, and answered with one sentence per mistake."""

from hotfoot.cluster.balance import Balance
from hotfoot.cluster.duration import parse_duration_ms
from hotfoot.cluster.fence import Fence
from hotfoot.cluster.file import load
from hotfoot.cluster.model import (
    Ceph,
    Cluster,
    Host,
    Iscsi,
    Libvirt,
    MigrationNetwork,
    NamedPolicy,
    OpenStack,
    Policy,
    Ssh,
    Storage,
    StorageType,
    Transport,
)
from hotfoot.cluster.rate import parse_rate
from hotfoot.cluster.rule import Rule

__all__ = [
    "Balance",
    "Ceph",
    "Cluster",
    "Fence",
    "Host",
    "Iscsi",
    "Libvirt",
    "MigrationNetwork",
    "NamedPolicy",
    "OpenStack",
    "Policy",
    "Rule",
    "Ssh",
    "Storage",
    "StorageType",
    "Transport",
    "load",
    "parse_duration_ms",
    "parse_rate",
]
