"""Edits of configuration files: text in, text out; every line that an edit does not name stays byte for byte."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Literal

from configupdater import ConfigUpdater, Option
from pydantic import BaseModel, ConfigDict, Field


class _Edit(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SetKey(_Edit):
    """Set ``key`` to ``value`` (verbatim: quotes are the caller's) in an INI file or, without a section, libvirt's."""

    edit: Literal["set"] = "set"
    section: str | None = None
    key: str
    value: str


class RemoveKey(_Edit):
    """Take a key out; nothing where it is not set."""

    edit: Literal["unset"] = "unset"
    section: str | None = None
    key: str


class EnsureLine(_Edit):
    """Have exactly this line: the first line that ``instead_of`` (a regular expression) matches becomes it.

    Other lines that match are taken out; without a match it is added at the end.
    """

    edit: Literal["line"] = "line"
    line: str
    instead_of: str = ""


class RemoveLines(_Edit):
    """Take out every line that a regular expression matches."""

    edit: Literal["no-lines"] = "no-lines"
    matching: str


Edit = Annotated[SetKey | RemoveKey | EnsureLine | RemoveLines, Field(discriminator="edit")]


def apply(text: str, edits: Iterable[Edit]) -> str:
    """Return the text after all edits, in order. Raises ValueError where the file cannot be understood.

    Invariant: applying the same edits again changes nothing.
    """
    for edit in edits:
        match edit:
            case SetKey(section=None) | RemoveKey(section=None):
                text = _with_bare_key(text, edit)
            case SetKey() | RemoveKey():
                text = _with_key(text, edit)
            case EnsureLine():
                text = _with_line(text, edit)
            case RemoveLines():
                text = "".join(line for line in text.splitlines(keepends=True) if not re.search(edit.matching, line))
    return text


def value_of(text: str, key: str, section: str | None = None) -> str | None:
    """Return the value of a key as it stands in the file, None where it is not set; ValueError as ``apply``."""
    if section is None:
        found = None
        for found in _bare(key).finditer(text):  # noqa: B007 - the last one counts, as for libvirt
            pass
        return found["value"].strip() if found else None
    options = _options(_parsed(text), section, key)
    return (options[-1].value or "").strip() if options else None


def _bare(key: str) -> re.Pattern[str]:
    """Match a setting of libvirt's files: a value to the end of the line, or a list over several."""
    return re.compile(rf"^[ \t]*{re.escape(key)}[ \t]*=(?P<value>[ \t]*\[[^\]]*\]|[^\n]*)\n?", re.MULTILINE)


def _with_bare_key(text: str, edit: SetKey | RemoveKey) -> str:
    # libvirt's files have no sections and lists over several lines: no INI editor reads them.
    found = list(_bare(edit.key).finditer(text))
    line = f"{edit.key} = {edit.value}\n" if isinstance(edit, SetKey) else ""
    if isinstance(edit, SetKey) and found and value_of(text, edit.key) == edit.value and len(found) == 1:
        return text
    for match in reversed(found[1:] if line else found):
        text = text[: match.start()] + text[match.end() :]
    if not line:
        return text
    if found:
        return text[: found[0].start()] + line + text[found[0].end() :]
    example = re.search(rf"^#[ \t]*{re.escape(edit.key)}[ \t]*=.*\n", text, re.MULTILINE)
    if example:  # below the commented example, where a person would look for it
        return text[: example.end()] + line + text[example.end() :]
    return _ended(text) + line


def _with_key(text: str, edit: SetKey | RemoveKey) -> str:
    assert edit.section is not None
    updater = _parsed(_ended(text))
    found = _options(updater, edit.section, edit.key)
    as_wanted = [edit.value] if isinstance(edit, SetKey) else []
    if [(option.value or "").strip() for option in found] == as_wanted:
        return text
    # Of several, in one section or in sections of one name, the last counts.
    for option in found if isinstance(edit, RemoveKey) else found[:-1]:
        option.detach()
    if isinstance(edit, RemoveKey):
        return str(updater)
    if found:
        found[-1].value = edit.value
        return _ended(str(updater))
    if not updater.has_section(edit.section):
        updater.add_section(edit.section)
    options = updater[edit.section].option_blocks()
    if options:  # above what comments and blank lines lead over to the next section
        options[-1].add_after.option(edit.key, edit.value)
    else:
        updater.set(edit.section, edit.key, edit.value)
    return _ended(str(updater))


def _options(updater: ConfigUpdater, section: str, key: str) -> list[Option]:
    """Return all places where a key is set, in sections of that name, in order."""
    name = updater.optionxform(key)
    sections = [each for each in updater.section_blocks() if each.name == section]
    return [option for each in sections for option in each.option_blocks() if option.key == name]


def _parsed(text: str) -> ConfigUpdater:
    updater = ConfigUpdater(strict=False, allow_no_value=True, delimiters=("=", ":"), comment_prefixes=("#", ";"))
    try:
        updater.read_string(text)
    except Exception as error:  # the library's own errors have no common base
        raise ValueError(f"not an INI file: {str(error).splitlines()[0]}") from error
    return updater


def _with_line(text: str, edit: EnsureLine) -> str:
    lines = text.splitlines(keepends=True)
    matching = [
        number
        for number, line in enumerate(lines)
        if line.rstrip("\n") == edit.line or (edit.instead_of and re.search(edit.instead_of, line))
    ]
    if not matching:
        return _ended(text) + edit.line + "\n"
    first, *others = matching
    if lines[first].rstrip("\n") != edit.line:
        lines[first] = edit.line + "\n"
    return "".join(line for number, line in enumerate(lines) if number not in others)


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"
