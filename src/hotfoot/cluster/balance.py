"""How `hotfoot balance` judges, and when it may act, as the cluster file declares it."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from hotfoot.cluster.duration import parse_duration_ms
from hotfoot.cluster.keys import Checked, Read, Section, Whole, told
from hotfoot.cluster.values import DURATION_AS_TEXT, Duration, duration_text

_HOURS_PATTERN = r"^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$"
_LEAST_EVERY_MS = 5_000


def parse_hours(text: str) -> str:
    """Check a part of the day such as ``22:00-06:00``; raises ValueError with a phrase that begins with "must be"."""
    begins, _, ends = text.strip().partition("-")
    if re.fullmatch(_HOURS_PATTERN, text.strip()) is None or begins == ends:
        raise ValueError(f'must be a part of the day, such as 22:00-06:00, not "{text}"')
    return text.strip()


def parse_every_ms(text: str) -> int:
    """Read how long a round takes, in ms; raises ValueError as ``parse_duration_ms``, and for less than 5 s."""
    every_ms = parse_duration_ms(text)
    if every_ms < _LEAST_EVERY_MS:
        raise ValueError(f'must be at least 5s, since a look at all hosts takes as long, not "{text}"')
    return every_ms


def _every(value: object, _folder: Path | None) -> object:
    return parse_every_ms(duration_text(value))


def _url(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
        raise ValueError(f'must be a URL such as http://10.0.0.9:9090, not "{text}"')
    if url.username or url.password:
        raise ValueError("must be a URL without a user and a password")
    return text.rstrip("/")


def _label(text: str) -> str:
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text) is None:
        raise ValueError(f'must be the name of a label, not "{text}"')
    return text


@dataclass(frozen=True, kw_only=True)
class Load(Section):
    """Where the load of instances is known better than by a look of two seconds: a Prometheus server."""

    prometheus: Annotated[str, Checked(_url)] = field(metadata=told("Its URL, such as http://10.0.0.9:9090."))
    query: str = field(
        metadata=told("An expression in PromQL with one sample for each instance; several are added up.", min_length=1)
    )
    of: Literal["cpu", "memory"] = field(
        default="cpu", metadata=told("What it tells: cores of cpu in use, or bytes of memory.")
    )
    label: Annotated[str, Checked(_label)] = field(
        default="domain", metadata=told("The label that holds the instance's name or UUID.")
    )


@dataclass(frozen=True, kw_only=True)
class Balance(Section):
    """What `hotfoot balance` takes where its options say nothing."""

    what: tuple[str, ...] = field(
        default=(), metadata=told("What to make even: memory, vcpus; with measured cpu, memory; by default both.")
    )
    measured: bool = field(default=False, metadata=told("By what instances use, not by what they are promised."))
    threshold: float = field(
        default=0.05,
        metadata=told("Nothing is moved while no host's share is further than this from the mean.", ge=0, le=1),
    )
    least_gain: float = field(default=0.01, metadata=told("The score must fall by this share of itself.", ge=0, le=1))
    cost_per_gib: float = field(default=0.0005, metadata=told("What each GiB moved adds to the score.", ge=0, le=1000))
    load: Load | None = field(
        default=None, metadata=told("Where measured load is asked for; by default on the hosts themselves.")
    )
    every_ms: Annotated[int, Read(_every, DURATION_AS_TEXT)] = field(
        default=300_000, metadata=told("Of balance --watch: from one look to the next, such as 5m.", alias="every")
    )
    rounds: Annotated[int, Whole(1, 1000)] = field(
        default=3,
        metadata=told("Of balance --watch: looks in a row with a host beyond the threshold, before any move."),
    )
    cooldown_ms: Duration = field(
        default=3_600_000,
        metadata=told(
            "Of balance --watch: how long an instance stays where it has been moved to, by anybody.", alias="cooldown"
        ),
    )
    max_moves: Annotated[int, Whole(1, 100_000)] | None = field(
        default=None, metadata=told("No more moves than this, in each round with --watch; by default no limit.")
    )
    quiet: tuple[Annotated[str, Checked(parse_hours)], ...] = field(
        default=(),
        metadata=told("Of balance --watch: parts of the day, local time, in which nothing is moved: 08:00-18:00."),
    )
