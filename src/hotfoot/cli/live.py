"""Running migrations, live: a calm panel on a terminal, one line every few seconds elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from hotfoot.migration.progress import Progress
from hotfoot.migration.sample import Phase
from hotfoot.sizes import human_bytes, human_rate, human_seconds

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

REFRESH_S = 0.25  # on a terminal: more would flicker
LINE_S = 3.0  # elsewhere: often enough to see it live, seldom enough for a log
BLOCK_LINES = 5  # one migration in full: title, bar, figures, rates, note
_WIDEST = 100
_BAR_FROM = 78  # columns; in a narrower terminal the title needs the room


class LiveView:
    """Shows what runs, from ``__enter__`` to ``__exit__``; ``update`` as often as there is something new.

    The keys of ``update`` are what the operator reads as the migration's title: ``vm1  node1 → node2``.
    On a terminal the panel vanishes at the end, so that the result stands alone; elsewhere the last state is
    printed once more. Writes to ``stream`` (standard error), so that standard output stays the result's.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        terminal: bool | None = None,
        line_s: float = LINE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream or sys.stderr
        if terminal is None:
            terminal = self._stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")
        self._terminal = terminal
        self._line_s = line_s
        self._clock = clock
        self._live: Live | None = None
        self._moves: dict[str, Progress] = {}
        self._shown: dict[str, Progress] = {}
        self._heading = ""
        self._due_s = clock()

    def __enter__(self) -> LiveView:
        """Begin; nothing is shown before the first ``update``."""
        if self._terminal:
            from rich.console import Console
            from rich.live import Live

            console = Console(file=self._stream, force_terminal=True, highlight=False)
            self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, whatever ended it: the cursor is back, and nothing half drawn stays."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        elif self._moves != self._shown:
            self._print_lines()

    def update(self, moves: Mapping[str, Progress], heading: str = "") -> None:
        """Show this state of all migrations under way; cheap to call more often than it is shown.

        ``heading``: a line about all of them together.
        """
        self._moves = dict(moves)
        self._heading = heading
        now_s = self._clock()
        if now_s < self._due_s:
            return
        if self._live is not None:
            self._due_s = now_s + REFRESH_S
            size = self._live.console.size
            self._live.update(panel(self._moves, size.width, size.height, self._heading), refresh=True)
        else:
            self._due_s = now_s + self._line_s
            self._print_lines()

    def say(self, sentence: str) -> None:
        """Print a sentence that stays, above the panel."""
        if self._live is not None:
            self._live.console.print(sentence, markup=False, soft_wrap=True)
        else:
            print(sentence, file=self._stream, flush=True)

    def _print_lines(self) -> None:
        if self._heading:
            print(self._heading, file=self._stream, flush=True)
        for title, progress in self._moves.items():
            print(f"{title}: {line(progress)}", file=self._stream, flush=True)
        self._shown = self._moves


def line(progress: Progress) -> str:
    """One migration in one plain line."""
    words = [_doing(progress), f"{progress.percent:.0f} %", *_amounts(progress), *_rates(progress)]
    words += [human_seconds(progress.elapsed_ms / 1000), _ending(progress)]
    note = f" ({progress.note})" if progress.note else ""
    return ", ".join(word for word in words if word) + note


def panel(moves: Mapping[str, Progress], width: int, height: int, heading: str = "") -> Group:
    """All migrations for a terminal, below a heading if there is one: in full where they fit, else one line each."""
    from rich.console import Group

    width = min(width - 1, _WIDEST)
    lines: list[Text] = []
    above = [_text(heading, "bold"), _text("")] if heading else []
    height -= len(above)
    if len(moves) * (BLOCK_LINES + 1) <= height:
        for title, progress in moves.items():
            lines += [_text(""), *_block(title, progress, width)] if lines else _block(title, progress, width)
    else:
        room = max(1, height - 4)
        lines = [_row(title, progress, width) for title, progress in list(moves.items())[:room]]
        if len(moves) > room:
            lines.append(_text(f"and {len(moves) - room} more", "dim"))
        grown = any(progress.note for progress in moves.values())
        lines.append(_text("↑ more remains than before: the guest wrote meanwhile" if grown else "", "yellow"))
    lines = [*above, *lines]
    for each in lines:
        each.truncate(width, overflow="ellipsis")
    lines.append(_text(""))  # for the "^C" that the terminal echoes: it must not wrap and spoil the panel
    return Group(*lines)


