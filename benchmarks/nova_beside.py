"""Nova's own functions steer a real migration: run by the Python of ``.venv-bench``, beside the one that migrates.

Arguments: the guest's memory in bytes, and what is done at Nova's timeout (``give-up`` or ``post-copy``). Each line on
standard input is one look, ``{"elapsed_ms": N}``, and is answered by one line: the actions, ``[[kind, value], ...]``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

# In another environment, where neither is installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.nova_in_simulator import CONF, Nova

from hotfoot.migration.action import ActionKind
from hotfoot.migration.sample import JobSample, Phase


def main() -> None:
    """Answer until standard input ends."""
    CONF([], default_config_files=[])
    steers = Nova(int(sys.argv[1]), ActionKind(sys.argv[2]))
    for line in sys.stdin:
        sample = JobSample(at_s=0.0, phase=Phase.COPYING_MEMORY, **json.loads(line))
        print(json.dumps([[action.kind, action.value] for action in steers.step(sample)]), flush=True)


if __name__ == "__main__":
    main()
