"""A plan as a POSIX shell script, for people who prefer to run what they can read. Pure: a plan in, text out.

One script for all hosts: ``sh FILE HOST PHASE`` does one phase on the host that it runs on. It holds no secret: where
a step needs one (certificates, keys, lines of files with passwords in them) it says what is left to do, and without
certificates it ends before anything is switched on that needs them.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterator

from hotfoot.prepare.export_data import moving
from hotfoot.readiness.change import (
    CONTROLLER,
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
    Phase,
    PutFile,
    Refresh,
    RemoveFile,
    SetMode,
    SetUnit,
    Step,
)
from hotfoot.readiness.plan import Plan, PlannedChange

SECRET_MARK = re.compile(r"@secret:\d+@")
KEY_MARK = re.compile(r"\{\{public-key:([^}]+)\}\}")

CERTIFICATES = {"libvirt": "/etc/pki/libvirt/servercert.pem", "qemu": "/etc/pki/qemu/server-cert.pem"}
"""A file that is there once a host has its certificates, by their place."""

_HEAD = """\
#!/bin/sh
# What `hotfoot prepare` would do, as a script. As root on each host: sh FILE HOST PHASE, phase by phase; all hosts
# finish one phase before any begins the next. Without PHASE all phases are done at once, which is right for one host.
# Phases: {phases}
# What is done already is left alone. It keeps no journal: `hotfoot prepare` can take its changes back, this cannot.
set -eu
host=${{1:?which host is this? One of: {hosts}}}
phase=${{2:-all}}
case " {hosts} " in *" $host "*) ;; *) echo "$0: no host $host: {hosts}" >&2; exit 2 ;; esac

say() {{ echo "$host: $*"; }}
todo() {{ echo "$host: LEFT TO DO: $*" >&2; }}
need() {{ [ -e "$1" ] || {{ todo "$2"; exit 1; }}; }}
in_phase() {{ [ "$phase" = all ] || [ "$phase" = "$1" ]; }}
sum() {{ if [ -e "$1" ]; then sha256sum <"$1" | cut -d' ' -f1; fi; }}

# put PATH MODE OWNER OLD-SHA256 NEW-SHA256 TEXT: empty MODE or OWNER: as it is
put() {{
    [ "$(sum "$1")" = "$5" ] || {{
        [ "$(sum "$1")" = "$4" ] || {{ echo "$host: $1 was changed since this script was made" >&2; exit 1; }}
        say "write $1"
        mkdir -p "$(dirname "$1")"
        if [ -e "$1" ]; then cp -p "$1" "$1.hotfoot-new"; else : >"$1.hotfoot-new"; fi
        printf %s "$6" >"$1.hotfoot-new"
        mv "$1.hotfoot-new" "$1"
    }}
    [ -z "$2" ] || chmod "$2" "$1"
    [ -z "$3" ] || chown "$3" "$1"
}}

# patient SECONDS COMMAND...: again until it succeeds or the time is over
patient() {{
    end=$(($(date +%s) + $1)); shift
    until "$@"; do [ "$(date +%s)" -lt "$end" ] || return 1; sleep 1; done
}}

install_packages() {{
    if command -v apt-get >/dev/null; then
        DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
    else
        dnf install -y "$@"
    fi
}}

