"""SSH between hosts: the migration user logs in from each host to each other, by keys, with host keys checked."""

from __future__ import annotations

from collections.abc import Iterator

from hotfoot.cluster import Cluster
from hotfoot.readiness.change import Change, Phase, SetUnit
from hotfoot.readiness.facts import Facts, HostFacts, UserFact
from hotfoot.readiness.finding import Finding, Severity, Topic
from hotfoot.readiness.ssh_files import allowed
from hotfoot.readiness.ssh_host_keys import (
    SYSTEM_CONFIGS,
    SYSTEM_FILE,
    checking_off,
    copied_host_keys,
    unknown_host_keys,
)
from hotfoot.readiness.ssh_login import account, logins

_UNITS = ("ssh.service", "sshd.service", "ssh.socket", "sshd.socket")
_KEY_OPTIONS = ("pubkeyauthentication", "authorizedkeysfile")
_WHO_OPTIONS = ("allowusers", "allowgroups", "denyusers", "denygroups")


def judge(cluster: Cluster, facts: Facts) -> Iterator[Finding]:
    """Judge sshd on each host; and logins between hosts where the cluster file has a user for them."""
    name = cluster.migration_user
    users = {host.host: user for host in facts.hosts if name and host.identity and (user := host.identity.user(name))}
    for host in facts.hosts:
        yield from _sshd(host)
        user = users.get(host.host)
        yield from checking_off(cluster, host, user.home if user else None)
        if name is not None and host.identity is not None:
            yield from account(host, name)
        if user is not None:
            yield from _lets_in(host, user)
    yield from copied_host_keys(facts)
    if name is not None:
        yield from logins(facts, users)
        yield from unknown_host_keys(cluster, facts, {host: user.home for host, user in users.items()})


def _sshd(host: HostFacts) -> Iterator[Finding]:
    if host.ssh is not None and host.ssh.config_valid is False:
        yield Finding(
            code="ssh.config-invalid",
            severity=Severity.BLOCKS,
            host=host.host,
            what=f"sshd on {host.host} would not start again: its configuration is not valid.",
            evidence=host.ssh.config_problem,
            why="The sshd that runs has read an older version; at the next restart or reboot nobody gets in.",
            remedy=f"Correct what `sshd -t` names on {host.host}.",
        )
    units = [host.units[name] for name in _UNITS if name in host.units and host.units[name].load == "loaded"]
    if units and not any(unit.enabled.startswith(("enabled", "alias", "static")) for unit in units):
        yield Finding(
            code="ssh.not-enabled",
            severity=Severity.DANGEROUS,
            host=host.host,
            what=f"sshd of {host.host} does not start at boot.",
            evidence=", ".join(f"{unit.name}: {unit.enabled or 'unknown'}" for unit in units),
            why="After a reboot neither the operator nor the other hosts get in.",
            remedy=f"On {host.host}: systemctl enable {units[0].name}.",
            changes=(Change(host=host.host, phase=Phase.KEYS, step=SetUnit(unit=units[0].name, enabled=True)),),
        )


def _lets_in(host: HostFacts, user: UserFact) -> Iterator[Finding]:
    """Judge what sshd's configuration says about the migration user; a person decides to loosen it, never a plan."""
    told = host.ssh.effective if host.ssh else {}
    groups = [
        group.name
        for group in (host.identity.groups if host.identity else ())
        if group.gid == user.gid or user.name in group.members
    ]

    def finding(code: str, what: str, evidence: str, remedy: str) -> Finding:
        return Finding(
            code=code,
            severity=Severity.BLOCKS,
            host=host.host,
            what=what,
            evidence=f"sshd -T: {evidence}",
            why=f"No other host can log in to {host.host} as {user.name} then (sshd_config(5)).",
            remedy=remedy,
        )

    root_login = told.get("permitrootlogin", "")
    if user.uid == 0 and root_login in ("no", "forced-commands-only"):
        yield finding(
            "ssh.root-login-forbidden",
            f"sshd on {host.host} forbids root to log in, and the migration user is root.",
            f"permitrootlogin {root_login}",
            "Declare another user in the cluster file (migration: {user: nova}), or, where keys are enough for root,"
            f" set PermitRootLogin prohibit-password on {host.host}.",
        )
    methods = told.get("authenticationmethods", "any").split()
    if told.get("pubkeyauthentication") == "no" or told.get("authorizedkeysfile") == "none":
        yield finding(
            "ssh.keys-off",
            f"sshd on {host.host} accepts no keys.",
            ", ".join(f"{key} {told[key]}" for key in _KEY_OPTIONS if told.get(key) in ("no", "none")),
            f"Set PubkeyAuthentication yes, and AuthorizedKeysFile to its default, for {user.name} on {host.host}.",
        )
    elif methods != ["any"] and "publickey" not in methods:
        yield finding(
            "ssh.keys-off",
            f"sshd on {host.host} asks for more than a key.",
            f"authenticationmethods {' '.join(methods)}",
            f"Set AuthenticationMethods publickey for {user.name} on {host.host} (Match User {user.name}).",
        )
    allow_users, deny_users = told.get("allowusers", "").split(), told.get("denyusers", "").split()
    allow_groups, deny_groups = told.get("allowgroups", "").split(), told.get("denygroups", "").split()
    if (
        (allow_users and not allowed(user.name, allow_users))
        or (allow_groups and not any(allowed(group, allow_groups) for group in groups))
        or any(allowed(group, deny_groups) for group in groups)
        or any(allowed(user.name, [each]) for each in deny_users if "@" not in each)
    ):
        yield finding(
            "ssh.user-not-allowed",
            f"sshd on {host.host} does not let {user.name} in.",
            ", ".join(f"{key} {' '.join(told[key].split())}" for key in _WHO_OPTIONS if told.get(key)),
            f"Name {user.name} in AllowUsers or AllowGroups of sshd on {host.host}.",
        )


TOPIC = Topic(
    name="ssh",
    title="SSH between hosts",
    judge=judge,
    files=(
        SYSTEM_FILE,
        *SYSTEM_CONFIGS,
        "~migration/.ssh/config",
        "~migration/.ssh/known_hosts",
        "~migration/.ssh/authorized_keys",
        "/etc/ssh/authorized_keys/*",
        "/etc/ssh/authorized_keys.d/*",
    ),
    paths=("~migration/", "~migration/.ssh", "~migration/.ssh/id_*", "~migration/.ssh/authorized_keys"),
    units=_UNITS,
    sections=("identity", "ssh"),
)
