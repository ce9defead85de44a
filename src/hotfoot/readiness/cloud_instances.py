"""Instances and migrations that Nova has left half-way: in ERROR, in MIGRATING alone, records that do not end.

Source: nova/compute/manager.py (states of a migration, task states), nova/compute/task_states.py. Ages are measured by
Nova's own clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from hotfoot.readiness.cloud_facts import CloudFacts, InstanceFact, MigrationFact, in_words, stamp
from hotfoot.readiness.finding import Finding, Severity

TAKEN_UP = timedelta(minutes=2)
"""In which a request that was accepted is taken up, or a move that has ended lets go of the instance."""
FOLLOWED = timedelta(minutes=10)
"""A record that nobody has renewed for this long is not followed: nova-compute does every 5 s while it copies."""
CONFIRMED = timedelta(days=1)
"""For how long a cold migration or resize may wait to be confirmed until that is worth a word."""
WORKED_ON = timedelta(hours=1)
"""What Nova does to an instance beside moving it has ended by then, or has been forgotten."""
_MOVING = frozenset({"migrating", "resize_prep", "resize_migrating", "resize_migrated", "resize_finish", "rebuilding"})


def judge(facts: CloudFacts) -> Iterator[Finding]:
    """Yield what does not go on."""
    names = {instance.uuid: instance.name for instance in facts.instances}
    for migration in facts.migrations:
        if migration.unfinished:
            yield from _migration(facts, migration, names.get(migration.instance, migration.instance))
    for _, found in _instances(facts):
        yield found


def suspects(facts: CloudFacts) -> frozenset[str]:
    """Return the instances (UUID) that look left half-way, to be asked for again, with their migrations."""
    return frozenset(uuid for uuid, _ in _instances(facts))


def _migration(facts: CloudFacts, migration: MigrationFact, name: str) -> Iterator[Finding]:
    age = facts.age(migration.updated_at)
    if age is None:
        return
    since = f"{migration.words}, unchanged since {stamp(migration.updated_at)}, {in_words(age)} ago"
    if migration.status == "finished":
        if age >= CONFIRMED:
            yield Finding(
                code="cloud_instances.unconfirmed",
                severity=Severity.ADVICE,
                host=migration.destination or migration.source,
                what=f"{name} has waited {in_words(age)} to be confirmed on {migration.destination}.",
                evidence=since,
                why="Until a cold migration or resize is confirmed or reverted, it holds room on both hosts, and the"
                " instance can be moved no further.",
                remedy=f"`openstack server migration confirm {migration.instance}`, or revert in its place.",
            )
        return
    if age < FOLLOWED or (migration.status == "queued" and _others_go_on(facts, migration)):
        return
    yield Finding(
        code="cloud_instances.stuck-migration",
        severity=Severity.DANGEROUS,
        host=migration.source,
        what=f"A migration of {name} has not gone on for {in_words(age)}.",
        evidence=since,
        why="As long as it stands in Nova's records, the instance cannot be moved, and room is held on two hosts. It is"
        " left so when nova-compute or the message queue ends in the middle.",
        remedy=f"`hotfoot show {migration.instance}` tells where it is; `hotfoot abort {migration.instance}` ends the"
        f" migration where Nova can; restarting nova-compute on {migration.source} lets it end its own records.",
    )


def _others_go_on(facts: CloudFacts, waiting: MigrationFact) -> bool:
    """Whether another move from the same host goes on: Nova makes one at a time, unless told otherwise."""
    for other in facts.migrations:
        if other.id != waiting.id and other.source == waiting.source and other.status in ("preparing", "running"):
            age = facts.age(other.updated_at)
            if age is not None and age < FOLLOWED:
                return True
    return False


def _instances(facts: CloudFacts) -> Iterator[tuple[str, Finding]]:
    """Yield what is left half-way, each with the instance's UUID."""
    in_motion = facts.in_motion
    for instance in facts.instances:
        if instance.uuid in in_motion:
            continue
        if instance.status == "ERROR" and instance.task_state is None:
            yield instance.uuid, _error(facts, instance)
        elif instance.task_state:
            yield from ((instance.uuid, found) for found in _worked_on(facts, instance))


def _worked_on(facts: CloudFacts, instance: InstanceFact) -> Iterator[Finding]:
    name, age = instance.name, facts.age(instance.updated_at)
    moving = instance.task_state in _MOVING or instance.status == "MIGRATING"
    if age is not None and age >= (TAKEN_UP if moving else WORKED_ON):
        yield Finding(
            code="cloud_instances.left-moving" if moving else "cloud_instances.old-task",
            severity=Severity.DANGEROUS,
            host=instance.host,
            what=f"Nova shows {name} as {instance.task_state} for {in_words(age)},"
            f" {'and no migration of it goes on' if moving else 'and has not come to an end of it'}.",
            evidence=f"{instance.uuid}: status {instance.status}, task state {instance.task_state}, last changed"
            f" {stamp(instance.updated_at)}{_last(facts, instance)}",
            why="Nova refuses to do anything else to an instance while it has a task state; one is left behind when a"
            " service ends in the middle.",
            remedy=f"`hotfoot repair-state {instance.uuid}` looks where the guest runs, and lets go of the state where"
            " that is safe.",
        )


def _error(facts: CloudFacts, instance: InstanceFact) -> Finding:
    name, fault = instance.name, (instance.fault or "").strip().rstrip(".")
    if not instance.host:
        return Finding(
            code="cloud_instances.never-started",
            severity=Severity.ADVICE,
            host="",
            what=f"{name} is in ERROR, and Nova has put it on no host.",
            evidence=f"{instance.uuid}: {fault or 'Nova tells no fault'}",
            why="It never started, and takes no room; only its record is left.",
            remedy=f"`openstack server delete {instance.uuid}`, once its owner knows.",
        )
    return Finding(
        code="cloud_instances.error",
        severity=Severity.DANGEROUS,
        host=instance.host,
        what=f"{name} on {instance.host} is in ERROR"
        + (", though its guest runs, by the hypervisor's last word." if instance.runs else "."),
        evidence=f"{instance.uuid}: {fault or 'Nova tells no fault'}; power state"
        f" {'running' if instance.runs else 'not running'}{_last(facts, instance)}",
        why="Nova moves only what is ACTIVE or PAUSED. After an aborted migration, or one whose destination died, it"
        " often leaves the instance in ERROR while the guest runs unharmed.",
        remedy=f"`hotfoot repair-state {instance.uuid}` looks where the guest runs, and sets the state right where that"
        " is safe.",
    )


def _last(facts: CloudFacts, instance: InstanceFact) -> str:
    ended = [each for each in facts.migrations if each.instance == instance.uuid and not each.unfinished]
    if not ended:
        return ""
    last = max(ended, key=lambda each: each.id)
    return f"; its last migration: {last.words}, {stamp(last.updated_at)}"
