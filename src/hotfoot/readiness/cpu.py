"""CPUs: one model that every host can run, and instances that could not go on elsewhere.

The model is libvirt's own answer (hypervisor CPU baseline), not a guess by eye; guests are compared with what the
destination's hypervisor can run, never host with host, which is what makes Nova say "Unacceptable CPU info" falsely.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from hotfoot.cluster import Cluster
from hotfoot.readiness.change import CONTROLLER, Change, DeclareCpu, Phase
from hotfoot.readiness.cpu_definition import redefine
from hotfoot.readiness.cpu_model import Baseline, HostCpu, baseline, given_up, host_cpu, misfit
from hotfoot.readiness.domain_xml import Domain, DomainCpu, domains_of, read_cpu, read_domain
from hotfoot.readiness.facts import Facts, HostFacts
from hotfoot.readiness.finding import Finding, Severity, Topic
from hotfoot.readiness.listing import listed


def judge(cluster: Cluster, facts: Facts) -> Iterator[Finding]:
    """Yield what is wrong with the CPUs of all hosts that answered, and with those of instances on them."""
    cpus = cpus_of(facts)
    if cluster.cpu.model is not None:
        declared = Baseline.of(cluster.cpu.model, cluster.cpu.features)
        yield from _declared(declared, cpus)
    else:
        yield from _undeclared(facts, cpus)
    yield from _vendors(cluster, cpus)
    kinds = _kinds(cpus)
    if len(kinds) > 1:
        for host in facts.hosts:
            yield from _instances(facts, host, cpus, kinds)
            yield from _definitions(cluster, host, cpus.get(host.host), kinds)


def cpus_of(facts: Facts) -> dict[str, HostCpu]:
    """Return what each host's hypervisor can give, by host; those that did not tell are not there."""
    found = {host.host: host_cpu(host.libvirt.hypervisor_cpu) for host in facts.hosts if host.libvirt}
    return {name: cpu for name, cpu in found.items() if cpu is not None}


def baseline_question(facts: Facts) -> tuple[str, tuple[str, ...]] | None:
    """Return whom to ask for the CPU that all hosts can run, and the domain capabilities to give it, each kind once.

    Asked is the host with the newest libvirt, which knows most models. None where all hosts have the same CPU.
    """
    cpus = cpus_of(facts)
    kinds = _kinds(cpus)
    if len(kinds) < 2:
        return None
    told = {host.host: host.libvirt for host in facts.hosts if host.libvirt is not None}
    newest = max(cpus, key=lambda name: [int(part) for part in re.findall(r"\d+", told[name].version)])
    return newest, tuple(told[names[0]].hypervisor_cpu for _, names in kinds)


def guests_question(facts: Facts) -> dict[str, tuple[str, ...]]:
    """Return whom to ask whether it can run which CPUs (XML) of running instances: one host of each kind, each once.

    Asked is about named models on hosts of another kind: an instance of a host of its own kind runs there.
    """
    cpus = cpus_of(facts)
    kinds = _kinds(cpus)
    asked = {}
    for cpu, names in kinds if len(kinds) > 1 else ():
        guests = (
            domain.cpu
            for host in facts.hosts
            if host.host in cpus and cpus[host.host].kind != cpu.kind
            for domain in domains_of(host)
        )
        found = tuple(dict.fromkeys(guest.xml for guest in guests if guest.mode == "custom" and guest.model))
        if found:
            asked[names[0]] = found
    return asked


def unfit(facts: Facts, guest: DomainCpu, source: HostCpu | None, destination: HostCpu) -> str:
    """Say why an instance that runs with a CPU on ``source`` cannot go to ``destination``; empty: nothing is known.

    What the destination's hypervisor itself says of that CPU comes before what its models tell.
    """
    cpus = cpus_of(facts)
    for host, verdicts in facts.cpu_verdicts.items():
        if guest.xml in verdicts and host in cpus and cpus[host].kind == destination.kind:
            return verdicts[guest.xml]
    return misfit(guest, source, destination)


def _kinds(cpus: Mapping[str, HostCpu]) -> list[tuple[HostCpu, list[str]]]:
    """Put hosts of the same CPU together."""
    by_kind: dict[object, list[str]] = defaultdict(list)
    for name, cpu in cpus.items():
        by_kind[cpu.kind].append(name)
    return [(cpus[names[0]], names) for names in by_kind.values()]


