"""Having libvirt listen through a socket of systemd's, or no more: changes that leave instances running.

systemd refuses to start a socket while its service runs, and the service holds what it was given until it ends. So it
is stopped and started again; QEMU processes outlive it. Tried with libvirt 11.3 and systemd 257, with an instance
running and with certificates that libvirt refuses.
"""

from __future__ import annotations

from hotfoot.readiness.change import Change, Command, Phase, SetUnit, Step
from hotfoot.readiness.daemons import Daemons, masked
from hotfoot.readiness.facts import HostFacts
from hotfoot.readiness.libvirt_mistakes import comes_back

_HOW = "its service is stopped and started again, instances run on"


def opened(host: HostFacts, daemons: Daemons, unit: str, *, by_itself: bool) -> tuple[Change, ...]:
    """Return what has libvirt listen through a socket unit, now and after a reboot.

    Nothing where libvirt would not come back. ``by_itself`` tells that the local sockets are masked, so that libvirtd
    listens without systemd until now.
    """
    if not comes_back(host):
        return ()
    unmask = tuple(
        _change(host, SetUnit(unit=each, masked=False, enabled=True)) for each in daemons.local_sockets if by_itself
    )
    opening, closing = _scripts(daemons, unit)
    listen = Command(
        title=f"have libvirt listen through {unit} ({_HOW})",
        argv=("sh", "-c", opening),
        done_if=("systemctl", "is-active", "--quiet", unit),
        undo=("sh", "-c", closing),
        timeout_s=120.0,
    )
    return (*unmask, _change(host, SetUnit(unit=unit, enabled=True)), _change(host, listen))


def closed(host: HostFacts, daemons: Daemons, unit: str) -> tuple[Change, ...]:
    """Return what has libvirt listen no more through a socket unit, now and after a reboot."""
    if not comes_back(host):
        return ()
    opening, closing = _scripts(daemons, unit)
    stop = Command(
        title=f"have libvirt listen no more through {unit} ({_HOW})",
        argv=("sh", "-c", closing),
        done_if=("sh", "-c", f"! systemctl is-active --quiet {unit}"),
        undo=("sh", "-c", opening),
        timeout_s=120.0,
    )
    return _change(host, SetUnit(unit=unit, enabled=False)), _change(host, stop)


def started(host: HostFacts, daemons: Daemons) -> tuple[Change, ...]:
    """Return what has libvirt answer on its host again, and from other hosts where that is enabled."""
    names = tuple(dict.fromkeys((daemons.qemu, daemons.proxy)))
    local = [f"{name}{suffix}.socket" for name in names for suffix in ("", "-ro", "-admin")]
    listening = [daemons.listening_socket(transport) for transport in ("tls", "tcp")]
    every = " ".join([*(f"{name}.service" for name in names), *local, *listening])
    script = (
        f"systemctl reset-failed {every} 2>/dev/null; systemctl stop {every} 2>/dev/null;"
        f" for each in {' '.join(listening)}; do systemctl is-enabled --quiet $each && systemctl start $each; done;"
        f" systemctl start {' '.join(local)}"
    )
    start = Command(
        title="start libvirt's sockets, forgiving it what failed before",
        argv=("sh", "-c", script),
        done_if=("virsh", "-r", "-c", "qemu:///system", "version"),
        timeout_s=120.0,
    )
    unmask = tuple(_change(host, SetUnit(unit=each, masked=False)) for each in local if masked(host, each))
    enable = tuple(_change(host, SetUnit(unit=f"{name}.socket", enabled=True)) for name in names)
    return (*unmask, *enable, _change(host, start))


def _scripts(daemons: Daemons, unit: str) -> tuple[str, str]:
    """Return what opens a listening socket, and what closes it.

    The local sockets are stopped, too, lest a client wakes the service in between; the other listening socket, which
    stops with them, is started again where it was active. Whatever fails, libvirt answers on the host afterwards,
    also where systemd would think that it was started too often.
    """
    service, local = daemons.proxy_service, " ".join(daemons.local_sockets)
    other = next(each for each in map(daemons.listening_socket, ("tls", "tcp")) if each != unit)
    look = f"other=; if systemctl is-active --quiet {other}; then other={other}; fi"
    stop = f"systemctl stop {service} {local}; systemctl reset-failed {service} {local} {unit} {other} 2>/dev/null"
    start = f"systemctl start $other {local} {service}"
    tried = f"if systemctl start {unit} && {start}; then exit 0; fi"
    opening = f"{look}; {stop}; {tried}; systemctl stop {unit}; {stop}; {start}; exit 1"
    closing = f"{look}; systemctl stop {unit}; {stop}; {start}"
    return opening, closing


def _change(host: HostFacts, step: Step) -> Change:
    return Change(host=host.host, phase=Phase.LIBVIRT, step=step)
