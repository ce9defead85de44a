"""Which instances of dead hosts are to be started, from what is kept and what the living hosts say."""

from __future__ import annotations

import pytest
from tests.evacuation.definitions import kept, uuid_of

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.evacuation.candidates import candidates, check_silence
from hotfoot.inventory import Host, Instance, InstanceState, Inventory


def host(name: str, problem: str | None = None) -> Host:
    return Host(name=name, address=name, problem=problem)


def there(name: str, on: str, state: InstanceState = InstanceState.RUNNING) -> Instance:
    return Instance(uuid=uuid_of(name), name=name, host=on, state=state, persistent=True, vcpus=1, memory_bytes=1 << 30)


DEAD_N1 = (host("n1", "n1 does not answer."), host("n2"), host("n3"))


def test_what_ran_on_the_dead_host_is_started_and_what_was_off_is_named() -> None:
    found = candidates([kept("a"), kept("b", running=False), kept("c", "n2")], Inventory(DEAD_N1, ()), {"n1"})
    assert [(one.name, one.host) for one in found.start] == [("a", "n1")]
    assert [one.name for one in found.off] == ["b"]
    assert found.nowhere == {"c": "n2"}


def test_what_runs_elsewhere_is_not_started_again() -> None:
    found = candidates([kept("a")], Inventory(DEAD_N1, (there("a", "n3"),)), {"n1"})
    assert (found.start, found.running) == ((), {"a": "n3"})


def test_an_old_definition_elsewhere_is_no_reason_not_to_start() -> None:
    found = candidates([kept("a")], Inventory(DEAD_N1, (there("a", "n3", InstanceState.SHUT_OFF),)), {"n1"})
    assert [one.name for one in found.start] == ["a"]


def test_a_half_of_a_migration_elsewhere_and_a_transient_one_are_left() -> None:
    half = there("a", "n2", InstanceState.IN_TRANSIT)
    found = candidates([kept("a"), kept("b", persistent=False)], Inventory(DEAD_N1, (half,)), {"n1"})
    assert found.start == ()
    assert {*found.left} == {uuid_of("a"), uuid_of("b")}
    assert "n2 has a in transit" in found.left[uuid_of("a")]


def test_a_host_that_answers_is_not_evacuated() -> None:
    with pytest.raises(HotfootError, match="`hotfoot drain n1`") as refused:
        check_silence(Inventory((host("n1"), host("n2")), ()), {"n1"})
    assert refused.value.status is ExitStatus.REFUSED


def test_another_silent_host_is_named_and_nothing_is_evacuated() -> None:
    silent = Inventory((*DEAD_N1[:2], host("n3", "n3 does not answer.")), ())
    with pytest.raises(HotfootError, match="hotfoot evacuate n1 n3"):
        check_silence(silent, {"n1"})
    check_silence(silent, {"n1", "n3"})
