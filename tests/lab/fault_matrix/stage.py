"""The lab that all cells share: its instance, its links, and what the hosts themselves say."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tests.lab.command import HOTFOOT, Said, environment, finish, hotfoot, popen
from tests.lab.labs import TestLab

from hotfoot.lab import instances, network, store, witness
from hotfoot.lab.command import LabError, run
from hotfoot.lab.namespaces import host_argv
from hotfoot.lab.spec import Lab

INSTANCE = "vm1"
SLOW, FAST = "120mbit", "1gbit"
RATE_MIB, AREA_MIB, MEMORY_MIB = 40, 48, 128
"""What outruns SLOW: a pass takes three seconds, and the next is as long."""
RECORD_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Around:
    """How commands of a cell are run: words before them, and environment."""

    prefix: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stage:
    """A lab of which ``pair`` are the hosts that moves go between."""

    lab: TestLab
    journal: str
    pair: tuple[str, str] = ("n1", "n2")

    @property
    def spec(self) -> Lab:
        """The lab as it is now."""
        return store.load(self.lab.name)

    def on(self, host: str, *argv: str) -> str:
        """Run a command on a host; raises LabError."""
        spec = self.spec
        return run([*host_argv(spec, spec.host(host)), *argv])

    def start(self, around: Around, *words: str) -> Any:
        """Start a Hotfoot."""
        more = {"HOTFOOT_JOURNAL": self.journal, **around.environment}
        return popen([*around.prefix, HOTFOOT, *words], environment(self.lab.cluster, more))

    def say(self, around: Around, *words: str) -> Said:
        """Run a Hotfoot to its end."""
        return finish(self.start(around, *words))

    def running(self) -> tuple[str, ...]:
        """Return the hosts on which the instance runs, as each host's libvirt says."""
        return self._listed("--state-running")

    def active(self) -> tuple[str, ...]:
        """Return the hosts on which there is a QEMU of it, running or not."""
        return self._listed()

    def _listed(self, *options: str) -> tuple[str, ...]:
        spec = self.spec
        uuid = str(spec.instance(INSTANCE).uuid)

        def look(host: str) -> bool:
            return uuid in self.on(host, "timeout", "20", "virsh", "-q", "list", "--uuid", *options)

        names = [host.name for host in instances.running_hosts(spec)]
        with ThreadPoolExecutor() as pool:
            return tuple(name for name, found in zip(names, pool.map(look, names), strict=True) if found)

    def faults(self) -> tuple[str, ...]:
        """Return what is wrong with the instance: memory, disk, a restart; nothing where it is whole."""
        spec = self.spec
        return instances.verify(spec, spec.instance(INSTANCE)).faults

    def strain(self) -> None:
        """Make the next move long: slow links, and a guest that outruns them."""
        self._shape(SLOW)
        witness.ask(self.spec.instance(INSTANCE).address, f"dirty {RATE_MIB} {AREA_MIB}")

    def relax(self) -> None:
        """Let what still moves come to its end, as far as hosts and guest can be told."""
        self._shape(FAST)
        with contextlib.suppress(LabError):  # it may stand still
            witness.ask(self.spec.instance(INSTANCE).address, f"dirty 0 {AREA_MIB}", 2)

    def write_disk(self, *, per_second: int) -> None:
        """Make the guest append so many blocks per second to its disk, if it can be told."""
        with contextlib.suppress(LabError):
            witness.ask(self.spec.instance(INSTANCE).address, f"disk {per_second}", 2)

    def _shape(self, rate: str) -> None:
        spec = self.spec
        for name in self.pair:
            with contextlib.suppress(LabError):  # a host that is down has no link
                network.shape(spec, spec.host(name), rate)

    def record(self, around: Around) -> dict[str, Any]:
        """Return the newest record, once the journal knows how it ended, or does not learn it."""
        end = time.monotonic() + RECORD_PATIENCE_S
        while True:
            said = self.say(around, "history", "--json", "--limit", "1")
            assert said.status == 0, said.err
            found: list[dict[str, Any]] = json.loads(said.out)
            if (found and found[0]["ended"]) or time.monotonic() > end:
                return found[0] if found else {}
            self.relax()
            time.sleep(0.5)

    def home(self) -> str:
        """Return the host of the pair that runs the whole instance; a lost one is made anew."""
        self.relax()
        places = self.active()
        if places == self.running() and len(places) == 1 and places[0] in self.pair and not self.faults():
            return places[0]
        hotfoot("lab", "instance", "kill", INSTANCE, "--name", self.lab.name)
        self.lab.lab("instance", "add", INSTANCE, "--host", self.pair[0], "--memory", str(MEMORY_MIB))
        return self.pair[0]
