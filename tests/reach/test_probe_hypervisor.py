"""What the probe reads in libvirt's own folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotfoot.reach.probe import hypervisor

DEFINITION = """\
<!--
WARNING: THIS IS AN AUTO-GENERATED FILE. CHANGES TO IT ARE LIKELY TO BE
OVERWRITTEN AND LOST.
-->

<domain type='kvm'>
  <name>{name}</name>
  <cputune>
    <shares>512</shares>
  </cputune>
  <os>
    <type arch='x86_64' machine='pc-q35-10.0'>hvm</type>
  </os>
{cpu}  <clock offset='utc'/>
</domain>
"""
MODEL = """\
  <cpu mode='custom' match='exact' check='partial'>
    <model fallback='forbid'>EPYC</model>
    <feature policy='require' name='x2apic'/>
  </cpu>
"""
HOST = "  <cpu mode='host-model' check='partial'/>\n"


@pytest.fixture
def libvirt_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("_DEFINITIONS", "_NETWORKS", "_POOLS"):
        monkeypatch.setattr(hypervisor, name, str(tmp_path / name))
    return tmp_path


def put(folder: Path, name: str, text: str = "") -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.xml").write_text(text)


def test_the_cpu_of_each_kept_definition_is_told(libvirt_folders: Path) -> None:
    for name, cpu in (("web", MODEL), ("db", HOST), ("old", "")):
        put(libvirt_folders / "_DEFINITIONS", name, DEFINITION.format(name=name, cpu=cpu))
    told = hypervisor.libvirt([], {})
    assert told["defined_cpus"] == {"web": MODEL, "db": HOST, "old": ""}


def test_active_networks_and_pools_are_told_where_libvirt_has_had_any(libvirt_folders: Path) -> None:
    told = hypervisor.libvirt([], {})
    assert (told["networks"], told["active_pools"]) == (None, None)
    put(libvirt_folders / "_NETWORKS", "tenants")
    (libvirt_folders / "_NETWORKS" / "driver.pid").write_text("7")
    (libvirt_folders / "_POOLS").mkdir()
    told = hypervisor.libvirt([], {})
    assert (told["networks"], told["active_pools"]) == (["tenants"], [])
