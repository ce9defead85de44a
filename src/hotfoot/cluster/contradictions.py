"""What is wrong between keys that are right each by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from hotfoot.cluster.fence import WAYS, Fence
from hotfoot.cluster.keys import Section
from hotfoot.cluster.model import (
    BUILT_IN_POLICIES,
    Cluster,
    Host,
    Iscsi,
    Libvirt,
    MigrationNetwork,
    Storage,
    in_network,
)
from hotfoot.cluster.rule import Rule
from hotfoot.cluster.sentences import place_name
from hotfoot.cluster.validation import NotValid, part_from
from hotfoot.cluster.yaml_lines import Document, Location, Mistake

_Section = TypeVar("_Section", bound=Section)


def contradictions(document: Document, cluster: Cluster | None) -> Iterator[Mistake]:
    """Compare whatever parts of the file are valid by themselves, so that all mistakes are told at once.

    ``cluster`` is the file as a whole where that is valid: no part is then judged again, which would take a validator
    of its own.
    """
    parts = _Parts(document, cluster)
    yield from _no_hosts(document)
    yield from _duplicates(parts)
    yield from _libvirt(parts)
    yield from _migration_user(parts)
    yield from _migration_addresses(parts)
    yield from _storage(parts)
    yield from _policies(document)
    yield from _iscsi(parts)
    yield from _rules(parts)
    yield from _fences(parts)


class _Parts:
    """The parts of a cluster file that are valid by themselves."""

    def __init__(self, document: Document, cluster: Cluster | None) -> None:
        self.document = document
        self._cluster = cluster

    def section(self, key: str, model: type[_Section]) -> _Section | None:
        """Return a section, as its defaults say where it is left out; None where it is not valid."""
        if self._cluster is not None:
            section: _Section = getattr(self._cluster, key)
            return section
        return _valid(model, self.document.value.get(key, {}))

    def entries(self, key: str, model: type[_Section]) -> Iterator[tuple[int, _Section]]:
        """Yield the valid entries of a list, each with its index."""
        if self._cluster is not None:
            yield from enumerate(getattr(self._cluster, key))
            return
        for index, raw in enumerate(_raw_list(self.document, key)):
            if (entry := _valid(model, raw)) is not None:
                yield index, entry

    def addresses(self) -> list[dict[str, str]]:
        """Return each host's valid addresses by key, in the canonical spelling, in which equal addresses are equal.

        One by one, so that a mistake beside them does not hide what is wrong with them.
        """
        keys = ("address", "migration_address")
        if self._cluster is not None:
            found = [{key: getattr(host, key) for key in keys} for host in self._cluster.hosts]
        else:
            raw = [entry if isinstance(entry, dict) else {} for entry in _raw_list(self.document, "hosts")]
            found = [{key: _address(entry.get(key)) for key in keys} for entry in raw]
        return [{key: address for key, address in own.items() if address is not None} for own in found]


def _no_hosts(document: Document) -> Iterator[Mistake]:
    """Hosts: at least one, unless Nova tells which there are.

    An empty section is no word for plain libvirt, where Hotfoot would work behind Nova's back.
    """
    if "openstack" in document.value:
        if document.value["openstack"] is None:
            yield Mistake(document.line(("openstack",)), "openstack has no value; write {} for the OS_* variables")
    elif "hosts" not in document.value:
        yield Mistake(document.line(()), 'the file lacks the key "hosts"')
    elif document.value["hosts"] == []:
        yield Mistake(document.line(("hosts",)), "hosts needs at least one entry")


def _libvirt(parts: _Parts) -> Iterator[Mistake]:
    document, libvirt = parts.document, parts.section("libvirt", Libvirt)
    if libvirt is None:
        return
    if libvirt.pki is not None and libvirt.transport != "tls":
        yield Mistake(
            document.line(("libvirt", "pki")),
            f"libvirt.pki is only for transport tls, but the transport is {libvirt.transport}",
        )
    if libvirt.port is not None and libvirt.transport == "ssh":
        yield Mistake(
            document.line(("libvirt", "port")),
            "libvirt.port is only for transport tls and tcp; the port of sshd is ssh.port",
        )


def _migration_user(parts: _Parts) -> Iterator[Mistake]:
    libvirt, migration = parts.section("libvirt", Libvirt), parts.section("migration", MigrationNetwork)
    if libvirt and migration and libvirt.transport == "ssh" and migration.user not in (None, "root"):
        yield Mistake(
            parts.document.line(("migration", "user")),
            f"migration.user is {migration.user}, but with transport ssh the hosts' libvirt logs in itself, as root; "
            "leave the key out",
        )


def _migration_addresses(parts: _Parts) -> Iterator[Mistake]:
    document, migration = parts.document, parts.section("migration", MigrationNetwork)
    if migration is None or migration.network is None:
        return
    for index, own in enumerate(parts.addresses()):
        address = own.get("migration_address")
        if address is not None and in_network(address, migration.network) is False:
            place = ("hosts", index, "migration_address")
            yield Mistake(
                document.line(place),
                f"{place_name(document, place)} {address} is outside migration.network {migration.network}",
            )


def _storage(parts: _Parts) -> Iterator[Mistake]:
    document = parts.document
    first: dict[str, int] = {}
    for index, storage in parts.entries("storage", Storage):
        line = document.line(("storage", index, "path"))
        if storage.path in first:
            yield Mistake(line, f"storage {storage.path} is declared twice, first in line {first[storage.path]}")
        first.setdefault(storage.path, line)
        yield from _served(document, index, storage)
        yield from _of_cephfs(document, index, storage)


_SERVERS = {"nfs": (1,), "glusterfs": (1, 3)}
"""How many hosts may serve a type: those that `hotfoot prepare` can set up."""


def _served(document: Document, index: int, storage: Storage) -> Iterator[Mistake]:
    def mistake(key: str, sentence: str) -> Mistake:
        place = ("storage", index, key)
        return Mistake(document.line(place), f"{place_name(document, place)} {sentence}")

    if not storage.shared:
        for key, given in (("servers", storage.servers), ("source", storage.source)):
            if given:
                yield mistake(key, "is only for shared storage, but the type is local")
        return
    if not storage.servers:
        return
    numbers = _SERVERS.get(storage.type)
    hosts = {entry.get("name") for entry in _raw_list(document, "hosts") if isinstance(entry, dict)}
    for server in storage.servers:
        if server not in hosts:
            yield mistake("servers", f"names {server}, which is no host of this file")
    if len(set(storage.servers)) < len(storage.servers):
        yield mistake("servers", "names a host twice")
    elif numbers is None:
        yield mistake("servers", f"is only for nfs and glusterfs; give the source of what serves {storage.type}")
    elif len(storage.servers) not in numbers:
        wanted = "one host" if len(numbers) == 1 else "one host or three"
        yield mistake("servers", f"must be {wanted} for {storage.type}, not {len(storage.servers)}")
    if numbers is not None and _overlap(storage.folder, storage.path):
        yield mistake("folder", f"{storage.folder} must not be, hold or lie in the path {storage.path} itself")


def _of_cephfs(document: Document, index: int, storage: Storage) -> Iterator[Mistake]:
    for key, given in (("keyring", storage.keyring), ("monitors", storage.monitors)):
        place = ("storage", index, key)
        name = place_name(document, place)
        if given and storage.type != "cephfs":
            yield Mistake(document.line(place), f"{name} is only for cephfs, but the type is {storage.type}")
        elif given and key == "keyring" and "@" not in (storage.source or ""):
            said = "needs a source that names the user, such as compute@FSID.NAME=/PATH"
            yield Mistake(document.line(place), f"{name} {said}")


def _policies(document: Document) -> Iterator[Mistake]:
    """Names of policies: each given once, and no other used."""
    first: dict[str, int] = {}
    for index, entry in enumerate(_raw_list(document, "policies")):
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            continue
        line = document.line(("policies", index, "name"))
        if name in BUILT_IN_POLICIES:
            yield Mistake(line, f"there is a built-in policy named {name}")
        elif name in first:
            yield Mistake(line, f"a second policy is named {name}, as the one in line {first[name]}")
        first.setdefault(name, line)
    known = ", ".join(dict.fromkeys((*BUILT_IN_POLICIES, *first)))
    section, named = document.value.get("policy"), document.value.get("policy_of")
    wishes: list[tuple[tuple[str, str], object]] = []
    if isinstance(section, dict):
        wishes.append((("policy", "base"), section.get("base")))
    if isinstance(named, dict):
        wishes += [(("policy_of", str(instance)), name) for instance, name in named.items()]
    for place, name in wishes:
        if isinstance(name, str) and name not in first and name not in BUILT_IN_POLICIES:
            yield Mistake(document.line(place), f"{'.'.join(place)} must name one of {known}, not {name}")


def _iscsi(parts: _Parts) -> Iterator[Mistake]:
    document = parts.document
    files: dict[str, tuple[object, int]] = {}
    lines: dict[str, int] = {}
    for index, iscsi in parts.entries("iscsi", Iscsi):
        if iscsi.initiator == "qemu":
            line = document.line(("iscsi", index, "target"))
            if lines.setdefault(iscsi.target, line) != line:
                yield Mistake(
                    line, f"the iSCSI target {iscsi.target} is declared twice, first in line {lines[iscsi.target]}"
                )
        if iscsi.chap is None:
            continue
        place = ("iscsi", index, "chap")
        if iscsi.initiator != "qemu":
            yield Mistake(
                document.line(place),
                f"{place_name(document, place)} is only for initiator qemu; the hosts' own logins have theirs in "
                "/etc/iscsi/iscsid.conf",
            )
        line = document.line((*place, "secret"))
        file, first = files.setdefault(iscsi.chap.secret, (iscsi.chap.password_file, line))
        if file != iscsi.chap.password_file:
            yield Mistake(
                line,
                f"{place_name(document, place)} has the secret of line {first} with another password_file; a secret "
                "holds one password",
            )


_NEEDS = {"only-on": "hosts", "not-on": "hosts", "near": "near"}
"""What a kind of rule says nothing without."""


def _rules(parts: _Parts) -> Iterator[Mistake]:
    """Names of rules: each given once; hosts that they name: of this file; and what their kind needs, and nothing else.

    A rule over zones needs hosts with zones: else no placement would ever keep it.
    """
    document = parts.document
    first: dict[str, int] = {}
    hosts = [entry for entry in _raw_list(document, "hosts") if isinstance(entry, dict)]
    zones = {entry.get("zone") for entry in hosts} - {None}
    for index, rule in parts.entries("rules", Rule):
        line = document.line(("rules", index, "name"))
        if rule.name in first:
            yield Mistake(line, f"a second rule is named {rule.name}, as the one in line {first[rule.name]}")
        first.setdefault(rule.name, line)
        for host in rule.hosts:
            if host not in {entry.get("name") for entry in hosts}:
                yield Mistake(line, f"rule {rule.name} names {host}, which is no host of this file")
        needed = _NEEDS.get(rule.kind)
        for key, given in (("hosts", rule.hosts), ("near", rule.near)):
            if bool(given) != (key == needed):
                what = f"needs {key}" if key == needed else f"is {rule.kind}, which has no {key}"
                yield Mistake(line, f"rule {rule.name} {what}")
        if rule.kind in ("spread", "near") and len(zones) < max(rule.zones, 1):
            told = f"{rule.zones} zones, and the hosts of this file are in {len(zones)}" if zones else "zones of hosts"
            yield Mistake(line, f"rule {rule.name} needs {told}; hosts[].zone says which host is in which")


def _fences(parts: _Parts) -> Iterator[Mistake]:
    """Fences: each in one way; and for each host a machine of its own, else one would prove that the other is off."""
    document = parts.document
    common = parts.section("fence", Fence) if document.value.get("fence") is not None else None
    hosts = list(parts.entries("hosts", Host))
    given: list[tuple[Location, Fence]] = [] if common is None else [(("fence",), common)]
    given += [(("hosts", index, "fence"), host.fence) for index, host in hosts if host.fence is not None]
    for place, fence in given:
        if len(fence.ways) != 1:
            what = "cannot have both" if fence.ways else "needs one of"
            names = " and ".join(fence.ways) or f"{', '.join(WAYS[:-1])} and {WAYS[-1]}"
            yield Mistake(document.line(place), f"{place_name(document, place)} {what} {names}")
    first: dict[tuple[str, ...], str] = {}
    for index, host in hosts:
        own = host.fence or common
        machine = None if own is None else own.of(host.name, host.address).machine
        if machine is not None and first.setdefault(machine, host.name) != host.name:
            place = ("hosts", index, "fence") if host.fence is not None else ("fence",)
            yield Mistake(
                document.line(place),
                f"{place_name(document, place)} switches the same machine for {host.name} as for {first[machine]}: "
                "put {host} into its address, or give each host a fence of its own",
            )


def _overlap(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _duplicates(parts: _Parts) -> Iterator[Mistake]:
    """Compare names and addresses one by one, so that a mistake beside them does not hide a duplicate."""
    document = parts.document
    names: dict[str, tuple[int, int]] = {}
    addresses: dict[str, tuple[int, int]] = {}
    for index, entry in enumerate(_raw_list(document, "hosts")):
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            continue
        line = document.line(("hosts", index, "name"))
        if name in names:
            yield Mistake(line, f"a second host is named {name}, as the one in line {names[name][1]}")
        names.setdefault(name, (index, line))
    for index, own in enumerate(parts.addresses()):
        for key, address in own.items():
            line = document.line(("hosts", index, key))
            place = place_name(document, ("hosts", index, key))
            if addresses.get(address, (index, 0))[0] != index:
                other, other_line = addresses[address]
                yield Mistake(
                    line,
                    f"{place} {address} belongs already to {place_name(document, ('hosts', other))} "
                    f"in line {other_line}",
                )
            elif names.get(address, (index, 0))[0] != index:
                yield Mistake(line, f"{place} {address} is the name of the host in line {names[address][1]}")
            addresses.setdefault(address, (index, line))


def _address(raw: object) -> str | None:
    """Give the canonical spelling; None for what is none."""
    host = _valid(Host, {"name": "any", "address": raw})
    return host.address if host is not None else None


def _valid(model: type[_Section], raw: Any) -> _Section | None:
    try:
        return part_from(model, raw)
    except NotValid:
        return None


def _raw_list(document: Document, key: str) -> list[Any]:
    raw = document.value.get(key)
    return raw if isinstance(raw, list) else []
