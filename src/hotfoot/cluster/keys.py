"""What a key of a cluster file takes and says of itself, in a form that pydantic reads.

Nothing of pydantic is imported before a file is judged: values that were judged before are used without it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema


class Section:
    """A group of keys; each class of one is a frozen dataclass, and refuses keys that it does not know."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


def told(description: str, **more: object) -> dict[str, object]:
    """Return what pydantic takes from a dataclass field's metadata, such as ``alias`` or ``min_length``."""
    return {"description": description, **more}


class Checked:
    """In ``Annotated``: what ``check`` returns for the value, or raises ValueError for.

    ``shown`` returns what is written out in place of the value.
    """

    __slots__ = ("_check", "_shown")

    def __init__(self, check: Callable[[str], object], shown: Callable[[str], str] | None = None) -> None:
        self._check = check
        self._shown = shown

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        shown = None if self._shown is None else core_schema.plain_serializer_function_ser_schema(self._shown)
        return core_schema.no_info_after_validator_function(self._check, handler(source), serialization=shown)


class Read:
    """In ``Annotated``: ``read`` turns what stands in the file into the value's type, or raises ValueError.

    It is also given the folder of the file, None where there is no file. ``schema`` is that of what stands in the
    file, for editors.
    """

    __slots__ = ("_read", "_schema")

    def __init__(self, read: Callable[[object, Any], object], schema: JsonSchemaValue | None = None) -> None:
        self._read = read
        self._schema = schema

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.with_info_before_validator_function(
            lambda value, info: self._read(value, (info.context or {}).get("folder")), handler(source)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema) if self._schema is None else self._schema


class Whole:
    """In ``Annotated``: a whole number from ``least`` to ``most``, written as one."""

    __slots__ = ("_least", "_most")

    def __init__(self, least: int, most: int) -> None:
        self._least = least
        self._most = most

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.int_schema(strict=True, ge=self._least, le=self._most)
