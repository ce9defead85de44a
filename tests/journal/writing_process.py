"""A process that writes a record, for tests that kill it or fill its disk: FILE, and how many samples at most."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.journal.records import completed, record

from hotfoot.errors import ExitStatus
from hotfoot.journal.entries import Entries
from hotfoot.journal.place import Place
from hotfoot.journal.recorder import Recorder
from hotfoot.migration.result import MigrationResult, Outcome
from hotfoot.migration.sample import JobSample, Phase


def main() -> None:
    """Write samples as fast as the journal takes them."""
    file, most = Path(sys.argv[1]), int(sys.argv[2])
    opened = record()
    recorder = Recorder(Entries(Place(file=file)), opened, lambda sentence: print(sentence, flush=True))
    print(recorder.begin(20), flush=True)
    for n in range(most):
        recorder.sample(JobSample(at_s=time.monotonic(), phase=Phase.COPYING_MEMORY, iteration=n))
        if n % 50 == 0:
            time.sleep(0.01)
    done = completed(opened)
    result = MigrationResult(
        instance="vm1", outcome=Outcome.COMPLETED, status=ExitStatus.COMPLETED, total_ms=done.number("total_ms")
    )
    recorder.end(result, 60)
    print("ended", flush=True)


if __name__ == "__main__":
    main()
