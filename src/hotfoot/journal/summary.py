"""What many migrations were like: downtime and outage by pair of hosts and policy, failures by reason. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from hotfoot.journal.ranks import percentile
from hotfoot.journal.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The migrations from one host to another under one policy; times of completed ones, in ms."""

    source: str
    destination: str
    policy: str | None
    migrations: int
    completed: int
    downtime_ms_median: int | None
    downtime_ms_p99: int | None
    outage_ms_median: int | None
    outage_ms_p99: int | None


@dataclass(frozen=True, slots=True)
class Failure:
    """How often it came to one end for one reason.

    Names in the reason are replaced by INSTANCE, SOURCE, DESTINATION, figures by N: what differs by them alone is one.
    """

    end: str
    reason: str
    count: int


def groups(records: Iterable[Record]) -> tuple[Group, ...]:
    """Group the records that moved, or were to move, between two known hosts; those refused are no migrations."""
    found: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for record in records:
        if record.source and record.destination and record.word not in ("open", "refused"):
            found[record.source, record.destination, record.policy or ""].append(record)
    return tuple(_group(*key, found[key]) for key in sorted(found))


def _group(source: str, destination: str, policy: str, records: list[Record]) -> Group:
    done = [record for record in records if record.outcome == "completed"]
    downtimes = [ms for record in done if (ms := record.number("downtime_ms")) is not None]
    outages = [ms for record in done if (ms := record.number("outage_ms")) is not None]
    return Group(
        source=source,
        destination=destination,
        policy=policy or None,
        migrations=len(records),
        completed=len(done),
        downtime_ms_median=percentile(downtimes, 50),
        downtime_ms_p99=percentile(downtimes, 99),
        outage_ms_median=percentile(outages, 50),
        outage_ms_p99=percentile(outages, 99),
    )


def failures(records: Iterable[Record]) -> tuple[Failure, ...]:
    """Count the ends other than completed by their reasons, the most frequent first."""
    counted = Counter(
        (record.word, _without_names(record))
        for record in records
        if record.outcome is not None and record.outcome != "completed"
    )
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Failure(end, reason, count) for (end, reason), count in ordered)


def _without_names(record: Record) -> str:
    words = (record.reason or "no reason is known").split(" ")
    names = {record.instance: "INSTANCE", record.source: "SOURCE", record.destination: "DESTINATION"}
    known = {name: sign for name, sign in names.items() if name}
    return " ".join(_replaced(word, known) for word in words)


def _replaced(word: str, names: dict[str, str]) -> str:
    """Replace a word that is a name, whatever stands around it: ``n1,`` ``(n1)`` ``n1:``."""
    bare = word.strip("().,:;`'\"")
    return word.replace(bare, names[bare]) if bare in names else re.sub(r"[0-9]+([.:-][0-9]+)*", "N", word)
