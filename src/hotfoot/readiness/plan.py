"""The plan: all changes that the findings ask for, merged, in a safe order, with what each will write."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict

from hotfoot.cluster.declare_cpu import with_cpu
from hotfoot.cluster.text import ClusterText
from hotfoot.readiness import cephfs_mount
from hotfoot.readiness.change import (
    CONTROLLER,
    AlignIds,
    Change,
    CloseFirewall,
    Command,
    DeclareCpu,
    DefineSecret,
    EditFile,
    Install,
    MakeCertificate,
    MakeFolder,
    MakeSshKey,
    Mount,
    MoveData,
    Phase,
    PutFile,
    PutKeyring,
    Refresh,
    RemoveFile,
    SetMode,
    SetUnit,
    Step,
)
from hotfoot.readiness.edit import apply
from hotfoot.readiness.facts import Facts, HostFacts
from hotfoot.readiness.finding import Finding


class PlannedChange(BaseModel):
    """One step of a plan: which findings ask for it, and what it will write."""

    model_config = ConfigDict(frozen=True)

    host: str
    phase: Phase
    step: Step
    codes: tuple[str, ...]
    """Codes of the findings that it mends."""
    title: str
    """What it does, in a few words."""
    diff: str = ""
    """Unified diff of what it writes; empty where it writes no file or the file is secret."""
    new_text: str | None = None
    """The whole new text of an edited or put file, with marks in place of secrets."""
    old_sha256: str = ""
    """Of the file that the diff starts from: the applier refuses one that was changed meanwhile. Empty: no file."""


class Obstacle(BaseModel):
    """A finding whose change cannot be planned, and why."""

    model_config = ConfigDict(frozen=True)

    code: str
    host: str
    why: str


class Plan(BaseModel):
    """Changes in the order in which they are made; ``obstacles`` are left to a person."""

    model_config = ConfigDict(frozen=True)

    changes: tuple[PlannedChange, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()


def plan(findings: Iterable[Finding], facts: Facts, declared: ClusterText | None = None) -> Plan:
    """Merge the findings' changes; those of the cluster file only where it is given.

    Invariants: each file of a host is written at most once in a plan, by all edits that concern it, in its earliest
    phase; a step that several findings ask for is taken once; within a phase services are refreshed last; the same
    findings and facts give the same plan.
    """
    asked: dict[tuple[str, str], list[tuple[Change, str]]] = {}
    for finding in findings:
        for change in finding.changes:
            asked.setdefault(_key(change), []).append((change, finding.code))
    hosts = facts.by_name
    order = {host: i for i, host in enumerate(hosts)}
    planned: list[PlannedChange] = []
    obstacles: list[Obstacle] = []
    for wishes in asked.values():
        first, code = wishes[0]
        found: PlannedChange | None = None
        try:
            if isinstance(first.step, DeclareCpu):
                found = _declaration(first.step, [each for _, each in wishes], declared) if declared else None
            elif first.host in hosts:
                found = _merged(wishes, hosts[first.host])
        except ValueError as error:
            path = declared.path if declared and first.host == CONTROLLER else getattr(first.step, "path", "")
            obstacles.append(Obstacle(code=code, host=first.host, why=f"{path} cannot be edited: {error}."))
            continue
        if found is not None:
            planned.append(found)
    # A stable sort: steps of one phase and host keep the order in which their findings came.
    planned.sort(key=lambda each: (each.phase, _place(each.step), order.get(each.host, 0)))
    return Plan(changes=tuple(planned), obstacles=tuple(obstacles))


def _place(step: Step) -> int:
    """Mounts follow what fstab says, whichever finding asked first; services are refreshed last."""
    if isinstance(step, EditFile) and step.path == "/etc/fstab":
        return 0
    return 2 if isinstance(step, Refresh) else 1


def _key(change: Change) -> tuple[str, str]:
    step = change.step
    if isinstance(step, EditFile | PutFile | RemoveFile):
        return change.host, f"file {step.path}"
    if isinstance(step, Install):
        return change.host, "install"
    if isinstance(step, Refresh):
        return change.host, f"refresh {step.unit} {int(change.phase)}"
    return change.host, step.model_dump_json()


def _merged(wishes: Sequence[tuple[Change, str]], facts: HostFacts) -> PlannedChange | None:
    changes = [change for change, _ in wishes]
    phase = min(change.phase for change in changes)
    codes = tuple(dict.fromkeys(code for _, code in wishes))
    step = changes[0].step
    if isinstance(step, EditFile | PutFile | RemoveFile):
        return _file(facts, phase, codes, [change.step for change in changes])
    if isinstance(step, Install):
        wanted = [change.step for change in changes if isinstance(change.step, Install)]
        names = sorted({name for install in wanted for name in install.packages})
        step = Install(packages=tuple(names))
    elif isinstance(step, Refresh):
        hows = {change.step.how for change in changes if isinstance(change.step, Refresh)}
        step = Refresh(unit=step.unit, how="restart" if "restart" in hows else "reload")
    return PlannedChange(host=facts.host, phase=phase, step=step, codes=codes, title=title(step))


def _declaration(step: DeclareCpu, codes: Sequence[str], declared: ClusterText) -> PlannedChange:
    new = with_cpu(declared.text, step.model, step.features)
    return PlannedChange(
        host=CONTROLLER,
        phase=Phase.CLUSTER_FILE,
        step=step,
        codes=tuple(dict.fromkeys(codes)),
        title=title(step),
        diff=diff(str(declared.path), declared.text, new, around=0),  # what is beside it may hold a password
        new_text=new,
        old_sha256=declared.sha256,
    )


def _file(facts: HostFacts, phase: Phase, codes: tuple[str, ...], steps: Sequence[Step]) -> PlannedChange | None:
    """Compose all that is asked of one file; None where it is as it should be already."""
    path = steps[0].path  # type: ignore[union-attr]
    now = facts.files.get(path)
    if now is not None and now.exists and now.content is None:
        raise ValueError("it is larger than 256 KiB or not text")
    old = (now.content or "") if now and now.exists else ""
    new: str | None = old
    mode: int | None = None
    owner: str | None = None
    check: tuple[str, ...] = ()
    for step in steps:
        if isinstance(step, RemoveFile):
            new = None
            continue
        if isinstance(step, PutFile):
            new = step.content
        elif isinstance(step, EditFile):
            new = apply(new or "", step.edits)
        if isinstance(step, PutFile | EditFile):
            mode, owner, check = step.mode or mode, step.owner or owner, step.check or check
    if new is None and not (now and now.exists):
        return None
    same_owner = owner is None or (now is not None and owner == facts.owner_of(now.uid, now.gid))
    if new == old and now is not None and now.exists and mode in (None, now.mode) and same_owner:
        return None
    final = _final(path, steps, new, mode, owner, check)
    return PlannedChange(
        host=facts.host,
        phase=phase,
        step=final,
        codes=codes,
        title=title(final),
        diff=diff(path, old, new),
        new_text=new,
        old_sha256=now.sha256 if now and now.exists else "",
    )


def _final(
    path: str, steps: Sequence[Step], new: str | None, mode: int | None, owner: str | None, check: tuple[str, ...]
) -> Step:
    if new is None:
        return RemoveFile(path=path)
    if all(isinstance(step, EditFile) for step in steps):
        edits = tuple(edit for step in steps if isinstance(step, EditFile) for edit in step.edits)
        return EditFile(path=path, edits=tuple(dict.fromkeys(edits)), mode=mode, owner=owner, check=check)
    return PutFile(path=path, content=new, mode=mode or 0o644, owner=owner or "root:root", check=check)


def diff(path: str, old: str, new: str | None, around: int = 3) -> str:
    """Return a unified diff, as diff -u prints it, with so many lines around; empty where nothing differs."""
    before, after = (text.splitlines(keepends=True) for text in (old, new or ""))
    names = (path if old else "/dev/null", path if new is not None else "/dev/null")
    found = difflib.unified_diff(before, after, *names, n=around)
    return "".join(line if line.endswith("\n") else line + "\n" for line in found)


def title(step: Step) -> str:
    """Say in a few words what a step does.

    >>> title(Install(packages=("nfs-common",)))
    'install nfs-common'
    """
    match step:
        case EditFile() | PutFile() | RemoveFile():
            return f"{'remove' if isinstance(step, RemoveFile) else 'write'} {step.path}"
        case SetMode():
            wanted = [f"mode {step.mode:04o}"] if step.mode is not None else []
            return f"give {step.path} {' and '.join([*wanted, *([f'owner {step.owner}'] if step.owner else [])])}"
        case MakeFolder():
            return f"make the folder {step.path}"
        case Install():
            return f"install {' '.join(step.packages)}"
        case SetUnit():
            wanted = [
                word
                for flag, word in (
                    (step.masked is False, "unmask"),
                    (step.enabled is True, "enable"),
                    (step.enabled is False, "disable"),
                    (step.running is True, "start"),
                    (step.running is False, "stop"),
                    (step.masked is True, "mask"),
                )
                if flag
            ]
            return f"{' and '.join(wanted)} {step.unit}"
        case Refresh():
            return f"{step.how} {step.unit} if it runs"
        case AlignIds():
            users = [f"user {name} {uid}" for name, uid in step.users.items()]
            groups = [f"group {name} {gid}" for name, gid in step.groups.items()]
            return f"renumber {', '.join((*users, *groups))} and what they own"
        case Mount():
            return f"mount {step.path}{' again' if step.again else ''}"
        case MoveData():
            share = "CephFS" if step.source in cephfs_mount.FUSE_SOURCES else step.source
            return f"move what is in {step.path} to {share}, keep the old in {step.keep}, and mount"
        case (
            MakeCertificate()
            | MakeSshKey()
            | PutKeyring()
            | CloseFirewall()
            | DefineSecret()
            | DeclareCpu()
            | Command()
        ):
            return _special_title(step)


def _special_title(
    step: MakeCertificate | MakeSshKey | PutKeyring | CloseFirewall | DefineSecret | DeclareCpu | Command,
) -> str:
    match step:
        case MakeCertificate():
            return f"issue certificates for {step.place}"
        case MakeSshKey():
            return f"make an SSH key for {step.user}"
        case PutKeyring():
            return f"write {step.path} with the key of {step.entity}"
        case CloseFirewall():
            return f"try the rules of {step.path}, and keep them once this machine is let in anew"
        case DefineSecret():
            return f"have libvirt hold the secret {step.uuid} ({step.kind}: {step.usage})"
        case DeclareCpu():
            return f"declare the CPU {step.model} in the cluster file"
        case Command():
            return step.title
