"""Computes of Nova's fake driver, for size: ``fakecompute.py COUNT``. A double: they have no hypervisor and no guests.

Each is a process of its own, forked when all is imported, so that they share most of their memory. Their
configuration is /etc/nova/nova.conf and then /etc/nova/fake.conf; names are fake1, fake2 and so on.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from pathlib import Path

from nova.cmd import compute  # first: it chooses how all of Nova does threads
from nova.compute import manager as _loaded_before_the_fork  # noqa: F401
from nova.virt import fake

STATES = Path("/var/lib/nova/fake")


class LabFakeDriver(fake.FakeDriverWithoutFakeNodes, fake.FakeLiveMigrateDriver):  # type: ignore[misc]
    """A host of ordinary size that keeps its identity, and whose live migrations take five seconds."""

    vcpus = 32
    memory_mb = 131072
    local_gb = 2000

    def get_host_uptime(self) -> str:
        """Return a line as ``uptime`` prints it: the list of hypervisors with details asks every one for it."""
        return " 00:00:00 up 1 day,  0:00,  0 users,  load average: 0.00, 0.00, 0.00"


def main() -> None:
    """Fork the computes, and wait for them."""
    fake.LabFakeDriver = LabFakeDriver  # Nova looks for drivers among its own modules alone
    gc.collect()
    gc.freeze()
    for number in range(1, int(sys.argv[1]) + 1):
        if os.fork() == 0:
            _become(f"fake{number}")
        time.sleep(0.5)  # so that not all of them ask at once
    while True:
        try:
            os.wait()
        except ChildProcessError:
            sys.exit("all of them have ended")


def _become(name: str) -> None:
    folder = STATES / name
    folder.mkdir(parents=True, exist_ok=True)
    own = folder / "own.conf"
    own.write_text(
        f"[DEFAULT]\nhost = {name}\nstate_path = {folder}\nlog_file = /var/log/openstack/nova-compute-{name}.log\n"
        f"[oslo_concurrency]\nlock_path = {folder}\n"
    )
    files = ["/etc/nova/nova.conf", "/etc/nova/fake.conf", str(own)]
    sys.argv = ["nova-compute", *(word for file in files for word in ("--config-file", file))]
    sys.exit(compute.main())


if __name__ == "__main__":
    main()
