"""A plan as an Ansible playbook, for people who keep their hosts with that. Pure: a plan in, YAML out.

A play for each phase, so that all hosts finish one before any begins the next; a task that is the same on several
hosts stands there once. It holds no secret. INI files with sections are edited by community.general.ini_file.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from io import StringIO
from itertools import pairwise
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import LiteralScalarString

from hotfoot.prepare.export_data import moving
from hotfoot.prepare.export_shell import (
    CERTIFICATES,
    KEY_MARK,
    SECRET_MARK,
    changed_lines,
    declarations,
    on_hosts,
    unit_verbs,
    words,
)
from hotfoot.readiness.change import (
    AlignIds,
    CloseFirewall,
    Command,
    EditFile,
    Install,
    MakeCertificate,
    MakeFolder,
    MakeSshKey,
    Mount,
    MoveData,
    PutFile,
    Refresh,
    RemoveFile,
    SetMode,
    SetUnit,
    Step,
)
from hotfoot.readiness.edit import Edit, EnsureLine, RemoveKey, RemoveLines, SetKey
from hotfoot.readiness.plan import Plan, PlannedChange

Task = dict[str, Any]
_HEAD = """\
# What `hotfoot prepare` would do, as a playbook. The inventory names the hosts as the cluster file does.
# It keeps no journal: `hotfoot prepare --undo` can take back what hotfoot did, not what this did.
"""
_RENUMBER = """\
set -eu
work=$(mktemp -d)
roots=$(findmnt -rno TARGET -t ext2,ext3,ext4,xfs,btrfs,f2fs,overlay,zfs)
lists() { for root in $roots; do find "$root" -xdev "$1" "$2" -print0; done; }
"""


def ansible(plan: Plan) -> str:
    """Return the playbook; ``ansible-playbook --syntax-check`` accepts it."""
    declared = declarations(plan)
    plan = on_hosts(plan)
    plays = []
    for phase in dict.fromkeys(change.phase for change in plan.changes):
        here = [change for change in plan.changes if change.phase is phase]
        hosts = list(dict.fromkeys(change.host for change in here))
        by_host = {host: [task for each in here if each.host == host for task in _tasks(each)] for host in hosts}
        plays.append(
            {
                "name": f"Hotfoot: {words(phase)}",
                "hosts": ",".join(hosts),
                "become": True,
                "gather_facts": False,
                "any_errors_fatal": True,
                "tasks": [_where(task, on, hosts) for task, on in _merged(by_host)],
            }
        )
    yaml = YAML()
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = StringIO()
    yaml.dump(plays, out)
    left = "".join(f"# Left to a person on {each.host}: {' '.join(each.why.split())}\n" for each in plan.obstacles)
    left += "".join(f"# {line}\n" for line in declared)
    return _HEAD + left + out.getvalue()


def _where(task: Task, on: Sequence[str], hosts: Sequence[str]) -> Task:
    if list(on) == list(hosts):
        return task
    named = json.dumps(list(on))
    return {**task, "when": f"inventory_hostname in {named}"}


def _merged(by_host: dict[str, list[Task]]) -> list[tuple[Task, list[str]]]:
    """Put the same tasks of several hosts together, where each host's order allows it."""
    keys = {host: [json.dumps(task, sort_keys=True) for task in tasks] for host, tasks in by_host.items()}
    tasks = {key: task for host in by_host for key, task in zip(keys[host], by_host[host], strict=True)}
    on = {key: [host for host in by_host if key in keys[host]] for key in tasks}
    before: dict[str, set[str]] = {key: set() for key in tasks}
    for own in keys.values():
        for first, second in pairwise(own):
            before[second].add(first)
    try:
        return [(tasks[key], on[key]) for key in TopologicalSorter(before).static_order()]
    except CycleError:  # the hosts have the same tasks in different orders
        return [(task, [host]) for host, own in by_host.items() for task in own]


def _tasks(change: PlannedChange) -> Iterator[Task]:
    step = change.step
    name = change.title[:1].upper() + change.title[1:]
    match step:
        case EditFile() if not KEY_MARK.search(change.new_text or ""):
            yield from _edits(step, exists=bool(change.old_sha256))
        case EditFile() | PutFile():
            yield from _whole(step, change, name)
        case RemoveFile(path=path):
            yield {"name": name, "ansible.builtin.file": {"path": path, "state": "absent"}}
        case SetMode(path=path, mode=mode, owner=owner):
            yield {"name": name, "ansible.builtin.file": {"path": path, **_attributes(mode, owner)}}
        case MakeFolder(path=path, mode=mode, owner=owner):
            # Not the module file: that would take a folder back from whom a later step gave it to.
            user, _, group = owner.partition(":")
            argv = ["install", "-d", "-m", f"{mode:04o}", "-o", user, "-g", group, path]
            yield {"name": name, "ansible.builtin.command": {"argv": argv, "creates": path}}
        case _:
            yield from _other_tasks(name, step)


