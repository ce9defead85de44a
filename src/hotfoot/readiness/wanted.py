"""What the probe is asked to look at: the union of what the topics need, for one cluster."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from hotfoot.cluster import Cluster
from hotfoot.readiness.addresses import is_ip
from hotfoot.readiness.finding import Topic


class Wanted(BaseModel):
    """The question to every host; the same for all, so that it is built once."""

    model_config = ConfigDict(frozen=True)

    files: tuple[str, ...] = ()
    """Paths (with ``*``, ``~USER/``) of which the content is wanted."""
    paths: tuple[str, ...] = ()
    """Paths of which only mode and owner are wanted."""
    units: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """Names to resolve: of hosts, and addresses that are DNS names."""
    folders: tuple[str, ...] = ()
    """Declared storage paths, and the folders that declared servers keep them in."""
    users: tuple[str, ...] = ("nova", "libvirt-qemu", "qemu")
    """Users whose processes are counted."""
    migration_user: str | None = None


def wanted(cluster: Cluster, topics: Iterable[Topic]) -> Wanted:
    """Return what the topics look at on the hosts of a cluster."""
    topics = tuple(topics)
    user = cluster.migration_user

    def union(lists: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
        words = sorted({word for each in lists for word in each})
        if user is None:
            return tuple(word for word in words if not word.startswith("~migration/"))
        return tuple(word.replace("~migration/", f"~{user}/") for word in words)

    return Wanted(
        files=union(topic.files for topic in topics),
        paths=union(topic.paths for topic in topics),
        units=union(topic.units for topic in topics),
        packages=union(topic.packages for topic in topics),
        names=tuple(
            dict.fromkeys(
                name
                for host in cluster.hosts
                for name in (host.name, host.address, host.migration_address)
                if name is not None and not is_ip(name)
            )
        ),
        folders=tuple(
            dict.fromkeys(
                [storage.path for storage in cluster.storage]
                + [storage.folder for storage in cluster.storage if storage.servers]
            )
        ),
        migration_user=user,
    )
