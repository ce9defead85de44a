"""Which definitions of a host that is back are old, and may go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.evacuation.definitions import uuid_of

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.evacuation.old import old_in
from hotfoot.inventory import Host, Instance, InstanceState, Inventory

OFF, ON = InstanceState.SHUT_OFF, InstanceState.RUNNING


def seen(**states: InstanceState) -> Inventory:
    """One instance as each host has it."""
    return Inventory(
        hosts=tuple(Host(name=name, address=name) for name in states),
        instances=tuple(
            Instance(uuid=uuid_of("a"), name="a", host=name, state=state, persistent=True, vcpus=1, memory_bytes=1)
            for name, state in states.items()
        ),
    )


def test_a_definition_is_old_when_another_host_runs_the_instance() -> None:
    (old,) = old_in(seen(n1=OFF, n2=ON), {"n1"}, {uuid_of("a")})
    assert (old.name, old.host, old.lives_on) == ("a", "n1", "n2")
    assert old_in(seen(n1=OFF, n2=ON), {"n1"}, {uuid_of("b")}) == ()
    assert old_in(seen(n1=OFF, n2=ON), {"n2"}, {uuid_of("a")}) == ()


def test_an_instance_on_two_hosts_is_an_alarm() -> None:
    with pytest.raises(HotfootError, match="active on n1 and on n2") as alarm:
        old_in(seen(n1=ON, n2=ON), {"n1"}, {uuid_of("a")})
    assert alarm.value.status is ExitStatus.UNKNOWN_STATE


@given(st.fixed_dictionaries({name: st.sampled_from(InstanceState) for name in ("n1", "n2", "n3")}))
def test_nothing_is_old_that_does_not_run_on_exactly_one_other_host(states: dict[str, InstanceState]) -> None:
    try:
        found = old_in(seen(**states), {"n1"}, {uuid_of("a")})
    except HotfootError:
        assert states["n1"] is not OFF
        return
    for old in found:
        assert states[old.host] is OFF
        assert [
            name for name in ("n2", "n3") if states[name] not in (OFF, InstanceState.CRASHED, InstanceState.UNKNOWN)
        ] == [old.lives_on]
