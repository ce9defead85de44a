"""Identity: nova and QEMU's user have the same numbers on all hosts, so that shared files belong to them on each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hotfoot.cluster import Cluster
from hotfoot.readiness.change import AlignIds, Change, Command, Phase, Refresh, SetMode
from hotfoot.readiness.facts import Facts, HostFacts, IdentityFact, UserFact
from hotfoot.readiness.finding import Finding, Severity, Topic
from hotfoot.readiness.ids import Choice, Role, choose
from hotfoot.readiness.listing import listed

QEMU_USERS = ("libvirt-qemu", "qemu")
"""QEMU's user on Debian and Ubuntu, and on RHEL and its kin."""
_QEMU_GROUPS = ("kvm", "qemu", "libvirt-qemu")
_NO_LOGIN = ("nologin", "false", "true", "sync")
_NOVA_COMPUTE = ("nova-compute", "openstack-nova-compute")
_INSTANCES = "/var/lib/nova/instances/"

_WHY = (
    "Files on shared storage carry numbers, not names: where the numbers differ, {what} on one host cannot use what it"
    " wrote on another (nfs(5), with sec=sys; the OpenStack guide to live migration asks for equal UIDs and GIDs)."
)


@dataclass(slots=True)
class _Wrong:
    """What has to be renumbered on one host."""

    users: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    stuck: set[tuple[str, str]] = field(default_factory=set)
    """Kind and name of those that share their number with another: whose files are whose cannot be told."""


def judge(cluster: Cluster, facts: Facts) -> Iterator[Finding]:
    """Judge users and groups of all hosts together."""
    hosts = [host for host in facts.hosts if host.identity]
    users = {h.host: {user.name: user.uid for user in h.identity.users} for h in hosts if h.identity}
    groups = {h.host: {group.name: group.gid for group in h.identity.groups} for h in hosts if h.identity}
    user_roles, group_roles = _user_roles(cluster, hosts), _group_roles(cluster, hosts)
    chosen_users, chosen_groups = choose(user_roles, users), choose(group_roles, groups)
    wrong = {host.host: _Wrong() for host in hosts}
    for role in user_roles:
        _note(role, chosen_users[role.key], users, wrong, of_users=True)
    for role in group_roles:
        _note(role, chosen_groups[role.key], groups, wrong, of_users=False)
    for host in hosts:
        changes = _align(host, wrong[host.host])
        for role in user_roles:
            yield from _differs(cluster, host, role, "user", chosen_users[role.key], users, wrong[host.host], changes)
        for role in group_roles:
            yield from _differs(
                cluster, host, role, "group", chosen_groups[role.key], groups, wrong[host.host], changes
            )
        yield from _missing(cluster, host, user_roles)
        yield from _nova(cluster, host)
        yield from _files(host)


def qemu_user(host: HostFacts) -> UserFact | None:
    """Return QEMU's user on a host, None where neither Debian's nor Red Hat's is there."""
    if host.identity is None:
        return None
    return next((user for name in QEMU_USERS if (user := host.identity.user(name))), None)


def _user_roles(cluster: Cluster, hosts: list[HostFacts]) -> list[Role]:
    nova = {host.host: user for host in hosts if host.identity and (user := host.identity.user("nova"))}
    qemu = {host.host: user for host in hosts if (user := qemu_user(host))}
    declared = cluster.identity
    return [
        Role(key=key, names={name: user.name for name, user in found.items()}, declared=uid, busy=_busy(hosts, found))
        for key, found, uid in (("nova", nova, declared.nova.uid), ("qemu", qemu, declared.qemu.uid))
    ]


def _group_roles(cluster: Cluster, hosts: list[HostFacts]) -> list[Role]:
    nova, qemu, own = {}, {}, {}
    for host in hosts:
        assert host.identity is not None
        if host.identity.group("nova"):
            nova[host.host] = "nova"
        user = qemu_user(host)
        names = [group.name for group in host.identity.groups if user and group.gid == user.gid]
        if names and names[0] in _QEMU_GROUPS:
            qemu[host.host] = names[0]
        # Debian's package makes this group beside kvm; certificates and sockets may belong to it.
        if host.identity.group("libvirt-qemu") and qemu.get(host.host) != "libvirt-qemu":
            own[host.host] = "libvirt-qemu"
    declared = cluster.identity
    return [
        Role(key="nova", names=nova, declared=declared.nova.gid),
        Role(key="qemu", names=qemu, declared=declared.qemu.gid),
        Role(key="libvirt-qemu", names=own),
    ]


def _busy(hosts: list[HostFacts], users: Mapping[str, UserFact]) -> frozenset[str]:
    return frozenset(
        host.host
        for host in hosts
        if host.identity and host.host in users and host.identity.processes.get(users[host.host].uid)
    )


