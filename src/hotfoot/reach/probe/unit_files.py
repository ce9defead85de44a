"""Section of the probe: states of systemd units, by what their files say and by what systemd says.

systemd is asked for as little as can be: it looks through all its folders for each unit whose file's state it tells.
"""

import os
import re
from typing import Any

from hotfoot.reach.probe.frame import ask, listed, tell, text_of

# In the order in which systemd looks (systemd.unit(5)): what is found first counts.
_UNIT_FOLDERS = tuple(
    root + "/systemd/" + folder
    for root, folders in (
        ("/etc", ("system.control",)),
        ("/run", ("system.control", "transient", "generator.early")),
        ("/etc", ("system", "system.attached")),
        ("/run", ("system", "system.attached", "generator")),
        ("/usr/local/lib", ("system",)),
        ("/usr/lib", ("system",)),
        ("/lib", ("system",)),
        ("/run", ("generator.late",)),
    )
    for folder in folders
)
_DROP_INS = (".wants", ".requires", ".upholds")
_GENERATED = ("generator", "generator.early", "generator.late")
_WANTED = re.compile(r"^[ \t]*(WantedBy|RequiredBy|UpheldBy|Alias|Also)[ \t]*=", re.MULTILINE)


def units(wanted: "list[str]") -> "dict[str, Any]":
    """Tell the states of systemd units that have a file: ``systemctl show`` is far dearer for many."""
    told = {name: {"name": name, "load": "not-found", "active": "inactive", "enabled": ""} for name in wanted}
    folders = {folder: set(listed(folder)) for folder in _UNIT_FOLDERS}
    ids = {name: unit_id for name, unit_id in ((name, _unit_id(name, folders)) for name in wanted) if unit_id}
    if not ids:
        return told
    there = list(dict.fromkeys(ids.values()))
    out = tell(["systemctl", "list-units", "--all", "--full", "--plain", "--no-legend", "--no-pager", "--"] + there, 5)
    rows = [line.split() for line in out.splitlines()]
    loaded = {row[0]: row[1:3] for row in rows if len(row) > 3}
    links = _links(folders)
    enabled = {unit_id: _file_state(unit_id, folders, links) for unit_id in there}
    enabled.update(_asked_states([unit_id for unit_id in there if enabled[unit_id] is None]))
    for name, unit_id in ids.items():
        state = enabled[unit_id] or ""
        if state == "not-found":  # a link to nowhere
            continue
        load, active = loaded.get(unit_id, ["masked" if state == "masked" else "loaded", "inactive"])
        told[name].update(load=load, active=active, enabled=state)
    return told


def _unit_id(unit: str, folders: "dict[str, set[str]]") -> str:
    """Return the unit that a name stands for, empty if systemd finds no file of it (systemd.unit(5))."""
    template = re.sub(r"@[^.]+\.", "@.", unit) if "@" in unit else unit
    for folder, there in folders.items():
        for name in dict.fromkeys((unit, template)):
            if name in there:
                real = os.path.realpath(os.path.join(folder, name))
                alias = real != os.devnull and name == unit and os.path.splitext(real)[1] == os.path.splitext(unit)[1]
                return os.path.basename(real) if alias and "@." not in os.path.basename(real) else unit
    return ""


def _links(folders: "dict[str, set[str]]") -> "list[tuple[str, str, str]]":
    """Return the links by which units are enabled: the folder of configuration, the link below it, its target."""
    found = []
    for folder in (each for each in folders if each == "/etc/systemd/system" or each.startswith("/run/")):
        names = list(folders[folder])
        names += [f"{name}/{each}" for name in names if name.endswith(_DROP_INS) for each in listed(f"{folder}/{name}")]
        for name in names:
            path = f"{folder}/{name}"
            if os.path.islink(path):
                found.append((folder, name, os.path.basename(os.readlink(path))))
    return found


def _file_state(unit: str, folders: "dict[str, set[str]]", links: "list[tuple[str, str, str]]") -> "str | None":
    """Return what ``systemctl is-enabled`` says of a unit; None where that is not plain from its own file and links."""
    folder = next((folder for folder, there in folders.items() if unit in there), "")
    path = os.path.join(folder, unit)
    runtime = "-runtime" if folder.startswith("/run/") else ""
    text = text_of(path)
    if os.path.realpath(path) == os.devnull or (not text and os.path.isfile(path) and os.path.getsize(path) == 0):
        return "masked" + runtime
    if not text or "@" in unit or any(unit + ".d" in there for there in folders.values()):
        return None
    last = os.path.basename(folder)
    if last in _GENERATED or last == "transient":
        return "transient" if last == "transient" else "generated"
    found = ["/etc" if place.startswith("/etc/") else "/run" for place, name, _ in links if name.endswith("/" + unit)]
    if found:
        return "enabled" if "/etc" in found else "enabled-runtime"
    if os.path.islink(path) or any(target == unit for _, _, target in links):  # linked, or under another name
        return None
    keys = {match.group(1) for match in _WANTED.finditer(text.partition("[Install]")[2])}
    return "indirect" if keys == {"Also"} else "disabled" if keys - {"Also"} else "static"


def _asked_states(units: "list[str]") -> "dict[str, str]":
    if not units:
        return {}
    states = ask(["systemctl", "is-enabled", "--"] + units, 5)[1].splitlines()  # its status is that of disabled ones
    if len(states) != len(units):  # it leaves out those whose file is broken, and does not say which
        show = ["systemctl", "show", "--property=UnitFileState", "--value", "--"]
        states = [tell([*show, unit_id]).strip() for unit_id in units]
    return dict(zip(units, states))  # noqa: B905 (Python 3.6)
