"""What Nova says of a move, and what is true of it: how far it is, how it ended, where the server is. Pure.

Nova answers a live migration with 202 before anything has been checked, and a server that it shows in ERROR may run
unharmed. So its words are judged here, together with what hosts see. The JSON is that of the compute API: a server,
its migrations in progress (``/servers/ID/migrations``: with bytes), migration records (``/os-migrations``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from hotfoot.cloud.openstack_values import instance_of
from hotfoot.inventory import MOVABLE_STATES, InstanceState
from hotfoot.migration.proof import Sighting
from hotfoot.migration.result import Attached
from hotfoot.migration.sample import JobSample, Phase
from hotfoot.nova_words import taken_to_be_elsewhere

Json = Mapping[str, Any]

HOST = "OS-EXT-SRV-ATTR:host"
TASK = "OS-EXT-STS:task_state"
THE_API = "Nova's API"
BETWEEN = frozenset({"RESIZE", "REVERT_RESIZE"})
"""Statuses of a server that Nova moves cold, or brings back."""


class Stage(StrEnum):
    """How far a move is."""

    ACCEPTED = "accepted"
    """The API has taken the request; nobody has taken it up yet."""
    UNDER_WAY = "under way"
    TO_CONFIRM = "to confirm"
    """A cold migration has put the server onto its destination, and waits to be confirmed or reverted."""
    SETTLING = "settling"
    """The migration has ended, and Nova still works on the server."""
    MOVED = "moved"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DROPPED = "dropped"
    """The API took the request, and nothing came of it: no migration, and nobody works on the server."""
    DELETED = "deleted"


ENDS = frozenset({Stage.MOVED, Stage.FAILED, Stage.CANCELLED, Stage.DROPPED, Stage.DELETED})
_ENDED = {
    "completed": Stage.MOVED,
    "confirmed": Stage.MOVED,
    "done": Stage.MOVED,
    "error": Stage.FAILED,
    "failed": Stage.FAILED,
    "reverted": Stage.FAILED,
    "cancelled": Stage.CANCELLED,
}
IN_PROGRESS = ("accepted", "queued", "preparing", "running", "post-migrating")
"""Statuses of a live migration that has not ended; the first is not listed among a server's migrations."""
ABORTABLE = ("queued", "preparing", "running")


def own_record(records: Sequence[Json], earlier: Collection[int]) -> Json | None:
    """Return the newest migration record that was not there before the move was asked for."""
    return max((one for one in records if one["id"] not in earlier), key=lambda one: int(one["id"]), default=None)


def stage(server: Json | None, record: Json | None) -> Stage:
    """Say how far a move is, from its server (None: there is none any more) and its record (None: none yet).

    The record has to be read after the server: Nova writes the record before it lets go of the server.
    """
    if server is None:
        return Stage.DELETED
    busy = server.get(TASK) is not None
    if record is None:
        return Stage.ACCEPTED if busy else Stage.DROPPED
    status = str(record.get("status"))
    if server.get("status") == "VERIFY_RESIZE" and status == "finished":
        return Stage.SETTLING if busy else Stage.TO_CONFIRM
    ended = _ENDED.get(status)
    if ended is None:
        return Stage.UNDER_WAY
    return Stage.SETTLING if busy else ended


def destination_of(record: Json | None) -> str | None:
    """Return the host that Nova chose; None before it has."""
    return (record or {}).get("dest_compute") or None


def job_sample(record: Json, at_s: float, elapsed_ms: int | None = None) -> JobSample:
    """Return what a migration in progress, or its record, says: bytes and a status, renewed every 5 s.

    ``elapsed_ms``: how long it takes already, where that is known better than from the record.
    """
    memory, disk = record.get("memory_total_bytes") or 0, record.get("disk_total_bytes") or 0
    return JobSample(
        at_s=at_s,
        phase=_phase(record),
        memory_total_bytes=memory,
        memory_processed_bytes=record.get("memory_processed_bytes") or 0,
        memory_remaining_bytes=record.get("memory_remaining_bytes") or 0,
        disk_total_bytes=disk,
        disk_processed_bytes=record.get("disk_processed_bytes") or 0,
        disk_remaining_bytes=record.get("disk_remaining_bytes") or 0,
        elapsed_ms=_age_ms(record) if elapsed_ms is None else elapsed_ms,
    )


