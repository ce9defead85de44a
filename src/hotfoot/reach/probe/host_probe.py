"""The probe: looks at a host and prints its facts, one JSON object in the form of ``readiness.facts.HostFacts``.

Runs on the host as root, changes nothing there, and ends within 45 s whatever hangs. Each section is guarded: what
cannot be told is named in ``failures``, and all else is told. ``script`` adds the call of ``main``.
"""

import binascii
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hotfoot.reach.probe.frame import RUNNING, Failed, end, outside, processes, read_mounts
from hotfoot.reach.probe.hypervisor import instances, libvirt, qemu
from hotfoot.reach.probe.network import came_from, listeners, names
from hotfoot.reach.probe.people import identity, users
from hotfoot.reach.probe.places import Places, file_of
from hotfoot.reach.probe.storage import Folders, storage
from hotfoot.reach.probe.system import firewall, packages, room, synchronised, system
from hotfoot.reach.probe.trust import pki, ssh
from hotfoot.reach.probe.unit_files import units

_FORM = 1
_MOST_S = 40.0
_KILLED_AFTER_S = 45


class Answer:
    """What sections told so far. They run in few threads, one after the other in each: threads cost more than they."""

    def __init__(self) -> None:
        self.facts = {}  # type: dict[str, Any]
        self.failures = {}  # type: dict[str, str]
        self.threads = []  # type: list[threading.Thread]
        self.asked = []  # type: list[str]

    def begin(self, *sections: "tuple[str, Callable[[], Any]]") -> None:
        """Begin to look at some sections, in order."""

        def work() -> None:
            for name, look_at in sections:
                try:
                    self.facts[name] = look_at()
                except Failed as failed:
                    self.failures[name] = str(failed)
                except Exception as error:  # a host is never known well enough: the others still answer
                    self.failures[name] = f"the probe failed: {type(error).__name__}: {error}"

        self.asked += [name for name, _ in sections]
        thread = threading.Thread(target=work, daemon=True)
        self.threads.append(thread)
        thread.start()

    def wait(self, end_s: float) -> None:
        """Wait for all sections until a time of the monotonic clock."""
        for thread in self.threads:
            thread.join(max(0.0, end_s - time.monotonic()))
        for name in self.asked:
            if name not in self.facts:
                self.failures.setdefault(name, f"it was not told within {_MOST_S:g} s")


def open_files(of: "dict[int, str]") -> "dict[str, list[str]]":
    """Return the files that each instance's process has open; reading links touches no file system."""
    found = {}  # type: dict[str, list[str]]
    for pid, name in of.items():
        folder = f"/proc/{pid}/fd"
        for descriptor in os.listdir(folder) if os.path.isdir(folder) else []:
            with suppress(OSError):
                found.setdefault(name, []).append(os.readlink(os.path.join(folder, descriptor)))
    return found


def look(wanted: "dict[str, Any]", began_s: float) -> "dict[str, Any]":
    """Look at everything that is wanted."""
    answer = Answer()
    mounts = read_mounts()
    homes = {user["name"]: user["home"] for user in users()}
    # Processes of their own come before all threads.
    folders = Folders(wanted["folders"], mounts)
    files = Places(wanted["files"], file_of, homes, mounts)
    paths = Places(wanted["paths"], outside, homes, mounts)
    running = processes()
    comms = {comm for _, _, comm in running}

    of_libvirt = {}  # type: dict[str, Any]

    def hypervisor() -> "dict[str, Any]":
        of_libvirt.update(libvirt(running, answer.failures))
        return of_libvirt

    answer.begin(("libvirt", hypervisor), ("qemu", lambda: qemu(running, of_libvirt)))
    answer.begin(
        ("units", lambda: units(wanted["units"])),
        ("packages", lambda: packages(wanted["packages"])),
        ("firewall", lambda: firewall(comms, answer.failures)),
    )
    answer.begin(
        ("names", lambda: names(wanted["names"], answer.failures)),
        ("pki", lambda: pki(answer.failures)),
        ("ssh", lambda: ssh(wanted["migration_user"], homes)),
    )
    answer.begin(
        ("os", system),
        ("clock", synchronised),
        ("listeners", listeners),
        ("came_from", came_from),
        ("identity", lambda: identity(wanted["users"], running, mounts, wanted["folders"])),
        ("files", files.told),
        ("paths", paths.told),
        ("free_bytes", room),
        ("storage", lambda: storage(folders.told(open_files(instances(running))), mounts, comms, answer.failures)),
    )
    answer.wait(began_s + _MOST_S)
    facts = dict(answer.facts)
    facts["failures"] = dict(answer.failures)
    return facts


def main(question: str) -> None:
    """Answer a question (``Wanted`` as JSON in base64), the clock last."""
    signal.alarm(_KILLED_AFTER_S)
    began_s = time.monotonic()
    facts = look(json.loads(binascii.a2b_base64(question).decode()), began_s)
    for process in list(RUNNING.values()):
        end(process)
    clock = {"now_s": 0.0, "synchronised": facts.pop("clock", None)}
    text = json.dumps(facts, ensure_ascii=False)[:-1].encode("utf-8", "replace")
    out = sys.stdout.buffer
    clock["now_s"] = time.time()
    last = {"probe": _FORM, "elapsed_s": round(time.monotonic() - began_s, 4), "clock": clock}
    out.write(text + b", " + json.dumps(last)[1:].encode() + b"\n")
    out.flush()
    os._exit(0)
