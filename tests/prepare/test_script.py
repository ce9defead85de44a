"""The program that hosts get: what old Pythons understand, whole in one piece, and of the standard library alone."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from hotfoot.prepare.script import source

ON_HOST = [path for path in files("hotfoot.prepare.on_host").iterdir() if path.name.endswith(".py")]


def pythons() -> list[str]:
    """Return this Python, and of the oldest, a middle and the newest one those that this machine has."""
    found = [each for each in ("python3.6", "python3.9", "python3.13") if shutil.which(each)]
    return [
        sys.executable,
        *(each for each in found if subprocess.run([each, "-c", ""], capture_output=True, check=False).returncode == 0),
    ]


@pytest.mark.parametrize("path", ON_HOST, ids=lambda path: path.name)
def test_each_module_is_of_python_3_6_and_the_standard_library(path: object) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 6))  # type: ignore[attr-defined]
    modules = [each.name for node in ast.walk(tree) if isinstance(node, ast.Import) for each in node.names]
    modules += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    ours = ("hotfoot.prepare.on_host", "hotfoot.reach.probe.secrets")
    assert [name for name in modules if not name.startswith(ours) and name not in sys.stdlib_module_names] == []


def test_all_of_them_are_sent() -> None:
    names = {path.name.removesuffix(".py") for path in ON_HOST} - {"__init__"}
    assert [name for name in sorted(names) if f"hotfoot.prepare.on_host.{name}" not in source()] == []


@pytest.mark.parametrize("python", pythons())
def test_it_runs_by_itself_and_refuses_what_it_does_not_understand(python: str, tmp_path: Path) -> None:
    request = json.dumps({"op": "runs", "run": "../etc"}) + "\n"
    (tmp_path / "program").write_text(source())
    argv = [python, "-I", str(tmp_path / "program")]
    said = subprocess.run(argv, input=request, capture_output=True, text=True, check=False)
    assert "no name of a run" in said.stdout or "needs root" in said.stdout, said.stderr
