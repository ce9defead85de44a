"""A dead memory stream is found among a host's connections, and only that."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hotfoot.cloud import dead_stream

DEAD = '0 2507936 10.77.2.11:37830 10.77.2.12:49152 users:(("qemu-system-x86",pid=4711,fd=9)) timer:(on,20sec,10)'
ALIVE = '0 4096 10.77.2.11:37832 10.77.2.12:49153 users:(("qemu-system-x86",pid=4711,fd=10)) timer:(on,200ms,0)'
ANOTHER_QEMU = '0 99 10.77.2.11:37834 10.77.2.12:49154 users:(("qemu-system-x86",pid=47110,fd=9)) timer:(on,20sec,10)'
ANOTHER_HOST = '0 99 10.77.2.11:37836 10.77.2.13:49152 users:(("qemu-system-x86",pid=4711,fd=9)) timer:(on,20sec,10)'
ITS_STORAGE = '0 99 10.77.2.11:37838 10.77.2.12:3260 users:(("qemu-system-x86",pid=4711,fd=11)) timer:(on,20sec,10)'
KEPT_ALIVE = '0 0 10.77.2.11:37840 10.77.2.12:49155 users:(("qemu-system-x86",pid=4711,fd=9)) timer:(keepalive,9sec,9)'
OVER_IPV6 = '0 99 [fd00::1]:37842 [fd00::2]:49152 users:(("qemu-system-x86",pid=4711,fd=9)) timer:(on,20sec,10)'

SS_DOUBLE = """#!/bin/sh
# Stands in for ss: no connection here can be made to die within a test.
case $1 in
  -Htnop) cat "$FOLDER/connections";;
  -K) echo "$*" >> "$FOLDER/killed";;
  -Htn) if [ -e "$FOLDER/stubborn" ]; then echo there; fi;;
esac
"""


@pytest.fixture
def host(tmp_path: Path) -> Path:
    (tmp_path / "ss").write_text(SS_DOUBLE)
    (tmp_path / "ss").chmod(0o755)
    (tmp_path / "vm1.pid").write_text("4711")
    return tmp_path


def asked(host: Path, *connections: str, hosts: tuple[str, ...] = ("10.77.2.12",)) -> tuple[bool | None, str]:
    (host / "connections").write_text("".join(f"{line}\n" for line in connections))
    script = dead_stream.question("vm1", hosts).replace("/run/libvirt/qemu", str(host))
    env = {"PATH": f"{host}:{os.environ['PATH']}", "FOLDER": str(host)}
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, env=env)
    assert said.stderr == ""
    killed = host / "killed"
    return dead_stream.ended(said.stdout), killed.read_text() if killed.exists() else ""


def test_what_was_sent_in_vain_for_long_is_ended(host: Path) -> None:
    ended, killed = asked(host, ALIVE, DEAD)
    assert ended is True
    assert killed == "-K state established src 10.77.2.11 sport = :37830 dst 10.77.2.12 dport = :49152\n"


@pytest.mark.parametrize("other", [ALIVE, ANOTHER_QEMU, ANOTHER_HOST, ITS_STORAGE, KEPT_ALIVE])
def test_everything_else_is_left_alone(host: Path, other: str) -> None:
    assert asked(host, other) == (None, "")


def test_names_and_ipv6(host: Path) -> None:
    assert asked(host, OVER_IPV6, hosts=("no-such-name.invalid", "fd00::2"))[0] is True


def test_a_kernel_that_cannot_end_connections_is_told(host: Path) -> None:
    (host / "stubborn").touch()
    assert asked(host, DEAD)[0] is False


def test_an_instance_that_does_not_run_there_is_nothing_to_end(host: Path) -> None:
    (host / "vm1.pid").unlink()
    assert asked(host, DEAD) == (None, "")