def _phase(record: Json) -> Phase:
    status = record.get("status")
    if status in ("post-migrating", "finished", "confirming"):
        return Phase.FINISHING
    if status == "migrating":  # a cold one: the instance is shut down, its disks are copied where they are local
        return Phase.COPYING_DISKS
    if status != "running" or not (record.get("memory_total_bytes") or record.get("disk_total_bytes")):
        return Phase.PREPARING
    copying_disks = record.get("disk_remaining_bytes") and not record.get("memory_processed_bytes")
    return Phase.COPYING_DISKS if copying_disks else Phase.COPYING_MEMORY


def _age_ms(record: Json) -> int:
    begun, told = record.get("created_at"), record.get("updated_at")
    if not begun or not told:
        return 0
    return max(0, round(1000 * (datetime.fromisoformat(told) - datetime.fromisoformat(begun)).total_seconds()))


@dataclass(frozen=True, slots=True)
class Belongings:
    """What has to be with a server wherever it is."""

    volumes: Mapping[str, str] = field(default_factory=dict)
    """Volume id -> device."""
    ports: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    """Port id -> (state, addresses)."""

    @classmethod
    def of(cls, attachments: Sequence[Json], interfaces: Sequence[Json]) -> Belongings:
        """Read ``os-volume_attachments`` and ``os-interface``."""
        return cls(
            volumes={str(one["volumeId"]): str(one.get("device") or "") for one in attachments},
            ports={
                str(one["port_id"]): (
                    str(one.get("port_state") or ""),
                    tuple(sorted(str(ip["ip_address"]) for ip in one.get("fixed_ips") or ())),
                )
                for one in interfaces
            },
        )


def differences(before: Belongings, after: Belongings) -> tuple[str, ...]:
    """Say what of a server's volumes and ports is not as it was; a port that is active now is as it should be."""
    found = [
        f"Volume {volume} is not attached any more." for volume in sorted(set(before.volumes) - set(after.volumes))
    ]
    found += [f"Volume {volume} is attached now." for volume in sorted(set(after.volumes) - set(before.volumes))]
    for volume in sorted(set(before.volumes) & set(after.volumes)):
        was, now = before.volumes[volume], after.volumes[volume]
        if was != now:
            found.append(f"Volume {volume} was {was}, and is {now} now.")
    found += [f"Port {port} is not there any more." for port in sorted(set(before.ports) - set(after.ports))]
    found += [f"Port {port} is new." for port in sorted(set(after.ports) - set(before.ports))]
    for port in sorted(set(before.ports) & set(after.ports)):
        (was, had), (now, has) = before.ports[port], after.ports[port]
        if was != now != "ACTIVE":
            found.append(f"Port {port} was {was}, and is {now} now.")
        if had != has:
            found.append(f"Port {port} had {', '.join(had) or 'no address'}, and has {', '.join(has) or 'none'} now.")
    return tuple(found)


def attached(before: Belongings, after: Belongings) -> tuple[Attached, ...]:
    """Put side by side what was with a server before its move, and what is with it now: volumes first."""

    def port(known: tuple[str, tuple[str, ...]] | None) -> str | None:
        return f"{', '.join(known[1]) or 'no address'} {known[0]}".rstrip() if known else None

    volumes = sorted({*before.volumes, *after.volumes})
    ports = sorted({*before.ports, *after.ports})
    return (
        *(
            Attached(kind="volume", id=each, before=before.volumes.get(each), after=after.volumes.get(each))
            for each in volumes
        ),
        *(
            Attached(kind="port", id=each, before=port(before.ports.get(each)), after=port(after.ports.get(each)))
            for each in ports
        ),
    )


class Look(StrEnum):
    """What nova-compute finds when it is told to look at the guest itself (``/servers/ID/diagnostics``)."""

    RUNNING = "running"
    NOT_RUNNING = "not running"
    NOT_TOLD = "not told"


def seen_by_nova(server: Json, look: Look) -> Sighting:
    """Return what Nova says of its server, as the sighting of the host that it names.

    Invariant: a server in ERROR, or one that somebody works on, counts as alive only when its nova-compute has looked
    and found it running: what Nova remembers of it is from before.
    """
    host, name = str(server.get(HOST) or "no host"), server.get("name")
    state = InstanceState.RUNNING if look is Look.RUNNING else instance_of(server, {}).state
    if look is Look.NOT_RUNNING and state is InstanceState.RUNNING:
        return Sighting(host=host, problem=f"nova-compute there does not find {name} running, as Nova says it is.")
    sure = server.get("status") != "ERROR" and server.get(TASK) is None
    if look is not Look.RUNNING and not sure:
        return Sighting(
            host=host,
            problem=f"Nova shows {name} in {_shown(server)}, and nova-compute there could not be asked what is true.",
        )
    return Sighting(host=host, state=state, persistent=True)


