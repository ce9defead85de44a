"""Instances and migrations that Nova has left half-way."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.readiness.clouds import ago, migration, sound, uuid, with_instance

from hotfoot.readiness.cloud_facts import UNFINISHED, CloudFacts, in_words
from hotfoot.readiness.cloud_judge import judge_cloud, suspects
from hotfoot.readiness.finding import Finding, Severity

MOVING = {"task_state": "migrating", "status": "MIGRATING"}


def only(facts: CloudFacts) -> Finding:
    (found,) = judge_cloud(facts)
    return found


def test_an_instance_in_error_is_told_with_its_fault_and_its_last_migration() -> None:
    facts = with_instance(sound(), 1, status="ERROR", vm_state="error", fault="Aborted by the user.")
    facts = replace(facts, migrations=(migration("completed", id=3), migration("error", id=9)))
    found = only(facts)
    assert (found.code, found.host) == ("cloud_instances.error", "n1")
    assert "though its guest runs" in found.what
    assert "Aborted by the user; power state running; its last migration: live-migration 9" in found.evidence
    assert suspects(facts) == {uuid(1)}


def test_one_that_never_started_is_advice_and_on_no_host() -> None:
    facts = with_instance(sound(instances=1), 1, status="ERROR", vm_state="error", host="", runs=False)
    facts = replace(facts, allocations=())
    found = only(facts)
    assert (found.code, found.severity, found.host) == ("cloud_instances.never-started", Severity.ADVICE, "")


def test_migrating_without_a_migration_is_left_moving_but_not_at_once() -> None:
    fresh = with_instance(sound(), 1, updated_at=ago(seconds=30), **MOVING)
    assert judge_cloud(fresh) == ()
    old = with_instance(sound(), 1, updated_at=ago(minutes=40), **MOVING)
    found = only(old)
    assert (found.code, found.severity) == ("cloud_instances.left-moving", Severity.DANGEROUS)
    assert found.what == "Nova shows web1 as migrating for 40 min, and no migration of it goes on."
    assert judge_cloud(replace(old, migrations=(migration("running"),))) == ()


def test_another_task_is_given_an_hour() -> None:
    assert judge_cloud(with_instance(sound(), 1, task_state="image_uploading", updated_at=ago(minutes=50))) == ()
    found = only(with_instance(sound(), 1, task_state="image_uploading", updated_at=ago(hours=3)))
    assert found.code == "cloud_instances.old-task"


def test_a_migration_that_is_not_renewed_is_stuck_and_its_age_is_told() -> None:
    facts = with_instance(sound(), 1, updated_at=ago(hours=5), **MOVING)
    assert judge_cloud(replace(facts, migrations=(migration("running", updated_at=ago(minutes=5)),))) == ()
    found = only(replace(facts, migrations=(migration("running", updated_at=ago(hours=4)),)))
    assert (found.code, found.host) == ("cloud_instances.stuck-migration", "n1")
    assert found.what == "A migration of web1 has not gone on for 4 h."


def test_one_that_waits_its_turn_is_not_stuck() -> None:
    waits = migration("queued", number=1, updated_at=ago(hours=2))
    turn = migration("running", number=2, id=6)
    facts = with_instance(sound(), 1, **MOVING)
    assert judge_cloud(replace(facts, migrations=(waits, turn))) == ()
    assert only(replace(facts, migrations=(waits,))).code == "cloud_instances.stuck-migration"


def test_a_cold_migration_that_waits_to_be_confirmed_is_advice_after_a_day() -> None:
    waits = migration("finished", kind="migration", updated_at=ago(hours=20))
    facts = with_instance(sound(), 1, status="VERIFY_RESIZE", vm_state="resized", host="n2")
    assert judge_cloud(replace(facts, migrations=(waits,))) == ()
    found = only(replace(facts, migrations=(replace(waits, updated_at=ago(days=3)),)))
    assert (found.code, found.severity, found.host) == ("cloud_instances.unconfirmed", Severity.ADVICE, "n2")
    assert found.what == "web1 has waited 3 days to be confirmed on n2."


@given(st.sampled_from(UNFINISHED), st.integers(0, 400_000))
def test_one_migration_is_never_told_twice_and_none_of_a_moment_ago(status: str, age_s: int) -> None:
    facts = with_instance(sound(), 1, updated_at=ago(hours=50), **MOVING)
    found = judge_cloud(replace(facts, migrations=(migration(status, updated_at=ago(seconds=age_s)),)))
    assert len(found) <= (age_s >= 600)


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (timedelta(seconds=59), "59 s"),
        (timedelta(minutes=119), "119 min"),
        (timedelta(hours=47), "47 h"),
        (timedelta(days=2), "2 days"),
    ],
)
def test_ages_in_words(age: timedelta, words: str) -> None:
    assert in_words(age) == words
