"""The probe's source files joined into the one script that is sent to hosts, with the question in it."""

from __future__ import annotations

import ast
import base64
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hotfoot.readiness.wanted import Wanted

PARTS = (
    "frame",
    "secrets",
    "system",
    "unit_files",
    "network",
    "people",
    "places",
    "trust",
    "hypervisor",
    "storage",
    "host_probe",
)
"""Each uses what stands before it."""
_ONLY_FOR_READERS = ("hotfoot", "typing")


def probe_script(wanted: Wanted) -> str:
    """Return the script: standard library only, for Python 3.6 and newer, in ASCII."""
    question = base64.b64encode(wanted.model_dump_json().encode()).decode()
    return f'{joined("hotfoot.reach.probe", PARTS)}\nmain("{question}")\n'


@cache
def joined(package: str, parts: tuple[str, ...]) -> str:
    """Join modules of a package that import from each other by name, their imports from each other left out.

    Also left out is what hosts of old Python lack and annotations in quotes do not need: ``typing``.
    """
    return "\n".join(_without_imports((files(package) / f"{part}.py").read_text()) for part in parts)


def _without_imports(source: str) -> str:
    lines = source.splitlines(keepends=True)
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in _ONLY_FOR_READERS:
            _blank(lines, range(node.lineno - 1, node.end_lineno or node.lineno))
    return "".join(lines)


def _blank(lines: list[str], numbers: Iterable[int]) -> None:
    for number in numbers:
        lines[number] = "\n"
