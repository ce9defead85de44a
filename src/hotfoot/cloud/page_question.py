"""The question which pages of a guest are written, to its host, and the answer. Pure.

Asked over SSH: libvirt's own dirty-rate calculation looks at 512 pages of each GiB, which are too few for small guests,
and its dirty bitmap counts nothing where QEMU runs without KVM (QEMU 10.0).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from hotfoot.migration.page_watch import PageWatch

_SHORTEST_S = 0.25
_SCRIPT = """
python=$(command -v python3 || echo /usr/libexec/platform-python)
pid=$(cat /run/libvirt/qemu/{name}.pid) && "$python" -I -S -B - "$pid" {memory_bytes} {at_s} <<'END_OF_LOOKS'
{looks}
END_OF_LOOKS
"""
"""RHEL 8 has a Python for its own tools even where no other is installed."""


def looks_s(period_s: float) -> tuple[float, ...]:
    """Return when to look again within a period, in s: at its end, at its half, at the half of that.

    >>> looks_s(4)
    (0.25, 0.5, 1.0, 2.0, 4.0)
    """
    times = [float(period_s)]
    while times[0] / 2 >= _SHORTEST_S:
        times.insert(0, times[0] / 2)
    return tuple(times)


def question(name: str, memory_bytes: int, at_s: Sequence[float]) -> str:
    """Return the script that looks at the pages of a running guest at these times; it never writes."""
    return _SCRIPT.format(
        name=shlex.quote(name), memory_bytes=memory_bytes, at_s=" ".join(f"{each:g}" for each in at_s), looks=_looks()
    )


@cache
def _looks() -> str:
    return (files("hotfoot.cloud") / "page_looks.py").read_text()


def answer(text: str) -> PageWatch | None:
    """Read what the script printed last; None where it could not look."""
    try:
        told = json.loads(text.splitlines()[-1])
        return PageWatch(**{**told, "at_s": tuple(told["at_s"])})
    except (IndexError, KeyError, TypeError, ValueError):
        return None