def _declared(declared: Baseline, cpus: Mapping[str, HostCpu]) -> Iterator[Finding]:
    for name, cpu in cpus.items():
        if why := cpu.misfit(declared):
            yield Finding(
                code="cpu.declared-not-runnable",
                severity=Severity.BLOCKS,
                host=name,
                what=f"{name} cannot run the CPU that the cluster file declares, {_named(declared)}: {why}.",
                evidence=f"{name} has {cpu.words()}; it can run"
                f" {listed(sorted(cpu.usable), most=12) or 'no named model'}",
                why="Instances of that CPU can neither start nor arrive there.",
                remedy="Take cpu out of the cluster file: `hotfoot check --topic cpu` then names one that all"
                " hosts run.",
            )


def _undeclared(facts: Facts, cpus: Mapping[str, HostCpu]) -> Iterator[Finding]:
    kinds = _kinds(cpus)
    if len(kinds) < 2:
        return
    common = baseline(facts.cpu_baseline)
    if common is None:
        seen = "; ".join(f"{listed(names)}: {cpu.words()}" for cpu, names in kinds)
        all_run = frozenset.intersection(*(cpu.usable for cpu, _ in kinds))
        yield Finding(
            code="cpu.differ",
            severity=Severity.ADVICE,
            host=next(iter(cpus)),
            what=f"The hosts have CPUs of {len(kinds)} kinds, and the cluster file declares none that all of them run.",
            evidence=f"{seen}. All of them can run {listed(sorted(all_run), most=12) or 'no named model'}"
            + (f". libvirt computed no common CPU: {facts.cpu_baseline_problem}" if facts.cpu_baseline_problem else ""),
            why=_WHY,
            remedy="Declare a model that all hosts run as cpu.model in the cluster file.",
        )
        return
    declare = f"cpu: {{model: {common.model}, features: [{', '.join(common.features)}]}}"
    change = Change(
        host=CONTROLLER, phase=Phase.CLUSTER_FILE, step=DeclareCpu(model=common.model, features=common.features)
    )
    for cpu, names in kinds:
        lost = given_up(cpu, common)
        for name in names:
            yield Finding(
                code="cpu.differ",
                severity=Severity.ADVICE,
                host=name,
                what=f"The hosts have CPUs of {len(kinds)} kinds, and the cluster file declares none that all of them"
                f" run: that would be {_named(common)}.",
                evidence=f"{name} has {cpu.words()}; with the common CPU its instances give up {lost or 'nothing'}",
                why=_WHY,
                remedy=f"Write into the cluster file: {declare}",
                changes=(change,),
            )


_WHY = (
    "An instance gets the features of the host on which it starts, unless it is told a model; it cannot go on where one"
    " of them is missing."
)


def _vendors(cluster: Cluster, cpus: Mapping[str, HostCpu]) -> Iterator[Finding]:
    votes = Counter(cpu.vendor for cpu in cpus.values() if cpu.vendor)
    if len(votes) < 2:
        return
    most = min(votes, key=lambda each: (-votes[each], each))
    others = [name for name, cpu in cpus.items() if cpu.vendor == most]
    for name, cpu in cpus.items():
        if cpu.vendor and cpu.vendor != most:
            yield Finding(
                code="cpu.other-vendor",
                severity=Severity.BLOCKS if cluster.cpu.model is None else Severity.DANGEROUS,
                host=name,
                what=f"{name} has a CPU of {cpu.vendor}, most hosts one of {most}.",
                evidence=f"{name}: {cpu.words()}; {listed(others)}: {cpus[others[0]].words()}",
                why="Guests do not live through a move between vendors: they have set themselves up for the one they"
                " started on, and libvirt finds no CPU that both give.",
                remedy=f"Keep {name} for instances of its own, in a cluster file of its own; move others cold.",
            )


