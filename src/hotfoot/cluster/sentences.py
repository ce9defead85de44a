"""A rejected value, as pydantic reports it, in the operator's words."""

from __future__ import annotations

from dataclasses import Field, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from hotfoot.cluster.keys import Section
from hotfoot.cluster.yaml_lines import Document, Location, Mistake

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_LISTS = {"list_type", "tuple_type"}
_GROUPS = {"dataclass_type", "dict_type"}


def mistake_of(error: ErrorDetails, document: Document, part: type[Section]) -> Mistake:
    """Turn one entry of ``ValidationError.errors()`` into a sentence about a line."""
    location: Location = error["loc"]
    kind, context = error["type"], error.get("ctx", {})
    if kind == "missing":
        around = location[:-1]
        whole = f"{place_name(document, around)} lacks" if around else "the file lacks"
        return Mistake(document.line(around), f'{whole} the key "{location[-1]}"')
    line, name = document.line(location), place_name(document, location)
    if kind == "unexpected_keyword_argument":
        return Mistake(line, _unknown_key(document, location, _keys_at(part, location[:-1])))
    return Mistake(line, f"{name} {_demand(kind, context, error['input'])}")


def place_name(document: Document, location: Location) -> str:
    """Name a place as the operator would: ``ssh.port``, ``host n1: ssh.port``, ``storage entry 2: type``."""
    if len(location) < 2 or not isinstance(location[1], int):
        return ".".join(str(part) for part in location)
    number = location[1] + 1
    if location[0] == "hosts":
        entry = document.value["hosts"][location[1]]
        name = entry.get("name") if isinstance(entry, dict) else None
        whole = f"host {name}" if isinstance(name, str) and name else f"host number {number}"
    else:
        whole = f"{location[0]} entry {number}"
    rest = ".".join(str(part) for part in location[2:])
    return f"{whole}: {rest}" if rest else whole


def shown(value: object) -> str:
    """Show a value from the file, shortened, in the spelling of YAML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a group of keys"
    if isinstance(value, list):
        return "a list"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _demand(kind: str, context: dict[str, Any], value: object) -> str:
    if kind == "value_error":
        return str(context["error"])
    if value is None:
        return "has no value"
    if kind == "too_short":
        return "needs at least one entry"
    if kind == "literal_error":
        choices = str(context["expected"]).replace("'", "")
        near = get_close_matches(str(value), choices.replace(" or ", ", ").split(", "), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"must be {choices}, not {shown(value)}{hint}"
    if kind.startswith("bool_"):
        return f"must be true or false, not {shown(value)}"
    if kind.startswith("int_"):
        return f"must be a whole number, not {shown(value)}"
    if kind == "greater_than_equal":
        return f"must be at least {context['ge']}, not {shown(value)}"
    if kind == "less_than_equal":
        return f"must be at most {context['le']}, not {shown(value)}"
    if kind == "string_type":
        quotes = "" if isinstance(value, dict | list) else ": put it in quotes"
        return f"must be text, not {shown(value)}{quotes}"
    if kind in _LISTS:
        return f'must be a list, each entry after "- ", not {shown(value)}'
    if kind in _GROUPS:
        return f'must be a group of keys ("key: value"), not {shown(value)}'
    return f"cannot be {shown(value)}"


def _unknown_key(document: Document, location: Location, keys: list[str]) -> str:
    near = get_close_matches(str(location[-1]).lower(), keys, n=1)
    hint = f'did you mean "{near[0]}"?' if near else f"known here: {', '.join(keys)}"
    around = place_name(document, location[:-1])
    return f'{f"{around}: " if around else ""}unknown key "{location[-1]}"; {hint}'


def _keys_at(part: Any, location: Location) -> list[str]:
    """Keys that the section at this location knows, in the file's spelling."""
    for key in location:
        if not isinstance(key, int):
            annotation = next(each.type for each in fields(part) if _spelling(each) == key)
            part = getattr(annotation, "__args__", (annotation,))[0]
    return [_spelling(each) for each in fields(part)]


def _spelling(key: Field[Any]) -> str:
    return str(key.metadata.get("alias", key.name))
