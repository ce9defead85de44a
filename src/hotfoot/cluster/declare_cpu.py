"""The CPU of all hosts declared in the text of a cluster file. Pure: text in, text out."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from hotfoot.cluster.yaml_lines import Unreadable, read_document

if TYPE_CHECKING:
    from ruamel.yaml.nodes import MappingNode

_WIDTH = 100


def with_cpu(text: str, model: str, features: Sequence[str]) -> str:
    """Return a cluster file's text with ``cpu.model`` and ``cpu.features`` added.

    Invariant: every other character of the text stays as it is, and the text then says what it said before, with the
    CPU added. Raises ValueError, with a reason that reads after "cannot be edited:", where that cannot be done: a
    model or features are there already, ``cpu`` is an alias, the text is no cluster file.
    """
    try:
        before = read_document(text).value
    except Unreadable as error:
        raise ValueError(error.mistake.sentence) from None
    after = _inserted(text, model, features)
    cpu = {**(before.get("cpu") or {}), "model": model, "features": list(features)}
    with suppress(Unreadable):
        if read_document(after).value == {**before, "cpu": cpu}:
            return after
    raise ValueError("its key cpu is written in a way that nothing can be added to safely; declare the model by hand")


def _inserted(text: str, model: str, features: Sequence[str]) -> str:
    from ruamel.yaml import YAML
    from ruamel.yaml.nodes import MappingNode, ScalarNode

    root = YAML(typ="safe", pure=True).compose(text)
    if not isinstance(root, MappingNode):
        raise ValueError("it holds no keys")
    end = "\r\n" if "\r\n" in text else "\n"
    added = [f"model: {json.dumps(model) if _is_odd(model) else model}", f"features: [{', '.join(features)}]"]
    key, cpu = next(((key, value) for key, value in root.value if key.value == "cpu"), (None, None))
    if key is None or cpu is None:
        if root.flow_style:
            return _put(text, root.start_mark.index + 1, f"cpu: {{{', '.join(added)}}}, ")
        block = end.join(["cpu:", *_indented(added, "  ")]) + end
        at = _last_line_end(text, root)
        return text[:at] + ("" if at == 0 or text[at - 1] == "\n" else end) + block + text[at:]
    if isinstance(cpu, ScalarNode) and not cpu.value:
        return _put(text, text.index(":", key.end_mark.index) + 1, f" {{{', '.join(added)}}}")
    if not isinstance(cpu, MappingNode):
        raise ValueError("its key cpu holds no keys")
    if given := {own.value for own, _ in cpu.value} & {"model", "features"}:
        raise ValueError(f"it has cpu.{min(given)} already")
    if cpu.flow_style:
        return _put(text, cpu.start_mark.index + 1, ", ".join(added) + (", " if cpu.value else ""))
    column = cpu.start_mark.column
    lines = end.join(_indented(added, " " * column)).lstrip()
    return _put(text, cpu.start_mark.index, f"{lines}{end}{' ' * column}")


def _indented(lines: Sequence[str], indent: str) -> list[str]:
    """Return the lines below a key, long lists over several."""
    told: list[str] = []
    for line in lines:
        told += textwrap.wrap(
            line,
            _WIDTH,
            initial_indent=indent,
            subsequent_indent=f"{indent}  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    return told


def _last_line_end(text: str, root: MappingNode) -> int:
    """Return where the last line of the root's values ends: before what marks the document's own end."""
    ended = re.search(r"^\.\.\.", text[root.start_mark.index :], re.MULTILINE)
    return root.start_mark.index + ended.start() if ended else len(text)


def _put(text: str, at: int, what: str) -> str:
    return text[:at] + what + text[at:]


def _is_odd(name: str) -> bool:
    """Whether YAML would read a model's name as something else than text."""
    return bool(read_document(name).value != name)
