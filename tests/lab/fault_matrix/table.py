"""The matrix as a table in a page: rows of a run take the place of older ones, the rest stays."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.lab.fault_matrix.cell import Phase, Row

BEGIN, END = "<!-- matrix -->\n", "<!-- end of matrix -->\n"
_HEAD = ("fault", "when", "the instance is", "status", "seconds", "retry", "what was said")


def rows_in(text: str) -> dict[tuple[str, Phase], Row]:
    """Return the rows of a page's table by fault and phase."""
    found = {}
    for line in text.partition(BEGIN)[2].partition(END)[0].splitlines()[2:]:
        fault, phase, *rest = [word.strip() for word in line.strip("|").split("|")]
        found[fault, Phase(phase)] = Row(fault, Phase(phase), *rest)
    return found


def render(rows: Iterable[Row]) -> str:
    """Return the table of some rows."""
    lines: list[tuple[str, ...]] = [_HEAD, ("---",) * len(_HEAD)]
    for row in rows:
        cells = (row.fault, row.phase, row.outcome, row.status, row.seconds, row.retry, row.reason)
        lines.append(tuple(" ".join(cell.replace("|", "/").split()) for cell in cells))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def keep(page: Path, cells: Iterable[tuple[str, Phase]], fresh: Iterable[Row]) -> None:
    """Write a run's rows into the page; a cell that never ran is "not tried"."""
    text = page.read_text()
    known = rows_in(text) | {(row.fault, row.phase): row for row in fresh}
    rows = [known.get(cell, Row(*cell, "not tried")) for cell in cells]
    before, _, rest = text.partition(BEGIN)
    page.write_text(before + BEGIN + render(rows) + END + rest.partition(END)[2])
