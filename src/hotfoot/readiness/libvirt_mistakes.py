"""Mistakes in a configuration file of libvirt: what it cannot read, settings of a wrong type, names it does not know.

What each does was seen on libvirt 11.3: with a file that cannot be read, or a value of the wrong type, the daemon ends
at its next start (for qemu.conf some moments later, and again and again); a name that it does not know is passed over
in silence. So a daemon with such a file is not restarted for anything else: what runs goes on until it is mended.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from hotfoot.readiness.change import Change, EditFile, Phase, Refresh
from hotfoot.readiness.daemons import QEMU_CONF, daemons_of
from hotfoot.readiness.edit import Edit, EnsureLine, RemoveKey, SetKey, apply
from hotfoot.readiness.facts import HostFacts
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.libvirt_conf import Settings, Value, read
from hotfoot.readiness.libvirt_keys import DAEMON_CONF, Kind
from hotfoot.readiness.libvirt_keys import QEMU_CONF as QEMU_KEYS

_WORDS: Mapping[Kind, str] = {
    "switch": "0 or 1",
    "number": "a number without quotes",
    "string": "a string in quotes",
    "list": "a list in brackets",
}
_SWITCHES = {"0": "0", "no": "0", "false": "0", "off": "0", "1": "1", "yes": "1", "true": "1", "on": "1"}


def mistakes(topic: str, host: HostFacts, path: str, service: str) -> Iterator[Finding]:
    """Yield what is wrong with the form of one file of a host, which ``service`` reads.

    What is meant beyond doubt (a value whose quotes or brackets are missing) is mended; all else is a person's.
    """
    keys = QEMU_KEYS if path == QEMU_CONF else DAEMON_CONF
    text = host.text(path)
    settings = read(text)
    repair = _line_repair(text, settings, keys)
    wrong = dict(_wrong_types(settings, keys))
    repairs: dict[str, Edit | None] = {name: _type_repair(name, settings.values[name], wrong[name]) for name in wrong}
    edits = [edit for edit in (repair, *repairs.values()) if edit is not None]
    others = (each for each in _files(host) if each != path)
    whole = _is_right(apply(text, edits), keys) and all(_right(host, each) for each in others)
    again = (Change(host=host.host, phase=Phase.LIBVIRT, step=Refresh(unit=service)),) if whole else ()
    if settings.problem:
        yield _unreadable(topic, host, path, service, settings, (*_edit(host, path, repair), *again) if repair else ())
    for name in settings.values:
        if name in wrong:
            own = repairs[name]
            changes = (*_edit(host, path, own), *again) if own else ()
            yield _wrong_type(topic, host, path, wrong[name], service, settings, name, changes)
        elif name not in keys:
            yield _unknown(topic, host, path, keys, settings, name)


def refresh(host: HostFacts, service: str) -> tuple[Change, ...]:
    """Return the change that has a daemon of libvirt's read its files again; none where it would not come back."""
    if not comes_back(host):
        return ()
    return (Change(host=host.host, phase=Phase.LIBVIRT, step=Refresh(unit=service)),)


def comes_back(host: HostFacts) -> bool:
    """Whether libvirt can read all of its files, so that it starts again after it was stopped."""
    return all(_right(host, path) for path in _files(host))


def _files(host: HostFacts) -> tuple[str, ...]:
    daemons = daemons_of(host)
    return tuple(dict.fromkeys((QEMU_CONF, daemons.qemu_daemon_conf, daemons.proxy_conf)))


def _right(host: HostFacts, path: str) -> bool:
    return _is_right(host.text(path), QEMU_KEYS if path == QEMU_CONF else DAEMON_CONF)


def _is_right(text: str, keys: Mapping[str, Kind]) -> bool:
    settings = read(text)
    return not settings.problem and not any(_wrong_types(settings, keys))


def _wrong_types(settings: Settings, keys: Mapping[str, Kind]) -> Iterator[tuple[str, Kind]]:
    for name, value in settings.values.items():
        if name in keys and not _fits(value, keys[name]):
            yield name, keys[name]


def _type_repair(name: str, value: Value, kind: Kind) -> Edit | None:
    match kind, value:
        case "switch", str() if value.lower() in _SWITCHES:
            return SetKey(key=name, value=_SWITCHES[value.lower()])
        case "number", str() if value.isdigit():
            return SetKey(key=name, value=value)
        case "string", int():
            return SetKey(key=name, value=f'"{value}"')
        case "list", str():
            return SetKey(key=name, value=f'[ "{value}" ]')
    return None


