"""Services made to read their configuration again, and never left dead by it: libvirt and SSH above all."""

import os
import re
import socket
import time
from typing import Any, Callable, Dict, List, Optional, Sequence

from hotfoot.prepare.on_host import files, units
from hotfoot.prepare.on_host.ledger import Ledger, runs
from hotfoot.prepare.on_host.programs import Trouble, run, there
from hotfoot.prepare.on_host.systemd import active_units, full_name, guard, order, reload_units, show

PATIENCE_S = 60.0
"""How long libvirt, and sshd, may take to answer after a restart on a busy host, unless systemd gave it up."""
_LIBVIRT_UNITS = ("libvirtd*", "virtqemud*", "virtproxyd*", "virtlogd*", "virtlockd*", "virtnetworkd*",
                  "virtstoraged*", "virtsecretd*", "virtnodedevd*", "virtnwfilterd*", "virtinterfaced*")  # fmt: skip
_LIBVIRT = re.compile(r"(libvirtd|virt(qemu|proxy|network|storage|secret|nodedev|nwfilter|interface)d)\b")
_LIBVIRT_FILES = re.compile(
    r"/etc/libvirt/|/etc/pki/|/etc/(default|sysconfig)/(libvirt|virt)|/etc/sasl2/libvirt|/etc/systemd/system/(libvirt|virt)"
)
_SSH = ("ssh.service", "sshd.service", "ssh", "sshd")
_SSH_FILES = re.compile(r"/etc/ssh/|/etc/systemd/system/sshd?\.|/etc/(default/ssh|sysconfig/sshd)$")
_UNIT_FILES = re.compile(r"/etc/systemd/|/usr/lib/systemd/|/etc/fstab$")


def touches_libvirt(order_: Dict[str, Any]) -> bool:
    """Whether a step may change what libvirt does."""
    step = order_["step"]
    where = str(step.get("path", "")) + " " + str(step.get("unit", ""))
    return step["do"] in ("certificate", "ids") or bool(_LIBVIRT_FILES.search(where) or _LIBVIRT.search(where))


def refresh(ledger: Ledger, step: Dict[str, Any], stage: int) -> None:
    """Restart or reload a unit that runs, when something was changed since it last read its configuration.

    A libvirt daemon or sshd that does not answer with the new configuration gets its old one back (all files of this
    run that it reads), and Trouble says so.
    """
    unit = show(step["unit"])
    is_ssh = unit.name in _SSH or step["unit"] in _SSH
    is_libvirt = bool(_LIBVIRT.match(unit.name))
    if is_ssh:
        _test_sshd(ledger)
    due = unit.runs and _due(unit.entered_us, unit.name, stage, ledger.home)
    family = active_units(*_LIBVIRT_UNITS) if is_libvirt else []
    if due:
        how = step.get("how", "restart")
        guard(unit, "a {}".format(how)) if how == "restart" else None
        if unit.stale:
            reload_units()
        act = ledger.begin("refresh", unit=unit.name, how=how)
        try:
            order("restart" if how == "restart" else "reload-or-restart", unit.name)
        except Trouble as trouble:
            _rescue(ledger, unit.name, is_libvirt, is_ssh, family, str(trouble))
            raise
        ledger.done(act)
    problem = libvirt_problem(unit=unit.name) if is_libvirt else ssh_problem() if is_ssh else ""
    if problem:
        _rescue(ledger, unit.name, is_libvirt, is_ssh, family, problem)


def again(unit_name: str, how: str) -> Optional[str]:
    """Have a unit that runs read its files of before again, once a run is taken back; returns what is wrong."""
    try:
        unit = show(unit_name)
        if unit.runs or unit.active == "failed":
            guard(unit, "a restart")
            order("restart" if how == "restart" else "reload-or-restart", unit.name)
    except Trouble as trouble:
        return str(trouble)
    problem = ""
    if unit.name in _SSH:
        problem = ssh_problem()
    return problem or None


def needs_daemon_reload(paths: Sequence[str]) -> bool:
    """Whether systemd has to read unit files again after these files were put back."""
    return any(_UNIT_FILES.match(path) for path in paths)


def libvirt_problem(patience_s: float = PATIENCE_S, unit: str = "") -> str:
    """Say why libvirt does not answer on this host; empty when it does, and where there is no libvirt.

    Waits no longer once systemd has given up ``unit``.
    """
    if not there("virsh"):
        return ""

    def asks() -> str:
        ran = run(["virsh", "-q", "-r", "-c", "qemu:///system", "version"], patience_s)
        return "" if ran.status == 0 else "libvirt does not answer: {}".format(ran.said)

    return _patiently(asks, patience_s, unit)