def _other_tasks(name: str, step: Step) -> Iterator[Task]:
    """Return the tasks of a step that is about no file in particular."""
    match step:
        case Install(packages=packages):
            yield {"name": name, "ansible.builtin.package": {"name": list(packages), "state": "present"}}
        case SetUnit():
            yield {"name": name, "ansible.builtin.systemd": _unit(step)}
        case Refresh(unit=unit, how=how):
            verb = "try-restart" if how == "restart" else "try-reload-or-restart"
            yield {"name": name, "ansible.builtin.command": {"argv": ["systemctl", verb, unit]}}
        case AlignIds():
            yield {"name": name, "ansible.builtin.shell": LiteralScalarString(_renumbering(step))}
        case Mount(path=path, again=again):
            again_first = (
                f"if mountpoint -q {shlex.quote(path)}; then umount {shlex.quote(path)}; fi; " if again else ""
            )
            script = (
                f"systemctl daemon-reload; {again_first}mountpoint -q {shlex.quote(path)} || mount {shlex.quote(path)}"
            )
            yield {"name": name, "ansible.builtin.shell": script}
        case MoveData():
            yield {
                "name": name,
                "ansible.builtin.shell": LiteralScalarString(_literal(moving(step))),
                "register": "hotfoot_move",
                "changed_when": "hotfoot_move.stdout != ''",
            }
        case MakeSshKey(user=user, path=path):
            yield from _ssh_key(name, user, path)
        case MakeCertificate(place=place):
            # With TLS switched on and no certificates libvirt would not start again: the play ends here without.
            yield {
                "name": f"Have certificates for {place} (hotfoot prepare --topic certificates makes them)",
                "ansible.builtin.command": {"argv": ["test", "-e", CERTIFICATES[place]]},
                "changed_when": False,
            }
        case CloseFirewall(path=path):  # without the trial, which is Hotfoot's own; they keep nobody from SSH
            yield {
                "name": f"Load the rules of {path}",
                "ansible.builtin.command": {"argv": ["nft", "-f", path]},
                "changed_when": False,
            }
        case Command():
            yield _command(name, step)
        case _:
            yield {"name": name, "ansible.builtin.debug": {"msg": f"Left to hotfoot prepare: {name}"}}


def _edits(step: EditFile, *, exists: bool) -> Iterator[Task]:
    attributes = _attributes(step.mode, step.owner)
    if not exists or attributes:
        made = {"access_time": "preserve", "modification_time": "preserve"} | (attributes or {"mode": "0644"})
        yield {
            "name": f"Have {step.path}",
            "ansible.builtin.file": {"path": step.path, "state": "file" if exists else "touch"}
            | ({} if exists else made)
            | attributes,
        }
    for edit in step.edits:
        yield _edit(step.path, edit)


def _edit(path: str, edit: Edit) -> Task:
    line = "ansible.builtin.lineinfile"
    match edit:
        case SetKey(section=None, key=key, value=value):
            pattern = rf"^\s*{_escaped(key)}\s*="
            example = rf"^#\s*{_escaped(key)}\s*="
            wanted = {"path": path, "regexp": pattern, "line": f"{key} = {value}", "insertafter": example}
            return {"name": f"Set {key} in {path}", line: wanted}
        case SetKey(section=section, key=key, value=value):
            option = {"path": path, "section": section, "option": key, "value": value, "no_extra_spaces": False}
            return {"name": f"Set [{section}] {key} in {path}", "community.general.ini_file": option}
        case RemoveKey(section=None, key=key):
            wanted = {"path": path, "regexp": rf"^\s*{_escaped(key)}\s*=", "state": "absent"}
            return {"name": f"Take {key} out of {path}", line: wanted}
        case RemoveKey(section=section, key=key):
            option = {"path": path, "section": section, "option": key, "state": "absent"}
            return {"name": f"Take [{section}] {key} out of {path}", "community.general.ini_file": option}
        case EnsureLine(line=text, instead_of=pattern):
            wanted = {"path": path, "line": _literal(text)} | ({"regexp": _literal(pattern)} if pattern else {})
            return {"name": f"Have a line in {path}", line: wanted}
        case RemoveLines(matching=pattern):
            wanted = {"path": path, "regexp": _literal(pattern), "state": "absent"}
            return {"name": f"Take lines out of {path}", line: wanted}


