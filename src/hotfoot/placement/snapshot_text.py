"""Reads what was kept as a file in JSON, a snapshot above all, and says what is wrong with it in one sentence. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.placement.snapshot import Snapshot

Kind = TypeVar("Kind", bound=BaseModel)
_DOCUMENTED = "docs/snapshot.md tells what a snapshot holds"


def read_snapshot(text: str, name: str) -> Snapshot:
    """Return the snapshot; ``name`` is the file's, for the sentence.

    Raises HotfootError (usage) with the place of the first mistake, and how many more there are.
    """
    return validated(Snapshot, read_json(text, name, _DOCUMENTED), name, _DOCUMENTED)


def read_json(text: str, name: str, documented: str) -> Any:
    """Return what a text in JSON tells. Raises HotfootError (usage)."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _wrong(f"{name} is not JSON: {where}: {error.msg.lower()}", documented) from None


def validated(kind: type[Kind], told: Any, name: str, documented: str) -> Kind:
    """Return the value; ``documented`` is where to read what it should be. Raises HotfootError (usage)."""
    try:
        return kind.model_validate(told)
    except ValidationError as error:
        mistakes = error.errors(include_url=False)
        # A key that is misspelt is missing too: the first says more.
        first = next((one for one in mistakes if one["type"] == "extra_forbidden"), mistakes[0])
        more = len(mistakes) - 1
        others = f", and {more} more mistake{'' if more == 1 else 's'}" if more else ""
        place = _place(first["loc"], told)
        raise _wrong(f"{name}{f', {place}' if place else ''}: {_sentence(first)}{others}", documented) from None


def _wrong(sentence: str, documented: str) -> HotfootError:
    return HotfootError(f"{sentence}; {documented}.", ExitStatus.USAGE)


def _place(location: Sequence[int | str], told: Any) -> str:
    """Name a place by its keys, and entries of lists by their own names too: ``instances[3] (web3).sizes``."""
    words, value = "", told
    for key in location:
        if isinstance(value, list) and isinstance(key, int):
            words += f"[{key}]"
            value = value[key] if key < len(value) else None
            if isinstance(value, dict) and isinstance(value.get("name"), str):
                words += f" ({value['name']})"
        else:
            words += f".{key}" if words else str(key)
            value = value.get(str(key)) if isinstance(value, dict) else None
    return words


def _sentence(error: Any) -> str:
    if error["type"] == "missing":
        return "this key is missing"
    if error["type"] == "extra_forbidden":
        return "there is no such key"
    if error["type"] in ("model_type", "dict_type"):
        return "should be an object"
    words = str(error["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    given = error["input"]
    return f"{words}, not {given!r}" if isinstance(given, str | int | float) else words
