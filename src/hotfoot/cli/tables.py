"""Aligned tables for the terminal, plain enough for a pipe."""

from __future__ import annotations

from collections.abc import Sequence

import typer


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns; headers are bold on a terminal. Columns of figures are aligned to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(headers, *rows, strict=True)]
    right = [
        bool(rows) and all(not row[i] or row[i][0].isdigit() or row[i] == "-" for row in rows) and _figures(rows, i)
        for i in range(len(headers))
    ]

    def line(cells: Sequence[str]) -> str:
        padded = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cells, widths, right, strict=True))
        return "  ".join(padded).rstrip()

    typer.secho(line(headers), bold=True)
    for row in rows:
        typer.echo(line(row))


def without_empty(
    headers: Sequence[str], rows: Sequence[Sequence[str]], optional: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """Leave out those of the optional columns in which no row has anything."""
    kept = [i for i, header in enumerate(headers) if header not in optional or any(row[i] for row in rows)]
    return [headers[i] for i in kept], [[row[i] for i in kept] for row in rows]


def _figures(rows: Sequence[Sequence[str]], i: int) -> bool:
    """Tell whether a column holds figures, with or without a unit, rather than names or addresses."""
    return all(
        row[i].split(" ")[0].replace(".", "", 1).replace("-", "").isdigit() or not row[i] for row in rows
    ) and all(row[i].count(".") < 2 for row in rows)
