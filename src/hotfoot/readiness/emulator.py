"""QEMU: there on every host, not older at a destination than at a source, and knowing what instances are made of.

Source: the QEMU documentation, "Live migration" and "Backward compatibility"; libvirt.org, "formatdomain".
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from fnmatch import fnmatchcase

from hotfoot.cluster import Cluster
from hotfoot.readiness.change import Change, Install, Phase
from hotfoot.readiness.domain_xml import domains_of
from hotfoot.readiness.facts import Facts, HostFacts
from hotfoot.readiness.finding import Finding, Severity, Topic
from hotfoot.readiness.listing import listed

FIRMWARE = (
    "/usr/share/OVMF/*.fd",
    "/usr/share/AAVMF/*.fd",
    "/usr/share/qemu/*.fd",
    "/usr/share/qemu-efi-aarch64/*.fd",
    "/usr/share/edk2/ovmf/*.fd",
    "/usr/share/edk2/aarch64/*.fd",
)
"""Where the distributions keep firmware for instances."""
_PACKAGES = {
    ("debian", "x86_64"): "qemu-system-x86",
    ("debian", "aarch64"): "qemu-system-arm",
    ("debian", "ppc64le"): "qemu-system-ppc",
    ("debian", "s390x"): "qemu-system-s390x",
}
_FIRMWARE_PACKAGES = {
    ("debian", "x86_64"): "ovmf",
    ("debian", "aarch64"): "qemu-efi-aarch64",
    ("redhat", "x86_64"): "edk2-ovmf",
    ("redhat", "aarch64"): "edk2-aarch64",
}


def judge(_cluster: Cluster, facts: Facts) -> Iterator[Finding]:
    """Yield what is wrong with QEMU on all hosts that answered."""
    for host in facts.hosts:
        yield from _there(host)
    yield from _versions(facts)
    yield from _machines(facts)
    yield from _firmware(facts)
    for host in facts.hosts:
        yield from _post_copy(host)


def version_of(host: HostFacts) -> tuple[int, ...] | None:
    """Return QEMU's version on a host, None where it is not known.

    Distributions add to it (``7.2.13 (Debian 1:7.2+dfsg-7)``): only the numbers in front count.
    """
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", host.qemu.version) if host.qemu else None
    return tuple(int(part or 0) for part in found.groups()) if found else None


def _there(host: HostFacts) -> Iterator[Finding]:
    if host.qemu is None or host.qemu.emulator:
        return
    family, arch = _system(host)
    package = "qemu-kvm" if family == "redhat" else _PACKAGES.get((family, arch))
    yield Finding(
        code="emulator.missing",
        severity=Severity.BLOCKS,
        host=host.host,
        what=f"QEMU is not installed on {host.host}.",
        evidence="libvirt knows no emulator there, and none is in the usual places",
        why="Every instance is a QEMU process; without it none can start or arrive.",
        remedy=f"Install {package or 'QEMU'} on {host.host}.",
        changes=(Change(host=host.host, phase=Phase.PACKAGES, step=Install(packages=(package,))),) if package else (),
    )


def _versions(facts: Facts) -> Iterator[Finding]:
    versions = {host.host: version for host in facts.hosts if (version := version_of(host)) is not None}
    if len({version[:2] for version in versions.values()}) < 2:
        return
    newest = max(version[:2] for version in versions.values())
    newer = [name for name, version in versions.items() if version[:2] == newest]
    for name, version in versions.items():
        if version[:2] == newest:
            continue
        yield Finding(
            code="emulator.older",
            severity=Severity.DANGEROUS,
            host=name,
            what=f"QEMU on {name} is older than on other hosts.",
            evidence=f"{_dotted(version)} on {name}, {newest[0]}.{newest[1]} on {listed(newer)}",
            why="An instance moves from an older QEMU to a newer one, not surely back: the older one may not know its"
            " machine type or the state of its devices, and the move fails at its end.",
            remedy=f"Bring QEMU on {name} to {newest[0]}.{newest[1]}; until then, move instances only away from"
            f" {name}.",
        )


def _machines(facts: Facts) -> Iterator[Finding]:
    users: dict[str, list[str]] = defaultdict(list)
    for host in facts.hosts:
        for domain in domains_of(host):
            if domain.machine:
                users[domain.machine].append(f"{domain.name} on {host.host}")
    for host in facts.hosts:
        if host.qemu is None or not host.qemu.machines:
            continue
        for machine in sorted(users.keys() - set(host.qemu.machines)):
            yield Finding(
                code="emulator.machine-unknown",
                severity=Severity.BLOCKS,
                host=host.host,
                what=f"QEMU on {host.host} does not know the machine type {machine}, which instances have.",
                evidence=f"{machine}: {listed(users[machine])}; QEMU on {host.host} is"
                f" {host.qemu.version or 'unknown'}",
                why="The machine type is the guest's main board: a destination that cannot build the same one"
                " refuses the"
                " instance.",
                remedy=f"Bring QEMU on {host.host} to the version of the hosts on which they run.",
            )


def _firmware(facts: Facts) -> Iterator[Finding]:
    users: dict[str, list[str]] = defaultdict(list)
    for host in facts.hosts:
        for domain in domains_of(host):
            for path in domain.boot_files:
                if any(fnmatchcase(path, pattern) for pattern in FIRMWARE):
                    users[path].append(f"{domain.name} on {host.host}")
    for host in facts.hosts:
        # Where no path was looked at, nothing is known of any.
        for path in users if host.paths else ():
            file = host.paths.get(path)
            if file is not None and file.exists:
                continue
            package = _FIRMWARE_PACKAGES.get(_system(host))
            yield Finding(
                code="emulator.firmware-missing",
                severity=Severity.BLOCKS,
                host=host.host,
                what=f"{host.host} lacks the firmware {path}, which instances have.",
                evidence=f"{path}: {listed(users[path])}",
                why="The destination's QEMU opens the same file before the instance arrives, and ends without it.",
                remedy=f"Install {package or 'the package that has it'} on {host.host}.",
                changes=(Change(host=host.host, phase=Phase.PACKAGES, step=Install(packages=(package,))),)
                if package
                else (),
            )


def _post_copy(host: HostFacts) -> Iterator[Finding]:
    if host.qemu is None or host.qemu.userfaultfd is not False:
        return
    yield Finding(
        code="emulator.no-post-copy",
        severity=Severity.ADVICE,
        host=host.host,
        what=f"Instances cannot arrive on {host.host} by post-copy.",
        evidence="QEMU's user may not use userfaultfd: neither /dev/userfaultfd nor vm.unprivileged_userfaultfd"
        " lets it",
        why="Instances that write faster than the network carries can only be moved by post-copy; libvirt then says"
        ' "Postcopy is not supported".',
        remedy="Give QEMU's group /dev/userfaultfd (a udev rule), or set vm.unprivileged_userfaultfd=1, which"
        " opens it to"
        " every user: yours to weigh.",
    )


def _system(host: HostFacts) -> tuple[str, str]:
    if host.os is None:
        return "", ""
    return "debian" if host.os.debian_like else "redhat" if host.os.redhat_like else "", host.os.arch


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


TOPIC = Topic(
    name="emulator",
    title="QEMU, machine types, firmware",
    judge=judge,
    paths=FIRMWARE,
    packages=("qemu-system-x86", "qemu-system-arm", "qemu-kvm", "ovmf", "edk2-ovmf"),
    sections=("os", "qemu", "libvirt"),
)
