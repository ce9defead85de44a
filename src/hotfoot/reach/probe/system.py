"""Sections of the probe: operating system, names, clock, units, packages, listeners, firewall, room."""

import ctypes
import json
import os
import re
import socket
import struct
import sys
import threading
import time
from typing import Any

from hotfoot.reach.probe.frame import Failed, ask, program, tell, text_of, word_of

_STATUS_UNSYNCHRONISED = 0x40
_LISTENS = 10
_SOCK_DIAG, _BY_FAMILY, _REQUEST_ALL, _DONE = 4, 20, 0x301, 3
# In the order in which systemd looks (systemd.unit(5)): what is found first counts.
_UNIT_FOLDERS = tuple(
    root + "/systemd/" + folder
    for root, folders in (
        ("/etc", ("system.control",)),
        ("/run", ("system.control", "transient", "generator.early")),
        ("/etc", ("system", "system.attached")),
        ("/run", ("system", "system.attached", "generator")),
        ("/usr/local/lib", ("system",)),
        ("/usr/lib", ("system",)),
        ("/lib", ("system",)),
        ("/run", ("generator.late",)),
    )
    for folder in folders
)


def system() -> "dict[str, Any]":
    """Tell the operating system."""
    release = {}
    for line in (text_of("/etc/os-release") or text_of("/usr/lib/os-release")).splitlines():
        key, _, value = line.partition("=")
        release[key.strip()] = value.strip().strip("\"'")
    enforce = word_of("/sys/fs/selinux/enforce")
    selinux = {"1": "enforcing", "0": "permissive"}.get(enforce, "")
    if not selinux and os.path.exists("/etc/selinux/config"):
        selinux = "disabled"
    machine = os.uname()
    return {
        "id": release.get("ID", "linux"),
        "id_like": release.get("ID_LIKE", ""),
        "version": release.get("VERSION_ID", ""),
        "name": release.get("PRETTY_NAME", ""),
        "kernel": machine.release,
        "arch": machine.machine,
        "machine_id": word_of("/etc/machine-id"),
        "python": "{}.{}.{}".format(*sys.version_info[:3]),
        "systemd": os.path.isdir("/run/systemd/system"),
        "selinux": selinux,
        "apparmor": word_of("/sys/module/apparmor/parameters/enabled") == "Y",
    }


