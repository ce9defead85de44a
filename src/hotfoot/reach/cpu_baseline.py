"""The CPU that all hosts can run: libvirt's own hypervisor CPU baseline, computed on one of them."""

from __future__ import annotations

from collections.abc import Sequence

from hotfoot.cluster import Cluster
from hotfoot.errors import HotfootError
from hotfoot.reach.ssh import SshAccess
from hotfoot.readiness.cpu import baseline_question
from hotfoot.readiness.facts import Facts

TIMEOUT_S = 15.0
# virsh takes a file only, and refuses none: a private one, gone at once.
_SCRIPT = 'f=$(mktemp) && trap "rm -f $f" EXIT && cat >"$f" && virsh -c qemu:///system hypervisor-cpu-baseline "$f"'


async def with_cpu_baseline(access: SshAccess, cluster: Cluster, facts: Facts) -> Facts:
    """Return the facts with what libvirt computes of them, where the hosts' CPUs are not all the same."""
    question = baseline_question(facts)
    if question is None:
        return facts
    try:
        return facts.model_copy(update={"cpu_baseline": await cpu_baseline(access, cluster, *question)})
    except HotfootError as error:
        return facts.model_copy(update={"cpu_baseline_problem": str(error)})


async def cpu_baseline(access: SshAccess, cluster: Cluster, host: str, capabilities: Sequence[str]) -> str:
    """Return the richest CPU that can run, and migrate, on all hypervisors: ``<cpu>`` as for a definition.

    ``capabilities`` are the domain capabilities (XML) of all hosts; ``host`` names the one whose libvirt computes,
    best the newest. Raises HotfootError when the CPUs have nothing in common or libvirt is too old for it (4.4.0).
    """
    documents = [text.partition("?>")[2] if text.lstrip().startswith("<?xml") else text for text in capabilities]
    done = await access.run(
        cluster.host(host), f"{_SCRIPT} --migratable", stdin="\n".join(documents), timeout_s=TIMEOUT_S
    )
    if done.status != 0:
        said = done.stderr.strip().removeprefix("error: ").splitlines()
        raise HotfootError(f"libvirt on {host} computed no common CPU: {said[-1] if said else 'no reason given'}.")
    return done.stdout.strip()
