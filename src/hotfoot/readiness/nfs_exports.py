"""The line of an export: which hosts it lets in, with what rights, and what it should be.

Sources: exports(5); requirement A2 of live migration with libvirt and Nova. The guides export to a subnet or to "*"
with ``rw,fsid=0,insecure,no_subtree_check,async,no_root_squash``: each of these is recognised and explained.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch

from hotfoot.cluster import Cluster, Storage
from hotfoot.readiness.addresses import addresses_of
from hotfoot.readiness.change import Change, Command, EditFile, Phase, Refresh
from hotfoot.readiness.edit import Edit, EnsureLine, RemoveLines
from hotfoot.readiness.exports import DROP_INS, PATH, Client, Export, active, parse, render
from hotfoot.readiness.facts import Facts, HostFacts
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.listing import listed
from hotfoot.readiness.mounting import mount_over

FILES = (PATH, DROP_INS)
UNIT = "nfs-server.service"
WANTED = ("rw", "sync", "no_subtree_check", "no_root_squash")
_REPLACED = {"ro", "async", "subtree_check", "root_squash", "all_squash", "insecure", "secure", "no_all_squash"}
# The kernel tells file systems without a UUID apart only by a number that the line gives.
_WITHOUT_UUID = ("tmpfs", "overlay", "fuse")


_EXPORT = Command(title="export what the files say", argv=("exportfs", "-ra"), undo=("exportfs", "-ra"))
"""For files that nobody edits in the same plan; after an edit the server is made to read them again."""


@dataclass(frozen=True, slots=True)
class Who:
    """Names and addresses by which a compute host may stand in an export's line."""

    host: str
    names: frozenset[str]
    addresses: frozenset[str]

    def covered(self, client: Client) -> bool | None:
        """Whether a client of an export is or includes this host; None for a netgroup, which only its server knows."""
        if client.kind == "world":
            return True
        if client.kind in ("netgroup", "security"):
            return None
        if client.kind == "network":
            return any(_inside(address, client.who) for address in self.addresses)
        name = client.name.lower().rstrip(".")
        if client.kind == "wildcard":
            return any(fnmatch(own, name) for own in self.names)
        return name in self.names or name in self.addresses


def compute_hosts(cluster: Cluster, facts: Facts) -> tuple[Who, ...]:
    """Return under which names and addresses each host of the cluster may mount."""
    addresses = addresses_of(cluster, facts)
    known = facts.by_name
    found = []
    for host in cluster.hosts:
        names = {host.name.lower(), host.address}
        own = known[host.name].names if host.name in known else None
        if own is not None:
            names |= {own.hostname.lower(), own.fqdn.lower()}
        found.append(Who(host.name, frozenset(names - {""}), addresses[host.name].own))
    return tuple(found)


def entries(server: HostFacts, folder: str) -> dict[str, tuple[Export, ...]]:
    """Return the entries of a folder in the server's files, by path of the file."""
    found = {}
    for path, file in sorted(server.files.items()):
        if path == PATH or fnmatch(path, DROP_INS):
            found[path] = tuple(entry for entry in parse(file.content or "") if entry.folder == folder)
    return {path: those for path, those in found.items() if those}


def judge_exports(cluster: Cluster, storage: Storage, server: HostFacts, facts: Facts) -> Iterator[Finding]:
    """Return what is wrong with a folder's export, in the files and in what the kernel has of them."""
    whos = compute_hosts(cluster, facts)
    found = entries(server, storage.folder)
    changes = _changes(storage, server, whos, found)
    clients = [client for those in found.values() for entry in those for client in entry.clients]
    if not clients:
        line = render(_wanted(storage, server, whos, ()))
        yield Finding(
            code="nfs_server.not-exported",
            severity=Severity.BLOCKS,
            host=server.host,
            what=f"{server.host} does not export {storage.folder}.",
            evidence=f"No entry for it in {PATH} or {DROP_INS}.",
            why="The hosts cannot mount what the server does not export.",
            remedy=f'Add "{line}" to {PATH} on {server.host}, then: exportfs -ra.',
            changes=changes,
        )
        return
    yield from _missing(storage, server, whos, clients, changes)
    for client in clients:
        mine = [who.host for who in whos if who.covered(client)]
        yield from _who(storage, server, client, changes)
        yield from _rights(storage, server, client, mine, changes)
    yield from _active(storage, server, whos, clients)


