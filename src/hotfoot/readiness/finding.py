"""A finding: one thing wrong on a host, or between two hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hotfoot.cluster import Cluster
    from hotfoot.readiness.change import Change
    from hotfoot.readiness.facts import Facts


class Severity(IntEnum):
    """How bad a finding is; the worst sorts first."""

    BLOCKS = 0
    """A migration from or to this host (or between these two) fails, or would lose data."""
    DANGEROUS = 1
    """Migrations work, but data, guests or the host are at risk."""
    ADVICE = 2
    """Works; a better way is known."""

    @property
    def word(self) -> str:
        """The word for it in output and JSON."""
        return ("blocks migration", "dangerous", "advice")[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing wrong.

    ``code`` is ``topic.what`` in lower case with hyphens: it never changes its meaning, tests, scripts and docs name
    it. ``what``, ``why`` and ``remedy`` are sentences for the operator; ``evidence`` is what was seen, verbatim
    where it can be. Of a pair, ``host`` is the source (or the one that looked) and ``peer`` the destination (or the
    one that was looked at). Secrets are in none of them.
    """

    code: str
    severity: Severity
    host: str
    peer: str | None = None
    what: str
    evidence: str
    why: str
    remedy: str
    changes: tuple[Change, ...] = ()
    """What mends it, in order, on whatever hosts; empty where only a person can."""
    passes: bool = False
    """Within seconds after a change it may pass by itself: two daemons have yet to see each other again."""

    @property
    def topic(self) -> str:
        """The topic that found it."""
        return self.code.partition(".")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One subject of readiness: what it looks at, and ``judge``, which returns all that is wrong about it.

    What is looked at, beside what every probe tells: ``files`` by content, ``paths`` by mode and owner only, systemd
    ``units`` and ``packages``. A path may hold ``*``, and begin with ``~USER/`` or ``~migration/`` (the home of
    the migration user). ``sections`` names which of what every probe tells it judges by (fields of ``HostFacts``, and
    ``proofs``): where one of them is missing, nothing found means nothing.
    """

    name: str
    title: str
    judge: Callable[[Cluster, Facts], Iterable[Finding]]
    files: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()

    @property
    def needs(self) -> frozenset[str]:
        """All sections of a host's facts that it judges by, those of its own questions with them."""
        asked = {"files": self.files, "paths": self.paths, "units": self.units, "packages": self.packages}
        return frozenset((*self.sections, *(name for name, words in asked.items() if words)))
