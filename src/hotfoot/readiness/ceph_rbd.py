"""Disks of instances in Ceph pools (RBD): the driver, the key, and libvirt's secret of one UUID on every host.

Sources: requirement A6 of live migration with libvirt and Nova; Ceph's "Block Devices and OpenStack"; libvirt's
"Secret not found: no secret with matching uuid" on a destination that lacks it was tried.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from hotfoot.cluster import Cluster
from hotfoot.readiness import ceph_client
from hotfoot.readiness.ceph_pool import judge_pools
from hotfoot.readiness.change import Change, Command, EditFile, Install, Phase, Refresh, SetMode
from hotfoot.readiness.domain_xml import domains_of
from hotfoot.readiness.edit import SetKey
from hotfoot.readiness.facts import Facts, HostFacts
from hotfoot.readiness.finding import Finding, Severity, Topic
from hotfoot.readiness.listing import listed
from hotfoot.readiness.nova_conf import NOVA_CONF, nova_conf

DRIVER_PACKAGES = ("qemu-block-extra", "qemu-kvm-block-rbd")
"""On Debian and Ubuntu; on Red Hat's systems."""
DOCUMENTED_UUID = "457eb676-33da-42ec-9a8c-9293d545c337"
"""What Ceph's documentation prints; clusters set up by it all have this one."""


def judge(cluster: Cluster, facts: Facts) -> Iterable[Finding]:
    """Return what keeps hosts from running each other's instances with disks in Ceph.

    Judged where the cluster file declares ``ceph``, where an instance has such a disk, or Nova makes them.
    """
    needed = _needed(cluster, facts)
    if not needed and not _in_use(facts):
        return
    found = list(_on_hosts(cluster, facts, needed))
    yield from found
    if cluster.ceph is not None:
        wrong = {finding.host for finding in found if finding.severity is Severity.BLOCKS}
        yield from judge_pools(cluster.ceph, facts, set(facts.by_name) - wrong)
    yield from _nova(cluster, facts)
    if DOCUMENTED_UUID in needed and facts.hosts:
        yield Finding(
            code="ceph_rbd.documented-uuid",
            severity=Severity.ADVICE,
            host=facts.hosts[0].host,
            what="The secret of Ceph has the UUID that Ceph's documentation prints.",
            evidence=DOCUMENTED_UUID,
            why="Many clusters have it: hosts that move from one to another would take the wrong key for theirs.",
            remedy="For a new cluster take a UUID of your own (uuidgen). Instances that run keep theirs until they are "
            "defined anew, so leave it where there are any.",
        )


def _on_hosts(cluster: Cluster, facts: Facts, needed: Mapping[str, _Secret]) -> Iterator[Finding]:
    users = [host for host in facts.hosts if _nova_makes_disks(host)]
    for host in users:
        yield from ceph_client.without_program("ceph_rbd", host)
    yield from ceph_client.judge_access("ceph_rbd", facts.hosts)
    yield from ceph_client.judge_conf("ceph_rbd", facts.hosts, users, cluster.ceph.monitors if cluster.ceph else ())
    for host in facts.hosts:
        yield from _driver(host)
        yield from _keyring(cluster, host, needed)
        for secret in needed.values():
            yield from _secret(cluster, host, secret)


@dataclass(frozen=True, slots=True)
class _Secret:
    """A secret that every host must have: its UUID (or usage), whose key it holds as far as known, who needs it."""

    name: str
    user: str
    why: str


def _needed(cluster: Cluster, facts: Facts) -> Mapping[str, _Secret]:
    found: dict[str, _Secret] = {}
    if cluster.ceph is not None:
        found[cluster.ceph.secret] = _Secret(cluster.ceph.secret, cluster.ceph.user, "the cluster file names it")
    for host in facts.hosts:
        uuid = (_nova_value(host, "rbd_secret_uuid") or "").lower()
        if uuid:
            user = _nova_value(host, "rbd_user") or ""
            found.setdefault(uuid, _Secret(uuid, user, f"Nova on {host.host} uses it"))
    for host in facts.hosts:
        for domain in domains_of(host):
            for disk in domain.disks:
                if disk.protocol == "rbd" and disk.secret:
                    name = disk.secret.lower() if _is_uuid(disk.secret) else disk.secret
                    found.setdefault(name, _Secret(name, "", f"{domain.name} on {host.host} uses it"))
    return found


