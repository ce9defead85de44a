"""What ``gluster`` says of its pool and volumes, read from its own output (11.1; the same since 3.8)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.ElementTree import fromstring

from hotfoot.readiness.facts import Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Brick:
    """A server's part of a volume. ``server`` is the name by which the pool knows it."""

    server: str
    folder: str
    peer: str
    """UUID of the server's daemon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A volume as ``volume info`` tells."""

    name: str
    started: bool
    kind: str
    """Replicate, Distribute, Disperse, Distributed-Replicate ..."""
    replicas: int
    arbiters: int
    bricks: tuple[Brick, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A line of ``pool list``."""

    uuid: str
    name: str
    connected: bool


def pool(text: str) -> tuple[Peer, ...]:
    """Return the servers that a server knows, itself (``localhost``) among them."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 3 and words[0] != "UUID":
            found.append(Peer(uuid=words[0], name=words[1], connected=words[-1] == "Connected"))
    return tuple(found)


def own_uuid(text: str) -> str:
    """Return the UUID of the server itself, from its ``pool list``; empty where it said nothing."""
    return next((peer.uuid for peer in pool(text) if peer.name == "localhost"), "")


def volumes(text: str) -> tuple[Volume, ...]:
    """Return all volumes of ``volume info all --xml``; none where it failed."""
    return tuple(_volume(node) for node in _root(text).iterfind("volInfo/volumes/volume"))


def bricks_down(text: str, volume: str) -> tuple[Brick, ...]:
    """Return the bricks of a volume that do not run, from ``volume status all --xml``."""
    return tuple(part for part in _parts(text, volume, _is_down) if part.folder.startswith("/"))


def bricks_unserved(text: str, volume: str) -> tuple[Brick, ...]:
    """Return the bricks of a volume that run, and whose port their daemon does not know."""
    return tuple(part for part in _parts(text, volume, _has_no_port) if part.folder.startswith("/"))


def healers_down(text: str, volume: str) -> tuple[str, ...]:
    """Return the UUIDs of servers whose self-heal daemon does not run, from ``volume status all --xml``."""
    return tuple(part.peer for part in _parts(text, volume, _is_down) if part.server == "Self-heal Daemon")


def _is_down(part: Element) -> bool:
    return part.findtext("status") != "1"


def _has_no_port(part: Element) -> bool:
    return not _is_down(part) and not part.findtext("port", "").isdigit()


def _parts(text: str, volume: str, wanted: Callable[[Element], bool]) -> Iterator[Brick]:
    for node in _root(text).iterfind("volStatus/volumes/volume"):
        if node.findtext("volName") != volume:
            continue
        for part in node.iterfind("node"):
            if wanted(part):
                yield Brick(
                    server=part.findtext("hostname", ""),
                    folder=part.findtext("path", ""),
                    peer=part.findtext("peerid", ""),
                )


def volume_of(facts: Facts, name: str, hosts: Iterable[str] | None = None) -> Volume | None:
    """Return a volume as the first host that knows it tells."""
    wanted = None if hosts is None else set(hosts)
    for host in facts.hosts:
        if host.storage is None or (wanted is not None and host.host not in wanted):
            continue
        for volume in volumes(host.storage.gluster_volumes):
            if volume.name == name:
                return volume
    return None


def _volume(node: Element) -> Volume:
    bricks = []
    for brick in node.iterfind("bricks/brick"):
        server, _, folder = brick.findtext("name", "").rpartition(":")
        bricks.append(Brick(server=server, folder=folder, peer=brick.findtext("hostUuid", "")))
    return Volume(
        name=node.findtext("name", ""),
        started=node.findtext("statusStr") == "Started",
        kind=node.findtext("typeStr", ""),
        replicas=int(node.findtext("replicaCount") or 1),
        arbiters=int(node.findtext("arbiterCount") or 0),
        bricks=tuple(bricks),
        options={
            option.findtext("name", ""): option.findtext("value", "") for option in node.iterfind("options/option")
        },
    )


def _root(text: str) -> Any:
    try:
        return fromstring(text) if text.strip() else Element("none")
    except ParseError:
        return Element("none")
