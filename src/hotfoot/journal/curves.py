"""Curves over time as SVG, drawn for a page that brings its own colours by CSS classes. Pure.

The classes: ``line``, ``area``, ``dot`` and ``key``, each with ``c1`` to ``c4`` for a series; ``grid``, ``axis``,
``tick``, ``mark``, ``disc``, ``number``, ``band``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from hotfoot.sizes import human_seconds

WIDTH, HEIGHT = 960, 190
LEFT, RIGHT, TOP, BOTTOM = 78, 14, 14, 26
_TICKS = 4
_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200)
Points = Sequence[tuple[float, float | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One curve: points of (seconds, value), in order of time; None leaves a gap."""

    name: str
    colour: int
    """1 to 4."""
    points: Points
    area: bool = False
    """Filled down to zero."""
    steps: bool = False
    """Holds its value until the next point, rather than leading there."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment of which all charts show the same number."""

    at_s: float
    label: str
    title: str


@dataclass(frozen=True, slots=True)
class Span:
    """A time that is shaded in all charts."""

    from_s: float
    to_s: float
    title: str


_NOTHING = 1e-9
"""What is not above this is nothing on an axis, in any unit that is drawn here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart: curves with one unit over one time axis."""

    title: str
    series: tuple[Series, ...]
    in_words: Callable[[float], str]
    """A value of this unit for a reader."""
    binary: bool = False
    """Whether round values are multiples of powers of 1024, as with bytes."""


def svg(chart: Chart, end_s: float, marks: Sequence[Mark], spans: Sequence[Span], *, labels: bool) -> str:
    """Draw a chart; ``labels`` puts the numbers of the marks above it."""
    end_s = max(end_s, 0.001)
    most = max((value for series in chart.series for _, value in series.points if value is not None), default=0.0)
    steps = _round_steps(most, binary=chart.binary)
    top = steps[-1]
    head = 16 if labels and marks else 0
    low, high = TOP + head, TOP + head + HEIGHT - TOP - BOTTOM

    def x(at_s: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * min(max(at_s / end_s, 0.0), 1.0)

    def y(value: float) -> float:
        return high - (high - low) * value / top

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT + head}" role="img" aria-label="{escape(chart.title)}">',
        *(_span(span, x, low, high) for span in spans),
        *(_grid(step, y(step), chart.in_words(step)) for step in steps),
        *(_second(at_s, x(at_s), high, end_s) for at_s in _seconds(end_s)),
        *(_curve(series, x, y, chart.in_words) for series in chart.series),
        *(_mark(mark, x(mark.at_s), low, high, label=labels) for mark in marks),
        "</svg>",
    ]
    return "".join(parts)


def key(chart: Chart) -> str:
    """Return the key to a chart's curves; nothing where there is one curve, which the title names."""
    if len(chart.series) < 2:
        return ""
    return "".join(f'<span class="key c{series.colour}">{escape(series.name)}</span>' for series in chart.series)


def _curve(
    series: Series, x: Callable[[float], float], y: Callable[[float], float], words: Callable[[float], str]
) -> str:
    parts: list[str] = []
    for run in _runs(series.points):
        corners = [(x(at_s), y(value)) for at_s, value in run]
        if series.steps:
            corners = [
                corner
                for i, (at, level) in enumerate(corners)
                for corner in ([(at, corners[i - 1][1]), (at, level)] if i else [(at, level)])
            ]
        path = " ".join(f"{'L' if i else 'M'}{at:.1f} {level:.1f}" for i, (at, level) in enumerate(corners))
        if series.area:
            floor = y(0)
            parts.append(f'<path class="area c{series.colour}" d="{path} L{corners[-1][0]:.1f} {floor:.1f} '
                         f'L{corners[0][0]:.1f} {floor:.1f} Z"/>')  # fmt: skip
        parts.append(f'<path class="line c{series.colour}" d="{path}"/>')
        kind = "dot" if len(run) > 1 else "dot alone"
        parts += [
            f'<circle class="{kind} c{series.colour}" cx="{x(at_s):.1f}" cy="{y(value):.1f}" r="4">'
            f"<title>{escape(series.name)} at {at_s:.1f} s: {escape(words(value))}</title></circle>"
            for at_s, value in run
        ]
    return "".join(parts)


def _runs(points: Points) -> list[list[tuple[float, float]]]:
    """Split a curve at its gaps."""
    runs: list[list[tuple[float, float]]] = [[]]
    for at_s, value in points:
        if value is None:
            runs.append([])
        else:
            runs[-1].append((at_s, value))
    return [run for run in runs if run]


def _grid(step: float, y: float, words: str) -> str:
    line = f'<line class="{"grid" if step else "axis"}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return f'{line}<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(words)}</text>'


def _second(at_s: float, x: float, high: float, end_s: float) -> str:
    words = f"{at_s:.1f} s" if end_s < 4 else human_seconds(at_s).replace(" 00 s", "").replace(" 00 min", "")
    tick = f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{high:.1f}" y2="{high + 4:.1f}"/>'
    return f'{tick}<text class="tick" x="{x:.1f}" y="{high + 18:.1f}" text-anchor="middle">{words}</text>'


def _mark(mark: Mark, x: float, low: float, high: float, *, label: bool) -> str:
    title = f"<title>{escape(mark.title)}</title>"
    line = f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}">{title}</line>'
    if not label:
        return line
    disc = f'<circle class="disc" cx="{x:.1f}" cy="{low - 9:.1f}" r="8.5">{title}</circle>'
    number = f'<text class="number" x="{x:.1f}" y="{low - 5:.1f}" text-anchor="middle">{escape(mark.label)}</text>'
    return line + disc + number


def _span(span: Span, x: Callable[[float], float], low: float, high: float) -> str:
    left, right = x(span.from_s), x(span.to_s)
    return (
        f'<rect class="band" x="{left:.1f}" y="{low:.1f}" width="{max(right - left, 2):.1f}" height="{high - low:.1f}">'
        f"<title>{escape(span.title)}</title></rect>"
    )


def _round_steps(most: float, *, binary: bool) -> list[float]:
    """Return round values from 0 to the first that is not below ``most``."""
    if most <= _NOTHING:
        return [0.0, 1.0]
    base = 1024.0 ** math.floor(math.log(most, 1024)) if binary and most >= 1 else 1.0
    step = _round_up(most / base / _TICKS) * base
    return [step * i for i in range(math.ceil(most / step - 1e-9) + 1)]


def _round_up(value: float) -> float:
    """Return 1, 2, 2.5 or 5 times a power of ten, not below the value."""
    power: float = 10.0 ** math.floor(math.log10(value))
    return next(power * digit for digit in (1, 2, 2.5, 5, 10) if power * digit >= value * (1 - 1e-9))


def _seconds(end_s: float) -> list[float]:
    """Return the moments on the axis, at most eleven; a day and longer is counted in whole days."""
    days = 86_400.0 * math.ceil(end_s / 864_000)
    step = next((step for step in _STEPS_S if 10 * step >= end_s), days)
    return [step * i for i in range(math.floor(end_s / step + 1e-9) + 1)]