def _is_uuid(text: str) -> bool:
    return len(text) == 36 and text.count("-") == 4


def _in_use(facts: Facts) -> bool:
    return any(disk.protocol == "rbd" for host in facts.hosts for domain in domains_of(host) for disk in domain.disks)


def _driver(host: HostFacts) -> Iterator[Finding]:
    package = DRIVER_PACKAGES[1 if host.os is not None and host.os.redhat_like else 0]
    if host.qemu is None or "rbd" in host.qemu.drivers or package in host.packages:
        return
    yield Finding(
        code="ceph_rbd.no-driver",
        severity=Severity.BLOCKS,
        host=host.host,
        what=f"QEMU on {host.host} cannot open disks in Ceph.",
        evidence=f"Its block drivers are {listed(host.qemu.drivers) or 'none'}; package {package} is not installed.",
        why="QEMU has the driver rbd in a package of its own; without it an instance with such a disk cannot arrive.",
        remedy=f"Install {package} on {host.host}.",
        changes=(Change(host=host.host, phase=Phase.PACKAGES, step=Install(packages=(package,))),),
    )


def _keyring(cluster: Cluster, host: HostFacts, needed: Mapping[str, _Secret]) -> Iterator[Finding]:
    """Nova reads the key itself; elsewhere it is wanted where the cluster file has it, and to define a secret."""
    declared = cluster.ceph is not None and cluster.ceph.keyring is not None
    user = cluster.ceph.user if cluster.ceph is not None else _nova_value(host, "rbd_user")
    if not user:
        return
    path = ceph_client.keyring(user)
    fact = host.paths.get(path)
    missing = any(_lacks(host, secret) for secret in needed.values() if secret.user == user)
    if (fact is None or not fact.exists) and (declared or _nova_makes_disks(host) or missing):
        yield Finding(
            code="ceph_rbd.no-keyring",
            severity=Severity.BLOCKS,
            host=host.host,
            what=f"{host.host} has no key of the Ceph user {user}.",
            evidence=f"{path} is not there.",
            why="Nova and whoever defines libvirt's secret take the key from there.",
            remedy=f"Where the admin key is: ceph auth get client.{user}; put it into {path} on {host.host} with mode "
            "0640, or into a file of this machine that the cluster file names (ceph: {keyring: FILE}), for hotfoot "
            "prepare to give to the hosts.",
            changes=(ceph_client.giving_keyring(cluster.ceph, host),) if cluster.ceph is not None and declared else (),
        )
    elif fact is not None and _nova_makes_disks(host) and ceph_client.readable_by(host, fact, "nova") is False:
        step = SetMode(path=path, mode=0o640, owner="root:nova")
        yield Finding(
            code="ceph_rbd.keyring-closed",
            severity=Severity.BLOCKS,
            host=host.host,
            what=f"Nova on {host.host} may not read the Ceph key {path}.",
            evidence=f"Mode {fact.mode:04o}, owner {host.owner_of(fact.uid, fact.gid)}.",
            why="nova-compute makes and looks at disks in the pool itself, as the user nova.",
            remedy=f"chown root:nova {path}; chmod 0640 {path} on {host.host}.",
            changes=(Change(host=host.host, phase=Phase.STORAGE, step=step),),
        )


def _lacks(host: HostFacts, secret: _Secret) -> bool:
    if host.libvirt is None or not host.libvirt.answers:
        return False
    known = host.libvirt.secrets
    return secret.name not in {uuid.lower() for uuid in known} and secret.name not in known.values()


def _secret(cluster: Cluster, host: HostFacts, secret: _Secret) -> Iterator[Finding]:
    if host.libvirt is None or not _lacks(host, secret):
        return
    known = host.libvirt.secrets
    path = ceph_client.keyring(secret.user)
    fact = host.paths.get(path)
    ceph = cluster.ceph
    changes: tuple[Change, ...] = ()
    if ceph is not None and ceph.keyring is not None and ceph.secret == secret.name:
        changes = (ceph_client.giving_secret(ceph, host),)
    elif secret.user and _is_uuid(secret.name) and fact is not None and fact.exists:
        changes = (Change(host=host.host, phase=Phase.LIBVIRT, step=_define(secret.user, secret.name)),)
    whose = f" of client.{secret.user}" if secret.user else ""
    others = f" It has {listed(f'{uuid} ({usage})' for uuid, usage in known.items())}." if known else ""
    yield Finding(
        code="ceph_rbd.no-secret",
        severity=Severity.BLOCKS,
        host=host.host,
        what=f"libvirt on {host.host} lacks the secret with the key{whose} of Ceph.",
        evidence=f"No secret {secret.name}; {secret.why}.{others}",
        why="An instance's definition names the secret; a destination without it refuses the instance: Secret not "
        "found.",
        remedy=f"On {host.host}: virsh secret-define with {secret.name}, then virsh secret-set-value with the key "
        f"{f'from {path}' if secret.user else 'of its user'}.",
        changes=changes,
    )