def _note(
    role: Role,
    choice: Choice,
    numbers: Mapping[str, Mapping[str, int]],
    wrong: Mapping[str, _Wrong],
    *,
    of_users: bool,
) -> None:
    """Write down on which hosts a role has to be renumbered."""
    if choice.number is None:
        return
    for host, name in role.names.items():
        now = numbers[host][name]
        if now == choice.number:
            continue
        if any(other != name and number == now for other, number in numbers[host].items()):
            wrong[host].stuck.add(("user" if of_users else "group", name))
        elif of_users:
            wrong[host].users[name] = choice.number
        else:
            wrong[host].groups[name] = choice.number


def _align(host: HostFacts, wrong: _Wrong) -> tuple[Change, ...]:
    """Return what renumbers all on one host at once, and makes those that remember the old numbers look again."""
    if not wrong.users and not wrong.groups:
        return ()

    def change(step: AlignIds | Command | Refresh) -> Change:
        return Change(host=host.host, phase=Phase.IDENTITY, step=step)

    found = [change(AlignIds(users=wrong.users, groups=wrong.groups))]
    assert host.identity is not None
    kvm = host.identity.group("kvm")
    if kvm and "kvm" in wrong.groups:
        found.append(change(_device_files(kvm.gid, wrong.groups["kvm"])))
    if any(name in wrong.users for name in QEMU_USERS) or any(name in wrong.groups for name in _QEMU_GROUPS):
        modular = host.libvirt is not None and host.libvirt.modular
        found.append(change(Refresh(unit="virtqemud.service" if modular else "libvirtd.service")))
    return tuple(found)


def _device_files(old: int, new: int) -> Command:
    """Return what gives /dev/kvm and its like to the group's new number: udev does so only at the next boot."""
    return Command(
        title="give the device files of group kvm its new number",
        argv=("find", "/dev", "-xdev", "-gid", str(old), "-exec", "chgrp", str(new), "{}", "+"),
        done_if=("sh", "-c", f'test -z "$(find /dev -xdev -gid {old})"'),
        undo=("find", "/dev", "-xdev", "-gid", str(new), "-exec", "chgrp", str(old), "{}", "+"),
    )


def _differs(
    cluster: Cluster,
    host: HostFacts,
    role: Role,
    kind: str,
    choice: Choice,
    numbers: Mapping[str, Mapping[str, int]],
    wrong: _Wrong,
    changes: tuple[Change, ...],
) -> Iterator[Finding]:
    """Judge one user or group on one host against the number that all are to have."""
    name = role.names.get(host.host)
    if name is None:
        return
    now, number = numbers[host.host][name], choice.number
    letter = "uid" if kind == "user" else "gid"
    what = f"{name} ({letter} {now})"
    if number is None:
        by = ", ".join(f"{other} on {where}" for where, other in choice.taken.items())
        if role.declared is not None and now != role.declared:
            yield Finding(
                code="identity.number-taken",
                severity=_severity(cluster),
                host=host.host,
                what=f"{host.host} cannot give the {kind} {name} the declared number {role.declared}.",
                evidence=f"{letter} {role.declared} belongs to {by or 'another name of the cluster file'}",
                why=_WHY.format(what=name),
                remedy="Declare another number in the section identity of the cluster file, or leave it out.",
            )
        return
    if now == number:
        return
    others = listed(f"{each} {numbers[each][other]}" for each, other in role.names.items() if each != host.host)
    evidence = f"{letter} of {name}: {host.host} {now}; {others}" if others else f"{letter} of {name}: {now}"
    alike = [each for each, other in role.names.items() if numbers[each][other] == number]
    reason = f"as on {listed(alike, most=3)}" if alike else "which nobody else keeps on any host"
    if role.declared is not None:
        reason = "as the cluster file declares"
    if (kind, name) in wrong.stuck:
        sharing = [other for other, each in numbers[host.host].items() if each == now and other != name]
        yield Finding(
            code="identity.shared-number",
            severity=_severity(cluster),
            host=host.host,
            what=f"On {host.host} the {kind} {name} has the same number as {listed(sharing)}.",
            evidence=f"{letter} {now}: {listed([name, *sharing])}",
            why=f"{name} is to have {number}, {reason}, and nothing tells which files are whose.",
            remedy=f"Give {listed(sharing)} on {host.host} another number, with the files that are theirs, then run"
            " `hotfoot prepare` again.",
        )
        return
    yield Finding(
        code=f"identity.{role.key}-{letter}",
        severity=_severity(cluster),
        host=host.host,
        what=f"{what} on {host.host} is to have {number}, {reason}.",
        evidence=evidence,
        why=_WHY.format(what=name),
        remedy=_remedy(host, name, kind, number),
        changes=changes,
    )


def _severity(cluster: Cluster) -> Severity:
    """Return how bad differing numbers are: they meet only on storage that hosts share."""
    if not cluster.storage:
        return Severity.DANGEROUS
    return Severity.BLOCKS if any(storage.shared for storage in cluster.storage) else Severity.ADVICE


def _remedy(host: HostFacts, name: str, kind: str, number: int) -> str:
    assert host.identity is not None
    user = host.identity.user(name) if kind == "user" else None
    count = host.identity.processes.get(user.uid, 0) if user else 0
    said = f"Renumber it on {host.host} with the files that it owns on local file systems"
    if not count:
        return f"{said}."
    first = "drain the host" if name in QEMU_USERS else "stop its services"
    return f"{said}; {count} processes run as {name} there, so {first} before."