def _missing(
    storage: Storage, server: HostFacts, whos: Iterable[Who], clients: list[Client], changes: tuple[Change, ...]
) -> Iterator[Finding]:
    if any(client.kind in ("netgroup", "security") for client in clients):
        return  # who belongs to it is known to the server's name service only
    missing = [who.host for who in whos if not any(who.covered(client) for client in clients)]
    if missing:
        yield Finding(
            code="nfs_server.host-missing",
            severity=Severity.BLOCKS,
            host=server.host,
            what=f"{server.host} does not let {listed(missing)} mount {storage.folder}.",
            evidence=f"The entry names {listed(client.who for client in clients)}.",
            why="A host that may not mount the storage cannot run the instances whose disks are there.",
            remedy=f"Add {listed(missing)} to the entry of {storage.folder} on {server.host}, then: exportfs -ra.",
            changes=changes,
        )


def _who(storage: Storage, server: HostFacts, client: Client, changes: tuple[Change, ...]) -> Iterator[Finding]:
    if client.kind not in ("world", "network", "wildcard"):
        return
    by_blank = client.blank
    code, what = {
        "world": ("nfs_server.world", f"{server.host} exports {storage.folder} to everybody."),
        "network": ("nfs_server.network", f"{server.host} exports {storage.folder} to a whole network, {client.who}."),
        "wildcard": ("nfs_server.wildcard", f"{server.host} exports {storage.folder} to all names {client.who}."),
    }[client.kind]
    if by_blank:
        code = "nfs_server.blank"
        what = f"A blank before a parenthesis makes {server.host} export {storage.folder} to everybody."
    yield Finding(
        code=code,
        severity=Severity.DANGEROUS,
        host=server.host,
        what=what,
        evidence=f"{storage.folder} {client}",
        why="Whoever has or takes such an address or name is root on every instance's disk"
        + (": the options belong to everybody, and the host named before them has none." if by_blank else "."),
        remedy=f"Name the compute hosts one by one in the entry on {server.host}, then: exportfs -ra.",
        changes=changes,
    )


def _rights(
    storage: Storage, server: HostFacts, client: Client, mine: list[str], changes: tuple[Change, ...]
) -> Iterator[Finding]:
    """What options say; those that keep hosts out only where the client is one of the cluster's hosts."""
    blocks, dangerous, advice = Severity.BLOCKS, Severity.DANGEROUS, Severity.ADVICE
    wrong: list[tuple[str, Severity, str, str]] = []
    if mine and not client.says("rw", "ro", False):
        wrong.append(("read-only", blocks, "read-only", "QEMU cannot write disks there."))
    if mine and client.says("all_squash", "no_all_squash", False):
        why = "Every user becomes nobody there: neither QEMU nor Nova can use the files that they own."
        wrong.append(("all-squash", blocks, "with all_squash", why))
    elif mine and not client.says("no_root_squash", "root_squash", False):
        why = (
            "root becomes nobody there: libvirt, which works as root, can neither give a disk to QEMU nor read one "
            "that belongs to it."
        )
        wrong.append(("root-squash", blocks, "without no_root_squash", why))
    if client.says("async", "sync", False):
        why = "The server says that data is written before it is: a crash of the server loses what guests had synced."
        wrong.append(("async", dangerous, "with async", why))
    if client.says("insecure", "secure", False):
        why = "Any program of any user on the client, not only its kernel, may then speak NFS and say that it is root."
        wrong.append(("insecure", dangerous, "with insecure", why))
    if client.option("fsid") in ("0", "root"):
        why = (
            "The folder becomes the root of the NFSv4 tree, and clients would mount / instead of its path. NFSv4 has "
            "needed no such entry for many years."
        )
        wrong.append(("fsid-0", advice, "with fsid=0", why))
    if client.says("subtree_check", "no_subtree_check", False):
        why = "A file that is renamed while it is open gets a stale handle."
        wrong.append(("subtree-check", advice, "with subtree_check", why))
    if not mine and client.kind == "host" and client.says("no_root_squash", "root_squash", False):
        yield Finding(
            code="nfs_server.stranger",
            severity=advice,
            host=server.host,
            what=f"{server.host} lets {client.who}, which is no host of this cluster, be root in {storage.folder}.",
            evidence=f"{storage.folder} {client}",
            why="Whoever is root there may read and change every instance's disk.",
            remedy=f"Take {client.who} out of the entry, or give it root_squash, if it needs no such rights.",
        )
    for code, severity, how, why in wrong:
        yield Finding(
            code=f"nfs_server.{code}",
            severity=severity,
            host=server.host,
            what=f"{server.host} exports {storage.folder} {how} to {client.who}.",
            evidence=f"{storage.folder} {client}",
            why=why,
            remedy=f"Give {client.who} the options {','.join(WANTED)} in the entry on {server.host}, then: exportfs "
            "-ra.",
            changes=changes,
        )


