"""One evacuation by Nova: when it is asked for, and what its answers are worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from unittest.mock import AsyncMock

import pytest
from tests.cloud.nova_words import UUID, record, server

from hotfoot.cloud.openstack_api import OpenStackRefusal
from hotfoot.errors import ExitStatus
from hotfoot.evacuation.nova_start import Evacuating, Ground
from hotfoot.inventory import InstanceState
from hotfoot.migration.proof import Sighting
from hotfoot.migration.result import MigrationResult
from hotfoot.placement.course import Step

STEP = Step(n=1, round=1, uuid=UUID, name="web1", source="n1", destination="n2", transfer_bytes=0, expected_s=1.0)


@dataclass
class NovaDouble:
    """A double of Nova with one server on n1, which is dead: it is what ``after`` says once an evacuation was asked."""

    after: dict[str, Any] = field(default_factory=lambda: server(host="n2"))
    status: str = "done"
    up_hosts: tuple[str, ...] = ()
    refuses: OpenStackRefusal | None = None
    sees: tuple[Sighting, ...] = (Sighting(host="n2", state=InstanceState.RUNNING, persistent=True),)
    details: str = ""
    gets: int = 0
    """So many answers more are from before Nova has ended it; its work on the server has ended by then."""
    asked: list[tuple[Any, Any]] = field(default_factory=list)

    @property
    def ground(self) -> Ground:
        return cast(Ground, self)

    @property
    def api(self) -> NovaDouble:
        return self

    @property
    def compute(self) -> NovaDouble:
        return self

    async def up(self, hosts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(host for host in hosts if host in self.up_hosts)

    async def sightings(self, _uuid: str) -> tuple[Sighting, ...]:
        return self.sees

    async def post(self, _service: str, _path: str, body: Any, *, at_most: Any = None) -> None:
        self.asked.append((body, at_most))
        if self.refuses:
            raise self.refuses

    async def get(self, _service: str, path: str, **_params: str) -> Mapping[str, Any]:
        ended = bool(self.asked) and self.gets <= 0
        self.gets -= bool(self.asked)
        event = {"result": "Error", "finish_time": "", "details": self.details}
        own = record(self.status if ended else "accepted", id=8, migration_type="evacuation")
        answers: dict[str, Any] = {
            f"/servers/{UUID}": {"server": self.after if ended else server()},
            "/os-migrations": {"migrations": [record("done", id=7), *([own] if self.asked else [])]},
            f"/servers/{UUID}/os-instance-actions": {
                "instanceActions": [{"action": "evacuate", "request_id": "req-1"}]
            },
            f"/servers/{UUID}/os-instance-actions/req-1": {"instanceAction": {"events": [event]}},
        }
        return cast(Mapping[str, Any], answers[path])


async def evacuated(nova: NovaDouble) -> MigrationResult:
    return await Evacuating(nova.ground, STEP, look_s=0.0, patience_s=0.0).carry_out(lambda _sample: None, AsyncMock())


async def test_it_ends_well_when_nova_and_the_host_have_it_there() -> None:
    nova = NovaDouble()
    result = await evacuated(nova)
    assert (result.status, result.destination) == (ExitStatus.COMPLETED, "n2")
    assert nova.asked == [({"evacuate": {"host": "n2"}}, (2, 94))]


@pytest.mark.parametrize("gets", range(6))
async def test_whenever_nova_ends_it_between_two_looks_it_ends_well(gets: int) -> None:
    assert (await evacuated(NovaDouble(gets=gets))).status is ExitStatus.COMPLETED


async def test_nova_is_not_asked_while_the_source_is_up() -> None:
    nova = NovaDouble(up_hosts=("n1",))
    result = await evacuated(nova)
    assert (result.status, nova.asked) == (ExitStatus.REFUSED, [])


async def test_a_refusal_is_said_in_words() -> None:
    refusal = OpenStackRefusal("sentence", status_code=400, message="Compute service of n1 is still in use.",
                               request_id=None)  # fmt: skip
    result = await evacuated(NovaDouble(refuses=refusal))
    assert (result.status, "still in use" in (result.reason or "")) == (ExitStatus.REFUSED, True)


async def test_no_answer_is_no_failure_when_nova_evacuates_it_all_the_same() -> None:
    silent = OpenStackRefusal("sentence", status_code=504, message="", request_id=None)
    assert (await evacuated(NovaDouble(refuses=silent))).status is ExitStatus.COMPLETED


async def test_a_failure_is_told_as_nova_tells_it() -> None:
    nova = NovaDouble(status="error", after=server(status="ERROR"), details="No valid host was found. ")
    result = await evacuated(nova)
    assert result.status is ExitStatus.FAILED_ON_SOURCE
    assert "Nova's scheduler does not let web1 go to n2" in (result.reason or "")


@pytest.mark.parametrize(
    ("nova", "words"),
    [
        (NovaDouble(after=server(host="n3")), "shows it as ACTIVE on n3"),
        (NovaDouble(after=server(host="n2", status="SHUTOFF")), "shows it as SHUTOFF on n2"),
        (NovaDouble(sees=()), "nobody sees it running"),
        (
            NovaDouble(sees=(*NovaDouble().sees, Sighting(host="n3", state=InstanceState.RUNNING))),
            "seen running on n2 and n3",
        ),
    ],
)
async def test_what_nova_says_alone_is_no_proof(nova: NovaDouble, words: str) -> None:
    result = await evacuated(nova)
    assert result.status is ExitStatus.UNKNOWN_STATE
    assert words in (result.reason or "")
