"""Sections of the probe: libvirt, by questions that change nothing, and QEMU."""

import os
import re
from typing import Any

from hotfoot.reach.probe.frame import (
    Failed,
    arguments_of,
    ask,
    between,
    first_line,
    matching,
    program,
    tell,
    text_of,
    word_of,
)
from hotfoot.reach.probe.secrets import mark

_URI = "qemu:///system"
_CUT = "==hotfoot=="
_MOST_DOMAINS = 500
_DEFINITIONS = "/etc/libvirt/qemu"
_NETWORKS = "/run/libvirt/network"
"""The state of libvirt's active networks, a file each; there since its network driver first ran."""
_POOLS = "/run/libvirt/storage"
"""The same of storage pools."""


def libvirt(running: "list[tuple[int, int, str]]", failures: "dict[str, str]") -> "dict[str, Any]":
    """Tell what libvirt says; of instances and pools by the names in its folders, so that one virsh is enough."""
    told = {
        "answers": False,
        "modular": os.path.exists("/run/libvirt/virtqemud-sock"),
        "arguments": _daemon(running),
        "running": sorted(instances(running).values()),
        "networks": _names(_NETWORKS + "/*.xml") if os.path.isdir(_NETWORKS) else None,
        "active_pools": _names(_POOLS + "/*.xml") if os.path.isdir(_POOLS) else None,
        "defined_cpus": _defined_cpus(),
    }  # type: dict[str, Any]
    domains = _names(_DEFINITIONS + "/*.xml", "/run/libvirt/qemu/*.xml")[:_MOST_DOMAINS]
    pools = _names("/etc/libvirt/storage/*.xml", _POOLS + "/*.xml")
    first = [
        "version --daemon",
        "list --name",
        "list --all --name",
        "capabilities",
        "domcapabilities",
        "secret-list",
        "pool-list --all --name",
    ]
    asked = [*first, *_dumps(domains, pools)]
    try:
        answers, problem = _virsh(asked)
    except Failed as failed:
        told["problem"] = str(failed)
        return told
    version, active, every, capabilities, domcapabilities, secrets, all_pools = answers[: len(first)]
    if not version.strip():
        told["problem"] = problem
        return told
    told["answers"] = True
    if problem:
        failures["libvirt.virsh"] = problem
    told["version"] = between(version, "Running against daemon: ", "\n")
    told["qemu_version"] = between(version, "Running hypervisor: QEMU ", "\n")
    told["host_uuid"] = between(capabilities, "<uuid>", "</uuid>")
    told["hypervisor_cpu"], told["capabilities"] = domcapabilities, capabilities
    rows = [line.split(None, 2) for line in secrets.splitlines()]
    told["secrets"] = {row[0]: row[2].strip() if len(row) > 2 else "" for row in rows if row and _is_uuid(row[0])}
    told["running"] = _lines(active)
    dumped = dict(zip(asked[len(first) :], answers[len(first) :]))  # noqa: B905 (Python 3.6)
    # Those without a file of that name yet (just defined): one more virsh.
    more = _dumps([name for name in _lines(every) if name not in domains][:_MOST_DOMAINS], [])
    more += _dumps([], [name for name in _lines(all_pools) if name not in pools])
    if more:
        dumped.update(zip(more, _virsh(more)[0]))  # noqa: B905 (Python 3.6)
    texts = {name: dumped.get(_dumps([name], [])[0], "") for name in _lines(every)}
    told["domains"] = {name: mark(text.strip() + "\n")[0] for name, text in texts.items() if text.strip()}
    told["pools"] = {}
    for name in _lines(all_pools):
        target = between(dumped.get(_dumps([], [name])[0], ""), "<target>", "</target>")
        told["pools"][name] = _plain(between(target, "<path>", "</path>"))
    return told


def _defined_cpus() -> "dict[str, str]":
    """Return the ``<cpu>`` of each definition, which counts from the next start.

    libvirt's own files have it and cost nothing; virsh tells an instance that runs as it runs.
    """
    found = {}
    for path in sorted(matching(_DEFINITIONS + "/*.xml"))[:_MOST_DOMAINS]:
        text = text_of(path)
        if text:
            cpu = re.search(r"^  <cpu\b(?:[^>]*/>|.*?^  </cpu>)", text, re.MULTILINE | re.DOTALL)
            found[os.path.basename(path)[: -len(".xml")]] = cpu.group(0) + "\n" if cpu else ""
    return found


