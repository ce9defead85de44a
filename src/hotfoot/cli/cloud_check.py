"""``hotfoot check`` of an OpenStack cloud: through the APIs alone, and by SSH where hosts are declared."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hotfoot.cli.session import declared_cluster, openstack_access
from hotfoot.errors import ExitStatus, HotfootError

if TYPE_CHECKING:
    from hotfoot.cluster import Cluster
    from hotfoot.readiness.cloud_facts import CloudFacts
    from hotfoot.readiness.cloud_judge import CloudTopic
    from hotfoot.readiness.facts import Facts
    from hotfoot.readiness.finding import Topic
    from hotfoot.readiness.summary import Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudQuestion:
    """What is asked of a cloud: the options of ``hotfoot check``."""

    cluster: Path | None
    cloud_name: str | None
    topics: Sequence[str] = ()
    """Names; all without any."""
    hosts: Sequence[str] = ()
    pair: tuple[str, str] | None = None
    proofs: bool = True
    record: Path | None = None


def topics_by_ssh_alone(names: Sequence[str] | None) -> bool:
    """Whether topics are named, and none of them is a cloud's. Raises HotfootError (USAGE) for a name that is none."""
    return bool(names) and not _chosen(names or ())[0]


def check_cloud(question: CloudQuestion, *, as_json: bool) -> ExitStatus:
    """Look, judge and tell; the status is that of the worst finding. Raises HotfootError."""
    from hotfoot.cli.check import record_facts, status_of
    from hotfoot.cli.findings import marked_json, print_marked, print_wrapped
    from hotfoot.readiness.cloud_judge import cloud_marks, judge_cloud
    from hotfoot.readiness.facts import Facts
    from hotfoot.readiness.judge import judge
    from hotfoot.readiness.summary import concerning, pair_marks, topic_marks

    cluster = declared_cluster(question.cluster, question.cloud_name, certificates=False)
    cloud_topics, topics = _chosen(question.topics)
    by_ssh = topics if cluster.hosts else ()
    if question.topics and topics and not by_ssh:
        raise HotfootError(
            f"--topic {topics[0].name} is looked at by SSH, and no host is declared: use a cluster file (`hotfoot init"
            " --cloud NAME` writes one), or name no topic of the cloud beside it.",
            ExitStatus.USAGE,
        )
    if question.record is not None and not by_ssh:
        raise HotfootError(
            "--record keeps what hosts told by SSH, and no host was to be asked: declare hosts in a cluster file.",
            ExitStatus.USAGE,
        )
    facts, told = asyncio.run(_look(cluster, question, by_ssh))
    if question.record is not None and told is not None:
        record_facts(told, question.record)
    known = tuple(dict.fromkeys((*facts.hosts, *(host.name for host in cluster.hosts))))
    hosts = _asked_for(question, known)

    by_api = judge_cloud(facts, cloud_topics)
    found = sorted((*by_api, *(judge(cluster, told, by_ssh) if told else ())), key=lambda each: each.severity)
    if question.pair or question.hosts:
        found = list(concerning(found, hosts, only_between=question.pair is not None))
    ssh = told or Facts()
    marks: Mapping[tuple[str, str], Mark] = {
        **cloud_marks(found, facts, cloud_topics, hosts),
        **topic_marks(found, ssh, by_ssh, hosts),
    }
    names = [*(topic.name for topic in cloud_topics), *(topic.name for topic in by_ssh)]
    between = pair_marks(found, ssh, hosts)
    if as_json:
        rows = [_row(cluster, facts, ssh, host) for host in hosts]
        typer.echo(json.dumps(marked_json(names, marks, between, found, rows)))
        return status_of(found)
    print_marked(names, marks, between, found, hosts)
    if told is None:
        alone = "Only the cloud's APIs were asked; hosts that a cluster file declares are looked at by SSH as well."
        print_wrapped("", alone, indent="")
    return status_of(found)


async def _look(cluster: Cluster, question: CloudQuestion, by_ssh: Sequence[Topic]) -> tuple[CloudFacts, Facts | None]:
    from hotfoot.cli.check import look, say
    from hotfoot.cloud.openstack_api import OpenStackApi
    from hotfoot.cloud.openstack_check import look_at_cloud
    from hotfoot.reach.ssh import prepare

    api = await OpenStackApi.connect(openstack_access(cluster))
    try:
        say(f"asking the cloud {api.cloud}")
        if not by_ssh:
            return await look_at_cloud(api), None
        facts, told = await asyncio.gather(
            look_at_cloud(api),
            look(prepare(cluster), cluster, by_ssh, proofs=question.proofs, between=question.pair),
        )
        return facts, told
    finally:
        await api.close()


def _chosen(names: Sequence[str]) -> tuple[tuple[CloudTopic, ...], tuple[Topic, ...]]:
    """Return the topics of a cloud and those of hosts with these names, all without any."""
    from hotfoot.readiness.cloud_judge import CLOUD_TOPICS
    from hotfoot.readiness.judge import TOPICS

    known = [*(topic.name for topic in CLOUD_TOPICS), *(topic.name for topic in TOPICS)]
    for name in names:
        if name not in known:
            raise HotfootError(f"there is no topic {name}; topics are {', '.join(known)}.", ExitStatus.USAGE)
    return (
        tuple(topic for topic in CLOUD_TOPICS if not names or topic.name in names),
        tuple(topic for topic in TOPICS if not names or topic.name in names),
    )


def _asked_for(question: CloudQuestion, known: Collection[str]) -> tuple[str, ...]:
    wanted = question.pair or tuple(dict.fromkeys(question.hosts))
    for host in wanted:
        if host not in known:
            raise HotfootError(f"Nova has no compute host {host}; `hotfoot hosts` lists them.", ExitStatus.USAGE)
    return tuple(wanted) or tuple(known)


def _row(cluster: Cluster, facts: CloudFacts, told: Facts, host: str) -> Mapping[str, object]:
    """Return what JSON tells of a host beside its marks."""
    declared = {each.name: each.address for each in cluster.hosts}
    service, hypervisor = facts.computes.get(host), facts.by_host.get(host)
    silent = {silence.host: silence.reason for silence in told.silent}
    problem = silent.get(host)
    if problem is None and not (service and service.up):
        problem = f"nova-compute on {host} is not up, as Nova says." if service else f"Nova has no compute host {host}."
    return {
        "name": host,
        "address": declared.get(host) or (hypervisor.address if hypervisor else ""),
        "answers": problem is None,
        "problem": problem,
    }