def _whole(step: EditFile | PutFile, change: PlannedChange, name: str) -> Iterator[Task]:
    text = change.new_text or ""
    if SECRET_MARK.search(text):
        lines = "; ".join(changed_lines(change.diff))
        message = f"{step.path} holds secrets, so that it is left to hotfoot prepare: {lines}"
        yield {"name": name, "ansible.builtin.debug": {"msg": _literal(message)}}
        return
    pieces = KEY_MARK.split(text)  # text, host, text, host ... text
    content = "".join(
        f"{{{{ hostvars[{json.dumps(piece)}].hotfoot_public_key.stdout }}}}" if number % 2 else _literal(piece)
        for number, piece in enumerate(pieces)
    )
    shown = LiteralScalarString(content) if content.endswith("\n") else content
    attributes = _attributes(step.mode, step.owner) or {"mode": "preserve" if change.old_sha256 else "0644"}
    copied = {"dest": step.path, "content": shown, **attributes}
    folder = step.path.rpartition("/")[0]
    if not change.old_sha256 and folder.endswith(".d"):  # of drop-ins, which may be the first there
        yield {"name": f"Have {folder}", "ansible.builtin.file": {"path": folder, "state": "directory"}}
    if step.check:
        copied["validate"] = shlex.join(step.check).replace("'{}'", "%s").replace("{}", "%s")
    yield {"name": name, "ansible.builtin.copy": copied}


def _literal(text: str) -> str:
    """Keep Ansible's templates out of a text that happens to look like one."""
    if not any(opening in text for opening in ("{{", "{%", "{#")):
        return text
    return "{% raw %}" + text + "{% endraw %}"


def _escaped(key: str) -> str:
    return "".join(f"\\{letter}" if letter in ".^$*+?()[]{}|\\" else letter for letter in key)


def _attributes(mode: int | None, owner: str | None) -> dict[str, str]:
    found = {} if mode is None else {"mode": f"{mode:04o}"}
    if owner is not None:
        user, _, group = owner.partition(":")
        found |= {"owner": user, "group": group}
    return found


def _unit(step: SetUnit) -> dict[str, Any]:
    verbs = unit_verbs(step)
    found: dict[str, Any] = {"name": step.unit}
    if "start" in verbs or "stop" in verbs:
        found["state"] = "started" if "start" in verbs else "stopped"
    if step.enabled is not None:
        found["enabled"] = step.enabled
    if step.masked is not None:
        found["masked"] = step.masked
    return found


def _ssh_key(name: str, user: str, path: str) -> Iterator[Task]:
    folder = path.rpartition("/")[0]
    argv = ["runuser", "-u", user, "--", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path]
    made = {"path": folder, "state": "directory", "mode": "0700", "owner": user}
    yield {"name": f"Make the folder {folder}", "ansible.builtin.file": made}
    yield {"name": name, "ansible.builtin.command": {"argv": argv, "creates": path}}
    yield {
        "name": f"Read {path}.pub",
        "ansible.builtin.command": {"argv": ["cut", "-d ", "-f1,2", f"{path}.pub"]},
        "register": "hotfoot_public_key",
        "changed_when": False,
    }


def _command(name: str, step: Command) -> Task:
    if step.done_if:
        script = f"{shlex.join(step.done_if)} >/dev/null 2>&1 || {shlex.join(step.argv)}"
        task: Task = {"name": name, "ansible.builtin.shell": _literal(script)}
    else:
        task = {"name": name, "ansible.builtin.command": {"argv": [_literal(word) for word in step.argv]}}
    if step.patience_s:
        tries = max(1, round(step.patience_s))
        task |= {"register": "hotfoot_step", "until": "hotfoot_step is succeeded", "retries": tries, "delay": 1}
    return task


def _renumbering(step: AlignIds) -> str:
    """Return a script that gives users and groups their numbers, by way of spare ones, and their files."""
    find, spare, final = [], [], []
    wishes = [("-u", "usermod", "chown", name, number) for name, number in step.users.items()]
    wishes += [("-g", "groupmod", "chgrp", name, number) for name, number in step.groups.items()]
    for count, (flag, tool, owner, name, number) in enumerate(wishes):
        quoted, file = shlex.quote(name), f'"$work/{count}"'
        old = f"$(id -u {quoted})" if flag == "-u" else f"$(getent group {quoted} | cut -d: -f3)"
        differs = f'[ "{old}" = {number} ]'
        if flag == "-u":
            busy = f"echo processes of {quoted} run >&2; exit 1"
            find.append(f'{differs} || ! ps -o pid= -u "{old}" | grep -q . || {{ {busy}; }}')
        test = "-uid" if flag == "-u" else "-gid"
        find.append(f'{differs} || lists {test} "{old}" >{file}')
        spare.append(f"[ ! -e {file} ] || {tool} {flag} {61000 + count} {quoted}")
        change = f"{tool} {flag} {number} {quoted}; xargs -0r {owner} -h {quoted} <{file}"
        final.append(f"[ ! -e {file} ] || {{ {change}; }}")
    return _RENUMBER + "\n".join([*find, *spare, *final, 'rm -r "$work"']) + "\n"