def _virsh(commands: "list[str]") -> "tuple[list[str], str]":
    """Run commands in one virsh; return the answer to each, and the first complaint."""
    batch = "; ".join(f"{command}; echo {_CUT}" for command in commands)
    # Longer than others: a libvirtd that has just been started asks every emulator what it can do.
    _, out, err = ask(["virsh", "--connect", _URI, "--quiet", batch], 20)
    answers = out.split(_CUT)[:-1]
    answers += [""] * (len(commands) - len(answers))
    errors = [line.partition("error: ")[2] for line in err.splitlines() if line.startswith("error: ")]
    # Of a pair the first line says what failed, the second why.
    return answers, ": ".join(errors[:2]) or (first_line(err) if err.strip() else "")


def _dumps(domains: "list[str]", pools: "list[str]") -> "list[str]":
    return ["dumpxml --domain " + _quoted(name) for name in domains] + [
        "pool-dumpxml --pool " + _quoted(name) for name in pools
    ]


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace("\\", "\\\\").replace('"', '\\"'))


def _plain(text: str) -> str:
    for name, letter in (("&lt;", "<"), ("&gt;", ">"), ("&apos;", "'"), ("&quot;", '"'), ("&amp;", "&")):
        text = text.replace(name, letter)
    return text


def _names(*patterns: str) -> "list[str]":
    paths = [path for pattern in patterns for path in matching(pattern)]
    return sorted({os.path.basename(path)[: -len(".xml")] for path in paths})


def _lines(text: str) -> "list[str]":
    return [line for line in text.splitlines() if line.strip()]


def _is_uuid(text: str) -> bool:
    return len(text) == 36 and text.count("-") == 4


def _daemon(running: "list[tuple[int, int, str]]") -> str:
    pids = [pid for name in ("libvirtd", "virtqemud") for pid, _, comm in running if comm == name]
    return " ".join(arguments_of(pids[0])) if pids else ""


def instances(running: "list[tuple[int, int, str]]") -> "dict[int, str]":
    """Return the instance of each QEMU process by PID, as its command line names it."""
    found = {}
    for pid, _, comm in running:
        if not comm.startswith(("qemu-system", "qemu-kvm", "kvm")):
            continue
        arguments = arguments_of(pid)
        if "-name" in arguments[:-1]:
            name = arguments[arguments.index("-name") + 1]
            found[pid] = re.sub("^guest=", "", re.split("(?<!,),(?!,)", name)[0]).replace(",,", ",")
    return found


def qemu(running: "list[tuple[int, int, str]]", libvirt_told: "dict[str, Any]") -> "dict[str, Any]":
    """Tell QEMU's program, version, machines and drivers, and whose its processes are."""
    arch = os.uname().machine
    places = ("qemu-system-" + arch, "/usr/libexec/qemu-kvm", "qemu-kvm", "kvm")
    emulator = between(libvirt_told.get("hypervisor_cpu", ""), "<path>", "</path>")
    emulator = emulator or next(filter(None, map(program, places)), "")
    version = libvirt_told.get("qemu_version", "")
    if emulator and not version:
        found = re.search(r"version (\S+)", tell([emulator, "--version"]))
        version = found.group(1) if found else ""
    pids = instances(running)
    return {
        "emulator": emulator,
        "version": version,
        "machines": _machines(libvirt_told.get("capabilities", ""), arch, emulator),
        "drivers": sorted(
            {
                os.path.basename(path)[len("block-") : -len(".so")]
                for pattern in ("/usr/lib/*/qemu/block-*.so", "/usr/lib64/qemu*/block-*.so", "/usr/lib/qemu/block-*.so")
                for path in matching(pattern)
            }
        ),
        "userfaultfd": _userfaultfd(),
        "process_uids": sorted({uid for pid, uid, _ in running if pid in pids}),
    }


def _machines(capabilities: str, arch: str, emulator: str) -> "list[str]":
    """Return the machine types of the host's own architecture, aliases and the names that they stand for."""
    if not capabilities:
        if not emulator:
            return []
        rows = tell([emulator, "-machine", "help"]).splitlines()[1:]
        return sorted({row.split()[0] for row in rows if row.split()})
    found = set()  # type: set[str]
    for entry in between(capabilities, f"<arch name='{arch}'>", "</arch>").split("<machine")[1:]:
        attributes, _, rest = entry.partition(">")
        found.update((rest.partition("<")[0], between(attributes, "canonical='", "'")))
    return sorted(found - {""})


def _userfaultfd() -> "bool | None":
    """Whether a user without privileges may handle page faults of the kernel's too (userfaultfd(2))."""
    if word_of("/proc/sys/vm/unprivileged_userfaultfd") == "1":
        return True
    try:
        return os.stat("/dev/userfaultfd").st_mode & 0o006 == 0o006
    except OSError:
        return False if text_of("/proc/sys/vm/unprivileged_userfaultfd") else None
