from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cloud.nova_words import in_progress, record, server

from hotfoot.cloud.nova_migration import (
    ENDS,
    THE_API,
    Belongings,
    Look,
    Stage,
    attached,
    destination_of,
    differences,
    job_sample,
    own_record,
    stage,
    together,
    why_no_repair,
)
from hotfoot.inventory import InstanceState
from hotfoot.migration.proof import PostCopy, Sighting
from hotfoot.migration.result import Attached
from hotfoot.migration.sample import Phase

RUNNING = InstanceState.RUNNING


@pytest.mark.parametrize(
    ("said", "migration", "expected"),
    [
        (server(status="MIGRATING", task="migrating"), None, Stage.ACCEPTED),
        (server(), None, Stage.DROPPED),
        (server(task="migrating"), record("accepted", dest_compute=None), Stage.UNDER_WAY),
        (server(task="migrating"), record("queued"), Stage.UNDER_WAY),
        (server(task="migrating"), record("running"), Stage.UNDER_WAY),
        (server(task="migrating"), record("completed"), Stage.SETTLING),
        (server(host="n2"), record("completed"), Stage.MOVED),
        (server(), record("error"), Stage.FAILED),
        (server(status="ERROR"), record("error"), Stage.FAILED),
        (server(), record("cancelled"), Stage.CANCELLED),
        (server(status="VERIFY_RESIZE", host="n2"), record("finished"), Stage.TO_CONFIRM),
        (server(status="RESIZE", host="n2", task="resize_finish"), record("post-migrating"), Stage.UNDER_WAY),
        (server(host="n2"), record("confirmed"), Stage.MOVED),
        (server(), record("reverted"), Stage.FAILED),
        (None, record("running"), Stage.DELETED),
    ],
)
def test_how_far_a_move_is(
    said: dict[str, object] | None, migration: dict[str, object] | None, expected: Stage
) -> None:
    assert stage(said, migration) is expected


@given(
    status=st.sampled_from(["accepted", "queued", "preparing", "running", "post-migrating", "migrating", "new word"]),
    task=st.sampled_from([None, "migrating"]),
)
def test_a_migration_that_has_not_ended_is_never_taken_for_one_that_has(status: str, task: str | None) -> None:
    assert stage(server(task=task), record(status)) not in ENDS


def test_the_own_record_is_the_newest_that_was_not_there_before() -> None:
    records = [record("completed", id=3), record("running", id=9), record("error", id=8)]
    assert own_record(records, {3}) == records[1]
    assert own_record(records, {3, 8, 9}) is None
    assert destination_of(record("accepted", dest_compute=None)) is None


def test_the_bytes_of_a_migration_and_what_it_does() -> None:
    seen = job_sample(in_progress(), 5.0)
    assert (seen.phase, seen.memory_processed_bytes, seen.elapsed_ms) == (Phase.COPYING_MEMORY, 34_000_000, 12_500)
    assert job_sample(in_progress(), 5.0, elapsed_ms=99).elapsed_ms == 99
    block = in_progress(memory_processed_bytes=0, disk_total_bytes=9, disk_remaining_bytes=4)
    assert job_sample(block, 5.0).phase is Phase.COPYING_DISKS
    assert job_sample(record("queued"), 5.0).phase is Phase.PREPARING
    assert job_sample(in_progress(memory_total_bytes=None), 5.0).phase is Phase.PREPARING
    assert job_sample(in_progress("post-migrating"), 5.0).phase is Phase.FINISHING


def test_what_became_of_volumes_and_ports() -> None:
    port = {"port_id": "p1", "port_state": "ACTIVE", "fixed_ips": [{"ip_address": "10.0.0.5"}]}
    volume = {"volumeId": "v1", "device": "/dev/vdb"}
    before = Belongings.of([volume], [port])
    assert differences(before, Belongings.of([volume], [port])) == ()
    after = Belongings.of([], [{**port, "port_state": "DOWN"}, {"port_id": "p2", "port_state": "ACTIVE"}])
    assert differences(before, after) == (
        "Volume v1 is not attached any more.",
        "Port p2 is new.",
        "Port p1 was ACTIVE, and is DOWN now.",
    )
    assert attached(before, after) == (
        Attached(kind="volume", id="v1", before="/dev/vdb", after=None),
        Attached(kind="port", id="p1", before="10.0.0.5 ACTIVE", after="10.0.0.5 DOWN"),
        Attached(kind="port", id="p2", before=None, after="no address ACTIVE"),
    )


def _remarks(seen: tuple[Sighting, ...]) -> str:
    return " ".join(one.remark for one in seen if one.remark)


