"""Nova's own functions steer the simulator; run by the Python of ``.venv-bench``, where Nova is installed.

Workloads come as JSON on standard input, ends go to standard output. The loop around the functions is that of
nova.virt.libvirt.driver (_live_migration_monitor): each half second the timeout first, then the downtime.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# In another environment, where neither is installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import nova.conf
from benchmarks.workloads import from_json
from nova.virt.libvirt import migration

from hotfoot.migration.action import Action, ActionKind
from hotfoot.migration.sample import JobSample
from hotfoot.migration.simulator import simulate

GIB = 2**30
LEAST_DATA_GB = 2
"""As in the driver's _live_migration_data_gb: guests below count as 2 GiB."""
CONF = nova.conf.CONF


@dataclass
class _Guest:
    """Stands for Nova's guest object: takes the limits that Nova sets."""

    limit_ms: int | None = None

    def migrate_configure_max_downtime(self, limit_ms: int) -> None:
        """Keep what Nova would hand to libvirt."""
        self.limit_ms = limit_ms


class Nova:
    """One migration under Nova's functions."""

    def __init__(self, memory_bytes: int, timeout_action: ActionKind) -> None:
        data_gb = max(LEAST_DATA_GB, memory_bytes // GIB)
        self._steps = list(migration.downtime_steps(data_gb))
        self._timeout_s = CONF.libvirt.live_migration_completion_timeout * data_gb
        self._timeout_action = timeout_action
        self._limit_ms: int | None = None

    def step(self, sample: JobSample) -> tuple[Action, ...]:
        """Return what Nova would do at this sample."""
        elapsed_s = sample.elapsed_ms / 1000
        if migration.should_trigger_timeout_action(None, elapsed_s, self._timeout_s, "running"):
            return (Action(kind=self._timeout_action, at_ms=sample.elapsed_ms, reason="Nova's timeout"),)
        guest = _Guest()
        self._limit_ms = migration.update_downtime(guest, None, self._limit_ms, self._steps, elapsed_s)
        if guest.limit_ms is None:
            return ()
        limit = Action(
            kind=ActionKind.DOWNTIME_LIMIT, at_ms=sample.elapsed_ms, value=guest.limit_ms, reason="Nova's step"
        )
        return (limit,)


def main() -> None:
    """Run all workloads under each of Nova's two timeout actions."""
    CONF([], default_config_files=[])
    workloads = [from_json(told) for told in json.load(sys.stdin)]
    ends: dict[str, list[dict[str, Any]]] = {}
    actions = (("Nova", ActionKind.GIVE_UP), ("Nova, post-copy at its timeout", ActionKind.POST_COPY))
    for name, timeout_action in actions:
        ends[name] = []
        for workload in workloads:
            nova_of_this = Nova(workload.guest.memory_bytes, timeout_action)
            end = simulate(workload.guest, workload.link, nova_of_this.step)
            ends[name].append(
                {
                    "finished": end.finished,
                    "total_ms": end.total_ms,
                    "downtime_ms": end.downtime_ms,
                    "sent_bytes": end.sent_bytes,
                    "iterations": end.iterations,
                }
            )
    json.dump(ends, sys.stdout)


if __name__ == "__main__":
    main()
