"""The program that is sent to a host to prepare it: the modules of ``on_host``, joined into one source."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

_ON_HOST = (
    "programs ledger paths files systemd packages units refresh closing commands mounts data keys"
    " owners ids secret work"
).split()
# In an order in which each needs only those before it.
_MODULES = ("hotfoot.reach.probe.secrets", *(f"hotfoot.prepare.on_host.{name}" for name in _ON_HOST))

_JOIN = """\
import sys
import types

def module(name):
    made = sys.modules[name] = types.ModuleType(name)
    made.__path__ = []
    above, _, last = name.rpartition(".")
    if above:
        setattr(sys.modules.get(above) or module(above), last, made)
    return made

for name, source in {sources!a}:
    exec(compile(source, name, "exec"), module(name).__dict__)
sys.modules["hotfoot.prepare.on_host.work"].main()
"""


@cache
def source() -> str:
    """Return the program; it reads its request from standard input, as ``on_host/work.py`` says."""
    sources = []
    for name in _MODULES:
        package, _, module = name.rpartition(".")
        sources.append((name, (files(package) / f"{module}.py").read_text(encoding="utf-8")))
    return _JOIN.format(sources=tuple(sources))