def test_libvirt_on_a_host_stands_whatever_nova_says() -> None:
    at_n1 = Sighting(host="n1", state=RUNNING, persistent=True)
    nothing = Sighting(host="n2")
    seen = together([at_n1, nothing], server(status="ERROR"), Look.NOT_TOLD)
    assert [one.host for one in seen if one.alive] == ["n1"]
    assert "in ERROR, though it runs unharmed on n1: `hotfoot repair-state web1`" in _remarks(seen)
    at_n2 = Sighting(host="n2", state=RUNNING, persistent=True)
    elsewhere = together([Sighting(host="n1"), at_n2], server(task="migrating"), Look.NOT_TOLD)
    assert [one.host for one in elsewhere if one.alive] == ["n2"]
    assert "Nova takes web1 to be on n1" in _remarks(elsewhere)
    assert _remarks(together([at_n1, nothing], server(), Look.NOT_TOLD)) == ""


def test_half_a_migration_stays_one_whatever_nova_says() -> None:
    split = Sighting(host="n2", state=RUNNING, post_copy=PostCopy.UNDER_WAY)
    assert not any(one.alive for one in together([Sighting(host="n1"), split], server(host="n2"), Look.RUNNING))


def test_while_nova_moves_a_server_cold_it_is_nowhere_for_certain() -> None:
    at_n1 = Sighting(host="n1", state=RUNNING, persistent=True)
    for status in ("RESIZE", "REVERT_RESIZE"):
        (seen,) = together([at_n1], server(status=status, task="resize_migrating"), Look.RUNNING)
        assert (seen.alive, seen.problem) == (False, "Nova has not ended the cold migration of web1 yet.")


def test_without_libvirt_a_server_that_nova_is_not_sure_of_has_to_be_looked_at() -> None:
    def alive(said: dict[str, object], look: Look) -> list[str]:
        return [one.host for one in together([], said, look) if one.alive]

    assert alive(server(), Look.NOT_TOLD) == ["n1"]
    assert alive(server(), Look.NOT_RUNNING) == []
    assert alive(server(status="ERROR"), Look.NOT_TOLD) == []
    assert alive(server(task="migrating"), Look.NOT_TOLD) == []
    assert alive(server(status="ERROR"), Look.RUNNING) == ["n1"]
    assert alive(server(status="PAUSED", power=3), Look.NOT_RUNNING) == ["n1"]
    silent = Sighting(host="n1", problem="It does not answer.")
    assert [one.host for one in together([silent], server(), Look.RUNNING) if one.alive] == ["n1"]
    assert together([], None, Look.NOT_TOLD)[0].host == THE_API


def test_a_state_is_repaired_only_where_the_guest_is_seen_running_as_nova_has_it() -> None:
    wrong = server(status="ERROR")
    at_n1 = Sighting(host="n1", state=RUNNING, persistent=True)
    assert why_no_repair(wrong, [at_n1], []) is None
    assert why_no_repair(server(task="migrating"), [at_n1], []) is None
    for said, seen, migrations, why in [
        (server(), [at_n1], [], "nothing to repair"),
        (wrong, [at_n1], [in_progress()], "A migration of web1 to n2 is in progress"),
        (wrong, [Sighting(host="n1")], [], "Nobody sees web1 running"),
        (wrong, [Sighting(host="n1", problem="Cut.")], [], "n1: Cut)"),
        (wrong, [Sighting(host="n2", state=RUNNING)], [], "runs on n2, and Nova takes it to be on n1"),
        (server(), [Sighting(host="n2", state=RUNNING)], [], "runs on n2, and Nova takes it to be on n1"),
        (wrong, [at_n1, Sighting(host="n2", state=RUNNING)], [], "runs on n1 and n2"),
        (wrong, [Sighting(host="n1", state=InstanceState.PAUSED)], [], "paused on n1"),
    ]:
        assert why in (why_no_repair(said, seen, migrations) or "")
    assert why_no_repair(server(), [at_n1], [], leftovers=True) is None
    assert "runs on n2" in (why_no_repair(server(), [Sighting(host="n2", state=RUNNING)], [], leftovers=True) or "")


@given(
    status=st.sampled_from(["ACTIVE", "ERROR", "SHUTOFF"]),
    task=st.sampled_from([None, "migrating"]),
    hosts=st.lists(st.sampled_from(["n1", "n2", "n3"]), unique=True),
    state=st.sampled_from(list(InstanceState)),
    moving=st.booleans(),
)
def test_no_state_is_set_for_a_guest_that_is_not_seen_running_where_nova_has_it(
    status: str, task: str | None, hosts: list[str], state: InstanceState, moving: bool
) -> None:
    seen = [Sighting(host=host, state=state) for host in hosts]
    said = server(status=status, task=task)
    if why_no_repair(said, seen, [in_progress()] if moving else []) is None:
        assert (hosts, state, moving) == (["n1"], RUNNING, False)
