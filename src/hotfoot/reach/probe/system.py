"""Sections of the probe: operating system, clock, packages, firewall, room."""

import ctypes
import json
import os
import re
import sys
from typing import Any

from hotfoot.reach.probe.frame import Failed, ask, between, program, tell, text_of, word_of

_STATUS_UNSYNCHRONISED = 0x40
_DPKG = "/var/lib/dpkg"


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


def synchronised() -> "bool | None":
    """Ask the kernel whether a time service steers its clock (adjtimex(2), which changes nothing with modes 0)."""
    if ctypes.sizeof(ctypes.c_long) != 8:
        return None
    timex = (ctypes.c_int * 64)()  # struct timex is 208 bytes; status is the int at byte 40
    if ctypes.CDLL(None).adjtimex(timex) < 0:
        return None
    return not timex[10] & _STATUS_UNSYNCHRONISED


def packages(wanted: "list[str]") -> "dict[str, str]":
    """Tell the versions of installed packages."""
    if not wanted:
        return {}
    if os.path.exists(_DPKG + "/status"):
        # What dpkg does right now, and has not yet merged into its table, it tells itself.
        return _asked_of_dpkg(wanted) if os.listdir(_DPKG + "/updates") else _of_dpkg(wanted)
    if not program("rpm"):
        raise Failed("neither dpkg's table of packages nor rpm is there")
    form = "\t%{NAME}\t%{VERSION}-%{RELEASE}\n"
    rows = [line.split("\t") for line in ask(["rpm", "-q", "--queryformat", form] + wanted)[1].splitlines()]
    return {row[1]: row[2] for row in rows if len(row) == 3 and not row[0]}


def _of_dpkg(wanted: "list[str]") -> "dict[str, str]":
    """Read dpkg's own table, which is cheaper than its start."""
    found = {}  # type: dict[str, str]
    table = "\n" + text_of(_DPKG + "/status", 64 << 20)
    for name in wanted:
        at = table.find(f"\nPackage: {name}\n")
        while at >= 0:  # once for each architecture
            entry = table[at : table.find("\n\n", at) + 1]
            if between(entry, "\nStatus: ", "\n").endswith(" installed"):
                found[name] = between(entry, "\nVersion: ", "\n")
            at = table.find(f"\nPackage: {name}\n", at + 1)
    return found


def _asked_of_dpkg(wanted: "list[str]") -> "dict[str, str]":
    form = "${db:Status-Status}\t${Package}\t${Version}\n"
    out = ask(["dpkg-query", "--show", "--showformat=" + form, "--"] + wanted)[1]
    rows = [line.split("\t") for line in out.splitlines()]
    return {row[1]: row[2] for row in rows if len(row) == 3 and row[0] == "installed"}


def firewall(running: "set[str]", failures: "dict[str, str]") -> "dict[str, Any]":
    """Tell what filters packets that come in; ``running`` are the names of processes."""
    found = {"kind": "", "ruleset": None, "details": "", "iptables": ""}  # type: dict[str, Any]
    if program("nft"):
        try:
            found["ruleset"] = json.loads(tell(["nft", "--json", "list", "ruleset"]) or "{}")
        except (Failed, ValueError) as error:
            failures["firewall.ruleset"] = str(error)
    # Only where the old filter is loaded already, or nothing else can be: asking for it would load it.
    old = "filter" in text_of("/proc/net/ip_tables_names").split() or found["ruleset"] is None
    # Rules that iptables put into nftables: of its extensions ("xt") nft tells no more than their names.
    translated = '"xt"' in json.dumps(found["ruleset"])
    if (old or translated) and program("iptables"):
        found["iptables"] = ask(["iptables", "-S"])[1]
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
        found["details"] = tell(argv) if argv else ""
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
