"""What SSH's files say: known_hosts (sshd(8)), ssh_config(5), authorized_keys. Text in, values out."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import pairwise

_ENTRY = re.compile(
    r"^\s*(?:(?P<marker>@[a-z-]+)\s+)?(?P<names>\S+)\s+(?P<type>[a-z][A-Za-z0-9@.-]*)\s+(?P<key>[A-Za-z0-9+/]+=*)"
)
_OPTION = re.compile(r"^\s*(?P<key>[A-Za-z]+)(?:\s*=\s*|\s+)(?P<value>.*?)\s*$")


@dataclass(frozen=True, slots=True)
class KnownHost:
    """A line of a known_hosts file; ``text`` is the whole of it."""

    text: str
    marker: str
    names: tuple[str, ...]
    type: str
    key: str

    def is_for(self, name: str) -> bool:
        """Whether it speaks of a host by this name or address (in brackets with its port unless that is 22)."""
        if self.names[0].startswith("|1|"):
            return _is_hash_of(self.names[0], name)
        return _fits(name, [_literal(each) for each in self.names])


@dataclass(frozen=True, slots=True)
class KnownHosts:
    """All lines of one or more known_hosts files, to be looked up by name."""

    plain: dict[str, tuple[KnownHost, ...]]
    others: tuple[KnownHost, ...]
    """Lines whose names are hashed or patterns."""

    def entries(self, name: str) -> list[KnownHost]:
        """Return the lines about a host, in no order."""
        return [*self.plain.get(name, ()), *(each for each in self.others if each.is_for(name))]

    def knows(self, name: str, keys: frozenset[str]) -> bool:
        """Whether a login by this name is let through; ``keys`` are the host's, each ``type base64``."""
        return not self.stale(name, keys) and any(
            each.marker == "@cert-authority" or (not each.marker and f"{each.type} {each.key}" in keys)
            for each in self.entries(name)
        )

    def stale(self, name: str, keys: frozenset[str]) -> list[KnownHost]:
        """Return the lines that make a login fail: a key of a type that the host has too, but another one.

        A right line of the same type beside them makes them harmless; a revoked key of the host never is.
        """
        types = {key.partition(" ")[0] for key in keys}
        entries = [each for each in self.entries(name) if each.marker != "@cert-authority"]
        right = {each.type for each in entries if not each.marker and f"{each.type} {each.key}" in keys}
        return [
            each
            for each in entries
            if (each.marker == "@revoked" and f"{each.type} {each.key}" in keys)
            or (not each.marker and each.type in types - right)
        ]


@lru_cache(maxsize=64)  # in a cluster that is set up all hosts have the same file
def known_hosts(texts: tuple[str, ...]) -> KnownHosts:
    """Read known_hosts files; lines that cannot be understood are left out, as ssh does."""
    plain: dict[str, list[KnownHost]] = {}
    others = []
    for line in (line for text in texts for line in text.splitlines()):
        entry = _entry(line)
        if entry is None:
            continue
        if entry.names[0].startswith("|") or any(letter in name for name in entry.names for letter in "*?!"):
            others.append(entry)
            continue
        for name in entry.names:
            plain.setdefault(name, []).append(entry)
    return KnownHosts({name: tuple(entries) for name, entries in plain.items()}, tuple(others))


@lru_cache(maxsize=65536)
def _entry(line: str) -> KnownHost | None:
    match = _ENTRY.match(line)
    if match is None or line.lstrip().startswith("#"):
        return None
    return KnownHost(line, match["marker"] or "", tuple(match["names"].split(",")), match["type"], match["key"])


@lru_cache(maxsize=256)
def without_checks(text: str, hosts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the lines of an ssh_config file that switch the checking of these hosts' keys off, as they stand there.

    What other conditions than a host's name a Match section has is not looked at: its lines may count.
    """
    found, concerned = [], True
    for line in text.splitlines():
        match = _OPTION.match(line)
        if match is None:
            continue
        values = [word.strip('"').lower() for word in match["value"].split()]
        key = match["key"].lower()
        if key in ("host", "match"):
            patterns = values if key == "host" else _match_patterns(values)
            concerned = any(_fits(host.lower(), patterns) for host in hosts)
        if not concerned:
            continue
        off = key == "stricthostkeychecking" and values[:1] in (["no"], ["off"])
        forgotten = key in ("userknownhostsfile", "globalknownhostsfile") and values[:1] in (["/dev/null"], ["none"])
        if off or forgotten:
            found.append(line)
    return tuple(found)


def _match_patterns(words: list[str]) -> list[str]:
    """Return the patterns of ``Match host a,b`` (or originalhost); of other conditions one that fits all."""
    named = [value for key, value in pairwise(words) if key in ("host", "originalhost")]
    return named[0].split(",") if named else ["*"]


def _fits(host: str, patterns: list[str]) -> bool:
    """Whether a list of patterns names a host: one that begins with ``!`` takes it out."""
    refused = any(fnmatchcase(host, each[1:]) for each in patterns if each.startswith("!"))
    return not refused and any(fnmatchcase(host, each) for each in patterns)


def bracketed(name: str, port: int) -> str:
    """Return a host as known_hosts names it."""
    return name if port == 22 else f"[{name}]:{port}"


def allowed(user: str, patterns: Iterable[str]) -> bool:
    """Whether a list of AllowUsers or DenyUsers (``USER`` or ``USER@HOST``, with ``*`` and ``?``) names a user."""
    return any(fnmatchcase(user, pattern.partition("@")[0]) for pattern in patterns)


def _literal(pattern: str) -> str:
    """Return a pattern for fnmatch: in known_hosts only ``*`` and ``?`` are special, brackets are not."""
    return pattern.replace("[", "[[]")


def _is_hash_of(hashed: str, name: str) -> bool:
    """Whether ``|1|SALT|HASH`` was made of a name (HashKnownHosts)."""
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in hashed.split("|")[2:4])
    except (ValueError, binascii.Error):
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), digest)
