from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hotfoot.cli.cluster import app
from hotfoot.cluster import Cluster
from hotfoot.errors import HotfootError

FILE = """\
name: lab
ssh: {user: root}
libvirt: {transport: tcp}
storage: [{path: /srv, type: nfs}]
policy: {bandwidth: 1Gbit/s}
hosts: [{name: n1, address: 10.77.0.11, ssh: {port: 2222}}, {name: n2, address: 10.77.0.12}]
"""


def test_validate_says_what_it_understood(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(FILE)
    result = CliRunner().invoke(app, ["validate", "--cluster", str(tmp_path / "c.yaml")])
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "cluster lab: 2 hosts (n1, n2)",
        "libvirt by tcp",
        "  tcp is neither encrypted nor authenticated: for closed networks only",
        "disks in /srv (nfs, shared)",
    ]


def test_validate_json_writes_out_what_each_host_inherits(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(FILE)
    result = CliRunner().invoke(app, ["validate", "--json"], env={"HOTFOOT_CLUSTER": str(tmp_path / "c.yaml")})
    answer = json.loads(result.output)
    assert answer["hosts"][0]["ssh"] == {"user": "root", "port": 2222, "sudo": False}
    assert answer["hosts"][1]["ssh"] == {"user": "root", "sudo": False}
    assert answer["policy"]["bandwidth_bytes_per_s"] == 125_000_000


def test_validate_raises_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOTFOOT_CLUSTER", raising=False)
    (tmp_path / "hotfoot.yaml").write_text(FILE + "x: 1\n")
    result = CliRunner().invoke(app, ["validate"])
    assert isinstance(result.exception, HotfootError)
    assert str(result.exception).startswith('hotfoot.yaml:7: unknown key "x"; known here: ')


def test_schema_describes_every_key() -> None:
    schema = json.loads(CliRunner().invoke(app, ["schema"]).output)
    assert schema["properties"].keys() == {key.name for key in fields(Cluster)}
    for section in (schema, *schema["$defs"].values()):
        assert section["additionalProperties"] is False
        for name, key in section["properties"].items():
            assert key["description"].endswith("."), name


def test_the_command_module_imports_no_heavy_library() -> None:
    heavy = "{'pydantic', 'ruamel.yaml', 'hotfoot.cluster'}"
    code = f"import sys, hotfoot.cli.cluster; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout == "[]\n"