def _active(storage: Storage, server: HostFacts, whos: Iterable[Who], clients: list[Client]) -> Iterator[Finding]:
    """What the kernel has against what the files say: somebody edited and did not export, or the other way."""
    unit = server.units.get(UNIT)
    if server.storage is None or unit is None or unit.active != "active":
        return
    now = active(server.storage.exports).get(storage.folder, ())
    stale = [who.host for who in whos if _flags(who, clients) not in (None, _flags(who, now))]
    if not stale:
        return
    yield Finding(
        code="nfs_server.not-active",
        severity=Severity.BLOCKS,
        host=server.host,
        what=f"{server.host} does not yet export {storage.folder} to {listed(stale)} as its files say.",
        evidence=f"exportfs -v shows {listed(now) if now else 'nothing'} for it.",
        why="The files are read when the server starts and by exportfs -ra only; a host that the kernel does not "
        "know is refused.",
        remedy=f"On {server.host}: exportfs -ra; it says which name does not resolve, if that is why.",
        changes=(Change(host=server.host, phase=Phase.STORAGE_SERVERS, step=_EXPORT),),
    )


def _flags(who: Who, clients: Iterable[Client]) -> tuple[bool, ...] | None:
    """What a host gets, None where it is let in by no client; a host's own line comes before a network's."""
    covering = [client for client in clients if who.covered(client)]
    if not covering:
        return None
    order = ("host", "netgroup", "wildcard", "network", "world")
    first = min(covering, key=lambda client: order.index(client.kind))
    return (
        first.says("rw", "ro", False),
        first.says("async", "sync", False),
        first.says("no_root_squash", "root_squash", False),
        first.says("all_squash", "no_all_squash", False),
        first.says("insecure", "secure", False),
    )


def _changes(
    storage: Storage, server: HostFacts, whos: Iterable[Who], found: Mapping[str, tuple[Export, ...]]
) -> tuple[Change, ...]:
    """The right line in place of all entries of the folder; none where lines could not be told apart."""
    present = [entry for those in found.values() for entry in those]
    line = render(_wanted(storage, server, whos, [client for entry in present for client in entry.clients]))
    target = next(iter(found), PATH)
    changes = []
    for path in found or (PATH,):
        edits: list[Edit] = []
        for entry in found.get(path, ()):
            for continued in entry.lines[1:]:
                if server.text(path).splitlines().count(continued) > 1:
                    return ()
                edits.append(RemoveLines(matching=f"^{re.escape(continued)}$"))
        pattern = _pattern(storage.folder)
        edits.append(EnsureLine(line=line, instead_of=pattern) if path == target else RemoveLines(matching=pattern))
        step = EditFile(path=path, edits=tuple(edits))
        changes.append(Change(host=server.host, phase=Phase.STORAGE_SERVERS, step=step))
    refresh = Change(host=server.host, phase=Phase.STORAGE_SERVERS, step=Refresh(unit=UNIT, how="reload"))
    return (*changes, refresh)


def _pattern(folder: str) -> str:
    escaped = re.escape(re.sub(r'[\s\\#"]', lambda match: f"\\{ord(match[0]):03o}", folder))
    quoted = re.escape(f'"{folder}')
    return rf'^\s*(?:{escaped}/*|{quoted}/*")(?:\s|$)'


def _wanted(storage: Storage, server: HostFacts, whos: Iterable[Who], present: Iterable[Client]) -> Export:
    """The compute hosts by name with the right options; other hosts that were let in stay, without async."""
    present = [client for client in present if client.kind in ("host", "netgroup", "security")]
    clients = []
    fsid = _fsid(storage, server)
    for who in whos:
        own = [client for client in present if client.kind == "host" and who.covered(client)]
        extra = [option for client in own[:1] for option in _kept(client)]
        if fsid and not any(option.startswith("fsid=") for option in extra):
            extra.append(fsid)
        clients.append(Client(who=own[0].who if own else who.host, options=(*WANTED, *extra)))
    taken = {client for client in present for who in whos if client.kind == "host" and who.covered(client)}
    for client in present:
        if client not in taken:
            options = tuple(option for option in client.options if option not in ("async", "insecure", "fsid=0"))
            clients.append(Client(who=client.who, options=options))
    return Export(folder=storage.folder, clients=tuple(dict.fromkeys(clients)))


def _kept(client: Client) -> Iterator[str]:
    for option in client.options:
        if option not in _REPLACED and option not in WANTED and option not in ("fsid=0", "fsid=root"):
            yield option


def _fsid(storage: Storage, server: HostFacts) -> str:
    mount = mount_over(server, storage.folder)
    if mount is None or not mount.fs_type.startswith(_WITHOUT_UUID):
        return ""
    used = {
        client.option("fsid")
        for file in server.files.values()
        if file.path == PATH or fnmatch(file.path, DROP_INS)
        for entry in parse(file.content or "")
        if entry.folder != storage.folder
        for client in entry.clients
    }
    return f"fsid={next(number for number in range(1, 256) if str(number) not in used)}"


def _inside(address: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
