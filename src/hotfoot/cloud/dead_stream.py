"""A memory stream that nobody takes any more, while the guest stands still for it: found and ended on the source. Pure.

While QEMU sends the last of a guest's memory, the guest is paused and QEMU answers nobody until the send is over (QEMU
10.0; libvirt then says "cannot acquire state change lock"); where the last of it fits into the kernel's buffer it
answers, and waits for the destination's word. Where the link is lost in that moment, either ends when TCP gives the
connection up: after a quarter of an hour by Linux's defaults. So long the guest stands still, and neither libvirt nor
an abort can help it. Ending the connection makes the send fail: QEMU lets the guest run on.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

LEAST_TRIES = 7
"""How often TCP must have sent the same bytes again: the first time after 0.2 s or more, and each time after twice as
long: for at least 25 s (RFC 6298; Linux, TCP_RTO_MIN). A link that is back by then goes on by itself."""
_PORTS = (49152, 49215)
"""Where QEMU listens for memory streams: qemu.conf's ``migration_port_min`` and ``_max``, as they are by default."""

_SCRIPT = r"""
pid=$(cat "/run/libvirt/qemu/$NAME.pid" 2>/dev/null) || exit 0
theirs=" $(for host in $HOSTS; do getent ahosts "$host"; done | cut -d' ' -f1 | sort -u | tr '\n' ' ') "
ss -Htnop state established | while read -r _ queued local peer rest; do
  case $rest in *"pid=$pid,"*'timer:(on,'*) ;; *) continue;; esac
  tries=${rest##*'timer:(on,'}; tries=${tries#*,}; tries=${tries%%)*}
  address=${peer%:*}; address=${address#[}; address=${address%]}; port=${peer##*:}
  case $theirs in *" $address "*) ;; *) continue;; esac
  [ "$queued" -gt 0 ] && [ "$tries" -ge "$TRIES" ] && [ "$port" -ge "$FIRST" ] && [ "$port" -le "$LAST" ] || continue
  ss -K state established src "${local%:*}" sport = ":${local##*:}" dst "${peer%:*}" dport = ":$port" </dev/null >&2
  left=$(ss -Htn state established sport = ":${local##*:}" dport = ":$port" </dev/null)
  printf '%s\t%s\n' "${left:+stays}" "$peer"
done
"""
"""POSIX shell with iproute2; needs root. Ends only connections of this instance's QEMU to these hosts' stream ports."""


def question(instance: str, hosts: Sequence[str]) -> str:
    """Return the script that ends an instance's dead stream to a host, given all names and addresses of that host."""
    values = {"NAME": instance, "HOSTS": " ".join(hosts), "TRIES": LEAST_TRIES, "FIRST": _PORTS[0], "LAST": _PORTS[1]}
    return "\n".join(f"{name}={shlex.quote(str(value))}" for name, value in values.items()) + _SCRIPT


def ended(text: str) -> bool | None:
    """Tell from the script's answer whether a dead stream was ended: None where there was none to end.

    False where the kernel would not end it: it was built without CONFIG_INET_DIAG_DESTROY.
    """
    found = [line.split("\t")[0] for line in text.splitlines() if "\t" in line]
    return "" in found if found else None
