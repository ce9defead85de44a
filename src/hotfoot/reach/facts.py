"""Asking hosts for their facts: the probe, sent to all of them at once, one SSH round trip each."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence

from pydantic import ValidationError

from hotfoot.cluster import Cluster, Host
from hotfoot.errors import HotfootError
from hotfoot.reach.probe.script import probe_script
from hotfoot.reach.ssh import SshAccess
from hotfoot.readiness.facts import Facts, HostFacts, Silence
from hotfoot.readiness.wanted import Wanted

MOST_AT_ONCE = 64
_TIMEOUT_S = 60.0
"""Of connecting and the probe together; the probe ends by itself after 45 s."""
_NO_PYTHON = 127
# RHEL 8 has a Python for its own tools even where no other is installed.
_PYTHONS = ("python3", "/usr/libexec/platform-python")


async def facts_of(access: SshAccess, cluster: Cluster, wanted: Wanted, hosts: Sequence[str] | None = None) -> Facts:
    """Return the facts of hosts (by name; None: all), in the order of the cluster file.

    A host that cannot be reached, or gives no facts, is in ``silent`` with the reason. Raises HotfootError (USAGE)
    for a name that the cluster file does not have.
    """
    chosen = {cluster.host(name).name for name in hosts} if hosts is not None else None
    script = probe_script(wanted)
    at_once = asyncio.Semaphore(MOST_AT_ONCE)

    async def ask(host: Host) -> HostFacts | Silence:
        async with at_once:
            return await _ask(access, host, script)

    answers = await asyncio.gather(*(ask(host) for host in cluster.hosts if chosen is None or host.name in chosen))
    return Facts(
        hosts=tuple(answer for answer in answers if isinstance(answer, HostFacts)),
        silent=tuple(answer for answer in answers if isinstance(answer, Silence)),
    )


async def _ask(access: SshAccess, host: Host, script: str) -> HostFacts | Silence:
    try:
        for python in _PYTHONS:
            sent_s = time.time()
            # Isolated from the login's environment and from what is installed beside it; writes no byte code.
            argv = [python, "-I", "-S", "-B", "-"]
            done = await access.run(host, argv, stdin=script, timeout_s=_TIMEOUT_S)
            received_s = time.time()
            if done.status != _NO_PYTHON:
                break
    except HotfootError as error:
        return Silence(host=host.name, reason=str(error))
    if done.status == _NO_PYTHON:
        return Silence(host=host.name, reason=f"host {host.name} has no python3, which the check needs; install it")
    # The last line: what a shell's start-up files print comes before it.
    told = (done.stdout.splitlines() or [""])[-1]
    try:
        # As text, with the name put in: pydantic reads JSON faster than Python does.
        facts = HostFacts.model_validate_json(f'{{"host": {json.dumps(host.name)}, {told.removeprefix("{")}')
    except ValidationError:
        lines = (*done.stderr.splitlines(), *done.stdout.splitlines())
        said = next((line.strip() for line in lines if line.strip()), "nothing")[:200]
        reason = f"host {host.name} ran the probe, but gave no facts (status {done.status}); it said: {said}"
        return Silence(host=host.name, reason=reason)
    return compared(facts, sent_s, received_s)


def compared(facts: HostFacts, sent_s: float, received_s: float) -> HostFacts:
    """Add how far the host's clock is from the controller's, from the controller's times of asking and answer.

    The host took its time at its end, so between ``sent_s`` plus the probe's own duration and ``received_s``: the
    offset is that from the middle of the two, and it is wrong by half of what lies between them at most.
    """
    if facts.clock is None:
        return facts
    earliest_s = min(sent_s + facts.elapsed_s, received_s)
    clock = facts.clock.model_copy(
        update={
            "offset_s": facts.clock.now_s - (earliest_s + received_s) / 2,
            "uncertainty_s": (received_s - earliest_s) / 2,
        }
    )
    return facts.model_copy(update={"clock": clock})