def _define(user: str, uuid: str) -> Command:
    """The key goes from the keyring to libvirt through a file that root alone may read; never through an argument."""
    script = """
set -eu
umask 077
work=$(mktemp -d /run/hotfoot-secret.XXXXXX)
trap 'rm -rf "$work"' EXIT
cat > "$work/secret.xml" <<END
<secret ephemeral='no' private='yes'>
  <uuid>$1</uuid>
  <usage type='ceph'><name>client.$2 secret $1</name></usage>
</secret>
END
sed -n "/^\\[client\\.$2\\]/,/^\\[/ s/^[[:space:]]*key[[:space:]]*=[[:space:]]*//p" "$3" |
    head -n 1 | tr -d '\\n' > "$work/key"
test -s "$work/key" || { echo "$3 holds no key of client.$2" >&2; exit 1; }
virsh -q -c qemu:///system secret-define "$work/secret.xml"
virsh -q -c qemu:///system secret-set-value "$1" --file "$work/key" || {
    virsh -q -c qemu:///system secret-undefine "$1"
    exit 1
}
"""
    return Command(
        title=f"define libvirt's secret {uuid} with the key of client.{user}",
        argv=("sh", "-c", script, "sh", uuid, user, ceph_client.keyring(user)),
        done_if=("virsh", "-q", "-c", "qemu:///system", "secret-dumpxml", uuid),
        undo=("virsh", "-q", "-c", "qemu:///system", "secret-undefine", uuid),
    )


def _nova(cluster: Cluster, facts: Facts) -> Iterator[Finding]:
    """Nova writes the UUID into each instance that it starts: hosts that differ make instances that cannot move."""
    said = {host.host: uuid.lower() for host in facts.hosts if (uuid := _nova_value(host, "rbd_secret_uuid"))}
    counts = Counter(said.values())
    right = cluster.ceph.secret if cluster.ceph is not None else max(counts, key=lambda u: (counts[u], u), default="")
    for name, uuid in said.items():
        if uuid == right:
            continue
        edit = SetKey(section="libvirt", key="rbd_secret_uuid", value=right)
        yield Finding(
            code="ceph_rbd.nova-secret",
            severity=Severity.DANGEROUS,
            host=name,
            what=f"Nova on {name} uses another secret for Ceph than it should.",
            evidence=f"rbd_secret_uuid = {uuid} in [libvirt] of {NOVA_CONF}; "
            + ("the cluster file says " if cluster.ceph is not None else "most hosts have ")
            + f"{right}.",
            why="Nova writes it into each instance that it starts there; such an instance can move only to hosts that "
            "have this secret too.",
            remedy=f"Set rbd_secret_uuid = {right} in [libvirt] of {NOVA_CONF} on {name}; leave the old secret defined "
            "until no instance uses it.",
            changes=(
                Change(host=name, phase=Phase.NOVA, step=EditFile(path=NOVA_CONF, edits=(edit,))),
                Change(host=name, phase=Phase.NOVA, step=Refresh(unit="nova-compute.service")),
            ),
        )


def _nova_makes_disks(host: HostFacts) -> bool:
    """Whether Nova itself works in Ceph on a host; Cinder's volumes QEMU opens, with what libvirt holds."""
    conf = nova_conf(host)
    return conf is not None and conf.images_type == "rbd"


def _nova_value(host: HostFacts, key: str) -> str | None:
    conf = nova_conf(host)
    return (conf.text("libvirt", key) or None) if conf is not None else None


TOPIC = Topic(
    name="ceph_rbd",
    title="Ceph pools (RBD)",
    judge=judge,
    files=(ceph_client.CONF, NOVA_CONF),
    paths=(ceph_client.KEYRINGS,),
    packages=(ceph_client.PACKAGE, *DRIVER_PACKAGES),
    sections=("libvirt", "qemu"),
)
