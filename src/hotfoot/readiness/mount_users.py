"""Services that use the mounted storage: they are to start only once it is there (systemd's RequiresMountsFor=).

Sources: systemd.unit(5), systemd.mount(5). Of NFS and CephFS only, which the kernel mounts: a GlusterFS mount needs
the daemon of its own host, and to require such a mount would have libvirt stopped whenever that daemon is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hotfoot.cluster import Storage
from hotfoot.readiness import nova_conf
from hotfoot.readiness.change import Change, Command, Phase, PutFile, Step
from hotfoot.readiness.daemons import MODULAR, MONOLITHIC, daemons_of
from hotfoot.readiness.facts import HostFacts
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.fstab import Entry, entries_for
from hotfoot.readiness.listing import listed
from hotfoot.readiness.storage_owner import is_novas

UNITS = (*nova_conf.UNITS, MONOLITHIC.service, MODULAR.service)
_FOLDER = "/etc/systemd/system"
FILES = tuple(f"{_FOLDER}/{unit}{part}" for unit in UNITS for part in ("", ".d/*.conf"))
_TYPES = ("nfs", "cephfs")
_REQUIRES = re.compile(r"^\s*(RequiresMountsFor|Requires|BindsTo)\s*=(.*)$", re.MULTILINE)


def changes_to_wait(storage: Storage, host: HostFacts) -> tuple[Change, ...]:
    """Return what makes the services of a host start only once a storage path is mounted.

    To be made after it is mounted: a service that is started in between would mount it over what lies there.
    """
    units = _heedless(storage, host)
    if not units:
        return ()
    text = (
        f"# Disks of instances are in {storage.path}: never start on the empty folder below the mount.\n"
        f"[Unit]\nRequiresMountsFor={_quoted(storage.path)}\n"
    )
    name = f"hotfoot-{escaped(storage.path)}.conf"
    # Nothing to take back: once the files of units are back, systemd reads them again in any case.
    read = Command(title="have systemd read its units again", argv=("systemctl", "daemon-reload"))
    steps: list[Step] = [PutFile(path=f"{_FOLDER}/{unit}.d/{name}", content=text) for unit in units]
    return tuple(Change(host=host.host, phase=Phase.STORAGE, step=step) for step in (*steps, read))


def judge_users(storage: Storage, host: HostFacts, entry: Entry) -> Iterator[Finding]:
    """Judge the services of a host that has a storage path mounted at boot, by ``entry``."""
    units = _heedless(storage, host)
    if not units or entry.unit or entry.option("x-systemd.automount") is not None:
        return
    name, path = host.host, storage.path
    yield Finding(
        code="shared_path.not-awaited",
        severity=Severity.DANGEROUS,
        host=name,
        what=f"{listed(units)} on {name} start{'' if units[1:] else 's'} even when {path} is not mounted.",
        evidence=f"{'None of them' if units[1:] else 'It'} has RequiresMountsFor={path}; in /etc/fstab: {entry.text}",
        why="After a boot at which the storage could not be mounted, instances would not find their disks, and new "
        "disks would be made in the local folder, where the mount hides them later.",
        remedy=f"On {name}, for each: systemctl edit UNIT, and add RequiresMountsFor={path} below [Unit].",
        changes=changes_to_wait(storage, host),
    )


def escaped(path: str) -> str:
    r"""Return a path as it stands in names of mount units, without the suffix.

    >>> escaped("/var/lib/nova/my-disks/")
    'var-lib-nova-my\\x2ddisks'
    """
    plain = path.strip("/")
    if not plain:
        return "-"

    def letter(match: re.Match[str]) -> str:
        return "".join(f"\\x{byte:02x}" for byte in match[0].encode())

    return re.sub(r"[^A-Za-z0-9:_./]|^\.", letter, plain).replace("/", "-")


def _heedless(storage: Storage, host: HostFacts) -> tuple[str, ...]:
    """Return the services that are there, use the path, and start without it."""
    if storage.type not in _TYPES:
        return ()
    wanted = [*(nova_conf.UNITS if is_novas(host, storage.path) else ()), daemons_of(host).service]
    return tuple(unit for unit in wanted if _is_there(host, unit) and not _waits(host, unit, storage.path))


def _is_there(host: HostFacts, unit: str) -> bool:
    found = host.units.get(unit)
    return found is not None and found.load == "loaded"


def _waits(host: HostFacts, unit: str, path: str) -> bool:
    for name, file in host.files.items():
        if name == f"{_FOLDER}/{unit}" or name.startswith(f"{_FOLDER}/{unit}.d/"):
            for key, value in _REQUIRES.findall(file.content or ""):
                words = value.replace('"', "").split()
                if key == "RequiresMountsFor" and any(f"{word}/".startswith(f"{path}/") for word in words):
                    return True
                if f"{escaped(path)}.mount" in words:
                    return True
    return any(f"x-systemd.required-by={unit}" in entry.options for entry in entries_for(host, path))


def _quoted(path: str) -> str:
    plain = path.replace("%", "%%")
    return f'"{plain}"' if re.search(r"\s", plain) else plain
