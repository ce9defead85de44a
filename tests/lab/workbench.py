"""Hosts of a lab on which plans made by hand are carried out, and taken back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.lab.labs import TestLab
from tests.lab.tree import Tree, tree

from hotfoot.cluster import Cluster, load
from hotfoot.prepare.journal import Journal
from hotfoot.prepare.run import RunReport, StepReport, carry_out
from hotfoot.prepare.undo import UndoReport, undo
from hotfoot.reach.ssh import SshAccess, prepare
from hotfoot.readiness.change import (
    Command,
    EditFile,
    Phase,
    PutFile,
    RemoveFile,
    Step,
)
from hotfoot.readiness.plan import Plan, PlannedChange, title

NAME = "applier"
SLOW = Command(title="take a while", argv=("sleep", "3"))


class Bench:
    """The hosts of a lab, and what is done to them."""

    def __init__(self, lab: TestLab, folder: Path) -> None:
        self.lab = lab
        self.cluster: Cluster = load(lab.cluster, Path("/"))
        self.access: SshAccess = prepare(self.cluster, folder)
        self.journal = Journal(folder / "journal.sqlite3")
        self.pki = folder / "pki"
        self.runs: list[str] = []

    def sh(self, script: str, host: str = "n1") -> str:
        """Run a shell script on a host; it must succeed."""
        return self.lab.on(host, "sh", "-c", script)

    def change(self, step: Step, host: str = "n1", phase: Phase = Phase.STORAGE, **more: Any) -> PlannedChange:
        """Plan a step by hand; the old content is what is there now."""
        old = ""
        if isinstance(step, EditFile | PutFile | RemoveFile):
            old = self.sh(f"test -f {step.path} && sha256sum {step.path} | cut -d' ' -f1 || true", host).strip()
        text = step.content if isinstance(step, PutFile) else None
        values: dict[str, Any] = {"new_text": text, "old_sha256": old, "title": title(step), "codes": ("x.y",)}
        return PlannedChange(host=host, phase=phase, step=step, **(values | more))

    async def do(
        self,
        *changes: PlannedChange,
        seen: Callable[[StepReport], None] = lambda _: None,
        run: str | None = None,
        **options: Any,
    ) -> RunReport:
        """Carry out changes as one run."""
        run = run or self.journal.new_run(NAME)
        if run not in self.runs:
            self.runs.append(run)
        return await carry_out(
            self.access,
            self.cluster,
            Plan(changes=changes),
            run_id=run,
            on_progress=seen,
            journal=self.journal,
            pki=self.pki,
            **options,
        )

    async def well(self, *changes: PlannedChange, **options: Any) -> RunReport:
        """Carry out changes that must succeed."""
        report = await self.do(*changes, **options)
        assert report.outcome == "completed", report.sentences()
        return report

    async def back(self, run: str | None = None, **options: Any) -> UndoReport:
        """Take back a run, the last one unless told."""
        return await undo(self.access, self.cluster, run or self.runs[-1], journal=self.journal, **options)

    async def all_back(self, **options: Any) -> None:
        """Take back all runs, the last first; each must come back whole."""
        runs, self.runs = self.runs, []
        for run in reversed(runs):
            report = await self.back(run, **options)
            assert report.complete, (report.problems, report.left)

    def kill_applier(self, host: str = "n1") -> None:
        """End the program on a host at once, and nothing else there; between two phases there is none for a while."""
        find = "pgrep -f 'python3 -I -c.*hotfoot-[p]repare'"
        self.sh(f"for i in $(seq 200); do pid=$({find}) && kill -KILL $pid && exit; sleep 0.05; done; exit 1", host)


def listing(bench: Bench) -> Tree:
    """All files of n1, with the times of those that tests touch."""
    found = tree(bench.lab, "n1")
    times = bench.sh("find /etc /root /srv -xdev -type f -printf '%p %T@\\n'").splitlines()
    for line in times:
        path, _, time = line.rpartition(" ")
        if path in found:
            found[path] = [*found[path], time]
    # A health check of GlusterFS's own, which comes by itself a while after the volume was started.
    return {path: row for path, row in found.items() if not path.startswith("/srv/brick/")}


def states(report: RunReport) -> list[str]:
    return [step.state for step in report.steps]
