"""What libvirt itself says of CPUs: the one that all hosts can run, and whether a host can run a guest's."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from hotfoot.cluster import Cluster
from hotfoot.errors import HotfootError
from hotfoot.reach.ssh import SshAccess
from hotfoot.readiness.cpu import baseline_question, guests_question
from hotfoot.readiness.facts import Facts
from hotfoot.readiness.listing import listed

TIMEOUT_S = 15.0
# virsh takes a file only, and refuses none: a private one, gone at once.
_BASELINE = 'f=$(mktemp) && trap "rm -f $f" EXIT && cat >"$f" && virsh -c qemu:///system hypervisor-cpu-baseline "$f"'
_CUT = "==hotfoot=="
COMPARE = f"""f=$(mktemp) && trap 'rm -f "$f"' EXIT
while IFS= read -r cpu; do
    printf '%s\\n' "$cpu" >"$f"
    virsh -q -c qemu:///system hypervisor-cpu-compare --error "$f" 2>&1 >/dev/null </dev/null
    echo {_CUT}
done"""
"""Reads CPUs, one a line, and prints for each what is wrong with it here, nothing where it can run."""


async def with_cpus_compared(access: SshAccess, cluster: Cluster, facts: Facts) -> Facts:
    """Return the facts with what libvirt computes of them, where the hosts' CPUs are not all the same."""
    question, guests = baseline_question(facts), guests_question(facts)
    if question is None:
        return facts
    common, *compared = await asyncio.gather(
        cpu_baseline(access, cluster, *question),
        *(cpu_verdicts(access, cluster, host, cpus) for host, cpus in guests.items()),
        return_exceptions=True,
    )
    found: dict[str, object] = {
        "cpu_verdicts": {
            host: verdicts for host, verdicts in zip(guests, compared, strict=True) if isinstance(verdicts, dict)
        }
    }
    for each in (common, *compared):
        if isinstance(each, BaseException) and not isinstance(each, HotfootError):
            raise each
    if isinstance(common, str):
        found["cpu_baseline"] = common
    else:
        found["cpu_baseline_problem"] = str(common)
    return facts.model_copy(update=found)


async def cpu_baseline(access: SshAccess, cluster: Cluster, host: str, capabilities: Sequence[str]) -> str:
    """Return the richest CPU that can run, and migrate, on all hypervisors: ``<cpu>`` as for a definition.

    ``capabilities`` are the domain capabilities (XML) of all hosts; ``host`` names the one whose libvirt computes,
    best the newest. Raises HotfootError when the CPUs have nothing in common or libvirt is too old for it (4.4.0).
    """
    documents = [text.partition("?>")[2] if text.lstrip().startswith("<?xml") else text for text in capabilities]
    done = await access.run(
        cluster.host(host), f"{_BASELINE} --migratable", stdin="\n".join(documents), timeout_s=TIMEOUT_S
    )
    if done.status != 0:
        said = done.stderr.strip().removeprefix("error: ").splitlines()
        raise HotfootError(f"libvirt on {host} computed no common CPU: {said[-1] if said else 'no reason given'}.")
    return done.stdout.strip()


async def cpu_verdicts(access: SshAccess, cluster: Cluster, host: str, cpus: Sequence[str]) -> dict[str, str]:
    """Return what a host's hypervisor lacks of each CPU (``<cpu>`` as XML), in words; empty where it can run it.

    One that cannot be compared is not in the answer. Raises HotfootError when the host does not answer.
    """
    done = await access.run(cluster.host(host), COMPARE, stdin=lines_of(cpus), timeout_s=TIMEOUT_S)
    return verdicts_of(cpus, done.stdout)


def lines_of(cpus: Sequence[str]) -> str:
    """Return what ``COMPARE`` reads: each CPU on a line."""
    return "".join(" ".join(cpu.split()) + "\n" for cpu in cpus)


def verdicts_of(cpus: Sequence[str], told: str) -> dict[str, str]:
    """Return the verdict on each CPU, from what ``COMPARE`` printed; those without one are left out."""
    verdicts = {cpu: verdict(answer) for cpu, answer in zip(cpus, told.split(f"{_CUT}\n")[:-1], strict=False)}
    return {cpu: words for cpu, words in verdicts.items() if words is not None}


def verdict(said: str) -> str | None:
    """Return what is lacking, from what virsh complained of; None where it could not compare.

    >>> verdict("error: Failed to compare\\nerror: the CPU is incompatible with host CPU: Host CPU does not provide"
    ...         " required features: fma, avx2\\n")
    'it lacks avx2 and fma'
    """
    if not said.strip():
        return ""
    if "incompatible" not in said:
        return None
    features = re.search(r"required features: (.+)", said)
    if features:
        return f"it lacks {listed(sorted(features[1].replace(',', ' ').split()), most=20)}"
    return said.strip().splitlines()[-1].removeprefix("error: ")
