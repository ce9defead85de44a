"""The lab that a benchmark makes, measures in, and removes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any

from hotfoot.errors import HotfootError
from hotfoot.lab import namespaces, store

NAME = "bench"
INSTANCE = "vm1"
HOTFOOT = str(Path(sys.executable).with_name("hotfoot"))
_UP = ("--hosts", "2", "--instances", "1", "--memory", "256", "--rate", "20", "--area", "64", "--transport", "tls")


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchLab:
    """Two hosts, one busy instance, and the words that run commands there."""

    cluster_file: Path
    accelerator: str
    storage: str
    addresses: Mapping[str, str]
    """Of the hosts, by name."""
    watched: str
    """The instance's address."""
    virsh: str | None
    """The machine's own virsh; None where it has none."""

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every command that is measured."""
        return {**os.environ, "HOTFOOT_CLUSTER": str(self.cluster_file), "NO_COLOR": "1"}

    @property
    def virsh_runs(self) -> str:
        """Where virsh runs, in words."""
        return (
            f"on this machine ({self.virsh}), over TLS" if self.virsh else "on the source host (none on this machine)"
        )

    def on(self, host: str) -> list[str]:
        """Return the words that run a command on a host: those of ``hotfoot lab exec``, without its start-up."""
        lab = store.load(NAME)
        return namespaces.host_argv(lab, lab.host(host))

    def virsh_argv(self, host: str, *words: str) -> list[str]:
        """Return a virsh command as an operator would give it to a host's libvirt."""
        if self.virsh is None:
            return [*self.on(host), "virsh", "-c", "qemu:///system", *words]
        pki = self.cluster_file.parent / "pki"
        return [self.virsh, "-c", f"qemu+tls://{self.addresses[host]}/system?pkipath={pki}", *words]

    def moved_by_virsh(self, source: str, destination: str) -> list[str]:
        """Return the plain virsh command that moves the instance."""
        words = ["migrate", "--live", "--p2p", "--persistent", "--undefinesource", INSTANCE]
        return self.virsh_argv(source, *words, f"qemu+tls://{self.addresses[destination]}/system")

    def is_whole(self) -> bool:
        """Whether memory and disk of the instance are as written, and it was never restarted."""
        argv = [HOTFOOT, "lab", "verify", "--name", NAME]
        return subprocess.run(argv, stdout=sys.stderr, check=False).returncode == 0


@contextmanager
def bench_lab() -> Iterator[BenchLab]:
    """Bring the lab up, and remove it whatever happens; a lab of that name that runs already is left alone."""
    with raised_lab(_UP) as told:
        yield _lab(told)


@contextmanager
def raised_lab(options: Sequence[str], name: str = NAME) -> Iterator[dict[str, Any]]:
    """Bring a lab up by other options of `hotfoot lab up`; yields what it said as JSON, and removes it."""
    argv = [HOTFOOT, "lab", "up", "--name", name, "--json", *options]
    up = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        text, _ = up.communicate()
    except BaseException:
        up.kill()
        up.communicate()
        _down(name)
        raise
    if up.returncode != 0:
        raise HotfootError(
            f"The benchmark's lab did not come up; `hotfoot lab down --name {name}` removes an older one."
        )
    try:
        yield json.loads(text)
    finally:
        _down(name)


def hotfoot(*words: str) -> None:
    """Run a command that must succeed; raises HotfootError."""
    done = subprocess.run([HOTFOOT, *words], stdout=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise HotfootError(f"`hotfoot {' '.join(words)}` ended with {done.returncode}.")


def _lab(told: dict[str, Any]) -> BenchLab:
    return BenchLab(
        cluster_file=Path(told["cluster_file"]),
        accelerator=told["accelerator"],
        storage=told["storage"],
        addresses={host["name"]: host["address"] for host in told["hosts"]},
        watched=told["instances"][0]["address"],
        virsh=which("virsh"),
    )


def _down(name: str) -> None:
    # Another Ctrl-C must not leave half a lab; the command inherits that it is ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(ValueError):
            signal.signal(number, signal.SIG_IGN)
    subprocess.run([HOTFOOT, "lab", "down", "--name", name], stdout=sys.stderr, check=False)
