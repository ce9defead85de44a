"""Units brought into a state, and back into the one before: links by links, not by ``systemctl disable``."""

import glob
import os
from typing import Any, Dict, List, Optional

from hotfoot.prepare.on_host.ledger import Act, Ledger
from hotfoot.prepare.on_host.programs import Trouble, must
from hotfoot.prepare.on_host.systemd import Unit, full_name, guard, order, reload_units, show

_ROOT = "/etc/systemd/system"
_NOT_TO_ENABLE = ("enabled", "enabled-runtime", "static", "indirect", "alias", "generated", "linked", "transient")


def set_unit(ledger: Ledger, step: Dict[str, Any]) -> None:
    """Unmask, enable or disable, start or stop, mask a unit: what of it is not so already."""
    unit = show(full_name(step["unit"]))
    if unit.stale:
        reload_units()
        unit = show(unit.name)
    verbs = _verbs(unit, step)
    runs = step.get("running")
    change = runs is not None and runs != unit.runs
    if not verbs and not change:
        return
    if unit.load == "not-found" and (runs or step.get("enabled")):
        raise Trouble("there is no unit {} on this host; is its package installed?".format(unit.name))
    if change and not runs:
        guard(unit, "a stop")
    act = ledger.begin("unit", unit=unit.name, ran=unit.runs, links=_links(), folders=_folders())
    before = act["links"]
    for verb in [verb for verb in verbs if verb != "mask"]:
        must(["systemctl", verb, "--", unit.name], "`systemctl {} {}` failed".format(verb, unit.name), 60)
    if change:
        start(unit) if runs else stop(unit)
    if "mask" in verbs:
        must(["systemctl", "mask", "--", unit.name], "`systemctl mask {}` failed".format(unit.name), 60)
    ledger.done(act, changed=_changed(before, _links()))


def start(unit: Unit) -> None:
    """Start a unit; a socket whose service runs already is started around it, which systemd refuses otherwise."""
    service = _running_service(unit)
    if service is None:
        order("start", unit.name)
        return
    guard(service, "a restart")
    order("stop", service.name)
    try:
        order("start", unit.name)
    finally:
        order("start", service.name)


def stop(unit: Unit) -> None:
    """Stop a unit; the service of a socket, which holds what listens too, is restarted without it."""
    service = _running_service(unit)
    if service is not None:
        guard(service, "a restart")
    order("stop", unit.name)
    if service is not None:
        order("restart", service.name)


def take_back(act: Act, force: bool) -> Optional[str]:
    """Give a unit its links and its state of before; returns why not."""
    unit = show(act["unit"])
    if unit.runs and not act["ran"]:
        guard(unit, "a stop")
        stop(unit)
    changed = act["done"]["changed"] if "done" in act else _changed(act["links"], _links())
    left = [path for path, (was, became) in sorted(changed.items()) if not _put_link(path, was, became, force)]
    for folder in sorted(set(_folders()) - set(act["folders"]), reverse=True):
        if not os.listdir(folder):
            os.rmdir(folder)
    reload_units()
    if act["ran"] and not show(act["unit"]).runs:
        start(show(act["unit"]))
    return "{} was changed since by somebody else; it was left as it is".format(", ".join(left)) if left else None


def _verbs(unit: Unit, step: Dict[str, Any]) -> List[str]:
    masked = unit.load == "masked" or unit.enabled.startswith("masked")
    verbs = []
    if step.get("masked") is False and masked:
        verbs.append("unmask")
    if step.get("enabled") is True and unit.enabled not in _NOT_TO_ENABLE:
        verbs.append("enable")
    if step.get("enabled") is False and unit.enabled.startswith(("enabled", "linked")):
        verbs.append("disable")
    if step.get("masked") is True and not masked:
        verbs.append("mask")
    return verbs


def _running_service(unit: Unit) -> Optional[Unit]:
    if not unit.name.endswith(".socket"):
        return None
    found = [show(name) for name in unit.triggers if name.endswith(".service")]
    return next((each for each in found if each.runs), None)


def _links() -> Dict[str, str]:
    """All links by which units are enabled and masked, sysv's too, with their targets."""
    found = {}
    for folder, folders, names in os.walk(_ROOT):
        for name in folders + names:
            path = os.path.join(folder, name)
            if os.path.islink(path):
                found[path] = os.readlink(path)
    for path in glob.glob("/etc/rc[S0-6].d/*"):
        if os.path.islink(path):
            found[path] = os.readlink(path)
    return found


def _folders() -> List[str]:
    return [os.path.join(folder, name) for folder, names, _ in os.walk(_ROOT) for name in names
            if not os.path.islink(os.path.join(folder, name))]  # fmt: skip


def _changed(before: Dict[str, str], after: Dict[str, str]) -> Dict[str, List[Optional[str]]]:
    paths = set(before) | set(after)
    return {path: [before.get(path), after.get(path)] for path in paths if before.get(path) != after.get(path)}


def _put_link(path: str, was: Optional[str], became: Optional[str], force: bool) -> bool:
    now = os.readlink(path) if os.path.islink(path) else None
    if now == was:
        return True
    if now != became and not force:
        return False
    if now is not None:
        os.unlink(path)
    if was is not None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(was, path)
    return True