def names(wanted: "list[str]", failures: "dict[str, str]") -> "dict[str, Any]":
    """Resolve names, many at a time; those that take longer than 4 s are left out and named in failures."""
    hostname = socket.gethostname()
    resolved = {}  # type: dict[str, list[str]]
    canonical = []  # type: list[str]
    left = [None] + list(reversed(wanted))  # type: list[str | None]

    def work() -> None:
        while True:
            try:
                name = left.pop()
            except IndexError:
                return
            try:
                flags = socket.AI_CANONNAME if name is None else 0
                answers = socket.getaddrinfo(name or hostname, None, 0, socket.SOCK_STREAM, 0, flags)
            except (OSError, UnicodeError):
                answers = []
            if name is None:
                canonical.extend(answer[3] for answer in answers[:1])
            else:
                resolved[name] = list(dict.fromkeys(str(answer[4][0]) for answer in answers))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(16, 1 + len(wanted) // 8))]
    for thread in threads:
        thread.start()
    end_s = time.monotonic() + 4
    for thread in threads:
        thread.join(max(0.0, end_s - time.monotonic()))
    late = [name for name in wanted if name not in resolved]
    if late:
        failures["names"] = "the name service did not answer within 4 s for {}".format(", ".join(late[:5]))
    addresses = []
    for line in tell(["ip", "-o", "address", "show"]).splitlines():
        words = line.split()
        if len(words) > 3 and words[2] in ("inet", "inet6"):
            address = words[3].partition("/")[0]
            if address != "::1" and not address.startswith("127."):
                addresses.append(address)
    return {
        "hostname": hostname,
        "fqdn": canonical[0] if canonical else "",
        "resolved": {name: resolved[name] for name in wanted if name in resolved},
        "addresses": addresses,
        "links": sorted(os.listdir("/sys/class/net")),
    }


def synchronised() -> "bool | None":
    """Ask the kernel whether a time service steers its clock (adjtimex(2), which changes nothing with modes 0)."""
    if ctypes.sizeof(ctypes.c_long) != 8:
        return None
    timex = (ctypes.c_int * 64)()  # struct timex is 208 bytes; status is the int at byte 40
    if ctypes.CDLL(None).adjtimex(timex) < 0:
        return None
    return not timex[10] & _STATUS_UNSYNCHRONISED


def units(wanted: "list[str]") -> "dict[str, Any]":
    """Tell the states of systemd units that have a file, by two calls: ``systemctl show`` is far dearer for many."""
    told = {name: {"name": name, "load": "not-found", "active": "inactive", "enabled": ""} for name in wanted}
    ids = {name: unit_id for name, unit_id in ((name, _unit_id(name)) for name in wanted) if unit_id}
    if not ids:
        return told
    there = list(dict.fromkeys(ids.values()))
    out = tell(["systemctl", "list-units", "--all", "--full", "--plain", "--no-legend", "--no-pager", "--"] + there, 5)
    rows = [line.split() for line in out.splitlines()]
    loaded = {row[0]: row[1:3] for row in rows if len(row) > 3}
    states = ask(["systemctl", "is-enabled", "--"] + there, 5)[1].splitlines()  # its status is that of disabled ones
    if len(states) != len(there):  # it leaves out those whose file is broken, and does not say which
        show = ["systemctl", "show", "--property=UnitFileState", "--value", "--"]
        states = [tell([*show, unit_id]).strip() for unit_id in there]
    enabled = dict(zip(there, states))  # noqa: B905 (Python 3.6)
    for name, unit_id in ids.items():
        if enabled[unit_id] == "not-found":  # a link to nowhere
            continue
        load, active = loaded.get(unit_id, ["masked" if enabled[unit_id] == "masked" else "loaded", "inactive"])
        told[name].update(load=load, active=active, enabled=enabled[unit_id])
    return told


def _unit_id(unit: str) -> str:
    """Return the unit that a name stands for, empty if systemd finds no file of it (systemd.unit(5))."""
    template = re.sub(r"@[^.]+\.", "@.", unit) if "@" in unit else unit
    for folder in _UNIT_FOLDERS:
        for name in dict.fromkeys((unit, template)):
            path = os.path.join(folder, name)
            if os.path.lexists(path):
                real = os.path.realpath(path)
                alias = real != os.devnull and name == unit and os.path.splitext(real)[1] == os.path.splitext(unit)[1]
                return os.path.basename(real) if alias and "@." not in os.path.basename(real) else unit
    return ""


def packages(wanted: "list[str]") -> "dict[str, str]":
    """Tell the versions of installed packages, in one call."""
    found = {}  # type: dict[str, str]
    if not wanted:
        return found
    if program("dpkg-query") and os.path.exists("/var/lib/dpkg/status"):
        form = "${db:Status-Status}\t${Package}\t${Version}\n"
        out = ask(["dpkg-query", "--show", "--showformat=" + form, "--"] + wanted, 5)[1]
        rows = [line.split("\t") for line in out.splitlines()]
        found = {row[1]: row[2] for row in rows if len(row) == 3 and row[0] == "installed"}
    elif program("rpm"):
        form = "\t%{NAME}\t%{VERSION}-%{RELEASE}\n"
        rows = [line.split("\t") for line in ask(["rpm", "-q", "--queryformat", form] + wanted, 5)[1].splitlines()]
        found = {row[1]: row[2] for row in rows if len(row) == 3 and not row[0]}
    else:
        raise Failed("neither dpkg-query nor rpm is installed")
    return found


def listeners() -> "list[dict[str, Any]]":
    """Tell where TCP sockets listen."""
    try:
        found = _asked_for(socket.AF_INET) + _asked_for(socket.AF_INET6)
    except OSError:  # a kernel without tcp_diag
        found = _read_from("/proc/net/tcp") + _read_from("/proc/net/tcp6")
    return [{"address": address, "port": port} for address, port in sorted(set(found), key=lambda each: each[::-1])]


def _asked_for(family: int) -> "list[tuple[str, int]]":
    """Ask the kernel for listening sockets only (sock_diag(7)): /proc has it go through all connections first."""
    found = []  # type: list[tuple[str, int]]
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
        kernel.settimeout(2)
        question = struct.pack("=BBBxI48x", family, socket.IPPROTO_TCP, 0, 1 << _LISTENS)
        kernel.send(struct.pack("=IHHII", 16 + len(question), _BY_FAMILY, _REQUEST_ALL, 1, 0) + question)
        while True:
            data = kernel.recv(1 << 18)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind == _DONE:
                    return found
                if kind != _BY_FAMILY:
                    raise OSError("the kernel does not tell its sockets")
                port, address = struct.unpack_from("!H2x16s", data, 20)
                raw = address[:4] if family == socket.AF_INET else address
                found.append((socket.inet_ntop(family, raw), port))
                data = data[(length + 3) & ~3 :]


def _read_from(path: str) -> "list[tuple[str, int]]":
    found = []  # type: list[tuple[str, int]]
    for line in text_of(path, 16 << 20).splitlines()[1:]:
        words = line.split()
        if len(words) > 3 and int(words[3], 16) == _LISTENS:
            address, _, port = words[1].partition(":")
            found.append((_address(address), int(port, 16)))
    return found


def _address(digits: str) -> str:
    """Read an address as /proc/net/tcp writes it: 32-bit words of the machine's own byte order."""
    words = [bytes.fromhex(digits[at : at + 8]) for at in range(0, len(digits), 8)]
    raw = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


def firewall(running: "set[str]", failures: "dict[str, str]") -> "dict[str, Any]":
    """Tell what filters packets that come in; ``running`` are the names of processes."""
    found = {"kind": "", "ruleset": None, "details": "", "iptables": ""}  # type: dict[str, Any]
    if program("nft"):
        try:
            found["ruleset"] = json.loads(tell(["nft", "--json", "list", "ruleset"], 5) or "{}")
        except (Failed, ValueError) as error:
            failures["firewall.ruleset"] = str(error)
    # Only where the old filter is loaded already, or nothing else can be: asking for it would load it.
    old = "filter" in text_of("/proc/net/ip_tables_names").split() or found["ruleset"] is None
    # Rules that iptables put into nftables: of its extensions ("xt") nft tells no more than their names.
    translated = '"xt"' in json.dumps(found["ruleset"])
    if (old or translated) and program("iptables"):
        found["iptables"] = ask(["iptables", "-S"], 5)[1]
    argv = []  # type: list[str]
    if "firewalld" in running:
        found["kind"], argv = "firewalld", ["firewall-cmd", "--list-all-zones"]
    elif "\nenabled=yes" in "\n" + text_of("/etc/ufw/ufw.conf").lower().replace('"', "").replace("'", ""):
        found["kind"], argv = "ufw", ["ufw", "status", "verbose"]
    elif _filters(found["ruleset"]):
        found["kind"] = "nftables"
    elif found["iptables"] and re.search(r"^-P INPUT (?!ACCEPT)|^-A INPUT ", found["iptables"], re.MULTILINE):
        found["kind"] = "iptables"
    try:
        found["details"] = tell(argv, 5) if argv else ""
    except Failed as failed:
        failures["firewall.details"] = str(failed)
    return found


def _filters(ruleset: "Any") -> bool:
    """Whether any chain at the hook for incoming packets refuses by default or has rules."""
    entries = (ruleset or {}).get("nftables", [])
    chains = [entry["chain"] for entry in entries if "chain" in entry]
    inputs = {
        (chain["family"], chain["table"], chain["name"]): chain.get("policy")
        for chain in chains
        if chain.get("hook") == "input" and chain.get("type") == "filter"
    }
    rules = [entry["rule"] for entry in entries if "rule" in entry]
    ruled = {(rule["family"], rule["table"], rule["chain"]) for rule in rules}
    return any(policy == "drop" or chain in ruled for chain, policy in inputs.items())


def room() -> "dict[str, int]":
    """Tell the free room of the host's own file systems."""
    found = {}
    for path in ("/", "/var", "/var/log", "/tmp", "/boot"):
        try:
            told = os.statvfs(path)
        except OSError:
            continue
        found[path] = told.f_bavail * told.f_frsize
    return found
