"""The workloads on which ways to steer are compared: guests and links, drawn once from a fixed seed. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hotfoot.migration.simulator import Guest, Link, Writes

MIB, GIB = 2**20, 2**30
LINKS_BYTES_PER_S = (117e6, 290e6, 1.17e9)
"""What 1, 2.5 and 10 Gbit/s carry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One guest on one link."""

    guest: Guest
    link: Link


def draw(count: int, seed: int = 2026) -> tuple[Workload, ...]:
    """Return so many workloads: from idle to far beyond the link, every third has a burst, every fourth a drop."""
    dice = random.Random(seed)
    return tuple(_one(dice, number) for number in range(count))


def _one(dice: random.Random, number: int) -> Workload:
    memory = round(2 ** dice.uniform(0, 5)) * GIB
    used = round(memory * dice.uniform(0.2, 0.9))
    rate = dice.choice(LINKS_BYTES_PER_S)
    hot = Writes(
        bytes_per_s=rate * 2 ** dice.uniform(-4, 2),
        area_bytes=used * 2 ** dice.uniform(-6, -1),
        circle=dice.random() < 0.5,
        duty=dice.uniform(0.2, 1),
    )
    cold = Writes(bytes_per_s=rate * dice.uniform(0, 0.1), area_bytes=used * 0.4, duty=0.2)
    first_pass_ms = round(1000 * used / rate)
    work: tuple[tuple[int, tuple[Writes, ...]], ...] = ((0, (hot, cold)),)
    if number % 3 == 2:
        begins_ms = round(first_pass_ms * dice.uniform(0.2, 1.5))
        work = ((0, (cold,)), (begins_ms, (hot, cold)), (begins_ms + round(dice.uniform(5_000, 120_000)), (cold,)))
    rates: tuple[tuple[int, float], ...] = ((0, rate),)
    if number % 4 == 3:
        drops_ms = round(first_pass_ms * dice.uniform(0.2, 1.5))
        rates = ((0, rate), (drops_ms, rate * dice.uniform(0.3, 0.8)), (drops_ms + 60_000, rate))
    guest = Guest(memory_bytes=memory, used_bytes=used, work=work)
    return Workload(guest=guest, link=Link(bytes_per_s=rates, setup_ms=500))


def as_json(workload: Workload) -> dict[str, Any]:
    """Return what ``from_json`` reads."""
    return asdict(workload)


def from_json(told: Mapping[str, Any]) -> Workload:
    """Return the workload that ``as_json`` wrote."""
    guest, link = told["guest"], told["link"]
    work = tuple((at, tuple(Writes(**writes) for writes in those)) for at, those in guest["work"])
    rates = tuple((at, rate) for at, rate in link["bytes_per_s"])
    return Workload(guest=Guest(**{**guest, "work": work}), link=Link(**{**link, "bytes_per_s": rates}))
