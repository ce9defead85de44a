"""The live view: what a terminal shows, what a log gets, and that nothing garbled stays."""

from __future__ import annotations

import io
import os
import pty
import select
import signal
import subprocess
import sys

import pytest

from hotfoot.cli.live import BLOCK_LINES, LiveView, line, panel
from hotfoot.migration.progress import Progress
from hotfoot.migration.sample import Phase
from hotfoot.sizes import human_bytes, human_duration, human_seconds

MIB = 1 << 20
NOTE = "iteration 4: the guest rewrote 120 MiB while iteration 3 was sent"


def busy(**changes: object) -> Progress:
    shown: dict[str, object] = {
        "phase": Phase.COPYING_MEMORY,
        "iteration": 4,
        "sent_bytes": 412 * MIB,
        "remaining_bytes": 96 * MIB,
        "percent": 72.4,
        "throughput_bytes_per_s": 112 * MIB,
        "dirty_rate_bytes_per_s": 20 * MIB,
        "elapsed_ms": 4200,
        "left_ms": 3000,
        "note": NOTE,
    }
    return Progress(**(shown | changes))  # type: ignore[arg-type]


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def drawn(moves: dict[str, Progress], width: int, height: int = 24) -> list[str]:
    from rich.console import Console

    stream = io.StringIO()
    Console(file=stream, width=width, height=height, color_system=None).print(panel(moves, width, height))
    lines = stream.getvalue().splitlines()
    assert lines.pop() == ""  # room for the "^C" that a terminal echoes
    return lines


def test_the_plain_line_says_everything() -> None:
    assert line(busy()) == (
        "copying memory, iteration 4, 72 %, sent 412 MiB, remaining 96 MiB, throughput 112 MiB/s, "
        f"dirties 20 MiB/s, 4 s, about 3 s to go ({NOTE})"
    )


def test_what_is_not_known_is_left_out() -> None:
    assert line(Progress()) == "preparing, 0 %, sent 0 B, 0 s"


def test_a_guest_that_cannot_be_caught_is_told_in_both_renderings() -> None:
    stuck = busy(left_ms=None, obstacle="not converging: dirties 60 MiB/s, sends 25 MiB/s")
    assert "not converging: dirties 60 MiB/s, sends 25 MiB/s" in line(stuck)
    shown = "\n".join(drawn({"vm1": stuck}, 80))
    assert "not converging" in shown
    assert NOTE in shown


def test_elsewhere_than_on_a_terminal_one_line_at_once_then_every_few_seconds_and_the_last() -> None:
    stream, clock = io.StringIO(), Clock()
    with LiveView(stream, line_s=3, clock=clock) as view:
        for second in range(8):
            view.update({"vm1": busy(elapsed_ms=second * 1000)})
            clock.now_s += 1
    clocks = [printed.split(", ")[7] for printed in stream.getvalue().splitlines()]
    assert clocks == ["0 s", "3 s", "6 s", "7 s"]
    assert "\x1b" not in stream.getvalue()


def test_the_last_state_is_not_printed_twice() -> None:
    stream = io.StringIO()
    with LiveView(stream) as view:
        view.update({"vm1": busy()})
    assert len(stream.getvalue().splitlines()) == 1


def test_without_anything_to_show_nothing_is_printed() -> None:
    stream = io.StringIO()
    with LiveView(stream):
        pass
    assert stream.getvalue() == ""


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("count", [1, 3, 12, 40])
def test_the_panel_fits_the_terminal(width: int, count: int) -> None:
    lines = drawn({f"instance-{i}  node1 → node2": busy() for i in range(count)}, width)
    assert all(len(each) < width for each in lines)
    assert len(lines) < 24
    assert lines[0].startswith("instance-0" if width >= 60 else "instance")


def test_the_panel_keeps_its_height_when_a_note_comes_or_goes() -> None:
    assert len(drawn({"vm1": busy()}, 60)) == len(drawn({"vm1": busy(note=None)}, 60)) == BLOCK_LINES
    many = {f"vm{i}": busy() for i in range(10)}
    calm = {f"vm{i}": busy(note=None) for i in range(10)}
    assert len(drawn(many, 60)) == len(drawn(calm, 60))


def test_many_migrations_say_why_more_remains() -> None:
    lines = drawn({f"vm{i}": busy() for i in range(40)}, 60)
    assert lines[-1] == "↑ more remains than before: the guest wrote meanwhile"
    assert lines[-2] == "and 20 more"
    assert "↑" in lines[0]


def test_the_panel_tells_full_from_empty_without_colours() -> None:
    bar = drawn({"vm1": busy()}, 60)[1]
    assert "━" in bar
    assert "─" in bar


# What starts the tests in the background may have it ignore Ctrl-C, and children inherit that.
SCRIPT = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from hotfoot.cli.live import LiveView
from hotfoot.migration.progress import Progress
try:
    with LiveView() as view:
        view.update({"vm1": Progress(percent=50)})
        time.sleep(30)
except KeyboardInterrupt:
    print("left in good order")
"""


@pytest.mark.parametrize("no_colour", [False, True])
def test_ctrl_c_on_a_terminal_leaves_it_in_order(no_colour: bool) -> None:
    leader, follower = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    environment |= {"TERM": "xterm-256color", "PYTHONUTF8": "1"} | ({"NO_COLOR": "1"} if no_colour else {})
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdin=follower, stdout=follower, stderr=follower, env=environment
    ) as process:
        os.close(follower)
        seen, asked = "", False
        while select.select([leader], [], [], 30)[0]:
            try:
                seen += os.read(leader, 4096).decode(errors="replace")
            except OSError:  # the other end is closed: the process ended
                break
            if "50 %" in seen and not asked:
                asked = True
                process.send_signal(signal.SIGINT)
    os.close(leader)
    assert process.returncode == 0
    assert seen.rstrip().endswith("left in good order")
    assert seen.count("\x1b[?25l") == seen.count("\x1b[?25h") == 1  # the cursor was hidden, and is back
    assert "\x1b[2K" in seen  # the panel was wiped
    assert ("\x1b[32m" in seen) is not no_colour


def test_sizes_in_words() -> None:
    assert [human_bytes(n) for n in (0, 999, 1000, 4096, 10 * 1024, 120 * MIB, 1536 * MIB)] == [
        "0 B", "999 B", "1.0 KiB", "4.0 KiB", "10 KiB", "120 MiB", "1.5 GiB",
    ]  # fmt: skip
    assert [human_duration(ms) for ms in (0, 240, 999.6, 9_500, 9_960, 187_000)] == [
        "0 ms", "240 ms", "1.0 s", "9.5 s", "10 s", "3 min 07 s",
    ]  # fmt: skip
    assert [human_seconds(s) for s in (0.4, 59.6, 7500)] == ["0 s", "1 min 00 s", "2 h 05 min"]
