"""Users and groups renumbered, all at once, and what they own on local file systems with them.

First all files are listed that will change, while the numbers are still the old ones; then the numbers change; then
the listed files, each from its own old numbers to its own new ones. So two users may swap, and a run that was killed
can be finished or taken back: of each file it is clear which of the two it has.
"""

import fcntl
import glob
import os
import time
from typing import Any, Dict, List, Optional, Sequence, Set

from hotfoot.prepare.on_host import files, owners
from hotfoot.prepare.on_host.ledger import Act, Ledger, runs
from hotfoot.prepare.on_host.programs import Trouble, run, there
from hotfoot.prepare.on_host.systemd import guard, instances, order, show, unit_of

Numbers = Dict[str, List[int]]
"""Old and new number by name."""
_PASSWD, _GROUP = "/etc/passwd", "/etc/group"
_LOCK = "/etc/.pwd.lock"
"""Of useradd and its like: lckpwdf(3)."""
_LOGGED_OUT_S = 20.0
"""systemd keeps the manager of a user who has logged out for 10 s (UserStopDelaySec, logind.conf(5))."""
_DAEMONS = ("libvirtd.service", "virtqemud.service")


def align(ledger: Ledger, step: Dict[str, Any], stop_processes: bool) -> None:
    """Give users and groups their numbers; finishes first what a killed run has left half done."""
    for name in runs(ledger.home):
        if name != ledger.run:
            _finish_of(name, ledger.home)
    _finish(ledger)
    users = _changes(_PASSWD, step.get("users") or {}, "user")
    groups = _changes(_GROUP, step.get("groups") or {}, "group")
    if not users and not groups:
        return
    units = _owners(users, groups, stop_processes)
    name = "ids-{}.jsonl".format(1 + len(glob.glob(ledger.side_file("ids-*.jsonl"))))
    act = ledger.begin(
        "ids", users=users, groups=groups, first=_first_groups(groups), list=name, units=units,
        before={path: _times(path) for path in (_PASSWD, _GROUP)},
    )  # fmt: skip
    try:
        for unit in units:
            order("stop", unit)
        _owners(users, groups, False)
        owners.list_changes(ledger.side_file(name), _by_number(users), _by_number(groups))
    except (Trouble, OSError) as error:
        _start(units)
        ledger.undone(act)
        raise Trouble(str(error)) from None
    _carry_out(ledger, act)


def take_back(ledger: Ledger, act: Act, stop_processes: bool) -> Optional[str]:
    """Give back the old numbers, to users, groups and files; returns why not all of it."""
    users, groups, first = (
        {name: pair[::-1] for name, pair in act[kind].items()} for kind in ("users", "groups", "first")
    )
    try:
        stopped = _owners(_live(users, _PASSWD), _live(groups, _GROUP), stop_processes)
    except Trouble as trouble:
        return str(trouble)
    for unit in stopped:
        order("stop", unit)
    try:
        _renumber(users, groups, first)
        for path, kept in act["before"].items():
            if files.digest(files.content(path)) == kept["sha256"]:
                os.utime(path, ns=(kept["atime_ns"], kept["mtime_ns"]))
        left = owners.give(ledger.side_file(act["list"]), back=True)
    finally:
        _start(stopped + act["units"])
    _tell_daemons()
    return "{} files have another owner since; they were left ({})".format(len(left), left[0]) if left else None


def _finish_of(run_name: str, home: str) -> None:
    other = Ledger(run_name, home)
    if any(act["act"] == "ids" and "done" not in act for act in other.acts()):
        other.open()
        _finish(other)


def _finish(ledger: Ledger) -> None:
    for act in ledger.acts():
        if act["act"] != "ids" or "done" in act:
            continue
        path = ledger.side_file(act["list"])
        if not owners.is_whole(path):  # killed while it listed: nothing was changed yet
            _start(act["units"])
            ledger.undone(act)
        else:
            _carry_out(ledger, act)


def _carry_out(ledger: Ledger, act: Act) -> None:
    try:
        _renumber(act["users"], act["groups"], act["first"])
        left = owners.give(ledger.side_file(act["list"]), back=False)
    finally:
        _start(act["units"])
    _tell_daemons()
    if left:
        raise Trouble("{} files could not be given their new owner, such as {}".format(len(left), left[0]))
    ledger.done(act)


def _start(units: Sequence[str]) -> None:
    for unit in units:
        if not show(unit).runs:
            order("start", unit)


def _first_groups(groups: Numbers) -> Numbers:
    """Old and new number of each user's first group, where that is renumbered."""
    by_number = _by_number(groups)
    found = {}
    for row in _rows(_PASSWD):
        if len(row) > 3 and row[3].isdigit() and int(row[3]) in by_number:
            found[row[0]] = [int(row[3]), by_number[int(row[3])]]
    return found


def _changes(path: str, wanted: Dict[str, int], what: str) -> Numbers:
    now = {row[0]: int(row[2]) for row in _rows(path) if len(row) > 2 and row[2].isdigit()}
    found = {}
    for name, number in wanted.items():
        if name not in now:
            raise Trouble("there is no {} {} in {}".format(what, name, path))
        if now[name] != number:
            found[name] = [now[name], number]
    kept = {number: name for name, number in now.items() if name not in found}
    for name, (_, number) in found.items():
        if number in kept:
            raise Trouble("number {} for {} {} belongs to {} on this host".format(number, what, name, kept[number]))
    return found


