"""A lab of which the last host gives instances an older CPU: its plan, and what is refused."""

from __future__ import annotations

import pytest

from hotfoot.errors import HotfootError
from hotfoot.lab import lifecycle, older_cpu
from hotfoot.lab.instances import Load
from hotfoot.lab.spec import plan_hosts


def test_qemu_is_found_at_one_path_everywhere_and_only_the_older_host_s_gives_less() -> None:
    hosts = plan_hosts("lab", 0, 3)
    planned = [older_cpu.files(host, hosts[-1]) for host in hosts]
    assert len({tuple(files) for files in planned}) == 1
    texts = [file.content for files in planned for file in files.values()]
    assert [text.count("=off") for text in texts] == [0, 0, len(older_cpu.LACKS)]
    assert all(text.startswith("#!/bin/sh\nexec /usr/bin/qemu-system-x86_64") and '"$@"' in text for text in texts)


@pytest.mark.parametrize(("count", "vm", "bare"), [(1, False, False), (2, True, False), (2, False, True)])
def test_cpus_differ_only_between_ready_hosts_in_namespaces(count: int, vm: bool, bare: bool) -> None:
    with pytest.raises(HotfootError, match="two or more hosts in namespaces"):
        lifecycle.up(
            "no",
            host_count=count,
            instance_count=0,
            transport="tls",
            storage_kind="glusterfs",
            link_rate="1gbit",
            memory_mib=256,
            load=Load(),
            say=lambda _: None,
            bare=bare,
            vm=vm,
            cpu_differs=True,
        )
