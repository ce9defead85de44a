"""Clocks: all hosts tell the same time, within a second."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from hotfoot.cluster import Cluster
from hotfoot.readiness.change import Change, Install, Phase, SetUnit
from hotfoot.readiness.facts import Facts, HostFacts
from hotfoot.readiness.finding import Finding, Severity, Topic

MOST_APART_S = 1.0

_CONTAINER = "/run/systemd/container"
# Package and unit of each time service, the usual ones first; distributions differ in the unit's name.
_SERVICES = {
    "chrony": ("chrony.service", "chronyd.service"),
    "systemd-timesyncd": ("systemd-timesyncd.service",),
    "ntpsec": ("ntpsec.service",),
    "ntp": ("ntp.service", "ntpd.service"),
    "openntpd": ("openntpd.service",),
}


def judge(_cluster: Cluster, facts: Facts) -> Iterator[Finding]:
    """Judge the hosts' clocks against each other, by way of the controller's."""
    odd = dict(_odd(facts))
    for host in facts.hosts:
        if host.clock is None:
            continue
        changes = _start_service(host)
        if host.host in odd:
            apart = odd[host.host]
            yield Finding(
                code="clocks.apart",
                severity=Severity.DANGEROUS,
                host=host.host,
                what=f"The clock of {host.host} is {abs(apart):.1f} s {'ahead of' if apart > 0 else 'behind'} most.",
                evidence=f"{apart:+.2f} s against the middle of all clocks, known to {host.clock.uncertainty_s:.2f} s",
                why="An instance takes its time from its host, so that it jumps when it moves; certificates count as"
                " not yet valid, and Nova takes hosts with stale reports for dead (service_down_time).",
                remedy=_remedy(host, changes),
                changes=changes,
            )
        elif host.clock.synchronised is False and not _contained(host):
            yield Finding(
                code="clocks.not-synchronised",
                severity=Severity.ADVICE,
                host=host.host,
                what=f"Nothing keeps the clock of {host.host} right.",
                evidence="the kernel's clock is not synchronised (timedatectl: NTPSynchronized=no)",
                why="It is right today and drifts: some seconds a month are usual.",
                remedy=_remedy(host, changes),
                changes=changes,
            )


def _odd(facts: Facts) -> Iterator[tuple[str, float]]:
    """Return the hosts whose clocks have to be set, with how far each is from the middle.

    The middle is the median of all hosts' clocks and the controller's. Of any two clocks further apart than allowed,
    beyond what is uncertain, the one that is further from the middle is odd: the others agree two by two.
    """
    clocks = [
        (host.clock.offset_s, host.clock.uncertainty_s, host.host)
        for host in facts.hosts
        if host.clock and host.clock.offset_s is not None
    ]
    if not clocks:
        return
    middle = median([0.0, *(offset for offset, _, _ in clocks)])
    by_least = sorted((offset - uncertainty, host) for offset, uncertainty, host in clocks)
    by_most = sorted((offset + uncertainty, host) for offset, uncertainty, host in clocks)
    offsets = {host: offset for offset, _, host in clocks}
    dropped: set[str] = set()
    while True:
        while by_least and by_least[-1][1] in dropped:
            by_least.pop()
        while by_most and by_most[0][1] in dropped:
            by_most.pop(0)
        if not by_least or by_least[-1][0] - by_most[0][0] <= MOST_APART_S:
            return
        fast, slow = by_least[-1][1], by_most[0][1]
        worse = fast if abs(offsets[fast] - middle) >= abs(offsets[slow] - middle) else slow
        dropped.add(worse)
        yield worse, offsets[worse] - middle


def _contained(host: HostFacts) -> bool:
    """Whether the host is a container: its clock is that of the machine below."""
    path = host.paths.get(_CONTAINER)
    return path is not None and path.exists


def _start_service(host: HostFacts) -> tuple[Change, ...]:
    """Return what starts the time service that is installed, or installs one; nothing where one runs already."""
    if _contained(host) or _running(host):
        return ()
    for package, units in _SERVICES.items():
        there = [unit for unit in units if unit in host.units and host.units[unit].load in ("loaded", "masked")]
        if package in host.packages and there:
            return (_started(host, there[0]),)
    if host.os is None or not (host.os.debian_like or host.os.redhat_like):
        return ()
    package, unit = ("systemd-timesyncd", _SERVICES["systemd-timesyncd"][0])
    if host.os.redhat_like:
        package, unit = "chrony", "chronyd.service"
    install = Change(host=host.host, phase=Phase.PACKAGES, step=Install(packages=(package,)))
    return (install, _started(host, unit))


def _started(host: HostFacts, unit: str) -> Change:
    masked = unit in host.units and host.units[unit].load == "masked"
    step = SetUnit(unit=unit, enabled=True, running=True, masked=False if masked else None)
    return Change(host=host.host, phase=Phase.NAMES, step=step)


def _running(host: HostFacts) -> str | None:
    names = (unit for units in _SERVICES.values() for unit in units)
    return next((unit for unit in names if unit in host.units and host.units[unit].active == "active"), None)


def _remedy(host: HostFacts, changes: tuple[Change, ...]) -> str:
    if changes:
        return f"Start a time service on {host.host}."
    if _contained(host):
        return f"{host.host} is a container: set the clock of the machine that it runs on."
    running = _running(host)
    if running is None:
        return f"Install and start a time service such as chrony on {host.host}."
    if running.startswith("chron"):
        tell, then = "chronyc sources", "; once it does, `chronyc makestep` sets the clock at once"
    else:
        tell, then = "timedatectl timesync-status", ""
    return f"{running} runs on {host.host}: find out whether it reaches its servers (`{tell}`){then}."


TOPIC = Topic(
    name="clocks",
    title="Clocks",
    judge=judge,
    paths=(_CONTAINER,),
    units=tuple(unit for units in _SERVICES.values() for unit in units),
    packages=tuple(_SERVICES),
    sections=("clock",),
)
