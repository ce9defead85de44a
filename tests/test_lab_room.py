"""Whether a machine has room for a lab's hosts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hotfoot.lab import room
from hotfoot.lab.spec import MOST_HOSTS


def test_more_hosts_than_have_room_are_refused_with_how_many_have_and_what_makes_room() -> None:
    assert room.shortage(128, 10, 29) is None
    said = room.shortage(128, 10, 30)
    assert said is not None
    assert "allows root 128 inotify instances, of which 10 are in use" in said
    assert "room for 29 more hosts, not 30" in said
    assert "sysctl fs.inotify.max_user_instances=1024" in said
    assert "--light" in said


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.integers(1, MOST_HOSTS))
def test_what_is_said_to_make_room_does(limit: int, held: int, hosts: int) -> None:
    said = room.shortage(limit, held, hosts)
    if said is not None:
        enough = int(said.partition("max_user_instances=")[2].partition("`")[0])
        assert room.shortage(enough, held, hosts) is None


def test_the_inotify_instances_of_this_machine_can_be_counted() -> None:
    """One host more than the kernel could ever allow has no room; the sentence is about this machine."""
    said = room.obstacle(2**31)
    assert said is not None
    assert "inotify instances" in said
