"""What hosts' hypervisors say of guests' CPUs, asked through a real shell; virsh there is a stub, named so."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hotfoot.reach import cpu_baseline
from hotfoot.reach.cpu_baseline import verdict, verdicts_of

INCOMPATIBLE = (
    "error: Failed to compare hypervisor CPU with /tmp/c\n"
    "error: the CPU is incompatible with host CPU: Host CPU does not provide required features: fma, movbe, avx2\n"
)
STUB_VIRSH = """#!/bin/sh
eval "file=\\$$#"
case $(cat "$file") in
*poor*) echo "identical" ;;
*rich*) printf 'error: Failed to compare\\nerror: the CPU is incompatible with host CPU: Host CPU does not provide\
 required features: fma, avx2\\n' >&2; exit 1 ;;
*) echo "error: unsupported: no CPU driver" >&2; exit 1 ;;
esac
"""


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", ""),
        (INCOMPATIBLE, "it lacks avx2, fma and movbe"),
        ("error: x\nerror: the CPU is incompatible with host CPU\n", "the CPU is incompatible with host CPU"),
        ("error: unsupported configuration: cannot compare\n", None),
        ("error: unknown command: 'hypervisor-cpu-compare'\n", None),
    ],
)
def test_what_virsh_says_is_read(said: str, expected: str | None) -> None:
    assert verdict(said) == expected


def test_each_cpu_is_compared_and_what_cannot_be_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "virsh").write_text(STUB_VIRSH)
    (tmp_path / "virsh").chmod(0o755)
    cpus = (
        "<cpu>\n  <model>rich</model>\n</cpu>",
        "<cpu><model>poor\\n</model></cpu>",
        "<cpu><model>odd</model></cpu>",
    )
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        ["sh", "-c", cpu_baseline.COMPARE],
        input=cpu_baseline.lines_of(cpus),
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert verdicts_of(cpus, done.stdout) == {cpus[0]: "it lacks avx2 and fma", cpus[1]: ""}
    assert [path.name for path in tmp_path.iterdir()] == ["virsh"]


def test_a_host_that_broke_off_gave_the_answers_that_it_gave() -> None:
    assert verdicts_of(("<a/>", "<b/>"), "==hotfoot==\nerror: half") == {"<a/>": ""}