def _block(title: str, progress: Progress, width: int) -> list[Text]:
    """Always ``BLOCK_LINES`` lines, so that nothing jumps when a note comes or goes."""
    percent = f"{progress.percent:4.0f} %"
    head = _spread(_text(title, "bold"), _text(_doing(progress), _doing_style(progress)), width)
    bar = _bar(progress, width - len(percent)).append(percent, "bold")
    amounts = _spread(_text("   ".join(_amounts(progress))), _clock_words(progress), width)
    rates = _text("   ".join(_rates(progress)), "dim")
    return [head, bar, amounts, rates, _text(progress.note or "", "yellow")]


def _row(title: str, progress: Progress, width: int) -> Text:
    """One migration in one line: title, phase, percent, what remains; bar and clock where there is room."""
    remaining = "" if progress.remaining_bytes is None else f"{human_bytes(progress.remaining_bytes)} left"
    right = _bar(progress, 10 if width >= _BAR_FROM else 0).append(f"{progress.percent:4.0f} % ", "bold")
    right.append(f"{remaining:>13} ").append("↑" if progress.note else " ", "yellow")
    if width >= _BAR_FROM:
        right.append(f"{human_seconds(progress.elapsed_ms / 1000):>12}", "dim")
    copying = progress.iteration and progress.phase == Phase.COPYING_MEMORY
    doing = f"iteration {progress.iteration}" if copying else str(progress.phase)
    left = _text(title, "bold").append(f"  {doing}", _doing_style(progress))
    return _spread(left, right, width)


def _bar(progress: Progress, width: int) -> Text:
    full = round(width * progress.percent / 100)
    return _text("━" * full, "green").append("─" * (width - full), "bright_black")


def _spread(left: Text, right: Text, width: int) -> Text:
    """Left and right at the two edges; where they do not fit, the left gives way."""
    left.truncate(max(0, width - right.cell_len - 2), overflow="ellipsis")
    return left.append(" " * max(2, width - left.cell_len - right.cell_len)).append_text(right)


def _text(words: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(no_wrap=True).append(words, style)


def _doing(progress: Progress) -> str:
    words = str(progress.phase)
    if progress.iteration and progress.phase == Phase.COPYING_MEMORY:
        words += f", iteration {progress.iteration}"
    return words


def _doing_style(progress: Progress) -> str:
    return "yellow" if progress.obstacle or progress.phase == Phase.ABORTING else "cyan"


def _amounts(progress: Progress) -> list[str]:
    words = [f"sent {human_bytes(progress.sent_bytes)}"]
    if progress.remaining_bytes is not None:
        words.append(f"remaining {human_bytes(progress.remaining_bytes)}")
    return words


def _rates(progress: Progress) -> list[str]:
    words = []
    if progress.throughput_bytes_per_s:
        words.append(f"throughput {human_rate(progress.throughput_bytes_per_s)}")
    if progress.dirty_rate_bytes_per_s is not None and progress.phase != Phase.POST_COPY:
        words.append(f"dirties {human_rate(progress.dirty_rate_bytes_per_s)}")
    if progress.throttle_percent:
        words.append(f"vCPUs slowed {progress.throttle_percent} %")
    if progress.phase == Phase.POST_COPY:
        words.append(f"waited for {progress.postcopy_requests} pages")
    return words


def _clock_words(progress: Progress) -> Text:
    words = _text(human_seconds(progress.elapsed_ms / 1000))
    if progress.obstacle:  # the rates below say why
        return words.append(", ").append(progress.obstacle.partition(":")[0], "yellow")
    return words.append(f", {ending}") if (ending := _ending(progress)) else words


def _ending(progress: Progress) -> str:
    if progress.obstacle:
        return progress.obstacle
    if progress.left_ms is None:
        return ""
    about = "at least" if progress.left_is_least else "about"
    return f"{about} {human_seconds(max(1.0, progress.left_ms / 1000))} to go"
