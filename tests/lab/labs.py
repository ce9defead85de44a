"""A running lab, as tests use it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.command import Said, environment, finish, hotfoot, popen, start, well

from hotfoot.lab import instances, namespaces, network, store


@dataclass(frozen=True, slots=True)
class TestLab:
    """A lab by name, and the commands that tests give to it."""

    __test__ = False
    name: str
    cluster: Path
    hosts: tuple[str, ...]

    def run(self, *words: str, timeout_s: float = 180) -> Said:
        """Run a command with the lab's cluster file."""
        return hotfoot(*words, cluster=self.cluster, timeout_s=timeout_s)

    def codes(self, *words: str) -> Counter[str]:
        """Return what ``hotfoot check`` finds, and how often."""
        said = self.run("check", *words, "--json")
        assert said.out, said.err
        return Counter(finding["code"] for finding in said.json["findings"])

    def start(self, *words: str) -> Any:
        """Start a command with the lab's cluster file."""
        return start(*words, cluster=self.cluster)

    def lab(self, *words: str) -> Said:
        """Run a ``hotfoot lab`` command that must succeed (``words`` up to the first option or ``--``)."""
        plain = list(itertools.takewhile(lambda word: not word.startswith("-"), words))
        return well("lab", *plain[:1], *plain[1:], "--name", self.name, *words[len(plain) :])

    def on(self, host: str, *command: str) -> str:
        """Run a command on a host; it must succeed.

        As ``hotfoot lab exec`` does, without a start of Hotfoot for each of a thousand commands.
        """
        lab = store.load(self.name)
        said = finish(popen([*namespaces.host_argv(lab, lab.host(host)), *command], environment()))
        assert said.status == 0, f"{command} on {host} ended with {said.status}: {said.out}\n{said.err}"
        return said.out

    def places(self) -> dict[str, str | None]:
        """Return the host of each instance, None for nowhere, as the lab's own look at each host says."""
        lab = store.load(self.name)
        found = instances.places_of(lab)
        return {one.name: next(iter(found.of(one)), None) for one in lab.instances}

    def where(self, instance: str) -> str | None:
        """Return the host of an instance."""
        return self.places()[instance]

    def empty(self, host: str) -> None:
        """Move what runs on a host elsewhere, before the host is broken."""
        for instance, place in self.places().items():
            if place == host:
                refuge = next(other for other in reversed(self.hosts) if other != host)
                assert self.run("migrate", instance, refuge, "--no-forecast").status == 0

    def verify(self, instance: str) -> dict[str, Any]:
        """Return the proof that an instance is whole, having checked that it is."""
        said = hotfoot("lab", "verify", instance, "--name", self.name, "--json")
        assert said.status == 0, said.out + said.err
        found: dict[str, Any] = said.json["instances"][0]
        assert found["whole"]
        assert found["pages"] > 0
        assert found["blocks"] > 0
        return found


def bring_up(name: str, *options: str, timeout_s: float = 400) -> TestLab:
    """Bring up a lab and return it.

    On GlusterFS unless asked otherwise: tests take hosts away, which a single NFS server does not bear.
    """
    if "--storage" not in options:
        options = (*options, "--storage", "glusterfs")
    found = well("lab", "up", "--name", name, "--json", *options, timeout_s=timeout_s).json
    return TestLab(name, Path(found["cluster_file"]), tuple(host["name"] for host in found["hosts"]))


@contextmanager
def raised(name: str, *options: str, timeout_s: float = 400) -> Iterator[TestLab]:
    """Bring up a lab, in place of one that a killed run has left, and take it down whatever happens."""
    hotfoot("lab", "down", "--name", name)
    try:
        yield bring_up(name, *options, timeout_s=timeout_s)
    finally:
        hotfoot("lab", "down", "--name", name)


def remains(name: str, number: int) -> list[str]:
    """Return what is left of a lab on this machine."""
    left = [f"process {pid}" for pid in namespaces.processes_of(name)]
    left += [f"link {link}" for link in network.machine_links(number) if Path(f"/sys/class/net/{link}").exists()]
    left += [str(path) for path in (namespaces.cgroup2() or Path("/nowhere")).glob(f"hotfoot-{name}-*")]
    left += [line for line in Path("/proc/self/mounts").read_text().splitlines() if f"/labs/{name}" in line]
    return left + ([str(store.folder_of(name))] if store.folder_of(name).exists() else [])
