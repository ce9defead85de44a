"""Nova's configuration on a compute host: several files, of which the later ones win, read as oslo.config does."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from hotfoot.readiness.change import Change, EditFile, Phase, Refresh
from hotfoot.readiness.daemons import active
from hotfoot.readiness.edit import RemoveKey, SetKey
from hotfoot.readiness.facts import HostFacts

NOVA_CONF = "/etc/nova/nova.conf"
_DISTRIBUTION = "/usr/share/nova/nova-dist.conf"
FILES = (
    _DISTRIBUTION,
    NOVA_CONF,
    "/etc/nova/nova-compute.conf",
    "/etc/nova/nova.conf.d/*.conf",
    "/etc/nova/nova-compute.conf.d/*.conf",
)
"""In the order in which nova-compute reads them (Red Hat's, then the operator's); ``*`` in the order of names."""
UNITS = ("nova-compute.service", "openstack-nova-compute.service")
"""nova-compute as Debian and Red Hat call it."""
_TRUE = frozenset({"true", "1", "yes", "on"})
_DEFAULT_STATE_PATH = "/var/lib/nova"


@dataclass(frozen=True, slots=True)
class Option:
    """An option as it stands in a file."""

    path: str
    section: str
    key: str
    value: str

    def __str__(self) -> str:
        return f"{self.path}: [{self.section}] {self.key} = {self.value}"


@dataclass(frozen=True, slots=True)
class NovaConf:
    """All that Nova's files on one host set, in the order in which they are read."""

    host: HostFacts
    options: tuple[Option, ...]

    def all(self, section: str, key: str) -> tuple[Option, ...]:
        """Return every place where an option is set, the one that counts last."""
        return tuple(each for each in self.options if (each.section, each.key) == (section, key))

    def get(self, section: str, key: str, *old: tuple[str, str]) -> Option | None:
        """Return the setting that counts: of the name, else of an older name that Nova still takes for it."""
        for each in ((section, key), *old):
            if found := self.all(*each):
                return found[-1]
        return None

    def text(self, section: str, key: str, *old: tuple[str, str]) -> str | None:
        """Return the value that counts, with references to other options put in where they are known."""
        option = self.get(section, key, *old)
        return None if option is None else self._filled(option.value)

    def switch(self, section: str, key: str, *, default: bool = False) -> bool:
        """Return the value of a switch."""
        option = self.get(section, key)
        return default if option is None else option.value.lower() in _TRUE

    @property
    def instances_path(self) -> str:
        """Where Nova keeps instances; its packages' default where nothing is set."""
        return (self.text("DEFAULT", "instances_path") or self._filled("$state_path/instances")).rstrip("/")

    @property
    def images_type(self) -> str:
        """Where Nova makes the disks of instances; its default where nothing is set."""
        return self.text("libvirt", "images_type", ("DEFAULT", "libvirt_images_type")) or "default"

    def _filled(self, value: str, depth: int = 5) -> str:
        def put_in(match: re.Match[str]) -> str:
            name = match["braced"] or match["plain"]
            section, _, key = name.rpartition(".")
            option = self.get(section or "DEFAULT", key)
            if option is not None and depth:
                return self._filled(option.value, depth - 1)
            return _DEFAULT_STATE_PATH if name == "state_path" else match[0]

        return re.sub(r"\$(?:\{(?P<braced>[\w.]+)\}|(?P<plain>\w+))", put_in, value)

    def set_to(self, section: str, key: str, value: str) -> tuple[Change, ...]:
        """Return the change that sets an option where it is set now, else in nova.conf."""
        found = self.get(section, key)
        path = found.path if found is not None and found.path != _DISTRIBUTION else NOVA_CONF
        return (self._edit(path, SetKey(section=section, key=key, value=value)),)

    def without(self, section: str, key: str) -> tuple[Change, ...]:
        """Return the changes that take an option out of all the operator's files."""
        paths = dict.fromkeys(each.path for each in self.all(section, key) if each.path != _DISTRIBUTION)
        return tuple(self._edit(path, RemoveKey(section=section, key=key)) for path in paths)

    def renamed(self, section: str, key: str, new_section: str, new_key: str) -> tuple[Change, ...]:
        """Return the changes that give an option its new name, in the file where it stands.

        Where the new name is set already, it counts, and the old one only goes.
        """
        option = self.all(section, key)[-1]
        gone = self.without(section, key)
        if self.get(new_section, new_key) is not None or option.path == _DISTRIBUTION:
            return gone
        # A value may hold $ references, which count in either section; it is carried over as it stands.
        return (self._edit(option.path, SetKey(section=new_section, key=new_key, value=option.value)), *gone)

    def refresh(self) -> tuple[Change, ...]:
        """Return the change that restarts nova-compute, which reads its files only when it starts."""
        host = self.host
        unit = next((unit for unit in UNITS if active(host, unit)), None)
        return (Change(host=host.host, phase=Phase.NOVA, step=Refresh(unit=unit)),) if unit else ()

    def _edit(self, path: str, edit: SetKey | RemoveKey) -> Change:
        return Change(host=self.host.host, phase=Phase.NOVA, step=EditFile(path=path, edits=(edit,)))


def nova_conf(host: HostFacts) -> NovaConf | None:
    """Return a host's Nova configuration; None where it is no compute host of Nova's."""
    paths = [path for path in host.files if path in FILES or _in_folder(path)]
    there = [path for path in paths if host.files[path].content is not None]
    if NOVA_CONF not in there:
        return None
    return NovaConf(host, tuple(option for path in sorted(there, key=_rank) for option in _read(path, host.text(path))))


def _in_folder(path: str) -> bool:
    return re.fullmatch(r"/etc/nova/nova(-compute)?\.conf\.d/[^/]+\.conf", path) is not None


def _rank(path: str) -> tuple[int, str]:
    if path in FILES:
        return FILES.index(path), path
    return (len(FILES), path) if "/nova.conf.d/" in path else (len(FILES) + 1, path)


@lru_cache(maxsize=2048)
def _read(path: str, text: str) -> Sequence[Option]:
    section, found = "DEFAULT", list[Option]()
    continued = False
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith(("#", ";")):
            continued = continued and bool(line.strip())
            continue
        if line[0] in " \t" and continued:
            last = found[-1]
            found[-1] = Option(path, section, last.key, f"{last.value} {line.strip()}")
            continue
        header = re.fullmatch(r"\[\s*([^\]]+?)\s*\]\s*", line.strip())
        if header:
            section, continued = header[1], False
            continue
        setting = re.match(r"\s*([^=:\s][^=:]*?)\s*[=:]\s*(.*?)\s*$", line)
        continued = setting is not None
        if setting:
            found.append(Option(path, section, setting[1], _unquoted(setting[2])))
    return tuple(found)


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted else value


def by_host(hosts: Sequence[HostFacts]) -> Mapping[str, NovaConf]:
    """Return the configuration of every compute host of Nova's, by host."""
    return {host.host: conf for host in hosts if (conf := nova_conf(host)) is not None}
