"""``hotfoot check``: what stands in the way of migrations, on each host and between them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hotfoot.cli.options import CloudOption, ClusterOption, JsonOption
from hotfoot.errors import ExitStatus, HotfootError

if TYPE_CHECKING:
    from hotfoot.cluster import Cluster
    from hotfoot.reach.ssh import SshAccess
    from hotfoot.readiness.facts import Facts
    from hotfoot.readiness.finding import Finding, Topic

TopicOption = Annotated[
    list[str] | None, typer.Option("--topic", metavar="TOPIC", help="Only this topic; may be given again.")
]
HostOption = Annotated[
    list[str] | None, typer.Option("--host", metavar="HOST", help="Only this host; may be given again.")
]


def check(
    topic: TopicOption = None,
    host: HostOption = None,
    pair: Annotated[
        tuple[str, str] | None, typer.Option("--pair", metavar="A B", help="Only these two hosts, both ways.")
    ] = None,
    instance: Annotated[
        str | None, typer.Option("--instance", metavar="INSTANCE", help="Where this instance can go, and why not.")
    ] = None,
    proofs: Annotated[
        bool, typer.Option("--proofs/--no-proofs", help="Try hosts two by two: storage, logins, ports.")
    ] = True,
    record: Annotated[
        Path | None, typer.Option("--record", metavar="FILE", help="Write what the hosts told into this file.")
    ] = None,
    cluster: ClusterOption = None,
    cloud_name: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at all hosts, try them two by two, and tell what is wrong, why it matters, and what mends it."""
    from hotfoot.cli.findings import findings_json, print_findings
    from hotfoot.cli.session import on_openstack, with_hosts
    from hotfoot.readiness.judge import judge
    from hotfoot.readiness.summary import concerning

    if pair and pair[0] == pair[1]:
        raise HotfootError(f"--pair takes two hosts, not {pair[0]} twice.", ExitStatus.USAGE)
    if on_openstack(cluster, cloud_name):
        from hotfoot.cli.cloud_check import CloudQuestion, check_cloud, topics_by_ssh_alone
        from hotfoot.cli.nova_places import tell_places

        if instance is not None:
            if topic or record:
                raise HotfootError(
                    "On OpenStack --instance asks Nova, of which no topics and no records are kept: leave out --topic"
                    " and --record.",
                    ExitStatus.USAGE,
                )
            raise typer.Exit(int(tell_places(cluster, cloud_name, instance, pair or host or (), as_json=as_json)))
        if not topics_by_ssh_alone(topic):
            question = CloudQuestion(
                cluster=cluster,
                cloud_name=cloud_name,
                topics=topic or (),
                hosts=host or (),
                pair=pair,
                proofs=proofs,
                record=record,
            )
            raise typer.Exit(int(check_cloud(question, as_json=as_json)))
    topics = chosen_topics(topic)

    async def work(declared: Cluster, access: SshAccess) -> tuple[Cluster, Facts]:
        for name in (*(host or ()), *(pair or ())):
            declared.host(name)
        return declared, await look(access, declared, topics, proofs=proofs, between=pair, instance=instance)

    declared, facts = with_hosts(cluster, work, cloud_name)
    if record is not None:
        record_facts(facts, record)
    hosts = tuple(pair) if pair else tuple(dict.fromkeys(host or ())) or tuple(each.name for each in declared.hosts)
    found = judge(declared, facts, topics)
    if instance is not None:
        raise typer.Exit(int(_tell_instance(declared, facts, topics, found, instance, hosts, as_json=as_json)))
    if pair or host:
        found = concerning(found, hosts, only_between=pair is not None)
    if as_json:
        typer.echo(json.dumps(findings_json(declared, facts, topics, found, hosts)))
    else:
        print_findings(facts, topics, found, hosts)
    raise typer.Exit(int(status_of(found)))