def together(by_hosts: Sequence[Sighting], server: Json | None, look: Look) -> tuple[Sighting, ...]:
    """Put what libvirt on hosts says, and what Nova says, into one view of where a server is.

    Invariant: what libvirt on a host says stands, whatever Nova says; where they differ, the sighting that counts
    carries the remark. Only while Nova moves a server cold no place of it counts, since it will not stay there.
    ``server`` is None when Nova has none.
    """
    if server is None:
        return (*by_hosts, Sighting(host=THE_API, remark="Nova has no such server any more."))
    if server.get("status") in BETWEEN:
        host = str(server.get(HOST) or "no host")
        return (Sighting(host=host, problem=f"Nova has not ended the cold migration of {server.get('name')} yet."),)
    own = seen_by_nova(server, look)
    asked = {seen.host: seen for seen in by_hosts}
    libvirts = asked.get(own.host)
    if libvirts is None:
        seen = (*by_hosts, own)
    elif libvirts.problem and own.problem is None and look is Look.RUNNING:
        seen = tuple(own if one is libvirts else one for one in by_hosts)
    else:
        seen = tuple(by_hosts)
    alive = [one for one in seen if one.alive]
    if len(alive) != 1:
        return seen
    remark = _remark(server, alive[0].host)
    return tuple(replace(one, remark=remark) if one is alive[0] else one for one in seen)


def _remark(server: Json, at: str) -> str | None:
    name, nova_host = server.get("name"), server.get(HOST)
    if nova_host != at:
        return (
            f"Nova takes {name} to be on {nova_host}: do not start, resize or move it there until Nova's record says"
            f" {at} (nova-compute's log on both hosts says why it does not)."
        )
    if server.get("status") == "ERROR":
        return (
            f"Nova shows {name} in ERROR, though it runs unharmed on {at}:"
            f" `hotfoot repair-state {name}` sets that right."
        )
    if task := server.get(TASK):
        return f"Nova still works on {name} ({task})."
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """What is wrong with a server in Nova and Neutron alone, its guest being well."""

    why_not: str | None
    """Why nothing of it may be set right; None where it may."""
    state: bool
    """Whether Nova shows it wrongly."""
    bindings: Mapping[str, tuple[str, ...]]
    """Hosts to which a broken-off move has left ports bound, each with the ports (ids)."""


def is_shown_wrongly(server: Json) -> bool:
    """Whether Nova shows a server in ERROR, or still works on it."""
    return server.get("status") == "ERROR" or server.get(TASK) is not None


def why_no_repair(
    server: Json, sightings: Sequence[Sighting], in_progress: Sequence[Json], *, leftovers: bool = False
) -> str | None:
    """Say why nothing of a server may be set right; None where its state and its leftover bindings may.

    Invariant: None only for a server that Nova shows wrongly, or that has ``leftovers`` of a broken-off move, whose
    guest is seen on the host that Nova names and nowhere else, with no migration in progress: a state that is set is
    believed by all that comes after.
    """
    name, host = server.get("name"), server.get(HOST)
    alive = [seen for seen in sightings if seen.state in MOVABLE_STATES and seen.alive]
    elsewhere = [seen.host for seen in alive] not in ([], [host])
    if not is_shown_wrongly(server) and not leftovers and not (elsewhere and not in_progress):
        return f"Nova shows {name} as {server.get('status')}: there is nothing to repair."
    if in_progress:
        where = destination_of(in_progress[0]) or "a host that is being chosen"
        return f"A migration of {name} to {where} is in progress; `hotfoot watch` shows it, `hotfoot abort` stops it."
    if not alive:
        told = "; ".join(f"{seen.host}: {seen.problem}" for seen in sightings if seen.problem)
        return f"Nobody sees {name} running{f' ({told.rstrip(chr(46))})' if told else ''}, so that its state stays."
    if elsewhere:
        return taken_to_be_elsewhere(str(name), [seen.host for seen in alive], str(host))
    if alive[0].state is not InstanceState.RUNNING:
        return f"{name} is {alive[0].state} on {host}: Nova would take it for running."
    return None


def _shown(server: Json) -> str:
    task = server.get(TASK)
    return f"{server.get('status')}{f' ({task})' if task else ''}"
