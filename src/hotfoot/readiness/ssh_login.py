"""Logins between hosts: the migration user's account, its key on each host, and who is let in by which key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hotfoot.readiness.change import Change, Command, EditFile, MakeFolder, MakeSshKey, Phase, SetMode, Step
from hotfoot.readiness.edit import EnsureLine
from hotfoot.readiness.facts import Facts, HostFacts, PathFact, UserFact
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.identity import may_log_in
from hotfoot.readiness.listing import listed

_SHELL = "/bin/sh"
_WHY = (
    "Nova moves and resizes instances by SSH, and libvirt goes by it where the transport is ssh; nobody is there to"
    " type a password (the OpenStack guide to configuring SSH between compute nodes)."
)


def account(host: HostFacts, name: str) -> Iterator[Finding]:
    """Judge the migration user's account on a host."""
    user = host.identity.user(name) if host.identity else None
    if user is None:
        yield Finding(
            code="ssh.no-user",
            severity=Severity.BLOCKS,
            host=host.host,
            what=f"{host.host} has no user {name}, who is to log in from host to host.",
            evidence=f"/etc/passwd of {host.host} lacks {name}",
            why=_WHY,
            remedy=f"Make the user {name} on {host.host} (Nova's packages make nova), or declare another one in the"
            " cluster file (migration: {user: ...}).",
        )
        return
    if not user.home or user.home == "/" or user.home.startswith("/nonexistent"):
        yield Finding(
            code="ssh.no-home",
            severity=Severity.BLOCKS,
            host=host.host,
            what=f"{name} on {host.host} has no home, where its keys could be.",
            evidence=f"home of {name}: {user.home or '(none)'}",
            why=_WHY,
            remedy=f"Give it one on {host.host}: usermod -d /var/lib/{name} {name}, a folder that belongs to {name}.",
        )
    if not may_log_in(user.shell):
        yield Finding(
            code="ssh.no-shell",
            severity=Severity.BLOCKS,
            host=host.host,
            what=f"{name} on {host.host} has no login shell.",
            evidence=f"shell of {name}: {user.shell}",
            why="sshd runs every command by the user's shell, and this one refuses all.",
            remedy=f"On {host.host}: usermod --shell {_SHELL} {name}. It needs no password, and should have none.",
            changes=(Change(host=host.host, phase=Phase.KEYS, step=_give_shell(user)),),
        )


def logins(facts: Facts, users: Mapping[str, UserFact]) -> Iterator[Finding]:
    """Judge the keys of the migration user on all hosts; ``users`` holds it by host."""
    able = {host.host: host for host in facts.hosts if host.ssh and host.host in users and _has_home(users[host.host])}
    missing = {name for name, host in able.items() if not _own_keys(host, users[name])}
    for name, host in able.items():
        yield from _modes(host, users[name])
        if name in missing:
            yield _no_key(host, users[name])
    # A key of any host may stand in for itself once it is made; of others one that is there already is taken.
    keys = {
        name: (f"{{{{public-key:{name}}}}}",) if name in missing else _own_keys(host, users[name])
        for name, host in able.items()
    }
    for name, host in able.items():
        yield from _not_authorized(host, users[name], keys)
    yield from _shared_keys(able, users)


def _own_keys(host: HostFacts, user: UserFact) -> tuple[str, ...]:
    """Return the user's public keys, ed25519 first; none where the folder holds no private key."""
    assert host.ssh is not None
    known = {path for path, fact in host.paths.items() if path.startswith(f"{user.home}/.ssh/id_") and fact.exists}
    if known and all(path.endswith(".pub") for path in known):
        return ()
    return tuple(sorted(host.ssh.public_keys, key=lambda key: not key.startswith("ssh-ed25519 ")))


def _no_key(host: HostFacts, user: UserFact) -> Finding:
    steps: list[Step] = []
    folder = host.paths.get(f"{user.home}/.ssh")
    if folder is None or not folder.exists:
        steps.append(MakeFolder(path=f"{user.home}/.ssh", mode=0o700, owner=_owner(host, user)))
    steps.append(MakeSshKey(user=user.name, path=f"{user.home}/.ssh/id_ed25519"))
    return Finding(
        code="ssh.no-key",
        severity=Severity.BLOCKS,
        host=host.host,
        what=f"{user.name} on {host.host} has no SSH key to log in to other hosts with.",
        evidence=f"no key pair in {user.home}/.ssh",
        why=_WHY,
        remedy=f"Make one on {host.host} that stays there: ssh-keygen -t ed25519 -N '' as {user.name}.",
        changes=tuple(Change(host=host.host, phase=Phase.KEYS, step=step) for step in steps),
    )


