"""A measurement as JSON and as a table. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from benchmarks.figures import Goal, Pair, Spread, StartUps, comparisons, goals, spread

ENOUGH_PAIRS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """All that one run of the benchmark found."""

    machine: Mapping[str, str | int | float]
    virsh_runs: str
    pairs: tuple[Pair, ...]
    start_ups: StartUps
    whole: bool

    @property
    def goals(self) -> tuple[Goal, ...]:
        """The goals, judged."""
        return goals(self.pairs, self.start_ups, whole=self.whole)

    def as_json(self) -> dict[str, object]:
        """Return one JSON object: the machine, every single figure, spreads and goals."""
        return {
            "machine": dict(self.machine),
            "virsh_runs": self.virsh_runs,
            "goals": [asdict(goal) for goal in self.goals],
            "compared": {name: asdict(found) for name, found in comparisons(self.pairs, self.start_ups).items()},
            "alone": {name: asdict(found) for name, found in self._alone().items()},
            "start_ups": asdict(self.start_ups),
            "pairs": [asdict(pair) for pair in self.pairs],
        }

    def as_text(self) -> str:
        """Return what is printed: machine, figures, goals."""
        machine = self.machine
        figures = [
            (
                name if name == "iterations" else f"{name}, ms",
                _three(found.virsh, 0),
                _three(found.hotfoot, 0),
                _three(found.ratio, 3),
            )
            for name, found in comparisons(self.pairs, self.start_ups).items()
        ]
        alone = [(name, _three(found, _DIGITS[name.rpartition(", ")[2]])) for name, found in self._alone().items()]
        verdicts = [
            ("pass" if goal.met else "MISS", goal.what, f"{goal.measured:.3g}", f"goal {goal.limit:g}")
            for goal in self.goals
        ]
        smoke = (
            "" if len(self.pairs) >= ENOUGH_PAIRS else f" Fewer than {ENOUGH_PAIRS} pairs: a trial, not a measurement."
        )
        return "\n".join(
            [
                f"{machine['cpu']}, {machine['cores']} cores, {int(machine['memory_bytes']) / 2**30:.0f} GiB, "
                f"kernel {machine['kernel']}, load {machine['load_average']} before; {machine['date']}",
                f"{str(machine['accelerator']).upper()}, QEMU {machine['qemu']}, libvirt {machine['libvirt']}, "
                f"storage {machine['storage']}; hotfoot {machine['hotfoot']} on Python {machine['python']}",
                f"{len(self.pairs)} pairs of moves; virsh ran {self.virsh_runs}.{smoke}",
                "",
                *_columns([("least / median / most", "VIRSH", "HOTFOOT", "RATIO IN EACH PAIR"), *figures]),
                "",
                *_columns([("least / median / most", "HOTFOOT OR VIRSH ALONE"), *alone]),
                "",
                *_columns(verdicts),
            ]
        )

    def _alone(self) -> dict[str, Spread]:
        moves = [pair.hotfoot for pair in self.pairs]
        return {
            "hotfoot migrate, own processor time, s": spread([move.cpu_s for move in moves]),
            "hotfoot migrate, its children's (ssh), s": spread([move.children_cpu_s for move in moves]),
            "hotfoot migrate, peak resident memory, MB": spread([move.resident_bytes / 1e6 for move in moves]),
            "start-up of virsh (`virsh version`), ms": spread(self.start_ups.virsh_ms),
            "start-up of hotfoot (`hotfoot hosts`), ms": spread(self.start_ups.hotfoot_ms),
            "start-up and checks (`hotfoot migrate --dry-run`), ms": spread(self.start_ups.dry_run_ms),
            "`hotfoot --help`, ms": spread(self.start_ups.help_ms),
        }


_DIGITS = {"s": 2, "MB": 1, "ms": 0}


def _three(found: Spread, digits: int) -> str:
    return " / ".join(f"{figure:.{digits}f}" for figure in (found.least, found.median, found.most))


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
