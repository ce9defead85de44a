"""``make demo``: bare hosts are made ready, and a busy instance moves around them while a client stays connected.

Runs the same commands that an operator types, shows them, and holds one TCP connection to each instance open
across all of its moves.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.lab import store
from hotfoot.lab.command import LabError
from hotfoot.lab.witness import CounterConnection

_LAB = "demo"
_HOTFOOT = str(Path(sys.executable).with_name("hotfoot"))
_COUNT_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Move:
    """One finished move, as ``hotfoot migrate --json`` told it."""

    instance: str
    source: str
    destination: str
    total_ms: int
    downtime_ms: int
    outage_ms: float | None
    probes_sent: int
    probes_lost: int


def _heading(text: str) -> None:
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() and "NO_COLOR" not in os.environ else ("", "")
    print(f"\n{bold}{text}{plain}", flush=True)


def _show(words: Sequence[str]) -> None:
    print(f"$ hotfoot {' '.join(words)}", flush=True)


def _hotfoot(*words: str) -> None:
    """Show a command and run it before the viewer's eyes."""
    _show(words)
    done = subprocess.run([_HOTFOOT, *words], check=False)
    if done.returncode != 0:
        raise LabError(f"`hotfoot {' '.join(words)}` ended with {done.returncode}.")


def _checked(expected: int) -> None:
    """Show what check says in short: its tables and its last sentence, without the findings between them."""
    _show(["check"])
    done = subprocess.run([_HOTFOOT, "check"], check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode != expected:
        raise LabError(f"`hotfoot check` ended with {done.returncode}, not {expected}.")
    tables, _, rest = done.stdout.partition("\n\n✗")
    *findings, last = rest.strip().split("\n\n")
    print(tables)
    kinds = len(findings) - 1
    print(f"[{kinds} kind{'' if kinds == 1 else 's'} of findings: what was seen, why it matters, what mends it]")
    print(last, flush=True)


def _prepared() -> None:
    """Have the hosts made ready, and show in short what was done."""
    words = ["prepare", "--yes"]
    _show(words)
    done = subprocess.run([_HOTFOOT, *words], check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        print(done.stdout)
        raise LabError(f"`hotfoot prepare --yes` ended with {done.returncode}.")
    made = [line for line in done.stdout.splitlines() if line.startswith("done ")]
    for line in made[:: max(1, len(made) // 8)]:
        print(line)
    print(f"[{len(made)} changes in all]")
    print(next(line for line in done.stdout.splitlines() if line.startswith("Done;")), flush=True)


def _start_move(words: Sequence[str], *, live: bool) -> subprocess.Popen[str]:
    _show(words)
    errors = None if live else subprocess.DEVNULL
    return subprocess.Popen([_HOTFOOT, *words, "--json"], stdout=subprocess.PIPE, stderr=errors, text=True)


def _end_move(name: str, process: subprocess.Popen[str]) -> Move:
    text, _ = process.communicate()
    try:
        result: dict[str, Any] = json.loads(text.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise LabError(f"The move of {name} ended with {process.returncode} and told nothing.") from None
    if result["outcome"] != "completed":
        raise LabError(f"The move of {name} did not complete: {result['reason']}")
    return Move(
        name,
        result["source"],
        result["destination"],
        result["total_ms"],
        result["downtime_ms"],
        result["outage_ms"],
        result["probes_sent"],
        result["probes_lost"],
    )


class Client:
    """A client of an instance: one TCP connection, kept open, that counts ten times a second."""

    def __init__(self, address: str) -> None:
        self.failure: str | None = None
        self._connection = CounterConnection(address)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._count, daemon=True)
        self._thread.start()

    def _count(self) -> None:
        last = 0
        while not self._over.wait(_COUNT_EVERY_S):
            try:
                number = self._connection.count()
            except LabError as error:
                self.failure = str(error)
                return
            if number <= last:
                self.failure = f"the counter went from {last} to {number}"
                return
            last = number

    def end(self) -> int:
        """Close the connection; return how many answers came over it."""
        self._over.set()
        self._thread.join(30)
        self._connection.close()
        return self._connection.answers


@contextmanager
def _lab(keep: bool) -> Iterator[None]:
    try:
        yield
    finally:
        if not keep:
            _heading("Cleaning up")
            _hotfoot("lab", "down", "--name", _LAB)


def _table(moves: Sequence[Move]) -> None:
    rows = [
        (
            move.instance,
            f"{move.source} -> {move.destination}",
            f"{move.total_ms} ms",
            f"{move.downtime_ms} ms",
            "unknown" if move.outage_ms is None else f"{move.outage_ms:.0f} ms",
            f"{move.probes_lost} of {move.probes_sent}",
        )
        for move in moves
    ]
    heads = ("INSTANCE", "MOVE", "TOTAL", "DOWNTIME", "OUTAGE", "PROBES LOST")
    widths = [max(len(cell) for cell in column) for column in zip(heads, *rows, strict=True)]
    for n, row in enumerate((heads, *rows)):
        cells = (
            c.ljust(w) if i < 2 or n == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join(cells).rstrip())


def demo(*, keep: bool) -> None:
    """Run the demonstration; raises HotfootError where anything did not hold."""
    started = time.monotonic()
    _heading("1. A lab: three bare hosts with systemd, libvirtd and sshd, of which none knows another")
    with _lab(keep):
        _hotfoot("lab", "up", "--name", _LAB, "--bare", "--hosts", "3", "--link-rate", "500mbit")
        os.environ["HOTFOOT_CLUSTER"] = str(store.cluster_file_of(_LAB))
        os.environ["XDG_STATE_HOME"] = str(store.folder_of(_LAB) / "state")  # the journal goes with the lab

        _heading("2. What stands in the way of migrations, and having it mended")
        _checked(int(ExitStatus.FINDINGS_BLOCK))
        _prepared()
        _checked(int(ExitStatus.COMPLETED))

        _heading("3. Two instances on them")
        for host in ("n1", "n2"):
            _hotfoot("lab", "instance", "add", "--name", _LAB, "--host", host, "--rate", "20", "--area", "64")
        lab = store.load(_LAB)
        clients = [Client(instance.address) for instance in lab.instances]
        _hotfoot("hosts")
        _hotfoot("ls")

        first, second = (instance.name for instance in lab.instances)
        names = [host.name for host in lab.hosts]
        _heading(f"4. {first} rewrites 20 MiB of its memory each second, and moves around all hosts")
        moves = []
        for destination in (*names[1:], names[0]):
            moves.append(_end_move(first, _start_move(["migrate", first, destination], live=True)))
            _tell(moves[-1])

        _heading("5. Both at once")
        both = [(name, _start_move(["migrate", name, names[2]], live=False)) for name in (first, second)]
        for name, process in both:
            moves.append(_end_move(name, process))
            _tell(moves[-1])

        _heading("6. Proof: memory, disk and connections")
        _hotfoot("lab", "verify", "--name", _LAB)
        for instance, client in zip(lab.instances, clients, strict=True):
            answers = client.end()
            if client.failure:
                raise LabError(f"The client of {instance.name} was cut off: {client.failure}")
            print(f"{instance.name}: one TCP connection, open all the time, {answers} answers, none missing.")

        _heading(f"7. What happened ({time.monotonic() - started:.0f} s in all)")
        _table(moves)
        print(
            "\nDOWNTIME is what the hypervisor says; OUTAGE is the longest time without an answer that a client saw,"
            "\nmeasured from outside with a probe every 5 ms."
        )
        if keep:
            _heading("The lab stays. What to type next:")
            print(f"  export HOTFOOT_CLUSTER={store.cluster_file_of(_LAB)}")
            print(f"  hotfoot ls\n  hotfoot migrate {first}\n  hotfoot lab down --name {_LAB}")
        else:
            _heading("What to type next, for a lab that stays:")
            print("  make demo ARGS=--keep      or      sudo .venv/bin/hotfoot lab up")


def _tell(move: Move) -> None:
    outage = "unknown" if move.outage_ms is None else f"{move.outage_ms:.0f} ms"
    print(
        f"{move.instance} runs on {move.destination}: {move.total_ms / 1000:.1f} s in all, downtime "
        f"{move.downtime_ms} ms, outage seen from outside {outage}",
        flush=True,
    )


def main() -> None:
    """Run the demonstration from the command line."""
    parser = argparse.ArgumentParser(description="A running instance moves between real hosts.")
    parser.add_argument("--keep", action="store_true", help="leave the lab running afterwards")
    keep = parser.parse_args().keep
    try:
        demo(keep=keep)
    except HotfootError as error:
        print(f"demo: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("demo: stopped.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
