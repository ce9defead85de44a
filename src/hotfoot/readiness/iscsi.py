"""Disks of instances on a SAN: every host logged in to the targets, under its own name, and seeing the same LUNs.

Sources: requirement A7 of live migration with libvirt and Nova; iscsiadm(8); RFC 7143 on initiator names.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from hotfoot.cluster import Cluster, Iscsi
from hotfoot.readiness.change import Change, Command, Install, Phase, SetUnit
from hotfoot.readiness.domain_xml import domains_of
from hotfoot.readiness.facts import Facts, HostFacts
from hotfoot.readiness.finding import Finding, Severity, Topic
from hotfoot.readiness.iscsi_qemu import DRIVER_PACKAGES, judge_qemu
from hotfoot.readiness.listing import listed
from hotfoot.readiness.luns import lun_of, luns

PACKAGES = ("open-iscsi", "iscsi-initiator-utils")
LOGIN_UNITS = ("open-iscsi.service", "iscsi.service")
"""What logs in at boot: on Debian and Ubuntu; on Red Hat's systems."""

# What iscsiadm makes by --op new has no CHAP, whatever iscsid.conf says (open-iscsi 2.1.11): the defaults for logins
# go from there into the record by themselves, so that the password is in no argument.
_MAKE_KNOWN = """
set -eu
umask 077
target=$1
shift
"$@" --op new
"$@" --op update -n node.startup -v automatic
for record in $(find /etc/iscsi/nodes/"$target" /var/lib/iscsi/nodes/"$target" -type f 2>/dev/null); do
    awk 'NR == FNR { if ($1 ~ /^node\\.session\\.auth\\./ && $2 == "=") given[$1] = $0; next }
        $1 == "node.session.auth.authmethod" { for (key in given) print given[key]; if (!($1 in given)) print; next }
        !($1 in given)' /etc/iscsi/iscsid.conf "$record" > "$record.hotfoot"
    cat "$record.hotfoot" > "$record"
    rm "$record.hotfoot"
done
"""


# What is open would be torn from under instances: open-iscsi itself looks at mounts at most.
_LEAVE = """
set -eu
target=$1
shift
for session in /sys/class/iscsi_session/*; do
    [ -e "$session" ] || continue
    [ "$(tr '[:upper:]' '[:lower:]' < "$session/targetname")" = "$target" ] || continue
    for file in $(find "$session/device/" -path '*/block/*' -name dev); do
        device=$(cat "$file")
        if ls "${file%/dev}/holders/" 2>/dev/null | grep -q . || grep -q "^[0-9]* [0-9]* $device " /proc/self/mountinfo
        then echo "disks of $target are in use; take them out of use first" >&2; exit 1; fi
        number=$(printf '%x:%x' "${device%:*}" "${device#*:}")
        for open in $(find -L /proc/[0-9]*/fd -maxdepth 1 -type b 2>/dev/null); do
            [ "$(stat -Lc %t:%T "$open" 2>/dev/null)" = "$number" ] || continue
            process=${open%/fd/*}
            user=$(tr '\\0' '\\n' < "$process/cmdline" | sed -n 's/^guest=\\([^,]*\\).*/instance \\1/p')
            echo "${user:-$(cat "$process/comm")} has a disk of $target open; move it away first" >&2
            exit 1
        done
    done
done
exec "$@" --logout
"""


def judge(cluster: Cluster, facts: Facts) -> Iterable[Finding]:
    """Return what keeps hosts from seeing the same LUNs, or QEMU from opening them."""
    targets = [each for each in cluster.iscsi if each.initiator == "host"]
    for host in facts.hosts:
        if targets:
            yield from _client(host)
        for target in targets:
            yield from _login(target, host)
    yield from _names(facts)
    yield from _same_luns(facts)
    yield from judge_qemu(cluster, facts)


def _redhat(host: HostFacts) -> int:
    return 1 if host.os is not None and host.os.redhat_like else 0


