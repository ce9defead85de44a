"""Moves in a row with faults: every instance whole, nowhere twice, and every report true.

Brings a lab of its own up (`soak`: three hosts, two busy instances), lets `hotfoot soak` move them, and removes it.
It keeps what that told in benchmarks/results/soak.json. Exit status 0: nothing was lost, doubled or wrongly told in all
moves that were asked; 1: something was; 2: the lab did not come up; 130: stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.bench_lab import HOTFOOT, raised_lab
from benchmarks.keeping import keep
from benchmarks.machine_description import machine_description
from benchmarks.stopping import stop_as_by_ctrl_c

from hotfoot.errors import HotfootError

_NAME = "soak"
_RESULT = "soak"
_UP = ("--hosts", "3", "--instances", "2", "--rate", "20", "--area", "64", "--transport", "tls")


def main() -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(description="Moves in a row with faults.")
    parser.add_argument("--moves", type=int, default=200, help="how many [default: 200]")
    parser.add_argument("--seed", type=int, default=2026, help="of moves and faults [default: 2026]")
    parser.add_argument("--faults", choices=("none", "some", "all"), default="some", help="[default: some]")
    asked = parser.parse_args()
    stop_as_by_ctrl_c()
    try:
        with raised_lab(_UP, _NAME) as told:
            return _soak(asked, told)
    except HotfootError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _soak(asked: argparse.Namespace, told: dict[str, Any]) -> int:
    cluster_file = Path(told["cluster_file"])
    version = subprocess.run(
        [HOTFOOT, "lab", "exec", "--name", _NAME, "n1", "--", "virsh", "version"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    machine = machine_description(told["accelerator"], told["storage"], version.stdout)
    words = ["soak", "--name", _NAME, "--moves", str(asked.moves), "--seed", str(asked.seed), "--faults", asked.faults]
    journal = f"sqlite:///{cluster_file.parent}/journal.sqlite3"
    ended = subprocess.run(
        [HOTFOOT, *words, "--keep-going", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, "HOTFOOT_CLUSTER": str(cluster_file), "HOTFOOT_JOURNAL": journal},
    )
    if not ended.stdout:
        return 2
    found = json.loads(ended.stdout)
    keep(_RESULT, {"machine": machine, **found})
    for key in ("moves", "struck", "completed", "failed_as_expected", "failed_otherwise"):
        print(f"{key.replace('_', ' '):32} {found[key]}")
    for key in ("downtime_ms", "outage_ms"):
        print(f"{key.replace('_', ' ') + ', median and p99':32} {found[f'{key}_median']} and {found[f'{key}_p99']}")
    for key in ("lost", "doubled", "wrong_reports"):
        print(f"{'pass' if not found[key] else 'MISS'}  {key.replace('_', ' '):26} {found[key]}  goal 0")
    return 0 if found["whole"] and found["moves"] == asked.moves else 1


if __name__ == "__main__":
    sys.exit(main())
