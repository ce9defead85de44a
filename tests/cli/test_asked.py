"""The options of ``migrate`` above the cluster file."""

from __future__ import annotations

import pytest

from hotfoot.cli.asked import Asked
from hotfoot.cluster.validation import cluster_from
from hotfoot.errors import ExitStatus, HotfootError

DECLARED = cluster_from(
    {
        "hosts": [{"name": "n1", "address": "10.0.0.1"}],
        "policy": {"bandwidth": "1Gbit/s", "parallel": 2, "max_downtime_ms": 400},
        "policies": [{"name": "nightly", "base": "must-finish", "deadline": "2h"}],
        "policy_of": {"vm1": "nightly"},
    }
)


def asked(**more: str | int | bool) -> Asked:
    return Asked(instance="vm1", destination=None, from_host=None, **more)  # type: ignore[arg-type]


def test_without_options_the_file_holds() -> None:
    options = asked().request(DECLARED).options
    assert (options.bandwidth_bytes_per_s, options.parallel, options.policy.max_downtime_ms) == (125_000_000, 2, 400)
    assert options.policy.name == "balanced"
    assert asked().request(DECLARED).options_of["vm1"].policy.name == "nightly"


def test_a_policy_of_the_command_holds_for_every_instance() -> None:
    command = asked(policy="gentle", max_downtime="250ms", deadline="10m", parallel=0)
    options = command.request(DECLARED).options
    assert (options.policy.name, options.policy.max_downtime_ms, options.policy.deadline_ms) == ("gentle", 250, 600_000)
    assert options.parallel == 0
    assert command.request(DECLARED).options_of == {}


def test_the_goals_of_the_command_are_above_the_policy_of_an_instance() -> None:
    policy = asked(deadline="5m").request(DECLARED).options_of["vm1"].policy
    assert (policy.name, policy.deadline_ms) == ("nightly", 300_000)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"policy": "nigthly"}, "did you mean nightly"),
        ({"deadline": "10"}, "--deadline must be a duration"),
        ({"max_downtime": "1h"}, "at most 2000s"),
        ({"bandwidth": "10"}, "--bandwidth must be a rate"),
    ],
)
def test_what_cannot_be_read_is_a_mistake_of_the_call(more: dict[str, str], words: str) -> None:
    with pytest.raises(HotfootError, match=words) as caught:
        asked(**more).request(DECLARED)
    assert caught.value.status is ExitStatus.USAGE
