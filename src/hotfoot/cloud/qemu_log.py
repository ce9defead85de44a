"""What QEMU's log on the destination says of how an incoming migration ended: one script, one answer. Pure.

Cancelled or broken, a migration can end with the very same error on the source, and there QEMU's own events do not
tell either (QEMU 10.0: its stream is shut down first, and the state goes from active to failed in six of 14 aborts).
The destination knows: a QEMU whose migration was cancelled lives until libvirt ends it, and says so in its log; one
that was killed says nothing any more.
"""

from __future__ import annotations

import shlex

_FOLDER = "/var/log/libvirt/qemu"
_START = ": starting up libvirt version"
_FAREWELLS = ("terminating on signal", "load of migration failed: Input/output error")
"""The second is of QEMU before 9.1, or libvirt before 10.4, where the incoming QEMU exits when its stream ends."""
_OWN_FAULTS = ("error while loading state", "reason=crashed")

_SCRIPT = r"""
for look in 1 2 3 4 5 6 7 8 9 10; do
  said=$(tail -c 65536 -- "$LOG") || exit 0
  case ${said##*': starting up libvirt version'} in
    *'terminating on signal'*|*reason=crashed*|*'load of migration failed'*) break;;
  esac
  sleep 0.2
done
printf '%s\n' "$said"
"""
"""POSIX shell with coreutils; never writes. The last words may come after the source's error: it waits up to 2 s."""


def question(instance: str) -> str:
    """Return the script that reads the end of an instance's log."""
    return f"LOG={shlex.quote(f'{_FOLDER}/{instance}.log')}\n{_SCRIPT}"


def outlived_its_stream(text: str) -> bool:
    """Tell whether the incoming QEMU that was started last was still well when its memory stream ended.

    If so it is the source that closed the stream. A log that cannot be read, or holds no start, tells nothing: False.
    """
    _, started, last = text.rpartition(_START)
    if not started or any(fault in last for fault in _OWN_FAULTS):
        return False
    return any(farewell in last for farewell in _FAREWELLS)