def _line_repair(text: str, settings: Settings, keys: Mapping[str, Kind]) -> Edit | None:
    """Put quotes and the equals sign where they are missing, if that makes the line one that libvirt reads."""
    if not settings.problem:
        return None
    line = _line(text, settings)
    found = re.fullmatch(r"\s*(?P<name>\w+)\s*[=:]?\s*[\"']?(?P<value>[\w./:@%+-]+)[\"']?\s*", line)
    kind = keys.get(found["name"]) if found else None
    if found is None or kind not in ("switch", "number", "string"):
        return None
    value = found["value"]
    written = f'"{value}"' if kind == "string" else _SWITCHES.get(value.lower(), "") if kind == "switch" else value
    mended = f"{found['name']} = {written}"
    if not _is_right(mended, keys):
        return None
    return EnsureLine(line=mended, instead_of=f"^{re.escape(line)}$")


def _line(text: str, settings: Settings) -> str:
    """Return the line that libvirt could not read."""
    number, lines = _number(settings), text.splitlines()
    return lines[number - 1] if number <= len(lines) else ""


def _number(settings: Settings) -> int:
    return int(settings.problem.partition(":")[0].removeprefix("line "))


def _edit(host: HostFacts, path: str, edit: Edit) -> tuple[Change, ...]:
    return (Change(host=host.host, phase=Phase.LIBVIRT, step=EditFile(path=path, edits=(edit,))),)


def _unreadable(
    topic: str, host: HostFacts, path: str, service: str, settings: Settings, changes: tuple[Change, ...]
) -> Finding:
    line = _line(host.text(path), settings).strip() or "(end of the file)"
    return Finding(
        code=f"{topic}.unreadable",
        severity=Severity.BLOCKS,
        host=host.host,
        what=f"{path} on {host.host} cannot be read by libvirt.",
        evidence=f"{path}, {settings.problem}: {line}",
        why=f"At its next start {service} refuses the file, and no instance can be managed or moved there.",
        remedy=f"Mend that line of {path} on {host.host}; `systemctl restart {service}` then proves it.",
        changes=changes,
    )


def _unknown(
    topic: str, host: HostFacts, path: str, keys: Mapping[str, Kind], settings: Settings, name: str
) -> Finding:
    near = get_close_matches(name, keys, n=1, cutoff=0.85)
    meant = f"; {near[0]} is perhaps meant" if near else ""
    return Finding(
        code=f"{topic}.unknown-setting",
        severity=Severity.DANGEROUS if near else Severity.ADVICE,
        host=host.host,
        what=f"{path} on {host.host} has a setting that libvirt does not know: {name}{meant}.",
        evidence=f"{path}, line {settings.lines[name]}: {settings.shown(name)}",
        why="libvirt passes over names that it does not know without a word: what the line was to do does not happen.",
        remedy=f"Correct the name to {near[0]}, or take the line out." if near else "Take the line out.",
        # A name misspelt is left to a person: only they know whether it is to be mended or to go.
        changes=() if near else _edit(host, path, RemoveKey(key=name)),
    )


def _wrong_type(
    topic: str,
    host: HostFacts,
    path: str,
    kind: Kind,
    service: str,
    settings: Settings,
    name: str,
    changes: tuple[Change, ...],
) -> Finding:
    return Finding(
        code=f"{topic}.wrong-type",
        severity=Severity.BLOCKS,
        host=host.host,
        what=f"{name} in {path} on {host.host} must be {_WORDS[kind]}.",
        evidence=f"{path}, line {settings.lines[name]}: {settings.shown(name)}",
        why=f"At its next start {service} refuses the file, and no instance can be managed or moved there.",
        remedy=f"Write the value of {name} as {_WORDS[kind]}, or take the line out.",
        changes=changes,
    )


def _fits(value: Value, kind: Kind) -> bool:
    match kind:
        case "switch":
            return value in (0, 1) and isinstance(value, int)
        case "number":
            return isinstance(value, int)
        case "string":
            return isinstance(value, str)
        case "list":
            return isinstance(value, tuple) and all(isinstance(each, str) for each in value)
        case "any":
            return True