def _not_authorized(host: HostFacts, user: UserFact, keys: Mapping[str, tuple[str, ...]]) -> Iterator[Finding]:
    assert host.ssh is not None
    let_in = set(host.ssh.authorized)
    outside = {name: theirs for name, theirs in keys.items() if name != host.host and let_in.isdisjoint(theirs)}
    if not outside:
        return
    path = _keys_file(host, user)
    changes: tuple[Change, ...] = ()
    if path is not None:
        # What MakeSshKey gives has a comment of its own.
        lines = [
            theirs[0] if theirs[0].startswith("{{") else f"{theirs[0]} {user.name}@{name}"
            for name, theirs in outside.items()
        ]
        step = EditFile(
            path=path, edits=tuple(EnsureLine(line=line) for line in lines), mode=0o600, owner=_owner(host, user)
        )
        changes = (Change(host=host.host, phase=Phase.TRUST, step=step),)
    yield Finding(
        code="ssh.not-authorized",
        severity=Severity.BLOCKS,
        host=host.host,
        what=f"{host.host} does not let {user.name} of {listed(outside)} in by key.",
        evidence=f"{path or host.ssh.effective.get('authorizedkeysfile', 'authorized_keys')} has {len(let_in)}"
        f" key{'' if len(let_in) == 1 else 's'}, none of {listed(outside)}",
        why=_WHY,
        remedy=f"Add the public keys of {user.name} on {listed(outside)} to"
        f" {path or 'the file that AuthorizedKeysFile names'} of {host.host}.",
        changes=changes,
    )


def _keys_file(host: HostFacts, user: UserFact) -> str | None:
    """Return the file that sshd reads keys from, None where its content is not known: it cannot be edited then."""
    assert host.ssh is not None
    words = (host.ssh.effective.get("authorizedkeysfile") or ".ssh/authorized_keys").split()
    for word in words:
        plain = word.replace("%h", user.home).replace("%u", user.name).replace("%%", "%")
        path = plain if plain.startswith("/") else f"{user.home}/{plain}"
        if path == f"{user.home}/.ssh/authorized_keys" or path in host.files:
            return path
    return None


def _shared_keys(able: Mapping[str, HostFacts], users: Mapping[str, UserFact]) -> Iterator[Finding]:
    owners: dict[str, list[str]] = {}
    for name, host in able.items():
        for key in _own_keys(host, users[name]):
            owners.setdefault(key, []).append(name)
    told: set[tuple[str, ...]] = set()
    for hosts in owners.values():
        if len(hosts) > 1 and tuple(hosts) not in told:
            told.add(tuple(hosts))
            user = users[hosts[0]].name
            yield Finding(
                code="ssh.shared-key",
                severity=Severity.ADVICE,
                host=hosts[0],
                what=f"{listed(hosts)} share one SSH key of {user}.",
                evidence=f"the same public key of {user} on {listed(hosts)}",
                why="Whoever reads it on one host is every host, and it cannot be withdrawn for one alone. Old guides"
                " copy one key to all.",
                remedy="Remove the pair on each host but the first, and run `hotfoot prepare --topic ssh`: it makes"
                " one per host.",
            )


def _modes(host: HostFacts, user: UserFact) -> Iterator[Finding]:
    """Judge owner and mode of what sshd (StrictModes) and ssh refuse when others may write or read it."""
    home = user.home.rstrip("/")
    looked = {path.rstrip("/"): fact for path, fact in host.paths.items() if fact.exists}
    for path, fact in sorted(looked.items()):
        private = path.startswith(f"{home}/.ssh/id_") and not path.endswith(".pub")
        if path not in (home, f"{home}/.ssh", f"{home}/.ssh/authorized_keys") and not private:
            continue
        foreign = fact.uid not in (0, user.uid) or (private and fact.uid != user.uid)
        forbidden = 0o077 if private else 0o022
        if not foreign and not fact.mode & forbidden:
            continue
        mode = {f"{home}/.ssh": 0o700, home: fact.mode & ~0o022}.get(path, 0o600)
        yield _mode(host, user, path, fact, mode, foreign=foreign)


def _mode(host: HostFacts, user: UserFact, path: str, fact: PathFact, mode: int, *, foreign: bool) -> Finding:
    owner = _owner(host, user)
    step = SetMode(path=path, mode=mode, owner=owner if foreign else None)
    return Finding(
        code="ssh.modes",
        severity=Severity.BLOCKS,
        host=host.host,
        what=f"{path} on {host.host} "
        + (f"does not belong to {user.name}." if foreign else f"is open to others than {user.name}."),
        evidence=f"mode {fact.mode:04o}, owner {host.owner_of(fact.uid, fact.gid)}",
        why="sshd lets nobody in by keys that others could have written (StrictModes, sshd_config(5)), and ssh uses no"
        " private key that others can read.",
        remedy=f"On {host.host}: chmod {mode:04o} {path}" + (f"; chown {owner} {path}." if foreign else "."),
        changes=(Change(host=host.host, phase=Phase.KEYS, step=step),),
    )


def _give_shell(user: UserFact) -> Command:
    seen = f"getent passwd {user.name} | cut -d: -f7"
    return Command(
        title=f"give {user.name} the login shell {_SHELL}",
        argv=("usermod", "--shell", _SHELL, user.name),
        done_if=("sh", "-c", f'test "$({seen})" = {_SHELL}'),
        undo=("usermod", "--shell", user.shell, user.name),
    )


def _has_home(user: UserFact) -> bool:
    return bool(user.home) and user.home != "/" and not user.home.startswith("/nonexistent")


def _owner(host: HostFacts, user: UserFact) -> str:
    return host.owner_of(user.uid, user.gid)
