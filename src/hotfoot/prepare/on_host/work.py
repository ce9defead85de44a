"""What a controller may ask of a host: to carry out steps, to take a run back, to tell what it knows.

The request is one JSON object on one line of standard input; every answer is one JSON object on a line. A ``stop``
on another line, and the end of the input (the link is cut, the controller is gone), end the work after the step
under way: what is begun is always finished, or written down.
"""

import json
import os
import re
import select
import signal
import sys
from functools import partial
from itertools import groupby
from typing import Any, Callable, Dict, List, Optional

from hotfoot.prepare.on_host import (
    closing,
    commands,
    data,
    files,
    ids,
    keys,
    mounts,
    packages,
    paths,
    refresh,
    secret,
    units,
)
from hotfoot.prepare.on_host.ledger import Act, Ledger, lock, runs
from hotfoot.prepare.on_host.programs import Trouble, run
from hotfoot.prepare.on_host.systemd import reload_units

_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}$")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def main() -> None:
    """Read the request, do it, answer."""
    os.chdir("/")
    os.umask(0o022)
    os.environ.update(PATH=_PATH, LC_ALL="C", HOME=os.environ.get("HOME", "/root"))
    for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):  # the end of the input is what counts
        signal.signal(signum, signal.SIG_IGN)
    request = json.loads(_line())
    doing = {
        "apply": _apply,
        "undo": _undo,
        "finish": _finish,
        "confirm": _confirm,
        "runs": _runs,
        "certificates": _certificates,
    }
    try:
        if os.getuid() != 0:
            raise Trouble("changing this host needs root; give ssh.user root, or sudo: true, in the cluster file")
        if not _RUN.match(request.get("run", "none")):
            raise Trouble("{!r} is no name of a run".format(request["run"]))
        doing[request["op"]](request)
    except Trouble as trouble:
        _say(refused=str(trouble))
    except OSError as error:
        _say(refused="{}: {}".format(error.filename or "the host", error.strerror))


def _apply(request: Dict[str, Any]) -> None:
    held = lock(request["run"])
    ledger = Ledger(request["run"])
    if ledger.closed:
        raise Trouble("run {} was taken back on this host; begin a new one".format(request["run"]))
    ledger.open(request.get("controller", ""))
    orders = request["orders"]
    if ledger.answered is None and any(refresh.touches_libvirt(order) for order in orders):
        ledger.note_libvirt(not refresh.libvirt_problem(5.0))
    for order in orders:
        if _asked_to_stop():
            break
        ledger.at_step(order["n"], request["stage"], order["title"])
        ledger.begun = 0
        _say(n=order["n"], state="begun")
        try:
            gives = _step(ledger, order, request)
        except Trouble as trouble:
            _say(n=order["n"], state="failed", problem=str(trouble))
            break
        except Exception as error:
            _say(n=order["n"], state="failed", problem="{}: {}".format(type(error).__name__, error))
            break
        _say(n=order["n"], state="done" if ledger.begun else "unchanged", gives=gives or {})
    held.close()
    _say(ended=True)


def _step(ledger: Ledger, order: Dict[str, Any], request: Dict[str, Any]) -> Optional[Dict[str, str]]:
    """Carry out one step; returns what it gives to others."""
    step = order["step"]
    doing = {
        "edit": partial(files.put_text, ledger, order),
        "put": partial(files.put_text, ledger, order),
        "remove": lambda: files.remove(ledger, step["path"], order["old_sha256"]),
        "mode": lambda: paths.set_outside(ledger, step["path"], step.get("mode"), step.get("owner")),
        "folder": lambda: paths.make_folder(ledger, step["path"], step["mode"], step["owner"]),
        "install": partial(packages.install, ledger, step),
        "unit": partial(units.set_unit, ledger, step),
        "refresh": lambda: refresh.refresh(ledger, step, request["stage"]),
        "ids": partial(ids.align, ledger, step, bool(request.get("stop_processes"))),
        "mount": partial(mounts.mount, ledger, step),
        "move-data": partial(data.move, ledger, step),
        "certificate": partial(keys.put_certificates, ledger, order),
        "ssh-key": partial(keys.make_ssh_key, ledger, step),
        "keyring": partial(keys.put_keyring, ledger, order),
        "secret": partial(secret.define, ledger, order),
        "close-firewall": partial(closing.close_firewall, ledger, step),
        "command": partial(commands.command, ledger, step),
    }  # type: Dict[str, Callable[[], Optional[Dict[str, str]]]]
    if step["do"] not in doing:
        raise Trouble("this version does not know how to do {!r}".format(step["do"]))
    return doing[step["do"]]()


def _undo(request: Dict[str, Any]) -> None:
    """Take back the acts of one stage, the newest first; what reads files again waits for ``_finish``."""
    held = lock(request["run"])
    ledger = Ledger(request["run"])
    if not ledger.started:
        raise Trouble("this host knows no run {}".format(request["run"]))
    ledger.open()
    force = bool(request.get("force"))
    _refuse_if_built_upon(ledger, force)
    written: List[str] = []
    for _, acts in groupby(ledger.acts(), key=lambda act: (act["stage"], act["n"])):
        mine = [act for act in acts if act["stage"] == request["stage"] and not _waits(act)]
        if not mine:
            continue
        if _asked_to_stop():
            break
        problems = []
        for act in mine:
            problem = _attempt(partial(_take_back, ledger, act, force, bool(request.get("stop_processes"))))
            if problem is not None:
                problems.append(problem)
            elif act["act"] != "mount":  # that is taken back once fstab is, too
                ledger.undone(act)
        written += [act["path"] for act in mine if act["act"] == "file"]
        kinds = sorted({act["act"] for act in mine})
        _say(title=mine[0]["title"], state="left" if problems else "undone", problem="; ".join(problems), acts=kinds)
    if refresh.needs_daemon_reload(written):  # or a service that starts now would mount again what it required
        reload_units()
    held.close()
    _say(ended=True)


