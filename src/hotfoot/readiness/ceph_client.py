"""What every client of Ceph needs on a host: its configuration, keys that few may read, and a cluster that is well.

Sources: requirements A5 and A6 of live migration with libvirt and Nova; Ceph's "Block Devices and OpenStack".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from hotfoot.cluster import Ceph
from hotfoot.readiness.addresses import is_ip
from hotfoot.readiness.change import Change, DefineSecret, Install, Phase, PutFile, PutKeyring, SetMode
from hotfoot.readiness.edit import value_of
from hotfoot.readiness.facts import HostFacts, PathFact
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.storage_owner import runs_nova

CONF = "/etc/ceph/ceph.conf"
KEYRINGS = "/etc/ceph/*.keyring"
PACKAGE = "ceph-common"


def keyring(user: str) -> str:
    """Return where the key of a Ceph user is on a host."""
    return f"/etc/ceph/ceph.client.{user}.keyring"


def giving_keyring(ceph: Ceph, host: HostFacts) -> Change:
    """Return the change that gives a host the declared user's key, in a keyring that Nova too may read."""
    owner = "root:nova" if runs_nova(host) else "root:root"
    return writing_keyring(ceph.user, str(ceph.keyring), host, mode=0o640, owner=owner)


def writing_keyring(user: str, file: str, host: HostFacts, *, mode: int, owner: str) -> Change:
    """Return the change that gives a host a user's key from a keyring of the controller."""
    step = PutKeyring(path=keyring(user), file=file, entity=f"client.{user}", mode=mode, owner=owner)
    return Change(host=host.host, phase=Phase.STORAGE, step=step)


def giving_secret(ceph: Ceph, host: HostFacts) -> Change:
    """Return the change that has a host's libvirt hold the declared user's key."""
    entity = f"client.{ceph.user}"
    usage = f"{entity} secret {ceph.secret}"
    step = DefineSecret(uuid=ceph.secret, kind="ceph", usage=usage, file=str(ceph.keyring), entity=entity)
    return Change(host=host.host, phase=Phase.LIBVIRT, step=step)


def without_program(topic: str, host: HostFacts, package: str = PACKAGE) -> Iterator[Finding]:
    """Return the finding that a host which uses the client's programs does not have them."""
    if package in host.packages or "packages" in host.failures:
        return
    install = Change(host=host.host, phase=Phase.PACKAGES, step=Install(packages=(package,)))
    yield Finding(
        code=f"{topic}.no-client",
        severity=Severity.BLOCKS,
        host=host.host,
        what=f"{host.host} has no Ceph client installed.",
        evidence=f"Package {package} is not installed.",
        why="Without it the host can neither reach Ceph nor mount CephFS.",
        remedy=f"Install {package} on {host.host}.",
        changes=(install,),
    )


def judge_access(topic: str, hosts: Sequence[HostFacts]) -> Iterator[Finding]:
    """Return what is wrong with keyrings that are there, and with the cluster as hosts see it."""
    for host in hosts:
        yield from _keyrings(topic, host)
        yield from _health(topic, host)


