"""The step that gives an instance's definition a CPU, run by a real shell; only virsh is a stub that keeps files."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.readiness.libvirt_hosts import cluster, codes, domain, host, judged, running
from tests.readiness.test_cpu import COMMON, MILAN, ROME, with_cpu

from hotfoot.readiness.change import Command
from hotfoot.readiness.cpu import TOPIC
from hotfoot.readiness.cpu_definition import cpu_xml, redefine
from hotfoot.readiness.cpu_model import Baseline
from hotfoot.readiness.domain_xml import read_cpu
from hotfoot.readiness.facts import HostFacts

COMMON_CPU = Baseline("EPYC-Rome", frozenset({"x2apic"}), frozenset({"svm"}))
HOST_MODEL = "  <cpu mode='host-model' check='partial'/>\n"
WITH_TOPOLOGY = """\
  <cpu mode='host-passthrough' check='none' migratable='on'>
    <topology sockets='1' dies='1' cores='2' threads='1'/>
    <feature policy='disable' name='vmx'/>
  </cpu>
"""
DEFINITION = """\
<domain type='kvm'>
  <name>{name}</name>
  <cputune>
    <shares>512</shares>
  </cputune>
{cpu}  <devices>
    <graphics type='vnc' passwd='hunter2'/>
  </devices>
