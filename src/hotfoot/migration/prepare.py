"""From what the operator asked for to an order, or to all that stands in its way; moves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hotfoot.cloud.protocol import Cloud
from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.inventory import Instance, Inventory
from hotfoot.migration.destination import rank
from hotfoot.migration.facts import DeclaredStorage
from hotfoot.migration.forecast import Forecast, Measured, forecast
from hotfoot.migration.options import MigrationOptions, Mode
from hotfoot.migration.outage import Method
from hotfoot.migration.outlook import Outlook
from hotfoot.migration.preflight import Verdict, check_inventory, check_pair, refuse
from hotfoot.migration.prober import reachable
from hotfoot.migration.selection import check_host, find_instance
from hotfoot.migration.survey import Survey

if TYPE_CHECKING:
    from hotfoot.placement.declared import Declared

REACHABLE_TIMEOUT_S = 0.6
"""Both ways together; an instance that answers does so in milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the operator asked for."""

    instance: str
    destination: str | None = None
    from_host: str | None = None
    options: MigrationOptions = field(default_factory=MigrationOptions)
    options_of: Mapping[str, MigrationOptions] = field(default_factory=dict)
    """Those of single instances, by name or UUID, in place of ``options``."""
    watch_address: str | None = None
    storage: tuple[DeclaredStorage, ...] = ()
    rules: Declared | None = None
    """Of the cluster file; None where it has none, or where a plan has respected them."""
    ignore_rules: bool = False
    """Whether a destination that was asked for is taken although a rule forbids it."""


@dataclass(frozen=True, slots=True)
class Seat:
    """From where an instance can be watched: its address, and how it answers."""

    address: str
    method: Method


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """A verdict, why other hosts were passed over, and where the instance answers (None: nowhere)."""

    verdict: Verdict
    memory_free_bytes: int
    passed_over: tuple[tuple[str, str], ...] = ()
    seat: Seat | None = None
    measured: Measured | None = None
    forecast: Forecast | None = None
    no_forecast: str | None = None
    """Why there is none, in a sentence; None when there is one, or none was wanted."""

    @property
    def outlook(self) -> Outlook:
        """What is known of the migration's end before its start."""
        return Outlook.of(self.measured, self.forecast) if self.measured and self.forecast else Outlook()


async def prepare(
    cloud: Cloud, request: Request, survey: Survey | None = None, out: Awaitable[Mapping[str, str]] | None = None
) -> Preparation:
    """Find the instance, choose or check its destination, and look at all that the move depends on.

    With a survey the move is forecast too. ``out`` brings the hosts out of placement, each with the sentence about it:
    none of them is chosen, and one that was asked for is remarked. Raises HotfootError (refused) when the instance or
    host cannot be told; everything else is in the verdict.
    """
    asking = asyncio.ensure_future(out or _none_out())
    try:
        return await _prepare(cloud, request, survey, asking)
    finally:
        asking.cancel()
        if survey:
            survey.stop()


async def _none_out() -> Mapping[str, str]:
    return {}


async def _prepare(
    cloud: Cloud, request: Request, survey: Survey | None, out: Awaitable[Mapping[str, str]]
) -> Preparation:
    inventory = await cloud.look(request.instance, closely=(request.destination,) if request.destination else None)
    if request.from_host is not None:
        check_host(inventory, request.from_host)
    if request.destination is not None:
        check_host(inventory, request.destination)
    instance = find_instance(inventory, request.instance, request.from_host)
    if survey and instance.movable:
        survey.begin(instance)
    judge = _judge_by_nova if instance.nova else _judge
    (verdict, passed_over), seat = await asyncio.gather(
        judge(cloud, inventory, instance, request, out), _seat(cloud, instance, request.watch_address)
    )
    free = inventory.memory_free_bytes(verdict.destination) if verdict.destination else 0
    preparation = Preparation(verdict=verdict, memory_free_bytes=free, passed_over=passed_over, seat=seat)
    if survey is None or verdict.order is None:
        return preparation
    if verdict.order.mode is Mode.COLD:
        return replace(preparation, no_forecast=f"{instance.name} is stopped for it")
    if not verdict.visible:
        return replace(preparation, no_forecast=f"libvirt on {instance.host} is not declared, to measure it")
    if not verdict.destination:
        return replace(preparation, no_forecast="which host Nova chooses is not known before")
    try:
        measured = await survey.finish(instance, verdict.order)
    except HotfootError as error:
        return replace(preparation, no_forecast=str(error))
    return replace(preparation, measured=measured, forecast=forecast(measured))


