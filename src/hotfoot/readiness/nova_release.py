"""The release of nova-compute on each host, by its package; Nova's API does not tell it.

Source: Nova's guide on upgrades: services of two neighbouring releases work together (from 2023.1 on also of two that
are one apart, where both are SLURP releases), for the time of an upgrade.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from hotfoot.readiness.facts import HostFacts
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.listing import listed

PACKAGES = ("nova-compute", "openstack-nova-compute")
"""Debian's name and Red Hat's."""
_FARTHEST = 2


def release(host: HostFacts) -> int | None:
    """Return the release's number, such as 29 for 2024.1; None where no such package is installed.

    Versions are like ``3:29.0.1-0ubuntu1`` and ``1:29.2.0-1.el9``.
    """
    for name in PACKAGES:
        if found := re.match(r"(?:\d+:)?(\d+)\.", host.packages.get(name, "")):
            return int(found[1])
    return None


def releases(hosts: Mapping[str, HostFacts]) -> Iterator[Finding]:
    """Yield the hosts whose nova-compute is older than the newest."""
    known = {name: number for name, host in hosts.items() if (number := release(host)) is not None}
    newest = max(known.values(), default=0)
    ahead = [name for name, number in known.items() if number == newest]
    for name, number in known.items():
        if number == newest:
            continue
        far = newest - number > _FARTHEST
        yield Finding(
            code="nova.older-release",
            severity=Severity.DANGEROUS if far else Severity.ADVICE,
            host=name,
            what=f"nova-compute on {name} is of an older release than on {listed(ahead)}.",
            evidence=f"{name}: {_version(hosts[name])}; {ahead[0]}: {_version(hosts[ahead[0]])}",
            why="Releases so far apart are not made to work together, and a move between them may end half-way."
            if far
            else "Two neighbouring releases work together for the time of an upgrade; what the older one does not know"
            " is held back in the whole cell.",
            remedy=f"Bring nova-compute on {name} to release {newest}, with its instances moved away before.",
        )


def _version(host: HostFacts) -> str:
    return next(f"{name} {host.packages[name]}" for name in PACKAGES if name in host.packages)
