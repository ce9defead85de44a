"""Runs on a lab host: ends the program that renumbers users at a moment of its work; a test's signal comes too late.

Arguments: the moment (list, numbers, files) and the run. Prints "killed"; gives up after 60 s.
"""

import glob
import os
import signal
import sys
import time
from pathlib import Path


def applier() -> int:
    """Return the PID of the program, 0 when it does not run."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found = b"hotfoot-prepare" in path.read_bytes()
        except OSError:
            continue
        if found and int(path.parent.name) != os.getpid():
            return int(path.parent.name)
    return 0


def reached(moment: str, run: str) -> bool:
    """Whether the moment has come."""
    if moment == "list":
        return bool(glob.glob(f"/var/lib/hotfoot/runs/{run}/ids-*"))
    if moment == "numbers":
        return "\none:x:902:" in Path("/etc/passwd").read_text()
    return any(os.stat(f"/srv/ids/{name}").st_uid == new for name, new in ((3000, 902), (9000, 901)))


end = time.monotonic() + 60
while time.monotonic() < end:
    if reached(sys.argv[1], sys.argv[2]):
        pid = applier()
        if pid:
            os.kill(pid, signal.SIGKILL)
            print("killed")
        break