async def _judge(
    cloud: Cloud, inventory: Inventory, instance: Instance, request: Request, out: Awaitable[Mapping[str, str]]
) -> tuple[Verdict, tuple[tuple[str, str], ...]]:
    forbidden = _forbidden(inventory, instance, request)
    if request.destination is not None:
        obstacles = check_inventory(inventory, instance, request.destination)
        if obstacles and not _worth_a_look(inventory, instance, request.destination):
            return refuse(instance, request.destination, obstacles), ()
        verdict = await _examine(cloud, inventory, instance, request, request.destination)
        verdict = _under_rules(verdict, request, forbidden)
        told = (await out).get(request.destination)
        return (replace(verdict, remarks=(*verdict.remarks, told)) if told else verdict), ()
    if not instance.movable:
        return refuse(instance, "", check_inventory(inventory, instance, instance.host)[:1]), ()
    candidates = rank(inventory, instance, {**forbidden, **await out})
    passed_over = list(candidates.passed_over)
    for name in candidates.names:
        verdict = await _examine(cloud, inventory, instance, request, name)
        if verdict.order is not None:
            return verdict, tuple(passed_over)
        passed_over.append((name, " ".join(verdict.obstacles)))
    reasons = tuple(f"{name}: {why}" for name, why in passed_over) or ("The cluster file lists no other host.",)
    return refuse(instance, "", (f"No host can take {instance.name}.", *reasons)), tuple(passed_over)


async def _judge_by_nova(
    cloud: Cloud, inventory: Inventory, instance: Instance, request: Request, out: Awaitable[Mapping[str, str]]
) -> tuple[Verdict, tuple[tuple[str, str], ...]]:
    """Judge a move that Nova is to make; where no destination is asked for, its scheduler chooses one."""
    from hotfoot.migration.nova_preflight import check_nova

    destination = request.destination or ""
    try:
        facts = await cloud.examine(instance, destination)
    except HotfootError as error:
        return refuse(instance, destination, (str(error),)), ()
    assert facts.nova is not None
    verdict = check_nova(inventory, instance, destination, facts.nova, _options(request, instance))
    forbidden = _forbidden(inventory, instance, request)
    verdict = _under_rules(verdict, request, forbidden)
    if not destination and forbidden:
        unknown = f"Nova's scheduler does not know the rules of the cluster file. {' '.join(forbidden.values())}"
        verdict = replace(verdict, remarks=(*verdict.remarks, unknown))
    hosts_out = await out
    told = hosts_out.get(destination)
    if told is None and not destination and hosts_out:
        told = f"Nova's scheduler does not know of hosts out of placement: {' '.join(hosts_out.values())}"
    return (replace(verdict, remarks=(*verdict.remarks, told)) if told else verdict), ()


async def places_by_nova(cloud: Cloud, wanted: str, options: MigrationOptions) -> tuple[Instance, tuple[Verdict, ...]]:
    """Judge for each other compute host whether Nova could move an instance there, as far as its APIs tell.

    Raises HotfootError, also (usage) for an instance that cannot be told.
    """
    from hotfoot.migration.nova_preflight import check_nova

    inventory = await cloud.look(wanted)
    instance = find_instance(inventory, wanted)
    facts = (await cloud.examine(instance, "")).nova
    assert facts is not None
    others = [host.name for host in inventory.hosts if host.name != instance.host]
    return instance, tuple(check_nova(inventory, instance, name, facts, options) for name in others)


def _forbidden(inventory: Inventory, instance: Instance, request: Request) -> Mapping[str, str]:
    """Return the hosts that a rule forbids, each with the sentence about it."""
    if request.rules is None:
        return {}
    from hotfoot.placement.forbidden import forbidden_hosts

    return forbidden_hosts(request.rules, inventory, instance.uuid)


def _under_rules(verdict: Verdict, request: Request, forbidden: Mapping[str, str]) -> Verdict:
    told = forbidden.get(verdict.destination)
    if told is None:
        return verdict
    if request.ignore_rules:
        return replace(verdict, remarks=(*verdict.remarks, f"{told} It goes there because of --ignore-rules."))
    obstacle = f"{told} --ignore-rules moves it there nevertheless."
    return replace(verdict, obstacles=(*verdict.obstacles, obstacle), order=None)


def _options(request: Request, instance: Instance) -> MigrationOptions:
    return request.options_of.get(instance.uuid) or request.options_of.get(instance.name) or request.options


def _worth_a_look(inventory: Inventory, instance: Instance, destination: str) -> bool:
    """Whether a closer look could find more obstacles: only of two hosts that answer, and a live instance."""
    return instance.movable and destination != instance.host and inventory.host(destination).answers


async def _examine(
    cloud: Cloud, inventory: Inventory, instance: Instance, request: Request, destination: str
) -> Verdict:
    try:
        facts = await cloud.examine(instance, destination)
    except HotfootError as error:
        return refuse(instance, destination, (str(error),))
    return check_pair(inventory, instance, facts, _options(request, instance), request.storage)


async def _seat(cloud: Cloud, instance: Instance, wanted: str | None) -> Seat | None:
    addresses: Sequence[str] = (wanted,) if wanted else await cloud.addresses(instance)
    answers = await asyncio.gather(
        *(asyncio.to_thread(reachable, address, REACHABLE_TIMEOUT_S) for address in addresses)
    )
    seats = [Seat(address, method) for address, method in zip(addresses, answers, strict=True) if method]
    if wanted and not seats:
        raise HotfootError(
            f"{wanted} answers neither ICMP nor TCP from here; leave out --watch, or mend the way to it.",
            ExitStatus.REFUSED,
        )
    return seats[0] if seats else None