# renumber NAME=UID... / NAME=GID...: all at once, so that two may swap; then the files on local file systems
renumber() {{
    wanted=$1 groups=$2 work=$(mktemp -d) changed=no
    local_roots=$(findmnt -rno TARGET -t ext2,ext3,ext4,xfs,btrfs,f2fs,overlay,zfs)
    for pair in $wanted; do
        name=${{pair%%=*}} new=${{pair#*=}} old=$(id -u "$name")
        [ "$old" = "$new" ] && continue
        if ps -o pid= -u "$old" | grep -q .; then echo "$host: processes of $name run; end them first" >&2; exit 1; fi
        for root in $local_roots; do find "$root" -xdev -uid "$old" -print0; done >"$work/u.$name"
    done
    for pair in $groups; do
        name=${{pair%%=*}} new=${{pair#*=}} old=$(getent group "$name" | cut -d: -f3)
        [ "$old" = "$new" ] && continue
        for root in $local_roots; do find "$root" -xdev -gid "$old" -print0; done >"$work/g.$name"
    done
    spare=61000
    for list in "$work"/*; do
        [ -e "$list" ] || continue
        changed=yes spare=$((spare + 1)) name=${{list##*/?.}}
        case $list in */u.*) usermod -u "$spare" "$name" ;; *) groupmod -g "$spare" "$name" ;; esac
    done
    for pair in $groups; do
        name=${{pair%%=*}} list=$work/g.${{pair%%=*}}
        [ ! -e "$list" ] || {{ groupmod -g "${{pair#*=}}" "$name"; xargs -0r chgrp -h "$name" <"$list"; }}
    done
    for pair in $wanted; do
        name=${{pair%%=*}} list=$work/u.${{pair%%=*}}
        [ ! -e "$list" ] || {{ usermod -u "${{pair#*=}}" "$name"; xargs -0r chown -h "$name" <"$list"; }}
    done
    rm -r "$work"
    [ "$changed" = no ] || say "renumbered $wanted $groups"
}}
"""


def shell(plan: Plan) -> str:
    """Return the script; sh -n accepts it, and it does nothing for what is as it should be."""
    declared = declarations(plan)
    plan = on_hosts(plan)
    hosts = list(dict.fromkeys(change.host for change in plan.changes))
    phases = list(dict.fromkeys(change.phase for change in plan.changes))
    numbered = ", ".join(f"{int(phase)} {words(phase)}" for phase in phases) or "none"
    parts = [_HEAD.format(phases=numbered, hosts=" ".join(hosts))]
    for phase in phases:
        for host in hosts:
            here = [change for change in plan.changes if (change.phase, change.host) == (phase, host)]
            lines = [line for change in here for line in _lines(change)]
            if lines:
                guard = f'if [ "$host" = {shlex.quote(host)} ] && in_phase {int(phase)}; then'
                if phase > Phase.TRUST:
                    # With TLS switched on and no certificates libvirt would not start again.
                    lines = [*_certified(plan, host), *lines]
                parts.append("\n".join([f"\n# {words(phase)}, on {host}", guard, *lines, "fi"]) + "\n")
    parts.extend(f"# Left to a person on {each.host}: {_comment(each.why)}\n" for each in plan.obstacles)
    parts.extend(f"# {line}\n" for line in declared)
    return "".join(parts)


def on_hosts(plan: Plan) -> Plan:
    """Return a plan without what is done on the controller."""
    return plan.model_copy(update={"changes": tuple(each for each in plan.changes if each.host != CONTROLLER)})


def declarations(plan: Plan) -> list[str]:
    """Return what an export leaves out: the lines for the cluster file, and what to do with them."""
    found = [each for each in plan.changes if each.host == CONTROLLER]
    lines = [line for each in found for line in changed_lines(each.diff)]
    what_to_do = "Left to a person: write into the cluster file, and export again, since more follows from it:"
    return [what_to_do, *lines] if lines else []


def words(phase: Phase) -> str:
    """Return a phase's name in words.

    >>> words(Phase.STORAGE_SERVERS)
    'storage servers'
    """
    return phase.name.lower().replace("_", " ")


def _certified(plan: Plan, host: str) -> list[str]:
    steps = [each.step for each in plan.changes if each.host == host and isinstance(each.step, MakeCertificate)]
    return [line for step in steps for line in _tool_lines("", step)]


def _lines(change: PlannedChange) -> Iterator[str]:
    yield f"# {_comment(change.title)} ({', '.join(change.codes)})"
    match change.step:
        case EditFile() | PutFile():
            yield from _file(change)
        case RemoveFile() | SetMode() | MakeFolder():
            yield from _local_lines(change.step)
        case CloseFirewall(path=path):
            yield "# here without the trial, which is Hotfoot's own: these rules keep nobody from SSH"
            yield f"nft -f {shlex.quote(path)}"
        case _:
            yield from _tool_lines(change.title, change.step)


def _local_lines(step: RemoveFile | SetMode | MakeFolder) -> Iterator[str]:
    quote = shlex.quote
    match step:
        case RemoveFile(path=path):
            yield f"rm -f {quote(path)}"
        case SetMode(path=path, mode=mode, owner=owner):
            if mode is not None:
                yield f"chmod {mode:04o} {quote(path)}"
            if owner is not None:
                yield f"chown {quote(owner)} {quote(path)}"
        case MakeFolder(path=path, mode=mode, owner=owner):
            own = f"chown {quote(owner)} {quote(path)}; chmod {mode:04o} {quote(path)}"
            yield f"[ -d {quote(path)} ] || {{ mkdir -p {quote(path)}; {own}; }}"


def _tool_lines(title: str, step: Step) -> Iterator[str]:
    quote = shlex.quote
    match step:
        case Install(packages=packages):
            yield f"install_packages {shlex.join(packages)}"
        case SetUnit():
            yield from (f"systemctl --quiet {verb} {quote(step.unit)}" for verb in unit_verbs(step))
        case Refresh(unit=unit, how="restart"):
            yield f"systemctl try-restart {quote(unit)}"
        case Refresh(unit=unit):
            yield f"if systemctl --quiet is-active {quote(unit)}; then systemctl reload {quote(unit)}; fi"
        case AlignIds(users=users, groups=groups):
            yield renumbering(users, groups)
        case Mount(path=path, again=again):
            yield "systemctl daemon-reload"
            if again:
                yield f"if mountpoint -q {quote(path)}; then umount {quote(path)}; fi"
            yield f"mountpoint -q {quote(path)} || mount {quote(path)}"
        case MoveData():
            yield f"(\n{moving(step)})"
        case MakeSshKey(user=user, path=path):
            folder = path.rpartition("/")[0]
            made = f"mkdir -p -m 0700 {quote(folder)} && ssh-keygen -q -t ed25519 -N '' -f {quote(path)}"
            yield f"[ -e {quote(path)} ] || runuser -u {quote(user)} -- sh -c {quote(made)}"
        case MakeCertificate(place=place):
            yield f'need {CERTIFICATES[place]} "certificates for {place}: hotfoot prepare --topic certificates"'
        case Command():
            yield command_line(step)
        case _:
            yield f"todo {quote(title)}"


def _file(change: PlannedChange) -> Iterator[str]:
    step = change.step
    assert isinstance(step, EditFile | PutFile)
    text = change.new_text or ""
    if SECRET_MARK.search(text) or KEY_MARK.search(text):
        why = "it holds secrets" if SECRET_MARK.search(text) else "it needs public keys of other hosts"
        yield f"todo {shlex.quote(f'{step.path}: {why}, so that this script cannot write it; hotfoot prepare can:')}"
        yield from (f"#   {line}" for line in changed_lines(change.diff))
        return
    new = hashlib.sha256(text.encode()).hexdigest()
    mode, owner = step.mode, step.owner
    if not change.old_sha256:
        mode, owner = mode if mode is not None else 0o644, owner or "root:root"
    given = [step.path, "" if mode is None else f"{mode:04o}", owner or "", change.old_sha256, new, text]
    yield f"put {shlex.join(given)}"


def changed_lines(diff: str) -> list[str]:
    """Return the added and removed lines of a diff; a secret among them is a mark already."""
    return [line for line in diff.splitlines() if line[:1] in ("+", "-") and not line.startswith(("+++", "---"))]


def unit_verbs(step: SetUnit) -> list[str]:
    """Return what systemctl has to do, in order."""
    wishes = (
        (step.masked is False, "unmask"),
        (step.enabled is True, "enable"),
        (step.enabled is False, "disable"),
        (step.running is True, "start"),
        (step.running is False, "stop"),
        (step.masked is True, "mask"),
    )
    return [verb for wish, verb in wishes if wish]


def renumbering(users: dict[str, int], groups: dict[str, int]) -> str:
    """Return the call of the script's ``renumber``."""
    lists = (" ".join(f"{name}={number}" for name, number in ids.items()) for ids in (users, groups))
    return f"renumber {' '.join(shlex.quote(each) for each in lists)}"


def command_line(step: Command) -> str:
    """Return a line that does the step unless it is done, patiently where it asks for that."""
    call = shlex.join(step.argv)
    if step.patience_s:
        call = f"patient {step.patience_s:.0f} {call}"
    return f"{shlex.join(step.done_if)} >/dev/null 2>&1 || {call}" if step.done_if else call


def _comment(text: str) -> str:
    return " ".join(text.split())
