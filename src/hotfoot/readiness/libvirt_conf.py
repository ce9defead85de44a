"""Configuration files of libvirt's own form (qemu.conf, libvirtd.conf, virtproxyd.conf), read as libvirt reads them.

The grammar is that of libvirt's virconf.c: ``name = value``, where a value is an integer, a string in single, double
or three double quotes, or a list of values in brackets; a comment runs from # to the end of the line; the last of two
settings of one name counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

Value: TypeAlias = "int | str | tuple[int | str, ...]"

_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:\s+|#[^\n]*)*")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_NUMBER = re.compile(r"[-+]?[0-9]+")
_STRING = re.compile(r'"""(?P<long>.*?)"""|"(?P<double>[^"\n]*)"|\'(?P<single>[^\'\n]*)\'', re.DOTALL)
_END = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\r?\n|$)")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a file sets. ``problem`` says what libvirt could not read, with the line; empty where all is well."""

    values: Mapping[str, Value] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)
    """Line of each setting, counted from 1."""
    problem: str = ""

    def text(self, name: str) -> str | None:
        """Return a string setting, None where it is not set or no string."""
        value = self.values.get(name)
        return value if isinstance(value, str) else None

    def number(self, name: str) -> int | None:
        """Return a number or switch, None where it is not set or no number."""
        value = self.values.get(name)
        return value if isinstance(value, int) else None

    def shown(self, name: str) -> str:
        """Return a setting as a line of the file says it."""
        return f"{name} = {_shown(self.values[name])}"


@lru_cache(maxsize=1024)
def read(text: str) -> Settings:
    """Read a file's text; what comes before a mistake is read, too."""
    values: dict[str, Value] = {}
    lines: dict[str, int] = {}
    at = _skip(_BLANK, text, 0)
    while at < len(text):
        start = at
        try:
            name, value, at = _setting(text, at)
        except ValueError as error:
            where, what = error.args
            return Settings(values, lines, f"line {_line(text, where)}: {what}")
        values[name], lines[name] = value, _line(text, start)
        at = _skip(_BLANK, text, at)
    return Settings(values, lines)


def _setting(text: str, at: int) -> tuple[str, Value, int]:
    name = _NAME.match(text, at)
    if name is None:
        raise ValueError(at, "a name of a setting is expected here")
    at = _skip(_SPACE, text, name.end())
    if text[at : at + 1] != "=":
        raise ValueError(at, f'"=" is expected after {name[0]}')
    value, at = _value(text, _skip(_SPACE, text, at + 1), name[0])
    end = _END.match(text, at)
    if end is None:
        raise ValueError(at, f"nothing but a comment may follow the value of {name[0]}")
    return name[0], value, end.end()


def _value(text: str, at: int, name: str) -> tuple[Value, int]:
    if text[at : at + 1] == "[":
        return _list(text, at + 1, name)
    return _scalar(text, at, name)


def _scalar(text: str, at: int, name: str) -> tuple[int | str, int]:
    if number := _NUMBER.match(text, at):
        return int(number[0]), number.end()
    if string := _STRING.match(text, at):
        return next(part for part in string.groups() if part is not None), string.end()
    raise ValueError(at, f"the value of {name} is neither a number, nor a string in quotes, nor a list")


def _list(text: str, at: int, name: str) -> tuple[tuple[int | str, ...], int]:
    found: list[int | str] = []
    at = _skip(_BLANK, text, at)
    while text[at : at + 1] != "]":
        value, at = _scalar(text, at, name)
        found.append(value)
        at = _skip(_BLANK, text, at)
        if text[at : at + 1] == ",":
            at = _skip(_BLANK, text, at + 1)
        elif text[at : at + 1] != "]":
            raise ValueError(at, f'"," or "]" is expected in the list of {name}')
    return tuple(found), at + 1


def _skip(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _shown(value: Value) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_shown(each) for each in value) + "]"
    return str(value) if isinstance(value, int) else f'"{value}"'
