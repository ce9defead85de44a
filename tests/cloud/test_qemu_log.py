"""What the destination's log says of how an incoming migration ended, as recorded with libvirt 11.3 and QEMU 10.0."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hotfoot.cloud import qemu_log

START = "2026-11-21 16:53:15.021+0000: starting up libvirt version: 11.3.0, qemu version: 10.0.13, hostname: n2\n"
COMMAND = "/usr/bin/qemu-system-x86_64 -name guest=vm1\nchar device redirected to /dev/pts/0 (label charserial0)\n"
CANCELLED = (
    "2026-11-21 16:53:15.359+0000: shutting down, reason=failed\n"
    "2026-11-21T16:53:15.360440Z qemu-system-x86_64: terminating on signal 15 from pid 149 (/usr/sbin/libvirtd)\n"
)
KILLED = "2026-11-21 16:53:22.088+0000: shutting down, reason=crashed\n"
KILLED_AND_NOTICED_LATE = "2026-11-21 16:53:22.088+0000: shutting down, reason=failed\n"
NOT_LOADED = (
    "qemu-system-x86_64: error while loading state for instance 0x0 of device '0000:00:02.0/virtio-net'\n"
    "qemu-system-x86_64: load of migration failed: Input/output error\n"
)


@pytest.mark.parametrize(
    ("end", "outlived"),
    [
        (CANCELLED, True),
        ("qemu-system-x86_64: load of migration failed: Input/output error\n", True),
        (KILLED, False),
        (KILLED_AND_NOTICED_LATE, False),
        (NOT_LOADED, False),
        (NOT_LOADED + CANCELLED, False),
        ("", False),
    ],
)
def test_a_qemu_that_libvirt_had_to_end_was_well_until_then(end: str, outlived: bool) -> None:
    assert qemu_log.outlived_its_stream(START + COMMAND + end) is outlived


def test_only_the_last_start_counts() -> None:
    assert not qemu_log.outlived_its_stream(START + COMMAND + CANCELLED + START + COMMAND + KILLED)
    assert qemu_log.outlived_its_stream(START + COMMAND + KILLED + START + COMMAND + CANCELLED)


@pytest.mark.parametrize("text", ["", "Welcome to n2\n", CANCELLED])
def test_a_log_without_a_start_tells_nothing(text: str) -> None:
    assert not qemu_log.outlived_its_stream(text)


def asked(folder: Path, name: str) -> str:
    script = qemu_log.question(name).replace("/var/log/libvirt/qemu", str(folder))
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout


def test_the_script_reads_the_log_of_a_name_with_blanks_and_quotes(tmp_path: Path) -> None:
    (tmp_path / "my 'web' $(id).log").write_text(START + COMMAND + CANCELLED)
    assert qemu_log.outlived_its_stream(asked(tmp_path, "my 'web' $(id)"))


def test_the_script_waits_for_the_last_words(tmp_path: Path) -> None:
    log = tmp_path / "vm1.log"
    log.write_text(START + COMMAND + KILLED_AND_NOTICED_LATE)
    with subprocess.Popen(["sh", "-c", 'sleep 0.5; printf "%s" "$2" >> "$1"', "sh", str(log), CANCELLED]):
        assert qemu_log.outlived_its_stream(asked(tmp_path, "vm1"))


def test_a_missing_log_is_no_failure(tmp_path: Path) -> None:
    assert asked(tmp_path, "vm1") == ""
