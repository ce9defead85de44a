"""Where the instance is afterwards, and what is concluded from it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from hotfoot.cloud.protocol import MoveEnded
from hotfoot.errors import ExitStatus
from hotfoot.inventory import InstanceState
from hotfoot.migration.options import MigrationOptions, Mode, Order
from hotfoot.migration.proof import Place, PostCopy, Proof, Sighting, judge, left_at_home
from hotfoot.migration.result import MigrationResult, Outcome
from hotfoot.migration.run import conclude

RUNNING, OFF, TRANSIT = InstanceState.RUNNING, InstanceState.SHUT_OFF, InstanceState.IN_TRANSIT
ORDER = Order(
    uuid="u", name="web1", source="n1", destination="n2", mode=Mode.LIVE, persistent=True,
    options=MigrationOptions(),
)  # fmt: skip


def _at(host: str, state: InstanceState | None, *, persistent: bool = True) -> Sighting:
    return Sighting(host=host, state=state, persistent=persistent)


def test_running_on_the_destination_and_only_there() -> None:
    proof = judge(ORDER, [_at("n1", None), _at("n2", RUNNING), _at("n3", None)], RUNNING)
    assert proof == Proof(Place.DESTINATION, host="n2")


def test_whatever_is_left_behind_is_said() -> None:
    proof = judge(ORDER, [_at("n1", OFF), _at("n2", RUNNING, persistent=False)], RUNNING)
    assert proof.place is Place.DESTINATION
    assert "not persistent on n2" in proof.remarks[0]
    assert "A definition (shut off) is left on n1" in proof.remarks[1]
    half = judge(ORDER, [_at("n1", RUNNING), _at("n2", TRANSIT)], RUNNING)
    assert half.place is Place.SOURCE
    assert "A half of the migration is left on n2" in half.remarks[0]


def test_a_paused_instance_that_stays_paused_is_alive() -> None:
    paused = InstanceState.PAUSED
    assert judge(ORDER, [_at("n1", None), _at("n2", paused)], paused) == Proof(Place.DESTINATION, host="n2")


def test_an_instance_in_post_copy_is_proven_nowhere_until_its_memory_is_whole() -> None:
    split = Sighting(host="n2", state=RUNNING, persistent=True, post_copy=PostCopy.UNDER_WAY)
    half = Sighting(host="n1", state=TRANSIT, persistent=True, post_copy=PostCopy.BROKEN)
    for sightings in ([half, split], [_at("n1", None), split], [Sighting(host="n1", problem="Cut."), split]):
        assert judge(ORDER, sightings, RUNNING).place is Place.UNCLEAR
    words = judge(ORDER, [half, split], RUNNING).remarks[0]
    assert "n1 has it paused (post-copy failed); n2 has it running (post-copy)" in words
    assert judge(ORDER, [half, _at("n2", RUNNING)], RUNNING).place is Place.DESTINATION


def test_a_silent_host_is_never_taken_for_empty() -> None:
    silent = Sighting(host="n1", problem="It is dead.")
    assert "n1 is not known: It is dead." in judge(ORDER, [silent, _at("n2", RUNNING)], RUNNING).remarks[0]
    nowhere = judge(ORDER, [silent, _at("n2", None)], RUNNING)
    assert nowhere.place is Place.UNCLEAR
    assert "n1 does not answer" in nowhere.remarks[0]


def test_what_the_source_kept_may_go_only_when_the_instance_lives_and_is_defined_elsewhere() -> None:
    def may_go(here: Sighting, there: Sighting, order: Order = ORDER) -> bool:
        return left_at_home(order, judge(order, [here, there], RUNNING), [here, there])

    assert may_go(_at("n1", OFF), _at("n2", RUNNING))
    assert not may_go(_at("n1", OFF), _at("n2", RUNNING, persistent=False))
    assert not may_go(_at("n1", RUNNING), _at("n2", OFF))
    assert not may_go(_at("n1", TRANSIT), _at("n2", RUNNING))
    assert not may_go(_at("n1", OFF), _at("n2", None))
    assert not may_go(_at("n1", None), _at("n2", RUNNING))
    assert not may_go(_at("n1", OFF, persistent=False), _at("n2", RUNNING))
    assert not may_go(Sighting(host="n1", problem="It is dead."), _at("n2", RUNNING))
    assert not may_go(_at("n1", OFF), _at("n2", RUNNING), replace(ORDER, persistent=False))


states = st.sampled_from([None, RUNNING, InstanceState.PAUSED, OFF, TRANSIT, InstanceState.CRASHED])


@given(states, states, states)
def test_a_place_is_said_only_when_one_host_alone_has_it_alive(
    one: InstanceState | None, two: InstanceState | None, three: InstanceState | None
) -> None:
    sightings = [_at("n1", one), _at("n2", two), _at("n3", three)]
    place = judge(ORDER, sightings, RUNNING).place
    alive = {seen.host for seen in sightings if seen.state in (RUNNING, InstanceState.PAUSED)}
    assert (place is Place.DESTINATION) == (alive == {"n2"})
    assert (place is Place.SOURCE) == (alive == {"n1"})


def test_the_proof_decides_not_what_the_call_returned() -> None:
    failed, stopped = MoveEnded("It broke."), MoveEnded("x", aborted=True)

    def end(ended: MoveEnded | None, place: Place, *, asked: bool = False) -> tuple[Outcome, ExitStatus]:
        return conclude(ORDER, ended, Proof(place), asked_to_stop=asked)[:2]

    assert end(None, Place.DESTINATION) == (Outcome.COMPLETED, ExitStatus.COMPLETED)
    assert end(failed, Place.DESTINATION) == (Outcome.COMPLETED, ExitStatus.COMPLETED)
    assert end(failed, Place.SOURCE) == (Outcome.FAILED, ExitStatus.FAILED_ON_SOURCE)
    assert end(None, Place.SOURCE) == (Outcome.FAILED, ExitStatus.FAILED_ON_SOURCE)
    assert end(stopped, Place.SOURCE, asked=True) == (Outcome.ABORTED, ExitStatus.ABORTED)
    # Stopped while libvirt was still setting it up, it ends with an error that does not speak of stopping.
    assert end(failed, Place.SOURCE, asked=True) == (Outcome.ABORTED, ExitStatus.ABORTED)
    assert end(failed, Place.DESTINATION, asked=True) == (Outcome.COMPLETED, ExitStatus.COMPLETED)
    for ended in (None, failed, stopped):
        assert end(ended, Place.UNCLEAR) == (Outcome.FAILED, ExitStatus.UNKNOWN_STATE)


def test_the_object_always_has_all_keys() -> None:
    result = MigrationResult(instance="a", outcome=Outcome.FAILED, status=ExitStatus.REFUSED, reason="No.")
    assert list(result.as_json()) == [
        "instance", "uuid", "source", "destination", "mode", "outcome", "reason", "total_ms", "downtime_ms",
        "outage_ms", "probes_sent", "probes_lost", "memory_bytes", "transferred_bytes", "iterations",
        "throughput_bytes_per_s", "forecast", "policy", "actions", "attached", "id",
    ]  # fmt: skip
