"""What the two sides of a broken post-copy say, what is concluded from it, and what may be done."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfoot.inventory import InstanceState
from hotfoot.migration.proof import PostCopy, Sighting
from hotfoot.migration.recovery import LOST, MAY_COME_BACK, Situation, assess
from hotfoot.migration.resume import EXPERIENCES, Experience, Resume, judge_resume, offers

RUNNING, OFF, TRANSIT = InstanceState.RUNNING, InstanceState.SHUT_OFF, InstanceState.IN_TRANSIT
UNDER_WAY, BROKEN = PostCopy.UNDER_WAY, PostCopy.BROKEN
ENDS = ("n1", "n2")


def has(host: str, state: InstanceState | None, post_copy: PostCopy | None = None) -> Sighting:
    return Sighting(host=host, state=state, post_copy=post_copy, persistent=state is not None)


def silent(host: str) -> Sighting:
    return Sighting(host=host, problem="Its link is cut.")


def test_post_copy_that_goes_on_needs_nothing() -> None:
    found = assess("vm1", [has("n1", TRANSIT, UNDER_WAY), has("n2", RUNNING, UNDER_WAY), has("n3", None)])
    assert found.situation is Situation.UNDER_WAY
    assert (found.source, found.destination) == ENDS
    assert "nothing is to be done" in found.meaning


def test_what_libvirt_gave_up_is_told_for_each_side_and_may_come_back() -> None:
    found = assess("vm1", [has("n1", TRANSIT, BROKEN), has("n2", RUNNING, UNDER_WAY)])
    assert found.situation is Situation.BROKEN
    assert found.sides[0].startswith("n1, the source, is paused (post-copy failed)")
    assert found.sides[1].startswith("n2, the destination, is running (post-copy)")
    assert "never resume it on n1" in found.meaning
    assert "comes back by itself" in found.meaning
    assert found.lost is None


def test_a_destination_that_has_not_heard_of_its_start_yet_is_a_half_too() -> None:
    """After a cut of 60 s right at the switch: it came through by itself 49 s after the link did."""
    found = assess("vm1", [has("n1", TRANSIT, BROKEN), has("n2", TRANSIT)])
    assert (found.situation, found.source, found.destination) == (Situation.BROKEN, "n1", "n2")
    assert "paused (migrating)" in found.sides[1]


def test_a_stream_that_broke_at_the_destination_waits_for_a_resume() -> None:
    found = assess("vm1", [has("n1", TRANSIT, BROKEN), has("n2", RUNNING, BROKEN)])
    assert found.situation is Situation.BROKEN
    assert "does not come back by itself" in found.meaning
    assert found.next_step is not None
    assert (
        "`virsh destroy vm1` on n1 and n2, `virsh undefine vm1` on n1, then `virsh start vm1` on n2" in found.next_step
    )


def test_a_silent_side_is_never_taken_for_empty() -> None:
    source = assess("vm1", [silent("n1"), has("n2", RUNNING, UNDER_WAY), has("n3", None)])
    assert (source.situation, source.source) == (Situation.SOURCE_SILENT, "n1")
    assert "do not switch it off" in (source.next_step or "")
    destination = assess("vm1", [has("n1", TRANSIT, BROKEN), silent("n2"), has("n3", None)])
    assert (destination.situation, destination.destination) == (Situation.DESTINATION_SILENT, "n2")
    assert "n2 may run the guest" in destination.meaning


def test_of_several_silent_hosts_the_journal_knows_the_one() -> None:
    sightings = [silent("n1"), has("n2", RUNNING, UNDER_WAY), silent("n3")]
    assert assess("vm1", sightings).source is None
    found = assess("vm1", sightings, ("n3", "n2"))
    assert (found.situation, found.source) == (Situation.SOURCE_SILENT, "n3")
    assert "n1 does not answer" in " ".join(found.sides)


def test_what_is_remembered_of_another_migration_is_not_believed() -> None:
    found = assess("vm1", [has("n1", TRANSIT, BROKEN), has("n2", RUNNING, UNDER_WAY)], ("n2", "n1"))
    assert (found.source, found.destination) == ENDS


def test_whether_it_was_given_away_may_not_be_known() -> None:
    found = assess("vm1", [silent("n1"), has("n2", TRANSIT)], ENDS)
    assert found.situation is Situation.SOURCE_SILENT
    assert "Whether vm1 still is on n1 or was given to n2 is not known" in found.meaning


@pytest.mark.parametrize("state", [None, OFF])
def test_a_source_that_lost_its_half_is_told_with_what_is_lost(state: InstanceState | None) -> None:
    found = assess("vm1", [has("n1", state), has("n2", RUNNING, BROKEN)], ENDS)
    assert found.situation is Situation.SOURCE_LOST
    assert "n2 lacks the memory that it had not fetched from n1" in found.meaning
    assert found.lost is not None
    assert "Not lost: its disks" in found.lost
    assert "`virsh destroy vm1` on n2" in (found.next_step or "")


def test_what_is_left_on_the_source_is_not_resumed_when_the_destination_is_gone() -> None:
    found = assess("vm1", [has("n1", TRANSIT, BROKEN), has("n2", None)], ENDS)
    assert found.situation is Situation.DESTINATION_LOST
    assert "Never resume it there" in found.meaning
    assert found.next_step == (
        "`virsh destroy vm1` on n1, then `virsh start vm1` on n1 (on OpenStack a hard reboot): it boots anew."
    )


def test_one_host_that_has_it_with_all_its_memory_is_enough() -> None:
    found = assess("vm1", [has("n1", TRANSIT, BROKEN), has("n2", RUNNING)], ENDS)
    assert found.situation is Situation.WHOLE
    assert "half of a migration is still on n1" in found.sides[1]
    before = assess("vm1", [has("n1", RUNNING), has("n2", TRANSIT)], ENDS)
    assert (before.situation, before.sides[0]) == (Situation.WHOLE, "vm1 is running on n1, with all its memory.")


def test_without_a_half_there_is_nothing_to_recover() -> None:
    found = assess("vm1", [has("n1", OFF), silent("n2")], ENDS)
    assert found.situation is Situation.UNCLEAR
    assert found.sides == ("n1 has vm1 shut off.", "n2 does not answer: Its link is cut.")


states = st.one_of(
    st.builds(silent, st.just("")),
    st.builds(has, st.just(""), st.sampled_from([None, RUNNING, OFF, TRANSIT, InstanceState.PAUSED])),
    st.builds(has, st.just(""), st.sampled_from([RUNNING, TRANSIT]), st.sampled_from([UNDER_WAY, BROKEN])),
)


@given(states, states, states, st.sampled_from([None, ENDS, ("n2", "n1"), ("n1", "n3")]))
def test_the_promises_of_every_assessment(
    one: Sighting, two: Sighting, three: Sighting, ends: tuple[str, str] | None
) -> None:
    sightings = [
        Sighting(
            host=f"n{number}", **{key: getattr(each, key) for key in ("problem", "state", "persistent", "post_copy")}
        )
        for number, each in enumerate((one, two, three), 1)
    ]
    found = assess("vm1", sightings, ends)
    alive = [each.host for each in sightings if each.alive]
    assert (found.situation is Situation.WHOLE) == (len(alive) == 1)
    assert found.in_words
    assert not any("None" in sentence for sentence in found.in_words)
    assert "virsh resume" not in " ".join(found.in_words)
    by_host = {each.host: each for each in sightings}
    if found.situation is Situation.SOURCE_LOST and found.source:
        assert by_host[found.source].problem is None
    if found.situation is Situation.DESTINATION_LOST and found.destination:
        assert by_host[found.destination].problem is None
    if found.situation in LOST and not (found.source and found.destination):
        assert not any(each.problem for each in sightings)
    if found.situation in MAY_COME_BACK:
        assert any(each.half for each in sightings)
        assert found.lost is None


def test_a_version_that_crashed_is_never_resumed() -> None:
    verdict = judge_resume({"n1": (12, 5, 0), "n2": (11, 3, 0)})
    assert verdict.did is Resume.CRASHES
    assert "libvirt 11.3.0 on n2" in verdict.why
    assert not verdict.allowed(anyway=True)


def test_a_version_without_the_flag_cannot_resume() -> None:
    assert judge_resume({"n1": (8, 0, 0), "n2": (8, 0, 0)}).did is Resume.UNABLE
    assert judge_resume({"n1": (9, 0, 0), "n2": (8, 9, 0)}).did is Resume.UNABLE


def test_an_unknown_version_takes_the_operator_s_word() -> None:
    verdict = judge_resume({"n1": (12, 5, 0), "n2": (12, 5, 0)})
    assert verdict.did is Resume.UNKNOWN
    assert verdict.allowed(anyway=True)
    assert not verdict.allowed(anyway=False)


def test_without_a_version_nothing_is_known() -> None:
    assert judge_resume({}).did is Resume.UNKNOWN


def test_a_version_that_was_seen_to_survive_needs_no_word() -> None:
    seen = Experience(first=(12, 0, 0), last=(12, 9, 999), did=Resume.SURVIVES, source="seen here")
    verdict = judge_resume({"n1": (12, 5, 0), "n2": (12, 6, 0)}, (seen,))
    assert verdict.allowed(anyway=False)
    assert judge_resume({"n1": (12, 5, 0), "n2": (13, 0, 0)}, (seen,)).did is Resume.UNKNOWN


def test_no_version_has_two_experiences() -> None:
    assert all(one.first <= one.last < two.first for one, two in pairwise(EXPERIENCES))


def test_what_is_offered_names_the_risk() -> None:
    broken = assess("vm1", [has("n1", TRANSIT, BROKEN), has("n2", RUNNING, UNDER_WAY)])
    crashing = dict(offers(broken, judge_resume({"n1": (11, 3, 0), "n2": (11, 3, 0)})))
    assert crashing["wait"].startswith("`hotfoot recover vm1` waits")
    assert crashing["pause"].startswith("No: ")
    assert crashing["resume"].startswith("No: libvirt 11.3.0 on n1")
    unknown = dict(offers(broken, judge_resume({"n1": (12, 5, 0), "n2": (12, 5, 0)})))
    assert "may end QEMU, and the instance with it" in unknown["resume"]
    assert unknown["pause"].startswith("`--pause`")
    lost = assess("vm1", [has("n1", None), has("n2", RUNNING, BROKEN)], ENDS)
    assert offers(lost, judge_resume({"n2": (12, 5, 0)})) == ()
