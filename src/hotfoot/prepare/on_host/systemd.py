"""systemd: what a unit is, what runs below it, and what must never be stopped."""

import glob
import os
import re
from typing import Dict, List, NamedTuple, Optional, Tuple

from hotfoot.prepare.on_host.programs import Ran, Trouble, lines_of, run

_SHOWN = (
    "Id,LoadState,ActiveState,UnitFileState,NeedDaemonReload,ControlGroup,KillMode,Triggers,"
    "ActiveEnterTimestampMonotonic"
)
# What systemd itself logs of a unit: that it failed is known, why it failed is what the unit said.
_CHATTER = re.compile(
    r"(Start|Stopp|Failed to start|Finished|Reload|Scheduled|.*: (Main|Failed|Deact|Scheduled|Consumed))"
)
# Stopping them ends instances, or cuts them off, whatever their control groups say.
_NEVER = {
    "libvirt-guests.service": "its stop shuts the instances down",
    "virtlogd.service": "QEMU writes its log through it",
    "virtlockd.service": "it holds the locks of the instances' disks",
    "openvswitch-switch.service": "it carries the instances' network",
    "openvswitch.service": "it carries the instances' network",
    "ovs-vswitchd.service": "it carries the instances' network",
    "networking.service": "it carries the instances' network",
    "glusterfsd.service": "it serves the instances' disks",
}


class Unit(NamedTuple):
    """A unit as ``systemctl show`` tells."""

    name: str
    load: str
    active: str
    enabled: str
    stale: bool
    group: str
    kill_mode: str
    triggers: Tuple[str, ...]
    entered_us: int
    """When it became active, on the monotonic clock; 0: it is not."""

    @property
    def runs(self) -> bool:
        """Whether it is up, or on its way up."""
        return self.active in ("active", "reloading", "activating")


def full_name(name: str) -> str:
    """Return a unit's name with its type."""
    return (
        name
        if re.search(r"\.(service|socket|target|timer|mount|path|slice|scope|swap|automount)$", name)
        else name + ".service"
    )


def show(name: str) -> Unit:
    """Return what a unit is; raises Trouble without systemd."""
    ran = run(["systemctl", "show", "-p", _SHOWN, "--", full_name(name)], 30)
    if ran.status != 0:
        raise Trouble("systemd does not answer: {}".format(ran.said))
    told = dict(line.partition("=")[::2] for line in ran.out.splitlines())
    return Unit(
        name=told.get("Id") or full_name(name),
        load=told.get("LoadState", ""),
        active=told.get("ActiveState", ""),
        enabled=told.get("UnitFileState", ""),
        stale=told.get("NeedDaemonReload") == "yes",
        group=told.get("ControlGroup", ""),
        kill_mode=told.get("KillMode", ""),
        triggers=tuple(told.get("Triggers", "").split()),
        entered_us=int(told.get("ActiveEnterTimestampMonotonic") or 0),
    )


def active_units(*patterns: str) -> List[str]:
    """Names of units that are up, of those whose name fits one of the patterns."""
    ran = run(
        ["systemctl", "list-units", "--state=active", "--plain", "--no-legend", "--no-pager"] + list(patterns), 30
    )
    return [line.split()[0] for line in lines_of(ran.out)]


def reload_units() -> None:
    """Have systemd read unit files and fstab again."""
    run(["systemctl", "daemon-reload"], 60)


def order(verb: str, unit: str, timeout_s: float = 150.0) -> None:
    """Start, stop, restart, reload a unit; raises Trouble with the unit's own last words."""
    if verb != "stop":  # several starts in a row are meant: systemd's limit of them is for services that crash
        run(["systemctl", "reset-failed", "--", unit], 30)
    ran = run(["systemctl", verb, "--", unit], timeout_s)
    if ran.status != 0:
        raise Trouble("`systemctl {} {}` failed: {}".format(verb, unit, last_words(unit, ran)))


def last_words(unit: str, ran: Ran) -> str:
    """Return what a unit last logged, else what systemctl said."""
    log = run(["journalctl", "-u", unit, "-n", "12", "-o", "cat", "--no-pager", "-q"], 10).out
    told = [line for line in lines_of(log) if not _CHATTER.match(line)]
    text = " / ".join(told[-2:]) or ran.said
    return text if len(text) <= 300 else text[:297] + "..."


def guard(unit: Unit, what: str) -> None:
    """Raise Trouble when stopping or restarting a unit would harm instances that run on this host."""
    running = instances()
    if not running:
        return
    names = ", ".join(sorted(running.values()))
    if unit.name in _NEVER:
        raise Trouble(
            "{} of {} is refused while instances run here ({}): {}; move them away first".format(
                what, unit.name, names, _NEVER[unit.name]
            )
        )
    if unit.kill_mode in ("process", "none") or not unit.group:
        return
    below = sorted(name for pid, name in running.items() if _is_below(pid, unit.group))
    if below:
        raise Trouble(
            "{} of {} is refused: it would end the instances {}; move them away first".format(
                what, unit.name, ", ".join(below)
            )
        )


def instances() -> Dict[int, str]:
    """Return the names of the instances that run here, by the PID of their QEMU."""
    found = {}
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        program = os.path.basename(words[0]).decode("utf-8", "replace")
        if not re.match(r"qemu-system-|qemu-kvm$", program) or b"-name" not in words:
            continue
        name = words[words.index(b"-name") + 1].decode("utf-8", "replace")
        found[int(path.split("/")[2])] = re.sub(r"^guest=|,.*$", "", name)
    return found


def unit_of(pid: int) -> str:
    """Return the service or scope in which a process runs, empty when it cannot be told."""
    for part in reversed(_group_of(pid).split("/")):
        if part.endswith((".service", ".scope")):
            return part
    return ""


def escaped_mount(path: str) -> Optional[str]:
    """Return the name of the mount unit for a folder."""
    ran = run(["systemd-escape", "--path", "--suffix=mount", path], 10)
    return ran.out.strip() or None if ran.status == 0 else None


def _group_of(pid: int) -> str:
    try:
        with open("/proc/{}/cgroup".format(pid)) as file:
            rows = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return ""
    # With both versions of cgroups mounted, systemd may keep its units in either.
    paths = [path for _, controllers, path in rows if controllers in ("", "name=systemd")]
    return max(paths or [""], key=lambda path: (".service" in path or ".scope" in path, len(path)))


def _is_below(pid: int, group: str) -> bool:
    mine = _group_of(pid)
    return mine == group or mine.startswith(group.rstrip("/") + "/")
