"""cloud-init's template of /etc/hosts: where it writes the file at every boot, what is in the file alone is lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hotfoot.readiness import hosts_file
from hotfoot.readiness.change import Change, EditFile, Phase
from hotfoot.readiness.edit import Edit, RemoveLines
from hotfoot.readiness.facts import HostFacts
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.listing import listed

PATHS = "/etc/cloud/templates/hosts.*.tmpl"
_OWN_NAME = r"^\s*(127\.0\.1\.1|::1)\s.*\{\{\s*(fqdn|hostname)\b"


def lost_at_boot(host: HostFacts, wanted: Mapping[str, str]) -> Iterator[Finding]:
    """Judge whether cloud-init would undo names at the next boot; ``wanted`` are addresses by name.

    The file says itself that it is written at boot (cloud-init's module update_etc_hosts, manage_etc_hosts: true).
    """
    if "manage_etc_hosts" not in host.text(hosts_file.PATH):
        return
    kind = "redhat" if host.os is not None and host.os.redhat_like else "debian"
    path = f"/etc/cloud/templates/hosts.{kind}.tmpl"
    file = host.files.get(path)
    if file is None or not file.exists or file.content is None:
        return
    named = {name.lower() for line in hosts_file.parse(host.text(hosts_file.PATH)) for name in line.names}
    kept = {name: address for name, address in wanted.items() if name.lower() in named or host.host == name}
    edits: tuple[Edit, ...] = hosts_file.edits(file.content, kept)
    if not edits:
        return
    yield Finding(
        code="names.lost-at-boot",
        severity=Severity.DANGEROUS,
        host=host.host,
        what=f"cloud-init writes {hosts_file.PATH} of {host.host} anew at every boot, without {listed(kept)}.",
        evidence=f"{hosts_file.PATH} says that manage_etc_hosts is true; {path} lacks these names",
        why="After a reboot the names are gone, and the host's own leads to 127.0.1.1 again.",
        remedy=f"Write the names into {path} of {host.host} too, or set manage_etc_hosts: false in its cloud-config.",
        changes=(
            Change(
                host=host.host,
                phase=Phase.NAMES,
                step=EditFile(path=path, edits=(RemoveLines(matching=_OWN_NAME), *edits)),
            ),
        ),
    )