</domain>
"""
VIRSH = """#!/bin/sh
[ "$1 $2 $3" = "-q -c qemu:///system" ] || exit 9
shift 3
case $1 in
dumpxml) [ "$2 $3 $4" = "--inactive --security-info --domain" ] && cat "$FOLDER/$5.xml" ;;
define) name=$(sed -n 's/.*<name>\\(.*\\)<.*/\\1/p' "$2") && cp "$2" "$FOLDER/$name.xml" ;;
esac
"""


class Shell:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        (folder / "bin" / "virsh").write_text(VIRSH)
        (folder / "bin" / "virsh").chmod(0o755)

    def run(self, argv: Sequence[str]) -> int:
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        return subprocess.run(
            argv, env={"PATH": path, "FOLDER": str(self.folder), "TMPDIR": str(self.folder)}, check=False
        ).returncode

    def text(self, name: str) -> str:
        return (self.folder / f"{name}.xml").read_text()

    def define(self, name: str, cpu: str) -> str:
        text = DEFINITION.format(name=name, cpu=cpu)
        (self.folder / f"{name}.xml").write_text(text)
        return text


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def step_for(name: str, cpu: str) -> Command:
    step = redefine("n1", name, cpu, COMMON_CPU).step
    assert isinstance(step, Command)
    return step


@pytest.mark.parametrize("cpu", [HOST_MODEL, WITH_TOPOLOGY, ""])
@pytest.mark.parametrize("name", ["web", "it's $HOME"])
def test_the_definition_gets_the_cpu_once_and_gets_back_what_it_had(shell: Shell, name: str, cpu: str) -> None:
    before = shell.define(name, cpu)
    step = step_for(name, cpu)
    assert shell.run(step.done_if) != 0
    assert shell.run(step.argv) == 0
    after = shell.text(name)
    given = after[after.index("  <cpu ") : after.index("  </cpu>\n") + 9]
    assert after.replace(given, "") == before.replace(cpu, "")
    assert read_cpu(given).model == "EPYC-Rome"
    assert ("cores=" in given) is ("cores=" in cpu)
    assert shell.run(step.done_if) == 0
    assert shell.run(step.argv) == 0
    assert shell.text(name) == after
    assert shell.run(step.undo) == 0
    assert sorted(shell.text(name).splitlines()) == sorted(before.splitlines())
    assert shell.run(step.done_if) != 0
    assert sorted(path.name for path in shell.folder.iterdir()) == ["bin", f"{name}.xml"]


def test_the_order_of_features_and_the_quotes_do_not_make_another_cpu(shell: Shell) -> None:
    step = step_for("web", HOST_MODEL)
    shell.define("web", HOST_MODEL)
    shell.run(step.argv)
    lines = shell.text("web").splitlines(keepends=True)
    features = [line for line in lines if "<feature" in line]
    for line, other in zip(features, reversed(features), strict=True):
        lines[lines.index(line)] = other.replace("<feature", "<feature ", 0)
    (shell.folder / "web.xml").write_text("".join(lines))
    assert shell.run(step.done_if) == 0


def test_another_cpu_since_then_is_not_what_was_done(shell: Shell) -> None:
    step = step_for("web", HOST_MODEL)
    shell.define("web", cpu_xml("", Baseline("EPYC-Rome", frozenset({"x2apic"}))) + "\n")
    assert shell.run(step.done_if) != 0
    shell.define("web", WITH_TOPOLOGY)
    assert shell.run(step.done_if) != 0


def test_an_instance_that_is_gone_fails_and_leaves_nothing(shell: Shell) -> None:
    step = step_for("web", HOST_MODEL)
    assert shell.run(step.done_if) != 0
    assert shell.run(step.argv) != 0
    assert [path.name for path in shell.folder.iterdir()] == ["bin"]


def with_definitions(name: str, capabilities: str, **cpus: str) -> HostFacts:
    libvirt = running(*(domain(each) for each in cpus), hypervisor_cpu=capabilities, defined_cpus=cpus)
    return host(name, libvirt=libvirt)


DECLARED = {"model": "EPYC-Rome", "features": ["x2apic", "-svm"]}
RICH = (
    "  <cpu mode='custom' match='exact' check='partial'>\n    <model fallback='forbid'>EPYC-Milan</model>\n  </cpu>\n"
)
POOR = cpu_xml("", Baseline("EPYC")) + "\n"


def test_definitions_that_bind_an_instance_to_some_hosts_are_advice_once_a_cpu_is_declared() -> None:
    hosts = (with_definitions("n1", MILAN, web=HOST_MODEL, db=RICH, ci=POOR, old=""), with_cpu(ROME, "n2"))
    assert judged(TOPIC, cluster(), *hosts, cpu_baseline=COMMON)[0].code == "cpu.differ"
    (found,) = judged(TOPIC, cluster(cpu=DECLARED), *hosts)
    assert codes([found]) == ["instance-definition n1"]
    assert "db and web on n1" in found.what
    assert "EPYC-Milan, but of n2: it lacks vaes" in found.evidence
    assert found.changes == ()
    assert "instances: true" in found.remedy


def test_where_the_cluster_file_asks_for_it_they_get_the_declared_cpu() -> None:
    hosts = (with_definitions("n1", MILAN, web=HOST_MODEL, db=RICH), with_cpu(ROME, "n2"))
    (found,) = judged(TOPIC, cluster(cpu={**DECLARED, "instances": True}), *hosts)
    assert [each.step.title for each in found.changes if isinstance(each.step, Command)] == [
        "define db with the CPU EPYC-Rome, for its next start",
        "define web with the CPU EPYC-Rome, for its next start",
    ]
    given = cpu_xml(HOST_MODEL, COMMON_CPU)
    after = (with_definitions("n1", MILAN, web=given, db=given), hosts[1])
    assert judged(TOPIC, cluster(cpu={**DECLARED, "instances": True}), *after) == ()


def test_nothing_is_defined_that_could_not_start_and_nothing_of_nova() -> None:
    bound = with_definitions("n1", MILAN, web=HOST_MODEL)
    asked = {**DECLARED, "instances": True}
    too_rich = judged(TOPIC, cluster(cpu={**asked, "model": "EPYC-Milan"}), bound, with_cpu(ROME, "n2"))
    assert codes(too_rich) == ["declared-not-runnable n2"]
    nova = "<metadata><i:instance xmlns:i='http://openstack.org/xmlns/libvirt/nova/1.1'/></metadata>"
    libvirt = running(domain("web", more=nova), hypervisor_cpu=MILAN, defined_cpus={"web": HOST_MODEL})
    assert judged(TOPIC, cluster(cpu=asked), host(libvirt=libvirt), with_cpu(ROME, "n2")) == ()
    assert judged(TOPIC, cluster(cpu=asked), bound, with_cpu(MILAN, "n2")) == ()


def test_one_that_is_stuck_until_its_next_start_is_told_so() -> None:
    live = domain("web", cpu=RICH)
    libvirt = running(live, hypervisor_cpu=MILAN, defined_cpus={"web": POOR})
    (found,) = judged(TOPIC, cluster(cpu=DECLARED), host(libvirt=libvirt), with_cpu(ROME, "n2"))
    assert found.code == "cpu.instance-stuck"
    assert "definitions have a CPU that all hosts run by now" in found.remedy
