"""Raw values of a cluster file judged by pydantic, of which nothing is imported before this module is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from hotfoot.cluster.model import Cluster

Part = TypeVar("Part")


class NotValid(Exception):
    """Values that are not what they must be; ``errors`` as pydantic tells them."""

    def __init__(self, errors: list[ErrorDetails]) -> None:
        super().__init__("; ".join(error["msg"] for error in errors))
        self.errors = errors


def part_from(part: type[Part], raw: object, folder: Path | None = None) -> Part:
    """Return a part of a cluster file as its class has it; paths in it are relative to ``folder``.

    Raises NotValid.
    """
    try:
        return _adapter(part).validate_python(raw, context={"folder": folder})
    except ValidationError as error:
        # A list whose entries are all wrong is called too short as well, which nobody wants to read.
        found = [e for e in error.errors(include_url=False) if not (e["type"] == "too_short" and e["input"])]
        raise NotValid(found) from None


def cluster_from(raw: Mapping[str, Any]) -> Cluster:
    """Return the cluster that these values declare; what contradicts between them is not looked at.

    Raises NotValid.
    """
    return part_from(Cluster, raw)


def cluster_json(cluster: Cluster) -> str:
    """Write a cluster out without the keys that have no value, and without the password of its journal."""
    return _adapter(Cluster).dump_json(cluster, exclude_none=True).decode()


def cluster_schema() -> dict[str, Any]:
    """Return the JSON Schema of the cluster file."""
    return _adapter(Cluster).json_schema()


def _adapter(part: type[Part]) -> TypeAdapter[Part]:
    if part not in _ADAPTERS:
        _ADAPTERS[part] = TypeAdapter(part)
    return _ADAPTERS[part]


_ADAPTERS: dict[object, TypeAdapter[Any]] = {}
"""Built at the first use of each part: a whole file needs one, a file with mistakes one for each part."""