def _client(host: HostFacts) -> Iterator[Finding]:
    package, unit = PACKAGES[_redhat(host)], LOGIN_UNITS[_redhat(host)]
    if package not in host.packages and "packages" not in host.failures:
        yield Finding(
            code="iscsi.not-installed",
            severity=Severity.BLOCKS,
            host=host.host,
            what=f"{host.host} cannot log in to iSCSI targets: its client is not installed.",
            evidence=f"Package {package} is not installed.",
            why="The cluster file names targets with instances' disks.",
            remedy=f"Install {package} on {host.host}.",
            changes=(Change(host=host.host, phase=Phase.PACKAGES, step=Install(packages=(package,))),),
        )
        return
    known = host.units.get(unit)
    if known is not None and known.enabled == "disabled":
        yield Finding(
            code="iscsi.not-at-boot",
            severity=Severity.DANGEROUS,
            host=host.host,
            what=f"{host.host} does not log in to its iSCSI targets at boot.",
            evidence=f"{unit} is disabled.",
            why="After a reboot its instances would not find their disks.",
            remedy=f"On {host.host}: systemctl enable {unit}.",
            changes=(Change(host=host.host, phase=Phase.STORAGE, step=SetUnit(unit=unit, enabled=True)),),
        )


def _login(iscsi: Iscsi, host: HostFacts) -> Iterator[Finding]:
    if host.storage is None:
        return
    if iscsi.target in {name.lower() for name in host.storage.iscsi_sessions}:
        yield from _next_boot(iscsi, host)
        return
    node = _node(iscsi)
    script = 'iscsiadm -m session 2>/dev/null | grep -qiF -- " $1 "'
    login = Command(
        title=f"log in to {iscsi.target}",
        argv=(*node, "--login"),
        done_if=("sh", "-c", script, "sh", iscsi.target),
        undo=("sh", "-c", _LEAVE, "sh", iscsi.target, *node),
        patience_s=10,
    )
    yield Finding(
        code="iscsi.not-logged-in",
        severity=Severity.BLOCKS,
        host=host.host,
        what=f"{host.host} is not logged in to the iSCSI target {iscsi.target}.",
        evidence=f"Its sessions: {listed(host.storage.iscsi_sessions) if host.storage.iscsi_sessions else 'none'}.",
        why="It does not see the LUNs of that target, so that instances with disks there cannot arrive.",
        remedy=f"On {host.host}: iscsiadm -m discovery -t sendtargets -p {iscsi.portal}, then iscsiadm -m node -T "
        f"{iscsi.target} -p {iscsi.portal} --login. The target must let in {host.storage.iscsi_initiator or 'it'}.",
        changes=tuple(
            Change(host=host.host, phase=Phase.STORAGE, step=step) for step in (*_known_at_boot(iscsi, host), login)
        ),
    )


def _node(iscsi: Iscsi) -> tuple[str, ...]:
    return ("iscsiadm", "-m", "node", "-T", iscsi.target, "-p", iscsi.portal)


def _known_at_boot(iscsi: Iscsi, host: HostFacts) -> tuple[Command, ...]:
    """Return what makes a record of the target that is logged in to at boot, from none or from one that is not."""
    node, startup = _node(iscsi), ("--op", "update", "-n", "node.startup", "-v")
    made = Command(
        title=f"make {iscsi.target} known, to be logged in to at boot",
        argv=("sh", "-c", _MAKE_KNOWN, "sh", iscsi.target, *node),
        done_if=node,
        undo=(*node, "--op", "delete"),
    )
    if _records(host).get(iscsi.target) != "manual":
        return (made,)
    changed = Command(
        title=f"have {iscsi.target} logged in to at boot",
        argv=(*node, *startup, "automatic"),
        done_if=("sh", "-c", '"$@" | grep -qx "node.startup = automatic"', "sh", *node),
        undo=(*node, *startup, "manual"),
    )
    return (made, changed)


def _records(host: HostFacts) -> dict[str, str]:
    return (host.storage.iscsi_records if host.storage else None) or {}