async def look(
    access: SshAccess,
    cluster: Cluster,
    topics: Sequence[Topic],
    *,
    proofs: bool = True,
    between: Sequence[str] | None = None,
    instance: str | None = None,
) -> Facts:
    """Ask all hosts, and try them two by two: all, only ``between`` some, or only from where an instance is."""
    from hotfoot.reach.cpu_baseline import with_cpus_compared
    from hotfoot.reach.facts import facts_of
    from hotfoot.reach.proof.proofs import prove
    from hotfoot.readiness.wanted import wanted

    say(f"looking at {len(cluster.hosts)} host{'' if len(cluster.hosts) == 1 else 's'}")
    facts = await with_cpus_compared(access, cluster, await facts_of(access, cluster, wanted(cluster, topics)))
    answering = [host for host in between or [each.name for each in cluster.hosts] if host in facts.by_name]
    pairs = None
    if instance is not None:
        source = _source_of(facts, instance)
        pairs = [(source, host) for host in answering if host != source]
        answering = list(dict.fromkeys([source, *answering]))
    if not proofs or not answering:
        return facts
    say(f"trying {len(answering)} host{'' if len(answering) == 1 else 's'} with each other")
    return facts.model_copy(update={"proofs": await prove(access, cluster, answering, pairs)})


def _source_of(facts: Facts, instance: str) -> str:
    from hotfoot.readiness.instance import where

    try:
        return where(facts, instance)[0].host
    except KeyError:
        silent = ", ".join(silence.host for silence in facts.silent)
        but = f"; {silent} did not answer" if silent else ""
        raise HotfootError(f"no host that answers has an instance {instance}{but}.", ExitStatus.USAGE) from None
    except ValueError as error:
        raise HotfootError(f"{error}.", ExitStatus.USAGE) from None


def _tell_instance(
    cluster: Cluster,
    facts: Facts,
    topics: Sequence[Topic],
    found: Sequence[Finding],
    instance: str,
    hosts: Sequence[str],
    *,
    as_json: bool,
) -> ExitStatus:
    """Tell where an instance can go; the status is that of the best of its destinations."""
    from hotfoot.cli.findings import findings_json, print_instance
    from hotfoot.readiness.instance import instance_findings
    from hotfoot.readiness.summary import Mark, on_the_way, pair_marks

    source = _source_of(facts, instance)
    destinations = [host for host in hosts if host != source]
    own = [finding for each in instance_findings(cluster, facts, instance).values() for finding in each]
    relevant = sorted(on_the_way([*own, *found], source, destinations), key=lambda each: each.severity)
    marks = pair_marks(relevant, facts, [source, *destinations])
    states = {host: marks[source, host] for host in destinations}
    if as_json:
        told = findings_json(cluster, facts, topics, relevant, [source, *destinations])
        places = [{"host": host, "state": state} for host, state in states.items()]
        typer.echo(json.dumps({"instance": instance, "source": source, "destinations": places} | told))
    else:
        print_instance(instance, source, states, relevant)
    best = {Mark.BLOCKS: ExitStatus.FINDINGS_BLOCK, Mark.DANGEROUS: ExitStatus.FINDINGS_DANGEROUS}
    return min((best.get(mark, ExitStatus.COMPLETED) for mark in states.values()), default=ExitStatus.FINDINGS_BLOCK)


def say(text: str) -> None:
    """Tell on a terminal what takes time."""
    if sys.stderr.isatty():
        typer.secho(f"hotfoot: {text}", err=True, dim=True)


def chosen_topics(names: Sequence[str] | None) -> tuple[Topic, ...]:
    """Return the topics of these names, all without any; raises HotfootError (USAGE) for a name that is none."""
    from hotfoot.readiness.judge import TOPICS

    known = {topic.name for topic in TOPICS}
    for name in names or ():
        if name not in known:
            raise HotfootError(
                f"there is no topic {name}; topics are {', '.join(topic.name for topic in TOPICS)}.", ExitStatus.USAGE
            )
    return tuple(topic for topic in TOPICS if not names or topic.name in names)


def status_of(findings: Sequence[Finding]) -> ExitStatus:
    """Return the exit status that tells the worst finding; advice does not count."""
    from hotfoot.readiness.finding import Severity

    severities = {finding.severity for finding in findings}
    if Severity.BLOCKS in severities:
        return ExitStatus.FINDINGS_BLOCK
    return ExitStatus.FINDINGS_DANGEROUS if Severity.DANGEROUS in severities else ExitStatus.COMPLETED


def record_facts(facts: Facts, file: Path) -> None:
    """Write what hosts told as JSON. Raises HotfootError."""
    try:
        file.write_text(facts.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise HotfootError(f"the facts cannot be written to {file}: {error.strerror}.") from None
