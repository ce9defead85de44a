"""Both looks for the checks, with what a real Nova 34 and Placement 16 of the lab answered.

Recorded with two hosts and two instances, one allocation of nobody, and one server in ERROR by os-resetState. Left out:
links and the traceback of the fault.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import pytest

from hotfoot.cloud.openstack_api import OpenStackApi, OpenStackRefusal
from hotfoot.cloud.openstack_check import look_at_cloud, look_at_move
from hotfoot.readiness.cloud_facts import CloudFacts
from hotfoot.readiness.cloud_judge import judge_cloud, judge_move

TOLD: dict[str, Any] = json.loads((Path(__file__).parent / "recorded" / "check-nova-34.json").read_text())


class _RecordedApi:
    """A double that answers what was recorded, and knows nothing else."""

    newest = (2, 104)

    async def get(self, service: str, path: str, **params: str) -> dict[str, Any]:
        query = "&".join(f"{key}={value}" for key, value in sorted(params.items()))
        answer: dict[str, Any] = TOLD[f"{service} {path}?{query}" if query else f"{service} {path}"]
        if "refused" in answer:
            raise OpenStackRefusal(
                answer["message"], status_code=answer["refused"], message=answer["message"], request_id=None
            )
        return answer

    async def all(self, service: str, path: str, key: str, **params: str) -> list[dict[str, Any]]:
        return list((await self.get(service, path, **params))[key])


API = cast(OpenStackApi, _RecordedApi())


@pytest.fixture(scope="module")
def facts() -> CloudFacts:
    return asyncio.run(look_at_cloud(API))


def test_what_was_broken_is_found_and_nothing_else(facts: CloudFacts) -> None:
    assert sorted((each.code, each.host) for each in judge_cloud(facts)) == [
        ("cloud_instances.error", "n2"),
        ("cloud_placement.orphaned-allocation", "n2"),
    ]


def test_the_hosts_are_told_with_their_cpus_traits_and_room(facts: CloudFacts) -> None:
    assert facts.hosts == ("n1", "n2")
    first, second = facts.hypervisors
    assert first.version_words == second.version_words == "QEMU 10.0.13"
    assert first.cpu_features == second.cpu_features
    assert len(first.cpu_features) > 10
    assert facts.providers is not None
    assert all("COMPUTE_NODE" in each.traits and each.root_id == each.id for each in facts.providers)
    assert {each.binary for each in facts.services} == {"nova-compute", "nova-conductor", "nova-scheduler"}


def test_one_instance_can_go_to_the_other_host(facts: CloudFacts) -> None:
    server = next(each for each in facts.instances if each.name == "vm1")
    hosts, move = asyncio.run(look_at_move(API, server.uuid))
    assert judge_move(hosts, move) == {"n2": ()}
    assert (move.flavour, move.untold, list(move.ports.values())) == ("m128", (), ["normal"])
    assert move.image_properties == {"hw_video_model": "none"}
    assert [*move.held.values()] == [{"VCPU": 1, "MEMORY_MB": 128}]