def ssh_problem(patience_s: float = PATIENCE_S) -> str:
    """Say why sshd does not answer on its ports of this host; empty when it does."""
    places = _ssh_places()

    def asks() -> str:
        for address, port in places:
            try:
                with socket.create_connection((address, port), 3) as link:
                    link.settimeout(3)
                    if not link.recv(4).startswith(b"SSH-"):
                        return "what listens on port {} is not sshd".format(port)
            except OSError as error:
                return "sshd does not answer on {} port {}: {}".format(address, port, error)
        return ""

    return _patiently(asks, patience_s)


def _patiently(asks: Callable[[], str], patience_s: float, unit: str = "") -> str:
    end = time.monotonic() + patience_s
    while True:
        given_up = bool(unit) and show(unit).active == "failed"
        problem = asks()
        if not problem or given_up or time.monotonic() > end:
            return problem
        time.sleep(0.3)


def _due(entered_us: int, unit: str, stage: int, home: str) -> bool:
    """Whether an act of this phase or an earlier one is younger than the unit's last start or refresh."""
    read = time.time() - (time.monotonic() - entered_us / 1e6)
    acts = [act for run_ in runs(home) for act in Ledger(run_, home).acts()]
    refreshed = [act["done"]["at"] for act in acts if act["act"] == "refresh" and act["unit"] == unit and "done" in act]
    read = max([read] + refreshed)
    return any(act["at"] >= read and act["act"] != "refresh" and act["stage"] % 100 <= stage % 100 for act in acts)


def _test_sshd(ledger: Ledger) -> None:
    ran = run([_sshd(), "-t"], 20)
    if ran.status == 0:
        return
    put_back = _put_back(ledger, _SSH_FILES)
    raise Trouble(
        "sshd refuses its configuration ({}); {}, and sshd was not touched".format(ran.said, _told(put_back, "SSH"))
    )


def _rescue(ledger: Ledger, unit: str, is_libvirt: bool, is_ssh: bool, family: List[str], problem: str) -> None:
    """Put back what this run changed of libvirt or SSH, and raise Trouble; nothing for other services."""
    if is_ssh:
        put_back = _put_back(ledger, _SSH_FILES)
        order("restart", unit)
        raise Trouble(
            "{} with its new configuration; {}; {}".format(problem, _told(put_back, "SSH"), _now(ssh_problem(), "sshd"))
        )
    if not is_libvirt:
        return
    if ledger.answered is False:
        raise Trouble("{}; it did not before this run either, so nothing was put back".format(problem))
    put_back = _put_back(ledger, _LIBVIRT_FILES)
    _start_again(family, unit)
    after = libvirt_problem(unit=unit)
    if after:
        put_back += _units_back(ledger)
        _start_again(family, unit)
        after = libvirt_problem(unit=unit)
    raise Trouble(
        "{} with its new configuration; {}; {}".format(problem, _told(put_back, "libvirt"), _now(after, "libvirt"))
    )


def _put_back(ledger: Ledger, pattern: "re.Pattern[str]") -> List[str]:
    """Take back this run's files of a kind, the newest first; returns their paths."""
    found = []
    for act in ledger.acts():
        if act["act"] == "file" and pattern.match(act["path"]) and files.take_back(ledger, act, force=True) is None:
            ledger.undone(act)
            found.append(act["path"])
    if needs_daemon_reload(found):
        reload_units()
    return found


def _units_back(ledger: Ledger) -> List[str]:
    found = []
    for act in ledger.acts():
        if act["act"] == "unit" and _LIBVIRT.match(act["unit"]) and units.take_back(act, force=True) is None:
            ledger.undone(act)
            found.append(act["unit"])
    return found


def _start_again(family: Sequence[str], unit: str) -> None:
    run(["systemctl", "reset-failed"] + list(_LIBVIRT_UNITS), 30)
    sockets = [name for name in family if name.endswith(".socket")]
    services = [
        name
        for name in dict.fromkeys([full_name(unit)] + list(family))
        if _LIBVIRT.match(name) and name.endswith(".service")
    ]
    if sockets and not show(unit).runs:
        run(["systemctl", "start", "--"] + sockets, 60)
    for name in services:
        run(["systemctl", "restart", "--", name], 60)


def _told(paths: Sequence[str], what: str) -> str:
    if not paths:
        return "this run changed no file of {}".format(what)
    return "{} {} put back".format(", ".join(paths), "was" if len(paths) == 1 else "were")


def _now(problem: str, what: str) -> str:
    return "{} answers again".format(what) if not problem else "yet {}".format(problem)


def _sshd() -> str:
    for path in ("/usr/sbin/sshd", "/usr/local/sbin/sshd"):
        if os.path.exists(path):
            return path
    return "sshd"


def _ssh_places() -> List[Any]:
    found = []
    for line in run([_sshd(), "-T"], 20).out.splitlines():
        match = re.match(r"listenaddress \[?([^\]\s]+?)\]?:(\d+)$", line)
        if match:
            address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(match.group(1), match.group(1))
            found.append((address, int(match.group(2))))
    v4 = [place for place in found if ":" not in place[0]]
    return v4 or found or [("127.0.0.1", 22)]
