"""The NFS server's list of exports, parsed as exports(5) says, and what ``exportfs -v`` shows of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

PATH = "/etc/exports"
DROP_INS = "/etc/exports.d/*.exports"

_WORD = re.compile(r'(?:"[^"]*"|\\[0-7]{3}|[^\s"])+')


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Who may mount, and how. ``who`` is "*" for everybody; ``blank``: the options stood apart from the name."""

    who: str
    options: tuple[str, ...] = ()
    blank: bool = False

    def option(self, name: str) -> str | None:
        """Return an option's value, "" where it has none, None where it is not given."""
        found = [option for option in self.options if option.partition("=")[0] == name]
        return found[-1].partition("=")[2] if found else None

    def says(self, yes: str, no: str, default: bool) -> bool:
        """Whether the last given of two opposite options is ``yes``."""
        given = [option for option in self.options if option in (yes, no)]
        return given[-1] == yes if given else default

    @property
    def kind(self) -> str:
        """``world``, ``network``, ``wildcard``, ``netgroup``, ``security`` (gss/krb5) or ``host``."""
        if self.who in ("*", "0.0.0.0/0", "::/0"):
            return "world"
        if self.who.startswith("@"):
            return "netgroup"
        if self.who.startswith("gss/"):
            return "security"
        if "/" in self.who:
            prefix = self.who.partition("/")[2]
            return "host" if prefix in ("32", "128", "255.255.255.255") else "network"
        return "wildcard" if re.search(r"[*?\[\]]", self.who) and not self.who.startswith("[") else "host"

    @property
    def name(self) -> str:
        """The host's name or address, without a prefix that names one host only."""
        return self.who.partition("/")[0].strip("[]")

    def __str__(self) -> str:
        return f"{self.who}({','.join(self.options)})" if self.options else self.who


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """One entry: a folder, its clients in order, and the physical lines that it was read from."""

    folder: str
    clients: tuple[Client, ...] = ()
    lines: tuple[str, ...] = field(default=(), compare=False)


def parse(text: str) -> tuple[Export, ...]:
    """Return the entries of an exports file, default options (``-rw,sync``) given to each client."""
    exports = []
    for lines in _logical(text):
        whole = " ".join(line.removesuffix("\\") for line in lines[:-1]) + " " + lines[-1]
        words = _WORD.findall(_uncommented(whole))
        if words:
            clients = tuple(_clients(words[1:]))
            exports.append(Export(folder=_trimmed(_plain(words[0])), clients=clients, lines=tuple(lines)))
    return tuple(exports)


def render(export: Export) -> str:
    """Return an entry as one line.

    >>> render(Export(folder="/srv/nova", clients=(Client(who="n1", options=("rw", "sync")),)))
    '/srv/nova n1(rw,sync)'
    """
    folder = re.sub(r'[\s\\#"]', lambda match: f"\\{ord(match[0]):03o}", export.folder)
    return " ".join((folder, *(str(client) for client in export.clients)))


def active(exportfs: str) -> Mapping[str, tuple[Client, ...]]:
    """Return who may mount what, by folder, from ``exportfs -v``: a long folder name stands on a line of its own."""
    found: dict[str, tuple[Client, ...]] = {}
    folder = ""
    for line in exportfs.splitlines():
        words = line.split()
        if not words:
            continue
        if not line[0].isspace():
            folder, words = _trimmed(_plain(words[0])), words[1:]
        for word in words:
            who, _, options = word.rstrip(")").partition("(")
            client = Client(who="*" if who == "<world>" else who, options=_split(options))
            found[folder] = (*found.get(folder, ()), client)
    return found


def _logical(text: str) -> Iterable[list[str]]:
    """Give each entry's physical lines: a backslash at the end continues a line, a comment too."""
    pending: list[str] = []
    for line in text.splitlines():
        pending.append(line)
        if not line.endswith("\\"):
            yield pending
            pending = []
    if pending:
        yield pending


def _uncommented(line: str) -> str:
    inside = False
    for place, letter in enumerate(line):
        if letter == '"':
            inside = not inside
        elif letter == "#" and not inside:
            return line[:place]
    return line


def _clients(words: Iterable[str]) -> Iterable[Client]:
    defaults: tuple[str, ...] = ()
    before = ""  # the name just before, where it has no options of its own
    none_yet = True
    for word in words:
        if word.startswith("-"):
            defaults = _split(word[1:])
            continue
        who, parenthesis, rest = word.partition("(")
        options = (*defaults, *_split(rest.rstrip(")")))
        # A blank before the parenthesis: these options are everybody's, and the name before has none.
        yield Client(who=_plain(who) or "*", options=options, blank=not who and bool(before))
        before, none_yet = ("" if parenthesis else who), False
    if none_yet:
        yield Client(who="*", options=defaults)


def _split(options: str) -> tuple[str, ...]:
    return tuple(option for option in options.split(",") if option)


def _trimmed(path: str) -> str:
    return path.rstrip("/") or "/"


def _plain(word: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), word.replace('"', ""))
