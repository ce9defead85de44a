"""Two Hotfoots do not fight over an instance, and a dead one's claim ends."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.journal.cloud_double import INSTANCE, CloudDouble
from tests.journal.records import DEAD, STRANGER

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.journal import claims
from hotfoot.journal.claim import Claim, from_xml, to_xml
from hotfoot.journal.living import lives, myself
from hotfoot.journal.owner import Owner

ME = myself()
OTHER_HERE = replace(ME, pid=1, start=1)
TEXT = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cn", "Co"]), min_size=1, max_size=20)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "RENEW_S", 0.02)
    monkeypatch.setattr(claims, "STRANGER_S", 0.2)


@given(TEXT, TEXT, st.integers(1, 2**31), st.integers(0, 2**60))
def test_a_claim_is_read_as_it_was_written(user: str, host: str, pid: int, start: int) -> None:
    claim = Claim(owner=Owner(user=user, host=host, boot="b 1", pid=pid, start=start), since_ms=17, count=3)
    assert from_xml(to_xml(claim)) == claim


@pytest.mark.parametrize("text", [None, "", "<claim/>", "<claim user='x'", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"])
def test_what_no_hotfoot_wrote_is_no_claim(text: str | None) -> None:
    assert from_xml(text) is None


def test_this_process_lives_and_a_gone_one_does_not() -> None:
    assert lives(ME) is True
    assert lives(DEAD) is False
    assert lives(replace(ME, start=ME.start + 1)) is False
    assert lives(STRANGER) is None


async def test_a_claim_is_taken_and_given_back() -> None:
    double = CloudDouble()
    held = await claims.take(double.cloud, INSTANCE, ME, 1_000)
    found = from_xml(double.text)
    assert found is not None
    assert found.owner == ME
    await held.give_back("n2")
    assert double.text is None


async def test_an_owner_renews_its_claim_until_the_move_begins() -> None:
    double = CloudDouble()
    held = await claims.take(double.cloud, INSTANCE, ME, 1_000)
    await double.until_written(3)
    counts = [claim.count for claim in map(from_xml, double.written) if claim]
    assert counts == sorted({*counts})
    await held.rest()
    written = len(double.written)
    await asyncio.sleep(0.1)
    assert len(double.written) == written


async def test_the_second_is_refused_with_the_name_of_the_first() -> None:
    living = replace(ME, user="ann", host="ctl1")
    double = CloudDouble(text=to_xml(Claim(owner=living, since_ms=0)))
    with pytest.raises(HotfootError) as caught:
        await claims.take(double.cloud, INSTANCE, OTHER_HERE, 1_000)
    assert caught.value.status is ExitStatus.REFUSED
    assert f"ann@ctl1 (pid {ME.pid}) since 1970-01-01 00:00:00 UTC" in str(caught.value)
    assert double.written == []


async def test_the_claim_of_a_dead_process_of_this_machine_ends() -> None:
    double = CloudDouble(text=to_xml(Claim(owner=DEAD, since_ms=0)))
    await (await claims.take(double.cloud, INSTANCE, ME, 1_000)).rest()
    found = from_xml(double.text)
    assert found is not None
    assert found.owner == ME


async def test_the_claim_of_another_machine_ends_when_nobody_renews_it() -> None:
    double = CloudDouble(text=to_xml(Claim(owner=STRANGER, since_ms=0)))
    assert await claims.claimed_by(double.cloud, INSTANCE) is None


async def test_the_claim_of_another_machine_holds_while_its_migration_is_under_way() -> None:
    double = CloudDouble(text=to_xml(Claim(owner=STRANGER, since_ms=0)), samples_left=1)
    found = await claims.claimed_by(double.cloud, INSTANCE)
    assert found is not None
    assert found.owner == STRANGER


async def test_the_claim_of_another_machine_holds_while_it_is_renewed() -> None:
    claim = Claim(owner=STRANGER, since_ms=0)
    double = CloudDouble(text=to_xml(claim))
    looking = asyncio.create_task(claims.claimed_by(double.cloud, INSTANCE))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    double.text = to_xml(claim.renewed())
    assert await looking == claim


async def test_of_two_that_claim_at_the_same_time_one_goes_on() -> None:
    double = CloudDouble()
    both = await asyncio.gather(
        claims.take(double.cloud, INSTANCE, ME, 1_000),
        claims.take(double.cloud, INSTANCE, replace(ME, user="ann"), 1_000),
        return_exceptions=True,
    )
    refused = [each for each in both if isinstance(each, HotfootError)]
    held = [each for each in both if isinstance(each, claims.Held)]
    assert (len(refused), len(held)) == (1, 1)
    await held[0].give_back()


async def test_a_claim_of_somebody_else_is_not_taken_away() -> None:
    double = CloudDouble(text=to_xml(Claim(owner=STRANGER, since_ms=0)))
    await claims.clear(double.cloud, INSTANCE.uuid, ME, "n1")
    assert from_xml(double.text) is not None
