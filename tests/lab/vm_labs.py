"""Labs whose hosts are two virtual machines: brought up, looked at, and what is known of bare ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.lab.labs import TestLab, raised
from tests.lab.test_bare import ADVICE, BROKEN

from hotfoot.lab import vm_host

HOSTS = ("n1", "n2")
TIMEOUT_S = 900
"""Of one command: where the machine emulates processors they take minutes."""
# Left to a person: what ADVICE tells of every lab, and what a kernel and an AppArmor of its own let be seen.
LEFT = [*ADVICE, "qemu_conf.not-confined", "emulator.no-post-copy"]


def marks(name: str) -> list[pytest.MarkDecorator]:
    """Return the marks of tests with a lab of that name."""
    obstacles = vm_host.obstacles(name, len(HOSTS))
    reason = f"this machine cannot run virtual machines as hosts: {obstacles}"
    return [pytest.mark.matrix, pytest.mark.skipif(bool(obstacles), reason=reason)]


@contextmanager
def machines(name: str, storage: str, *options: str) -> Iterator[TestLab]:
    """Bring up a lab, and take it down whatever happens."""
    with raised(name, "--hosts", f"vm:{len(HOSTS)}", "--storage", storage, *options, timeout_s=TIMEOUT_S) as lab:
        yield lab


def broken(by_storage: dict[str, int]) -> dict[str, int]:
    """What a bare lab is known to break, on two hosts instead of three."""
    return {code: {6: 4, 3: 2, 2: 1}[count] for code, count in BROKEN.items()} | by_storage


def advice() -> dict[str, int]:
    return dict.fromkeys(LEFT, len(HOSTS))


def codes(lab: TestLab, status: int) -> Counter[str]:
    for host in HOSTS:  # an idle libvirtd ends, and with all other questions beside it is up too late where emulated
        lab.on(host, "virsh", "--connect", "qemu:///system", "version")
    said = lab.run("check", "--json", timeout_s=TIMEOUT_S)
    assert said.status == status, said.err
    return Counter(finding["code"] for finding in said.json["findings"])