def _by_number(numbers: Numbers) -> Dict[int, int]:
    return {old: new for old, new in numbers.values()}  # noqa: C416 - of lists, which dict() does not type


def _live(numbers: Numbers, path: str) -> Numbers:
    """Those changes that are yet to be made: of names that do not have the second number."""
    now = {row[0]: row[2] for row in _rows(path) if len(row) > 2}
    return {name: pair for name, pair in numbers.items() if now.get(name) == str(pair[0])}


def _rows(path: str) -> List[List[str]]:
    data = files.content(os.path.realpath(path)) or b""
    return [line.split(":") for line in data.decode("utf-8", "surrogateescape").splitlines()]


def _owners(users: Numbers, groups: Numbers, stop_processes: bool) -> List[str]:
    """Return the services whose processes belong to the users or groups; raises Trouble unless they may be stopped."""
    found = _staying({pair[0] for pair in users.values()}, {pair[0] for pair in groups.values()})
    if not found:
        return []
    names = ", ".join(sorted(set(users) | set(groups)))
    guests = instances()
    running = sorted({guests[pid] for pid in found if pid in guests})
    if running:
        raise Trouble(
            "{} cannot be renumbered while instances run ({}); move them away first".format(names, ", ".join(running))
        )
    units = sorted({unit_of(pid) for pid in found})
    told = ", ".join(
        "{} ({}{})".format(name, pid, ", " + unit_of(pid) if unit_of(pid) else "")
        for pid, name in list(found.items())[:5]
    )
    if not stop_processes:
        raise Trouble(
            "{} cannot be renumbered while processes run as them: {}; stop them, or give --stop-processes".format(
                names, told
            )
        )
    if not all(_can_stop(unit) for unit in units):
        raise Trouble(
            "{} cannot be renumbered: {} belong to no service that could be stopped; end them first".format(names, told)
        )
    for unit in units:
        guard(show(unit), "a stop")
    return units


def _can_stop(unit: str) -> bool:
    """Whether a unit is a service that can be started again; what systemd-run and users start is gone once stopped."""
    return unit.endswith(".service") and not unit.startswith("user@") and show(unit).enabled != "transient"


def leaves_by_itself(name: str, unit: str) -> bool:
    """Whether a process belongs to a user's manager alone, which ends after the user's last logout.

    It runs in init.scope; a child that it has just made, for its own end too, is still in the manager's service.
    """
    return unit.startswith("user@") or (unit == "init.scope" and name in ("systemd", "(sd-pam)"))


def _staying(uids: Set[int], gids: Set[int]) -> Dict[int, str]:
    """Return the processes of users and groups, having waited for what goes by itself after a logout."""
    end = time.monotonic() + _LOGGED_OUT_S
    while True:
        found = _processes(uids, gids)
        leaving = all(leaves_by_itself(name, unit_of(pid)) for pid, name in found.items())
        if not found or not leaving or time.monotonic() > end:
            return found
        time.sleep(0.5)


def _processes(uids: Set[int], gids: Set[int]) -> Dict[int, str]:
    found = {}
    for path in glob.glob("/proc/[0-9]*/status"):
        try:
            with open(path, errors="replace") as file:
                told = dict(line.split(":", 1) for line in file if ":" in line)
        except OSError:
            continue
        own = {int(number) for number in told.get("Uid", "").split()}
        ours = {int(number) for number in (told.get("Gid", "") + told.get("Groups", "")).split()}
        # Root keeps its rights whatever a group's number is.
        if own & uids or (ours & gids and own != {0}):
            found[int(path.split("/")[2])] = told.get("Name", "?").strip()
    return found


def _renumber(users: Numbers, groups: Numbers, first: Numbers) -> None:
    """Change the numbers in /etc/passwd and /etc/group, of a group also where it is a user's first one."""
    is_new = not os.path.exists(_LOCK)
    held = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _wait_for(held)
        _rewrite(_PASSWD, {2: users, 3: first})
        _rewrite(_GROUP, {2: groups})
    finally:
        if is_new:
            os.unlink(_LOCK)
        os.close(held)
    if there("nscd"):
        for table in ("passwd", "group"):
            run(["nscd", "-i", table], 10)


def _wait_for(lock: int) -> None:
    end = time.monotonic() + 15
    while True:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            if time.monotonic() > end:
                raise Trouble("/etc/passwd is locked by another program; repeat when it has ended") from None
            time.sleep(0.2)


def _rewrite(path: str, fields: Dict[int, Numbers]) -> None:
    real = os.path.realpath(path)
    old = files.content(real) or b""
    lines = []
    for line in old.decode("utf-8", "surrogateescape").splitlines(True):
        row = line.split(":")
        for field, numbers in fields.items():
            if len(row) > field + 1 and row[0] in numbers:
                row[field] = str(numbers[row[0]][1])
        lines.append(":".join(row))
    data = "".join(lines).encode("utf-8", "surrogateescape")
    if data != old:
        files.replace(real, data)


def _times(path: str) -> Dict[str, Any]:
    found = os.stat(path)
    return {"mtime_ns": found.st_mtime_ns, "atime_ns": found.st_atime_ns,
            "sha256": files.digest(files.content(os.path.realpath(path)))}  # fmt: skip


def _tell_daemons() -> None:
    """Restart libvirt's daemons that run: they look up QEMU's numbers once, at their start."""
    for name in _DAEMONS:
        if show(name).runs:
            order("restart", name)
