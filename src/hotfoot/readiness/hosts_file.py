"""/etc/hosts: what it says, and the edits that give a name another address (hosts(5))."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from hotfoot.readiness.addresses import ip
from hotfoot.readiness.edit import Edit, EnsureLine, RemoveLines

PATH = "/etc/hosts"


@dataclass(frozen=True, slots=True)
class Line:
    """A line that gives names to an address; ``text`` is the whole of it, ``comment`` begins with ``#``."""

    text: str
    address: str
    names: tuple[str, ...]
    comment: str

    def with_names(self, names: list[str]) -> str:
        """Return the line with these names in place of its own."""
        return " ".join([self.text.split()[0], *names, *([self.comment] if self.comment else [])])


def parse(text: str) -> list[Line]:
    """Return the lines that name something, in order; others (comments, blank and broken ones) are left out."""
    return [line for each in text.splitlines() if (line := _line(each))]


@lru_cache(maxsize=65536)  # the same lines stand on all hosts of a cluster
def _line(text: str) -> Line | None:
    entry, mark, comment = text.partition("#")
    words = entry.split()
    return Line(text, ip(words[0]), tuple(words[1:]), (mark + comment).rstrip()) if len(words) > 1 else None


def edits(text: str, wanted: Mapping[str, str]) -> tuple[Edit, ...]:
    """Return what makes each name stand at its address and at no other; nothing where it is so.

    A name takes along the longer forms of it on the same line (n1.example.org with n1), so that the host's full
    name goes on to be known. Other names of a line stay where they are.
    """
    addresses_by_name = {name.lower(): ip(address) for name, address in wanted.items()}
    lines = parse(text)
    right: set[str] = set()
    taken: dict[str, list[str]] = {name.lower(): [] for name in wanted}
    touched: list[tuple[Line, list[str], list[str]]] = []
    for line in lines:
        heads = [name for name in map(str.lower, line.names) if name in addresses_by_name]
        wrong = [name for name in heads if addresses_by_name[name] != line.address]
        right.update(name for name in heads if name not in wrong)
        if not wrong:
            continue
        staying = []
        for name in line.names:
            head = next((each for each in wrong if name.lower() == each or name.lower().startswith(each + ".")), None)
            if head is None:
                staying.append(name)
            elif name.lower() != head and name not in taken[head]:
                taken[head].append(name)
        touched.append((line, staying, wrong))
    for key, longer in taken.items():  # what a right line says already need not be said again
        said = {name for line in lines if line.address == addresses_by_name[key] for name in line.names}
        taken[key] = [name for name in longer if name not in said]
    missing = {name.lower(): name for name in wanted if name.lower() not in right or taken[name.lower()]}
    found: list[Edit] = []
    for line, staying, wrong in touched:
        exactly = f"^{re.escape(line.text)}$"
        if staying:
            found.append(EnsureLine(line=line.with_names(staying), instead_of=exactly))
        elif len(wrong) == 1 and wrong[0] in missing:  # where a person would look for it
            key = wrong[0]
            entry = _entry(addresses_by_name[key], taken[key], missing.pop(key), line.comment)
            found.append(EnsureLine(line=entry, instead_of=exactly))
        else:
            found.append(RemoveLines(matching=exactly))
    found += [EnsureLine(line=_entry(addresses_by_name[key], taken[key], name)) for key, name in missing.items()]
    return tuple(found)


def _entry(address: str, longer: list[str], name: str, comment: str = "") -> str:
    # The first name is the canonical one: the longest goes first, as hostname(1) recommends.
    return " ".join([address, *longer, name, *([comment] if comment else [])])