def _instances(
    facts: Facts, host: HostFacts, cpus: Mapping[str, HostCpu], kinds: list[tuple[HostCpu, list[str]]]
) -> Iterator[Finding]:
    own = cpus.get(host.host)
    stuck: dict[tuple[str, tuple[str, ...]], list[Domain]] = defaultdict(list)
    for domain in domains_of(host):
        for cpu, names in kinds:
            if (own is None or cpu.kind != own.kind) and (why := unfit(facts, domain.cpu, own, cpu)):
                stuck[why, tuple(names)].append(domain)
    for (why, hosts), domains in stuck.items():
        one = len(hosts) == 1
        instances = [domain.name for domain in domains]
        yield Finding(
            code="cpu.instance-stuck",
            severity=Severity.BLOCKS,
            host=host.host,
            peer=hosts[0] if one else None,
            what=f"{listed(instances)} on {host.host} cannot go to {listed(hosts)}.",
            evidence=f"{why[0].upper()}{why[1:]}.",
            why="libvirt compares the guest's CPU with what the destination's hypervisor can run, and refuses the move:"
            " a guest does not live through the loss of a feature that it uses.",
            remedy="Shut them off and start them again: their definitions have a CPU that all hosts run by now."
            if all(_runs_on_all(host, domain.name, kinds) for domain in domains)
            else "Declare the CPU that all hosts run (`hotfoot prepare --topic cpu` writes it into the cluster file),"
            " give it to them (cpu.instances there), then shut them off and start them again.",
        )


def _runs_on_all(host: HostFacts, instance: str, kinds: list[tuple[HostCpu, list[str]]]) -> bool:
    """Whether the CPU of an instance's definition runs on every host, as far as is known."""
    xml = host.libvirt.defined_cpus.get(instance) if host.libvirt else None
    return xml is not None and not _bound(read_cpu(xml), kinds)


def _bound(cpu: DomainCpu, kinds: list[tuple[HostCpu, list[str]]]) -> str:
    """Say what binds instances that start with a CPU to some hosts; empty where nothing is known to."""
    if cpu.whole_host or cpu.mode == "host-model":
        return f"the CPU of its host ({cpu.mode})"
    for each, names in kinds:
        if why := misfit(cpu, None, each):
            return f"{cpu.model}, but of {listed(names)}: {why}"
    return ""


def _definitions(
    cluster: Cluster, host: HostFacts, own: HostCpu | None, kinds: list[tuple[HostCpu, list[str]]]
) -> Iterator[Finding]:
    """Yield instances that will start with a CPU that not all hosts run, once one is declared that all do.

    Those of Nova get theirs from nova.conf at each start: changing them here would not last.
    """
    if cluster.cpu.model is None or own is None or host.libvirt is None:
        return
    declared = Baseline.of(cluster.cpu.model, cluster.cpu.features)
    if any(cpu.misfit(declared) for cpu, _ in kinds):
        return
    bound: dict[str, str] = {}
    for name, xml in sorted(host.libvirt.defined_cpus.items()):
        domain = read_domain(host.libvirt.domains.get(name, ""))
        if domain is not None and not domain.of_nova and (why := _bound(read_cpu(xml), kinds)):
            bound[name] = why
    if bound:
        yield Finding(
            code="cpu.instance-definition",
            severity=Severity.ADVICE,
            host=host.host,
            what=f"{listed(bound)} on {host.host} will start with a CPU that not all hosts run.",
            evidence="; ".join(f"{name}: {why}" for name, why in bound.items()),
            why="What an instance has started with, it cannot lose: from its next start on it can go only to hosts that"
            " have all of it.",
            remedy=f"Give them the declared CPU, {declared.model}: it counts from their next start."
            if cluster.cpu.instances
            else "Write instances: true below cpu in the cluster file, and `hotfoot prepare` gives them the declared"
            f" CPU, {declared.model}, for their next start.",
            changes=tuple(redefine(host.host, name, host.libvirt.defined_cpus[name], declared) for name in bound)
            if cluster.cpu.instances
            else (),
        )


def _named(cpu: Baseline) -> str:
    changed = [*(f"+{name}" for name in sorted(cpu.required)), *(f"-{name}" for name in sorted(cpu.disabled))]
    return f"{cpu.model}{f' ({listed(changed, most=30)})' if changed else ''}"


TOPIC = Topic(name="cpu", title="one CPU that all hosts run", judge=judge, sections=("libvirt",))
