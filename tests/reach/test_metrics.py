"""What a Prometheus server answers, and what is understood; the answers are those of a real one (2.42)."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.reach.prometheus_double import BAD_QUERY, QUERY, VECTOR, prometheus_double

from hotfoot.errors import HotfootError
from hotfoot.reach.metrics import asked, samples

SCALAR = '{"status":"success","data":{"resultType":"scalar","result":[1795296065.561,"1"]}}'
NOTHING = '{"status":"success","data":{"resultType":"vector","result":[]}}'


def test_each_instance_has_the_sum_of_its_samples_and_what_is_no_amount_does_not_count() -> None:
    assert samples(json.loads(VECTOR), "domain") == pytest.approx({"vm1": 0.55808929575, "vm2": 0.56200992175})
    assert samples(json.loads(NOTHING), "domain") == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (BAD_QUERY, "missing unit character in duration"),
        (SCALAR, "the query gives a scalar, and not a vector"),
        (VECTOR, "no sample has a label uuid"),
        ("[]", "not that of Prometheus"),
        ("{}", "not that of Prometheus"),
        ('{"status":"success"}', "a value of no kind"),
    ],
)
def test_what_tells_no_load_is_said_in_words(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        samples(json.loads(text), "uuid")


@pytest.fixture
def url() -> Iterator[str]:
    with prometheus_double() as double:
        yield double


async def test_a_server_is_asked_and_its_own_words_are_passed_on(url: str) -> None:
    assert set(await asked(url, QUERY, "domain")) == {"vm1", "vm2"}
    with pytest.raises(HotfootError, match="does not tell the load of instances: invalid parameter"):
        await asked(url, "rate(cpu[", "domain")


async def test_a_server_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(HotfootError, match=r"Prometheus at http://127\.0\.0\.1:1 does not tell .* refused"):
        await asked("http://127.0.0.1:1", "up", "domain")
