"""A post-copy migration whose link broke: what the hosts say in, what that means and what may be done out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from hotfoot.inventory import InstanceState
from hotfoot.migration.proof import PostCopy, Sighting

Ends = tuple[str, str]
"""Source and destination of a migration."""


class Situation(StrEnum):
    """How the two halves stand to each other; the value is the word in JSON."""

    WHOLE = "whole"
    """One host alone has it alive, with all its memory."""
    UNDER_WAY = "under way"
    """Both halves are there, and libvirt on both sides still takes part."""
    BROKEN = "broken"
    """Both halves are there, but libvirt has given the migration up; QEMU's own connection may come back."""
    SOURCE_SILENT = "source silent"
    DESTINATION_SILENT = "destination silent"
    SOURCE_LOST = "source lost"
    """The half with the memory that was not fetched yet is gone: nothing brings it back."""
    DESTINATION_LOST = "destination lost"
    """The half that ran the guest is gone: what the source holds is older than the disks."""
    UNCLEAR = "unclear"
    """No half of a post-copy migration is to be seen, and no one host has the instance alive either."""


LOST = frozenset({Situation.SOURCE_LOST, Situation.DESTINATION_LOST})
MAY_COME_BACK = frozenset(
    {Situation.UNDER_WAY, Situation.BROKEN, Situation.SOURCE_SILENT, Situation.DESTINATION_SILENT}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What is where, and what it means, in sentences. Hosts are None where nothing tells which they are."""

    name: str
    situation: Situation
    source: str | None = None
    destination: str | None = None
    sides: tuple[str, ...] = ()
    """A sentence for each side."""
    meaning: str = ""
    lost: str | None = None
    """What nothing brings back; None while nothing is lost for good."""
    next_step: str | None = None
    """What a person can do where Hotfoot cannot."""
    silent: tuple[str, ...] = ()
    """The hosts that do not answer, and may have anything."""
    stream_broke: bool = False
    """Whether libvirt on the destination says that QEMU's own connection broke: it does not come back by itself."""

    @property
    def in_words(self) -> tuple[str, ...]:
        """All of it, a sentence or two each, in the order to be read."""
        return tuple(filter(None, (*self.sides, self.meaning, self.lost, self.next_step)))

    @property
    def may_pause(self) -> bool:
        """Whether its migration can be paused: both halves are there to be told."""
        return self.situation in (Situation.UNDER_WAY, Situation.BROKEN)

    @property
    def may_resume(self) -> bool:
        """Whether libvirt's resume applies to it: both halves are there, and libvirt has given the migration up."""
        return self.situation is Situation.BROKEN


def assess(name: str, sightings: Sequence[Sighting], ends: Ends | None = None) -> Assessment:
    """Say how an instance stands whose migration had switched to post-copy.

    ``ends`` is what the order or the journal remembers of which side is which.

    Invariants: WHOLE only when exactly one host says that the instance is alive there with all its memory. Lost only
    when the host that had the missing half answers and no longer has it; a host that does not answer is never taken
    for empty. No advice resumes or starts the instance on any host while a half of it may live on another.
    """
    seen = {each.host: each for each in sightings}
    alive = [each for each in sightings if each.alive]
    if len(alive) == 1:
        return _whole(name, alive[0], sightings, ends)
    source, destination = _ends(sightings, ends)
    here, there = seen.get(source or ""), seen.get(destination or "")
    situation = Situation.UNCLEAR if alive else _situation(here, there, sightings)
    sides = [_source_words(name, source, here, destination), _destination_words(name, destination, there, source)]
    sides += [f"{each.host} does not answer: {each.problem}" for each in _others_silent(sightings, source, destination)]
    if situation is Situation.UNCLEAR:
        sides = [_plain_words(name, each) for each in sightings if each.state is not None or each.problem]
    begun = any(each is not None and each.post_copy for each in (here, there))
    meaning, lost, next_step = _meaning(name, situation, source, destination, begun=begun)
    if situation in LOST:
        next_step = _start_again(name, source, destination, sightings)
    stream_broke = situation is Situation.BROKEN and there is not None and there.post_copy is PostCopy.BROKEN
    if stream_broke:
        meaning = _STREAM_BROKE.format(split=_split(name, source or "the source"), destination=destination)
        way_out = _start_again(name, source, destination, sightings)
        next_step = (
            f"Where no resume is possible, the last way out gives up what is in its memory, and keeps its disks as a"
            f" power cut does: {way_out}"
        )
    return Assessment(
        name=name,
        situation=situation,
        source=source,
        destination=destination,
        sides=tuple(filter(None, sides)),
        meaning=meaning,
        lost=lost,
        next_step=next_step,
        silent=tuple(each.host for each in sightings if each.problem),
        stream_broke=stream_broke,
    )


def _ends(sightings: Sequence[Sighting], remembered: Ends | None) -> tuple[str | None, str | None]:
    """Tell the sides apart: in post-copy the source is paused, the destination runs.

    What is remembered completes that, unless it contradicts: it may be of an earlier migration.
    """
    split = [each for each in sightings if each.post_copy]
    paused = [each.host for each in split if each.state is InstanceState.IN_TRANSIT]
    running = [each.host for each in split if each.state is not InstanceState.IN_TRANSIT]
    if remembered and {*paused} <= {*remembered} and {*running} <= {remembered[1]}:
        return remembered
    source, destination = next(iter(paused), None), next(iter(running), None)
    waiting = next((each.host for each in sightings if each.half and each.host not in (source, destination)), None)
    silent = [each.host for each in sightings if each.problem]
    only_silent = silent[0] if len(silent) == 1 else None
    if destination is None and source is not None:
        destination = waiting or only_silent
    elif source is None and destination is not None:
        source = waiting or only_silent
    return source, destination


def _situation(here: Sighting | None, there: Sighting | None, sightings: Sequence[Sighting]) -> Situation:
    has_source, has_destination = here is not None and here.half, there is not None and there.half
    states = {each.post_copy for each in (here, there) if each is not None}
    if has_source and has_destination:
        return Situation.BROKEN if PostCopy.BROKEN in states else Situation.UNDER_WAY
    some_silent = any(each.problem for each in sightings)
    if has_destination:
        silent = here.problem is not None if here else some_silent
        if silent:
            return Situation.SOURCE_SILENT
        return Situation.SOURCE_LOST if there is not None and there.post_copy else Situation.UNCLEAR
    if has_source and here is not None:
        silent = there.problem is not None if there else some_silent
        if silent:
            return Situation.DESTINATION_SILENT
        # Paused and not in post-copy its memory is whole, and libvirt itself lets it run on.
        return Situation.DESTINATION_LOST if here.post_copy else Situation.UNCLEAR
    return Situation.UNCLEAR


def _whole(name: str, alive: Sighting, sightings: Sequence[Sighting], remembered: Ends | None) -> Assessment:
    source, destination = remembered if remembered and alive.host in remembered else (None, None)
    left = [each.host for each in sightings if each.half and each is not alive]
    silent = [each for each in sightings if each.problem]
    sides = [f"{name} is {alive.state} on {alive.host}, with all its memory."]
    sides += [f"A half of a migration is still on {host}; it ends by itself as a rule." for host in left]
    sides += [f"Whether anything is left on {each.host} is not known: {each.problem}" for each in silent]
    return Assessment(
        name=name,
        situation=Situation.WHOLE,
        source=source,
        destination=destination,
        sides=tuple(sides),
        meaning="Nothing is to be recovered.",
    )


def _source_words(name: str, host: str | None, seen: Sighting | None, other: str | None) -> str | None:
    if host is None or seen is None:
        return None
    if seen.problem:
        return f"{host}, the source, does not answer: {seen.problem}"
    if not seen.half:
        return f"{host}, the source, {_has_none(name, seen)}."
    if seen.post_copy is None:
        return f"{host}, the source, is paused (migrating)."
    given_up = "libvirt there has given the migration up, " if seen.post_copy is PostCopy.BROKEN else ""
    return (
        f"{host}, the source, is paused ({seen.post_copy}): {given_up}QEMU keeps the memory that"
        f" {other or 'the destination'} has not fetched yet."
    )


def _destination_words(name: str, host: str | None, seen: Sighting | None, other: str | None) -> str | None:
    if host is None or seen is None:
        return None
    if seen.problem:
        return f"{host}, the destination, does not answer: {seen.problem}"
    if not seen.half:
        return f"{host}, the destination, {_has_none(name, seen)}."
    if seen.post_copy is None:
        return f"{host}, the destination, is paused (migrating): libvirt there has not heard yet that the guest runs."
    verb = "is paused" if seen.state is InstanceState.IN_TRANSIT else f"is {seen.state}"
    stands = "the guest stands still" if "paused" in verb else "the guest lives here, and stands still"
    given_up = "libvirt there has given the migration up; " if seen.post_copy is PostCopy.BROKEN else ""
    return (
        f"{host}, the destination, {verb} ({seen.post_copy}): {given_up}{stands} wherever it needs memory that is"
        f" still on {other or 'the source'}."
    )


def _has_none(name: str, seen: Sighting) -> str:
    return f"has no QEMU of {name} any more" + (f" ({seen.state})" if seen.state else "")


def _plain_words(name: str, seen: Sighting) -> str:
    if seen.problem:
        return f"{seen.host} does not answer: {seen.problem}"
    return f"{seen.host} has {name} {seen.state}."


def _others_silent(sightings: Sequence[Sighting], source: str | None, destination: str | None) -> tuple[Sighting, ...]:
    return tuple(each for each in sightings if each.problem and each.host not in (source, destination))


_BY_ITSELF = (
    "QEMU's own connection often comes back by itself once the link does: it tries again after at most as long as the"
    " link was away, and two minutes at most"
)


def _meaning(
    name: str, situation: Situation, source: str | None, destination: str | None, *, begun: bool
) -> tuple[str, str | None, str | None]:
    """Return what it means, what is lost, and what a person can do. ``begun``: a host says that it is in post-copy."""
    first, second = source or "the source", destination or "the destination"
    split = _split(name, first)
    if not begun and situation is not Situation.UNCLEAR:
        split = f"Whether {name} still is on {first} or was given to {second} is not known: act on neither of them."
    match situation:
        case Situation.UNDER_WAY:
            return f"{split} {second} fetches the rest; nothing is to be done.", None, None
        case Situation.BROKEN:
            return (
                f"{split} Nothing is lost as long as both QEMUs live. {_BY_ITSELF}.",
                None,
                f"Mend the link between {first} and {second}, and wait.",
            )
        case Situation.SOURCE_SILENT:
            return (
                f"{split} Nothing is lost as long as QEMU on {first} lives. {_BY_ITSELF}.",
                None,
                f"Bring back the link of {first}; do not switch it off, which would lose what it holds.",
            )
        case Situation.DESTINATION_SILENT:
            return (
                f"{split} {second} may run the guest although it does not answer here. {_BY_ITSELF}.",
                None,
                f"Bring back the link of {second}; do not switch it off, which would lose what the guest did there.",
            )
        case Situation.SOURCE_LOST:
            return (
                f"{name} cannot be made whole: {second} lacks the memory that it had not fetched from {first}.",
                _lost_words(name),
                None,
            )
        case Situation.DESTINATION_LOST:
            return (
                f"{name} cannot be made whole: what it did on {second} went with its QEMU there, and the memory on"
                f" {first} is older than its disks. Never resume it there: it would destroy what is on the disks.",
                _lost_words(name),
                None,
            )
        case _:
            return (
                f"No half of a post-copy migration of {name} is to be seen, and no one host alone has it alive.",
                None,
                "`hotfoot recover` has nothing to do here; docs/exit-codes.md says what to do with status 6.",
            )


_STREAM_BROKE = (
    "{split} Nothing is lost as long as both QEMUs live, but libvirt on {destination} says that the stream broke:"
    " then QEMU waits for a resume, and does not come back by itself."
)


def _split(name: str, source: str) -> str:
    return (
        f"The memory of {name} is split between the two, and neither side is whole alone: never resume it on {source},"
        f" destroy neither while they may come together, and restart no libvirtd."
    )


def _lost_words(name: str) -> str:
    return (
        f"Lost for good: what was in the memory of {name}. Not lost: its disks, with all that had been written to them,"
        f" as after a power cut."
    )


def _start_again(name: str, source: str | None, destination: str | None, sightings: Sequence[Sighting]) -> str:
    halves = [each.host for each in sightings if each.half]
    defined = [each.host for each in sightings if each.persistent]
    home = next((host for host in (destination, source) if host in defined), source or "the source")
    steps = [f"`virsh destroy {name}` on {' and '.join(halves)}"]
    steps += [f"`virsh undefine {name}` on {host}" for host in defined if host != home]
    silent = [each.host for each in sightings if each.problem]
    first = f"once {' and '.join(silent)} answers or is switched off, " if silent else ""
    ways = f"{first}{', '.join(steps)}, then `virsh start {name}` on {home}"
    return f"{ways[0].upper() if first else ways[0]}{ways[1:]} (on OpenStack a hard reboot): it boots anew."
