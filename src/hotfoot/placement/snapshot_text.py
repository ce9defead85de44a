"""Reads a snapshot that was kept as a file: JSON, and what is wrong with it in one sentence. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.placement.snapshot import Snapshot

_DOCUMENTED = "docs/snapshot.md tells what a snapshot holds"


def read_snapshot(text: str, name: str) -> Snapshot:
    """Return the snapshot; ``name`` is the file's, for the sentence.

    Raises HotfootError (usage) with the place of the first mistake, and how many more there are.
    """
    try:
        told = json.loads(text)
    except json.JSONDecodeError as error:
        raise _wrong(f"{name} is not JSON: line {error.lineno}, column {error.colno}: {error.msg.lower()}") from None
    try:
        return Snapshot.model_validate(told)
    except ValidationError as error:
        mistakes = error.errors(include_url=False)
        # A key that is misspelt is missing too: the first says more.
        first = next((one for one in mistakes if one["type"] == "extra_forbidden"), mistakes[0])
        more = len(mistakes) - 1
        others = f", and {more} more mistake{'' if more == 1 else 's'}" if more else ""
        place = _place(first["loc"], told)
        raise _wrong(f"{name}{f', {place}' if place else ''}: {_sentence(first)}{others}") from None


def _wrong(sentence: str) -> HotfootError:
    return HotfootError(f"{sentence}; {_DOCUMENTED}.", ExitStatus.USAGE)


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
