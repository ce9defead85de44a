"""YAML text in, plain values and the line of each out; whatever is wrong comes back as sentences."""

from __future__ import annotations

import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ruamel.yaml.nodes import Node

Location = tuple[str | int, ...]

# An alias costs a few bytes and stands for any number of values: without a limit, a file of ten lines fills
# all memory. 100,000 values are a cluster of some ten thousand hosts.
_MOST_VALUES = 100_000
_MOST_LEVELS = 20

_STANDARD = "tag:yaml.org,2002:"
_SCALARS = {f"{_STANDARD}{tag}" for tag in ("str", "int", "float", "bool", "null")}
_MERGE = f"{_STANDARD}merge"
_TAGS = _SCALARS | {_MERGE} | {f"{_STANDARD}{tag}" for tag in ("map", "seq", "timestamp")}


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One sentence about one line (counted from 1) of the file."""

    line: int
    sentence: str


class Unreadable(Exception):
    """The text is no YAML at all; carries the one mistake at which reading ended."""

    def __init__(self, line: int, sentence: str) -> None:
        super().__init__(sentence)
        self.mistake = Mistake(line, sentence)


@dataclass(slots=True)
class Document:
    """Plain values (dict, list, str, int, float, bool, None), and where each stands."""

    value: Any = None
    lines: dict[Location, int] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    def line(self, location: Location) -> int:
        """Line of a value (of its key, in a mapping), or of the nearest value around it."""
        while location not in self.lines and location:
            location = location[:-1]
        return self.lines.get(location, 1)


def read_document(text: str) -> Document:
    """Read one YAML 1.2 document; anchors, aliases and merge keys (``<<``) are understood.

    Keys given twice, keys that are no text and tags come back in ``mistakes``; raises Unreadable for broken
    syntax, for more than 100,000 values and for more than 20 levels.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    yaml = YAML(typ="safe", pure=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an anchor defined anew is allowed by YAML
            root = yaml.compose(text)
    except RecursionError:
        raise Unreadable(1, "the file is nested too deeply") from None
    except MarkedYAMLError as error:
        raise _broken(error) from None
    except YAMLError as error:
        position = getattr(error, "position", 0)
        raise Unreadable(
            text.count("\n", 0, position) + 1, "there is a control character, which YAML does not allow"
        ) from None
    document = Document()
    if root is not None:
        document.value = _Walk(document, yaml.constructor).value(root, (), 0)
    return document


def _broken(error: Any) -> Unreadable:
    """Put the scanner's own words into ones that an operator can act on."""
    problem = str(error.problem or error.context or "")
    line = error.problem_mark.line + 1 if error.problem_mark else 1
    began = error.context_mark.line + 1 if error.context_mark else line
    if "'\\t'" in problem:
        said = "a tab is used for indentation; use spaces"
    elif "cannot start any token" in problem:
        said = f"{problem.removeprefix('found ')}: put the text in quotes"
    elif "mapping values are not allowed" in problem:
        said = 'a ":" stands where none can: check the indentation here and above, or put the text in quotes'
    elif "undefined alias" in problem:
        said = f"{problem.removeprefix('found ')}: no anchor of that name stands before it"
    elif "another document" in problem:
        said = 'a second document begins here ("---"); a cluster file holds one'
    elif "flow node" in str(error.context or ""):
        said = "a value is missing here, or a bracket or brace before it is not closed"
    elif "flow" in str(error.context or ""):
        line, said = began, "a bracket or brace that opens here is not closed, or a comma is missing in it"
    elif "quoted scalar" in str(error.context or ""):
        line, said = began, "a quotation mark that opens here is not closed"
    elif "expected <block end>" in problem:
        said = "this line does not fit into the list or group around it: check its indentation"
    elif "expected ':'" in problem:
        said = 'a ":" is missing after a key'
    else:
        said = f"this is not valid YAML: {problem}"
    return Unreadable(line, said)


class _Walk:
    def __init__(self, document: Document, constructor: Any) -> None:
        self._document = document
        self._constructor = constructor
        self._left = _MOST_VALUES

    def value(self, node: Node, location: Location, level: int) -> Any:
        from ruamel.yaml.nodes import MappingNode, SequenceNode

        line = node.start_mark.line + 1
        self._document.lines.setdefault(location, line)
        self._left -= 1
        if self._left < 0:
            raise Unreadable(line, f"aliases make this file longer than {_MOST_VALUES} values; write less of them")
        if level > _MOST_LEVELS:  # an alias to what it stands in would never end, and arrives here too
            raise Unreadable(line, f"the file is nested more than {_MOST_LEVELS} levels deep")
        if node.tag not in _TAGS:
            self._document.mistakes.append(Mistake(line, f'tags such as "{node.tag}" have no meaning here'))
        if isinstance(node, MappingNode):
            return self._mapping(node, location, level)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*location, i), level + 1) for i, item in enumerate(node.value)]
        if node.tag in _SCALARS:
            with suppress(ValueError):  # such as "0o9", or a number of a million digits: a text, judged as one
                return self._constructor.construct_object(node)
        return node.value

    def _mapping(self, node: Any, location: Location, level: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: list[Any] = []
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _MERGE:
                merged += value_node.value if value_node.id == "sequence" else [value_node]
                continue
            if key_node.tag not in _SCALARS:
                self._document.mistakes.append(Mistake(line, "a key must be plain text"))
                continue
            key = str(key_node.value)
            place = (*location, key)
            if key in result:
                first = self._document.lines[place]
                self._document.mistakes.append(Mistake(line, f'the key "{key}" is given twice, first in line {first}'))
                continue
            self._document.lines.setdefault(place, line)  # a merged group comes after the own keys
            result[key] = self.value(value_node, place, level + 1)
        for other in merged:
            values = self.value(other, location, level + 1)
            if not isinstance(values, dict):
                self._document.mistakes.append(
                    Mistake(other.start_mark.line + 1, '"<<" must name a group of keys to take over')
                )
                continue
            result = values | result
        return result