def _take_back(ledger: Ledger, act: Act, force: bool, stop_processes: bool) -> Optional[str]:
    kind = act["act"]
    if kind == "file":
        return files.take_back(ledger, act, force)
    if kind == "outside":
        return paths.take_back_outside(act, force)
    if kind == "folder":
        return paths.take_back_folder(act)
    if kind == "packages":
        return packages.take_back(act, force)
    if kind == "unit":
        return units.take_back(act, force)
    if kind == "ids":
        return ids.take_back(ledger, act, stop_processes)
    if kind == "mount":
        return mounts.take_back(act)
    if kind == "move-data":
        return data.take_back(ledger, act, force)
    if kind == "closed":
        return closing.take_back(act)
    if kind == "secret":
        return secret.take_back(ledger, act, force)
    if kind == "command":
        return commands.take_back(act)
    return "this version does not know how to take back {!r}".format(kind)


def _waits(act: Act) -> bool:
    return act["act"] == "refresh" or commands.reads_again(act)


def _finish(request: Dict[str, Any]) -> None:
    """Have services read the files of before again, mount what was mounted before, and close the run."""
    held = lock(request["run"])
    ledger = Ledger(request["run"])
    if not ledger.started or ledger.closed:
        _say(ended=True)
        return
    ledger.open()
    reload_units()
    again: Dict[str, Optional[str]] = {}
    for act in ledger.acts()[::-1]:
        problem: Optional[str] = None
        if act["act"] == "mount":
            if not mounts.is_taken_back(act):  # it could not be unmounted, which was told already
                continue
            problem = _attempt(partial(mounts.finish, act))
        elif commands.reads_again(act):
            ran = run(act["undo"], act["timeout_s"])
            problem = ran.said if ran.status != 0 and "done" in act else None
        elif act["act"] == "refresh":
            if act["unit"] not in again:
                again[act["unit"]] = _attempt(partial(refresh.again, act["unit"], act["how"]))
            problem = again[act["unit"]]
        else:
            continue
        if problem is None:
            ledger.undone(act)
        _say(title=act["title"], state="left" if problem else "undone", problem=problem or "")
    if ledger.answered:
        problem = refresh.libvirt_problem()
        if problem:
            _say(title="libvirt", state="left", problem=problem)
    if not ledger.acts():
        ledger.close()
    held.close()
    _say(ended=True)


def _attempt(doing: Callable[[], Optional[str]]) -> Optional[str]:
    try:
        return doing()
    except Trouble as trouble:
        return str(trouble)
    except Exception as error:
        return "{}: {}".format(type(error).__name__, error)


def _refuse_if_built_upon(ledger: Ledger, force: bool) -> None:
    """A run is taken back after those that changed the same later; else they would lie on nothing."""
    mine = {_thing(act) for act in ledger.acts()}
    for name in runs(ledger.home):
        other = Ledger(name, ledger.home)
        if other.started <= ledger.started or name == ledger.run or force:
            continue
        both = sorted((mine & {_thing(act) for act in other.acts()}) - {""})
        if both:
            raise Trouble("run {} changed {} after this one; take that back first".format(name, both[0]))


def _thing(act: Act) -> str:
    """Name what an act changed, empty where runs do not get in each other's way."""
    kind = act["act"]
    if kind in ("file", "outside", "mount", "move-data"):
        return str(act["path"])
    if kind == "secret":
        return "the secret {}".format(act["uuid"])
    return "the numbers of users" if kind == "ids" else ""


def _runs(request: Dict[str, Any]) -> None:
    """Tell all runs of this host: what of them can be taken back, by stage."""
    for name in runs():
        ledger = Ledger(name)
        acts = ledger.acts()
        _say(
            run=name,
            started=ledger.started,
            controller=ledger.controller,
            closed=ledger.closed,
            stages=sorted({act["stage"] for act in acts}),
            titles=list(dict.fromkeys(act["title"] for act in acts[::-1])),
        )
    _say(ended=True)


def _confirm(request: Dict[str, Any]) -> None:
    """Keep the firewall's new rules: that this is asked shows that the controller is let in."""
    closing.confirm(request["table"], request["mark"])
    _say(ended=True)


def _certificates(request: Dict[str, Any]) -> None:
    for place in request["places"]:
        _say(place=place, **keys.certificates(place))
    _say(ended=True)


_INPUT: List[bytes] = [b""]


def _line() -> str:
    """Read the next line of the input, to its end."""
    while b"\n" not in _INPUT[0]:
        block = os.read(0, 1 << 16)
        if not block:
            sys.exit(3)
        _INPUT[0] += block
    line, _, _INPUT[0] = _INPUT[0].partition(b"\n")
    return line.decode("utf-8")


def _asked_to_stop() -> bool:
    """Whether the controller said to stop, or is no longer there."""
    if b"\n" in _INPUT[0]:
        return True
    ready, _, _ = select.select([0], [], [], 0)
    return bool(ready)  # whatever more it has to say, it is that; or it is the end of the input


def _say(**answer: Any) -> None:
    data = (json.dumps(answer) + "\n").encode("ascii")
    try:
        while data:
            data = data[os.write(1, data) :]
    except OSError:  # nobody listens any more: the end of the input tells so too
        pass