def _next_boot(iscsi: Iscsi, host: HostFacts) -> Iterator[Finding]:
    """A session that is there now, and will not be after a reboot."""
    if host.storage is None or host.storage.iscsi_records is None:
        return
    startup = _records(host).get(iscsi.target)
    if startup == "automatic":
        return
    yield Finding(
        code="iscsi.login-by-hand",
        severity=Severity.DANGEROUS,
        host=host.host,
        what=f"{host.host} is logged in to {iscsi.target} now, and will not be after a reboot.",
        evidence=f"No record of {iscsi.target} is logged in to at boot"
        + (": node.startup is manual." if startup else ": it has no record."),
        why="After a reboot its instances would not find their disks.",
        remedy=f"On {host.host}: {' '.join(_node(iscsi))} --op update -n node.startup -v automatic.",
        changes=tuple(Change(host=host.host, phase=Phase.STORAGE, step=step) for step in _known_at_boot(iscsi, host)),
    )


def _names(facts: Facts) -> Iterator[Finding]:
    by_name: dict[str, list[str]] = defaultdict(list)
    for host in facts.hosts:
        if host.storage and host.storage.iscsi_initiator:
            by_name[host.storage.iscsi_initiator.lower()].append(host.host)
    for name, (first, *others) in by_name.items():
        for other in others:
            yield Finding(
                code="iscsi.same-initiator",
                severity=Severity.BLOCKS,
                host=other,
                peer=first,
                what=f"{other} and {first} have the same iSCSI name.",
                evidence=f"InitiatorName={name} on {listed((first, *others))}.",
                why="A target takes them for one host: the login of one ends the session of the other, under its "
                "instances. Hosts installed from one image have this.",
                remedy=f"Drain {other}, log it out, give it a name of its own in /etc/iscsi/initiatorname.iscsi "
                "(iscsi-iname prints one), and let that name in at the target.",
            )


def _same_luns(facts: Facts) -> Iterator[Finding]:
    """Each LUN that a running instance uses must be seen by every host, and under a name that means it everywhere."""
    users: dict[tuple[str, str], list[str]] = defaultdict(list)
    for host in facts.hosts:
        for domain in domains_of(host):
            for disk in domain.disks:
                if disk.kind == "block" and disk.protocol == "":
                    yield from _name(host, domain.name, disk.source)
                    if lun := lun_of(host, disk.source):
                        users[host.host, lun].append(domain.name)
    seen = {host.host: luns(host) for host in facts.hosts if host.storage is not None}
    for (source, lun), instances in users.items():
        if lun not in seen.get(source, ()):
            continue  # a local disk that happens to have a number, or one that the host does not tell of
        for destination, theirs in seen.items():
            if lun not in theirs:
                yield Finding(
                    code="iscsi.lun-missing",
                    severity=Severity.BLOCKS,
                    host=source,
                    peer=destination,
                    what=f"{listed(instances)} on {source} has a disk that {destination} does not see.",
                    evidence=f"LUN {lun} is on {source}, and not among the {len(theirs)} LUNs of {destination}.",
                    why="An instance can move only to a host that sees the same LUN.",
                    remedy=f"Let {destination} in at the storage (LUN masking, zoning), then on {destination}: "
                    "rescan-scsi-bus.sh or iscsiadm -m session --rescan.",
                )


def _name(host: HostFacts, instance: str, device: str) -> Iterator[Finding]:
    lun = lun_of(host, device)
    if re.fullmatch(r"/dev/(sd[a-z]+|dm-\d+)\d*", device) is None or lun not in luns(host):
        return
    yield Finding(
        code="iscsi.unstable-name",
        severity=Severity.DANGEROUS,
        host=host.host,
        what=f"{instance} on {host.host} names its disk {device}, which may be another disk elsewhere.",
        evidence=f"{device} is LUN {lun} on {host.host} today.",
        why="Such names are given in the order in which disks are found: on the destination, or after a reboot, it may "
        "be another instance's disk, which both would then write.",
        remedy=f"Define the disk of {instance} by /dev/disk/by-id/ for its next start.",
    )


TOPIC = Topic(
    name="iscsi",
    title="SAN and iSCSI",
    judge=judge,
    units=LOGIN_UNITS,
    packages=(*PACKAGES, *DRIVER_PACKAGES),
    sections=("storage", "libvirt"),
)
