from __future__ import annotations

import ast
from collections import Counter
from importlib.resources import files

from hotfoot.reach.probe.script import PARTS, probe_script
from hotfoot.readiness.wanted import Wanted

_SCRIPT = probe_script(Wanted(names=("n1",)))


def test_it_is_ascii_and_of_the_oldest_python() -> None:
    assert _SCRIPT.isascii()
    ast.parse(_SCRIPT, feature_version=(3, 6))


def test_it_needs_nothing_of_hotfoot() -> None:
    imported = [node for node in ast.walk(ast.parse(_SCRIPT)) if isinstance(node, ast.ImportFrom)]
    assert not [node.module for node in imported if (node.module or "").startswith(("hotfoot", "typing", "__future__"))]


def test_no_name_is_given_twice_in_the_files_that_are_joined() -> None:
    names: Counter[str] = Counter()
    for node in ast.parse(_SCRIPT).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names[node.name] += 1
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
    assert [name for name, count in names.items() if count > 1] == []


def test_all_files_are_in_it() -> None:
    there = {
        file.name.removesuffix(".py") for file in files("hotfoot.reach.probe").iterdir() if file.name.endswith(".py")
    }
    assert there - {"__init__", "script"} == set(PARTS)


def test_the_question_cannot_leave_its_quotes() -> None:
    script = probe_script(Wanted(files=('"); import os #',)))
    assert "import os #" not in script