def _missing(cluster: Cluster, host: HostFacts, roles: list[Role]) -> Iterator[Finding]:
    for role in roles:
        if host.host in role.names or not (role.names or role.declared is not None):
            continue
        name = "nova" if role.key == "nova" else "QEMU's user (libvirt-qemu or qemu)"
        package = "nova-compute" if role.key == "nova" else "libvirt"
        yield Finding(
            code="identity.missing-user",
            severity=Severity.BLOCKS,
            host=host.host,
            what=f"{host.host} has no user {name}.",
            evidence=f"/etc/passwd of {host.host} lacks it; it is there on {listed(role.names) or 'no host'}",
            why=f"Without it {package} is not installed there, and no instance can arrive.",
            remedy=f"Install {package} on {host.host} as on the other hosts, or take it out of the cluster file.",
        )


def _nova(cluster: Cluster, host: HostFacts) -> Iterator[Finding]:
    """Judge nova itself: its membership in libvirt's group, and a shell that nobody needs."""
    assert host.identity is not None
    user, group = host.identity.user("nova"), host.identity.group("libvirt")
    if user is None:
        return
    compute = any(name in host.packages for name in _NOVA_COMPUTE)
    if compute and group and "nova" not in group.members and user.gid != group.gid:
        yield Finding(
            code="identity.nova-not-in-libvirt",
            severity=Severity.DANGEROUS,
            host=host.host,
            what=f"nova on {host.host} is not in the group libvirt.",
            evidence=f"members of libvirt: {listed(group.members) or 'none'}",
            why="Membership is what lets nova-compute use libvirt's socket (unix_sock_group in libvirtd.conf).",
            remedy=f"On {host.host}: usermod -aG libvirt nova; then restart nova-compute.",
            changes=(
                Change(
                    host=host.host,
                    phase=Phase.IDENTITY,
                    step=Command(
                        title="put nova into the group libvirt",
                        argv=("gpasswd", "--add", "nova", "libvirt"),
                        done_if=("sh", "-c", "id -nG nova | grep -qw libvirt"),
                        undo=("gpasswd", "--delete", "nova", "libvirt"),
                    ),
                ),
            ),
        )
    if cluster.migration_user != "nova" and may_log_in(user.shell):
        yield Finding(
            code="identity.nova-shell",
            severity=Severity.ADVICE,
            host=host.host,
            what=f"nova on {host.host} can log in, though nothing declared needs it to.",
            evidence=f"shell of nova: {user.shell or '/bin/sh'}",
            why="Old guides give nova a shell (and a password) for moving disks by SSH: one more way in.",
            remedy="Where Nova moves or resizes instances by SSH, declare migration: {user: nova} in the cluster file;"
            f" else on {host.host}: usermod -s /usr/sbin/nologin nova; passwd -l nova.",
        )


def may_log_in(shell: str) -> bool:
    """Whether a user of this shell can log in; an empty one stands for /bin/sh (passwd(5))."""
    return shell.rpartition("/")[2] not in _NO_LOGIN


def _files(host: HostFacts) -> Iterator[Finding]:
    identity = host.identity
    assert identity is not None
    if identity.unowned:
        yield Finding(
            code="identity.unowned-files",
            severity=Severity.DANGEROUS,
            host=host.host,
            what=f"Files of nova or libvirt on {host.host} belong to numbers that nobody has.",
            evidence=listed(identity.unowned),
            why="They were left behind when a user was renumbered: their service cannot use them, and the next user"
            " that gets the number can.",
            remedy=f"Give them on {host.host} to the user of the folder that they are in (chown).",
            changes=_give_to_nova(host, identity, identity.unowned),
        )
    foreign = [path for path in identity.misowned if path not in identity.unowned]
    if foreign:
        yield Finding(
            code="identity.misowned-files",
            severity=Severity.DANGEROUS,
            host=host.host,
            what=f"Files below /var/lib/nova on {host.host} do not belong to nova.",
            evidence=listed(foreign),
            why="Nova cannot write or remove them; a renumbering without its files leaves such behind.",
            remedy=f"Give them on {host.host} to nova (chown nova:nova), unless something else put them there.",
            changes=_give_to_nova(host, identity, foreign),
        )


def _give_to_nova(host: HostFacts, identity: IdentityFact, paths: list[str] | tuple[str, ...]) -> tuple[Change, ...]:
    """Return what gives files to nova; not those of instances, which may be QEMU's, nor those of libvirt."""
    if not identity.user("nova") or not identity.group("nova"):
        return ()
    mine = [path for path in paths if f"{path}/".startswith("/var/lib/nova/") and not path.startswith(_INSTANCES)]
    steps = [SetMode(path=path, owner="nova:nova") for path in mine]
    return tuple(Change(host=host.host, phase=Phase.IDENTITY, step=step) for step in steps)


TOPIC = Topic(name="identity", title="Users and groups", judge=judge, packages=_NOVA_COMPUTE, sections=("identity",))