def judge_conf(
    topic: str,
    hosts: Sequence[HostFacts],
    users: Sequence[HostFacts],
    monitors: Sequence[str] = (),
    cluster_id: str | None = None,
) -> Iterator[Finding]:
    """Return what is wrong with the client's configuration, as findings of ``topic``.

    ``users`` are those of the hosts that use it: QEMU alone does not, unless instances leave the monitors to it, which
    a cluster file that names ``monitors`` asks for. ``cluster_id`` is the cluster's UUID, where that is declared.
    """
    contents = Counter(text for host in hosts if (text := host.text(CONF)))
    usual = max(contents, key=lambda text: (contents[text], text), default=None)
    ids = Counter(fsid for host in hosts if (fsid := _fsid(host.text(CONF))))
    right = max(ids, key=lambda fsid: (ids[fsid], fsid), default=None)
    for host in hosts:
        file = host.files.get(CONF)
        if file is None:
            continue
        if not file.exists and (host in users or monitors):
            text = usual if usual and "@secret:" not in usual else _naming(monitors, cluster_id)
            put = PutFile(path=CONF, content=text) if text else None
            yield Finding(
                code=f"{topic}.no-conf",
                severity=Severity.BLOCKS,
                host=host.host,
                what=f"{host.host} does not know where Ceph is: it has no {CONF}.",
                evidence=f"{CONF} is not there.",
                why="Clients find the monitors by it.",
                remedy=f"Copy {CONF} from a host that has it to {host.host}"
                + (f", or write mon_host = {', '.join(monitors)} into it." if monitors else "."),
                changes=(Change(host=host.host, phase=Phase.STORAGE, step=put),) if put else (),
            )
        elif right is not None and _fsid(file.content or "") not in (right, None):
            yield Finding(
                code=f"{topic}.other-cluster",
                severity=Severity.BLOCKS,
                host=host.host,
                what=f"{host.host} uses another Ceph cluster than the other hosts.",
                evidence=f"fsid = {_fsid(file.content or '')} in {CONF}; most hosts have {right}.",
                why="Its disks are not those of the others; an instance that moves would not find its own.",
                remedy=f"Copy {CONF} from another host, if {host.host} belongs to the same cluster.",
            )


def _naming(monitors: Sequence[str], cluster_id: str | None) -> str:
    """Return a configuration that is enough for a client, empty without monitors."""
    places = [f"[{each}]" if ":" in each and is_ip(each) else each for each in monitors]
    known = f"fsid = {cluster_id}\n" if cluster_id else ""
    return f"[global]\n{known}mon_host = {','.join(places)}\n" if places else ""


def _fsid(text: str) -> str | None:
    try:
        found = value_of(text, "fsid", "global")
    except ValueError:
        return None
    return found.lower() if found else None


def _keyrings(topic: str, host: HostFacts) -> Iterator[Finding]:
    for path, fact in sorted(host.paths.items()):
        if not (path.startswith("/etc/ceph/") and path.endswith(".keyring") and fact.exists) or not fact.mode & 0o007:
            continue
        mode = fact.mode & 0o770
        yield Finding(
            code=f"{topic}.keyring-open",
            severity=Severity.DANGEROUS,
            host=host.host,
            what=f"Everybody on {host.host} may read the Ceph key {path}.",
            evidence=f"Mode {fact.mode:04o}, owner {host.owner_of(fact.uid, fact.gid)}.",
            why="Whoever has the key may read and change every disk in its pools.",
            remedy=f"chmod {mode:04o} {path} on {host.host}.",
            changes=(Change(host=host.host, phase=Phase.STORAGE, step=SetMode(path=path, mode=mode)),),
        )


def readable_by(host: HostFacts, fact: PathFact, user: str) -> bool | None:
    """Whether a user may read a file, None where the user is not known."""
    known = host.identity.user(user) if host.identity else None
    if host.identity is None or known is None:
        return None
    groups = {known.gid} | {group.gid for group in host.identity.groups if user in group.members}
    bit = 0o400 if fact.uid == known.uid else 0o040 if fact.gid in groups else 0o004
    return bool(fact.mode & bit)


def _health(topic: str, host: HostFacts) -> Iterator[Finding]:
    failure = host.failures.get("storage.ceph")
    health = host.storage.ceph_health if host.storage else ""
    if failure is not None:
        yield Finding(
            code=f"{topic}.unreachable",
            severity=Severity.BLOCKS,
            host=host.host,
            what=f"{host.host} does not reach Ceph.",
            evidence=failure,
            why="An instance that moves there would hang, or not start.",
            remedy=f"On {host.host}: see that the monitors of {CONF} answer (ports 3300 and 6789), and that the key is "
            "that of its user: ceph --id USER health.",
        )
    elif health.startswith("HEALTH_ERR"):
        yield Finding(
            code=f"{topic}.health",
            severity=Severity.DANGEROUS,
            host=host.host,
            what="Ceph says that data is at risk or out of reach.",
            evidence=health,
            why="Reads and writes of some disks may hang until it is mended, in the middle of a migration too.",
            remedy="ceph health detail says what is wrong; mend it before instances are moved.",
        )
