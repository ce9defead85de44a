from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, cast

import pytest
from tests.cloud.nova_words import UUID, failed, in_progress, record, server

from hotfoot.cloud import nova_before, nova_move
from hotfoot.cloud.nova_before import look_before
from hotfoot.cloud.nova_cloud import NovaCloud
from hotfoot.cloud.nova_move import NovaMove
from hotfoot.cloud.nova_reasons import STARTED_AGAIN
from hotfoot.cloud.openstack_api import OpenStackApi, OpenStackRefusal
from hotfoot.cloud.protocol import MoveEnded
from hotfoot.errors import HotfootError
from hotfoot.inventory import InstanceState
from hotfoot.migration.options import MigrationOptions, Mode, Order
from hotfoot.migration.result import Attached

Script = list[tuple[dict[str, Any] | None, dict[str, Any] | None] | HotfootError]


class ApiDouble:
    """A double of the compute API: each look at the server takes the next (server, migration) of a script."""

    def __init__(self, script: Script, refuses: HotfootError | None = None) -> None:
        self.script = script
        self.refuses = refuses
        self.asked: list[dict[str, Any]] = []
        self._posted = False
        self.events: list[dict[str, Any]] = []
        self.volumes: list[dict[str, Any]] = []
        self.source_states: list[str] = ["up"]
        """Of nova-compute on n1, the first for the first look; the last stays."""
        self._now: tuple[dict[str, Any] | None, dict[str, Any] | None] = (server(), None)

    @property
    def api(self) -> OpenStackApi:
        return cast(OpenStackApi, self)

    def begun_elsewhere(self, now: tuple[dict[str, Any], dict[str, Any]]) -> None:
        """Have a move that this process did not ask for be as far as this."""
        self._posted, self._now = True, now

    async def post(self, _service: str, _path: str, body: dict[str, Any]) -> None:
        self._posted = True
        if self.refuses:
            raise self.refuses
        self.asked.append(body)

    async def get(self, _service: str, path: str, **params: str) -> dict[str, Any]:
        answers: dict[str, Callable[[], dict[str, Any]]] = {
            f"/servers/{UUID}": self._server,
            f"/servers/{UUID}/migrations": lambda: {"migrations": self._records(running=True)},
            "/os-migrations": lambda: {"migrations": [record("completed", id=1), *self._records(running=False)]},
            f"/servers/{UUID}/os-instance-actions": self._actions,
            f"/servers/{UUID}/os-instance-actions/req-1": lambda: {"instanceAction": {"events": self.events}},
            f"/servers/{UUID}/os-volume_attachments": lambda: {"volumeAttachments": self.volumes},
            f"/servers/{UUID}/os-interface": lambda: {"interfaceAttachments": []},
            "/os-services": lambda: {"services": [{"host": "n1", "state": self._source_state()}]},
        }
        return answers[path]()

    def _source_state(self) -> str:
        return self.source_states.pop(0) if len(self.source_states) > 1 else self.source_states[0]

    def _server(self) -> dict[str, Any]:
        if self._posted:
            step = self.script.pop(0)
            if isinstance(step, HotfootError):
                raise step
            self._now = step
        if self._now[0] is None:
            raise OpenStackRefusal("Gone.", status_code=404, message="gone", request_id=None)
        return {"server": self._now[0]}

    def _records(self, *, running: bool) -> list[dict[str, Any]]:
        found = self._now[1]
        return [found] if found and (found["status"] == "running") is running else []

    def _actions(self) -> dict[str, Any]:
        began = [{"action": "live-migration", "request_id": "req-1"}] if self.asked else []
        return {"instanceActions": [*began, {"action": "create", "request_id": "req-0"}]}


def _order(destination: str = "n2", *, mode: Mode = Mode.LIVE, block: bool | None = None) -> Order:
    return Order(
        uuid=UUID, name="web1", source="n1", destination=destination, mode=mode, persistent=True,
        options=MigrationOptions(block=block), by_nova=True,
    )  # fmt: skip


def _move(
    double: ApiDouble,
    order: Order,
    log: tuple[str, ...] = (),
    libvirt: tuple[bool | None, ...] = (False,),
    said: list[str] | None = None,
    look_s: float = 0,
) -> NovaMove:
    """``libvirt``: whether it shows the migration, the first for the first look; the last stays."""
    looks = list(libvirt)

    async def log_of(_host: str, _uuid: str, _age_s: float) -> tuple[str, ...]:
        return log

    async def still_runs() -> bool | None:
        return looks.pop(0) if len(looks) > 1 else looks[0]

    return NovaMove(double.api, order, log_of, still_runs, ([] if said is None else said).append, look_s)


async def _start(double: ApiDouble, move: NovaMove) -> None:
    await move.start(await look_before(double.api, UUID))


async def _done(double: ApiDouble, order: Order, log: tuple[str, ...] = ()) -> NovaMove:
    move = _move(double, order, log)
    await _start(double, move)
    await move.follow()
    return move


MOVING = server(status="MIGRATING", task="migrating")


async def test_a_move_is_followed_to_its_end_and_the_host_that_nova_chose_is_read() -> None:
    silent = HotfootError("Nova does not answer.")
    double = ApiDouble(
        [(MOVING, None), (MOVING, in_progress(dest_compute="n3")), silent, (server(host="n3"), _done_to("n3"))]
    )
    move = await _done(double, _order(""))
    assert double.asked == [{"os-migrateLive": {"host": None, "block_migration": "auto"}}]
    assert (move.destination, move.migration_id, await move.remarks()) == ("n3", 7, ())
    sample = move.sample()
    assert sample is not None
    assert sample.memory_processed_bytes == 34_000_000


async def test_what_goes_with_a_server_is_told_before_and_after() -> None:
    double = ApiDouble([(MOVING, in_progress(dest_compute="n3")), (server(host="n3"), _done_to("n3"))])
    double.volumes = [{"volumeId": "v1", "device": "/dev/vdb"}]
    move = _move(double, _order("n3"))
    await _start(double, move)
    assert move.attached() == ()
    await move.follow()
    assert await move.remarks() == ()
    assert move.attached() == (Attached(kind="volume", id="v1", before="/dev/vdb", after="/dev/vdb"),)


@pytest.mark.parametrize("fresh", [True, False])
async def test_what_was_looked_at_ahead_counts_while_it_is_fresh(fresh: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nova_before, "FRESH_S", 60.0 if fresh else -1.0)
    monkeypatch.setattr(nova_move, "UNCHANGED_S", -1.0)
    double = ApiDouble([(server(host="n2"), record("completed"))])
    double.volumes = [{"volumeId": "v1", "device": "/dev/vdb"}]
    cloud = NovaCloud(double.api, None)
    cloud.look_ahead(_order())
    await asyncio.sleep(0.01)
    double.volumes = []
    await cloud.migrate(_order(), lambda: None, print)
    await asyncio.sleep(0.01)
    assert [each.id for each in cloud.attached(UUID)] == (["v1"] if fresh else [])


async def test_a_look_ahead_that_fails_does_not_stop_a_move() -> None:
    double = ApiDouble([HotfootError("Nova does not answer."), (server(host="n2"), record("completed"))])
    cloud = NovaCloud(double.api, None)
    double.begun_elsewhere((server(), record("completed", id=1)))
    cloud.look_ahead(_order())
    await asyncio.sleep(0.01)
    double.script.insert(0, (server(), record("completed", id=1)))
    await cloud.migrate(_order(), lambda: None, print)
    assert double.asked == [{"os-migrateLive": {"host": "n2", "block_migration": "auto"}}]


def _done_to(host: str) -> dict[str, Any]:
    return record("completed", dest_compute=host)


async def test_what_is_asked_of_nova_is_what_was_ordered() -> None:
    for block, word in ((None, "auto"), (True, True), (False, False)):
        double = ApiDouble([(server(host="n2"), record("completed"))])
        await _done(double, _order(block=block))
        assert double.asked == [{"os-migrateLive": {"host": "n2", "block_migration": word}}]


async def test_accepted_and_then_nothing_is_a_failure_with_its_reason() -> None:
    with pytest.raises(MoveEnded, match="accepted it, and did nothing"):
        await _done(ApiDouble([(server(), None)]), _order())
    double = ApiDouble([(MOVING, record("accepted", dest_compute=None)), (server(), record("error"))])
    double.events = [failed("conductor", "1", details="No valid host was found. There are not enough hosts available.")]
    with pytest.raises(MoveEnded, match="scheduler does not let web1 go to n2") as ended:
        await _done(double, _order())
    assert not ended.value.aborted


async def test_a_move_that_was_stopped_is_told_from_one_that_failed() -> None:
    with pytest.raises(MoveEnded) as stopped:
        await _done(ApiDouble([(server(), record("cancelled"))]), _order())
    assert stopped.value.aborted
    double = ApiDouble([(server(status="ERROR"), record("error"))])
    double.events = [failed("x", "1", traceback="libvirt.libvirtError: operation aborted: job canceled by client\n")]
    with pytest.raises(MoveEnded) as cancelled:
        await _done(double, _order(""))
    assert cancelled.value.aborted
    assert cancelled.value.destination == "n2"


@pytest.mark.parametrize("word", ["cancelled", "failed"])
async def test_what_nova_takes_back_before_it_calls_it_an_error_is_followed_until_then(
    word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nova_move, "LAST_WORD_LOOKS", 1000)
    back, error = (server(), record(word)), (server(status="ERROR"), record("error"))
    move = _move(double := ApiDouble([(MOVING, in_progress()), back, back, error]), _order(), look_s=0.01)
    await _start(double, move)
    with pytest.raises(MoveEnded):
        await move.follow()
    assert double.script == []


async def test_the_log_of_nova_compute_says_why_libvirt_did_not_move_it() -> None:
    double = ApiDouble([(server(status="ERROR"), record("error"))])
    log = ("libvirtError: internal error: unable to connect to server at 'n2:49152': Connection refused",)
    with pytest.raises(MoveEnded, match="n1 cannot connect to n2 for the memory stream"):
        await _done(double, _order(), log)


async def test_a_refusal_at_once_is_the_reason() -> None:
    words = "Cannot 'os-migrateLive' instance x while it is in task_state rebooting"
    refusal = OpenStackRefusal("Nova refuses.", status_code=409, message=words, request_id="req-9")
    with pytest.raises(MoveEnded, match="web1 is in task_state rebooting"):
        await _done(ApiDouble([], refusal), _order())


async def test_a_request_without_an_answer_may_have_been_accepted() -> None:
    lost = HotfootError("Nova does not answer.")
    await _done(ApiDouble([(MOVING, in_progress()), (server(host="n2"), record("completed"))], lost), _order())
    with pytest.raises(MoveEnded, match="Nova does not answer"):
        await _done(ApiDouble([(server(), None)], lost), _order())


async def test_a_deleted_server_is_not_waited_for() -> None:
    with pytest.raises(MoveEnded, match="was deleted"):
        await _done(ApiDouble([(MOVING, in_progress()), (None, None)]), _order())


async def test_a_cold_migration_is_confirmed_where_the_instance_is_there_as_before() -> None:
    there = server(status="VERIFY_RESIZE", host="n2")
    double = ApiDouble(
        [(there, record("finished")), (there, record("confirming")), (server(host="n2"), record("confirmed"))]
    )
    await _done(double, _order(mode=Mode.COLD))
    assert double.asked == [{"migrate": {"host": "n2"}}, {"confirmResize": None}]


async def test_a_cold_migration_whose_instance_does_not_run_there_is_brought_back() -> None:
    off = server(status="VERIFY_RESIZE", host="n2", power=4)
    double = ApiDouble([(off, record("finished")), (server(), record("reverted"))])
    with pytest.raises(MoveEnded, match="running before, and shut off on n2: it was brought back"):
        await _done(double, _order("", mode=Mode.COLD))
    assert double.asked == [{"migrate": None}, {"revertResize": None}]


@pytest.mark.parametrize(("power", "before", "asked"), [
    (1, InstanceState.RUNNING, "confirmResize"),
    (4, InstanceState.SHUT_OFF, "confirmResize"),
    (4, InstanceState.RUNNING, "revertResize"),
])  # fmt: skip
async def test_a_cold_migration_that_another_process_began_is_confirmed_or_reverted(
    power: int, before: InstanceState, asked: str
) -> None:
    there = server(status="VERIFY_RESIZE", host="n2", power=power)
    moved = asked == "confirmResize"
    end = record("confirmed" if moved else "reverted")
    double = ApiDouble([(there, record("finished")), (server(host="n2" if moved else "n1"), end)])
    double.begun_elsewhere((there, record("finished")))
    move = _move(double, _order(mode=Mode.COLD))
    await move.take_up(before)
    with nullcontext() if moved else pytest.raises(MoveEnded, match="brought back"):
        await move.follow()
    assert double.asked == [{asked: None}]


async def test_what_nova_moves_live_to_no_host_is_told_apart() -> None:
    numa = OpenStackRefusal("x", status_code=409, message="Instance has an associated NUMA topology.", request_id=None)
    with pytest.raises(MoveEnded) as refused:
        await _done(ApiDouble([], numa), _order())
    assert refused.value.only_cold
    busy = OpenStackRefusal("x", status_code=409, message="No valid host was found.", request_id=None)
    with pytest.raises(MoveEnded) as refused:
        await _done(ApiDouble([], busy), _order())
    assert not refused.value.only_cold


@pytest.fixture
def every_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nova-compute on the source looked at each time."""
    monkeypatch.setattr(nova_move, "SOURCE_EVERY_S", -1.0)


@pytest.mark.usefixtures("every_look")
async def test_a_source_that_goes_down_is_told_once_and_libvirt_is_followed_until_nova_ends_it() -> None:
    double = ApiDouble([*[(MOVING, in_progress())] * 5, (server(), record("error"))])
    double.source_states = ["up", "down"]
    said: list[str] = []
    move = _move(double, _order(), libvirt=(True, True, True, True, False), said=said)
    await _start(double, move)
    with pytest.raises(MoveEnded, match="nova-compute on n1, the source, was started again in the middle") as ended:
        await move.follow()
    assert not ended.value.aborted
    (told,) = said
    assert "nova-compute on n1, the source, is down" in told
    assert "libvirt there goes on, and is followed" in told


@pytest.mark.usefixtures("every_look")
async def test_once_libvirt_is_done_a_source_that_is_down_is_not_waited_for() -> None:
    double = ApiDouble([(MOVING, in_progress())] * 3)
    double.source_states = ["down"]
    move = _move(double, _order(), libvirt=(True, False))
    await _start(double, move)
    with pytest.raises(MoveEnded, match="does not know how it ends"):
        await move.follow()


@pytest.mark.usefixtures("every_look")
async def test_without_libvirt_a_source_that_is_down_is_waited_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    double = ApiDouble([*[(MOVING, in_progress())] * 3, (server(host="n2"), record("completed"))])
    double.source_states = ["down", "down", "up"]
    said: list[str] = []
    move = _move(double, _order(), libvirt=(None,), said=said)
    await _start(double, move)
    await move.follow()
    assert ["it is waited for, five minutes at most" in each for each in said] == [True]
    monkeypatch.setattr(nova_move, "SILENT_S", -1.0)
    double = ApiDouble([(MOVING, in_progress())])
    double.source_states = ["down"]
    move = _move(double, _order(), libvirt=(None,))
    await _start(double, move)
    with pytest.raises(MoveEnded, match="does not know how it ends"):
        await move.follow()


async def test_a_record_that_nobody_ends_any_more_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nova_move, "SETTLE_S", -1.0)
    double = ApiDouble([(MOVING, in_progress("preparing")), *[(server(), in_progress("preparing"))] * 3])
    move = _move(double, _order(), (STARTED_AGAIN,), libvirt=(True, False))
    await _start(double, move)
    with pytest.raises(MoveEnded, match="was started again in the middle"):
        await move.follow()
    there = server(host="n2")
    double = ApiDouble([(there, in_progress()), (there, in_progress()), (there, record("completed"))])
    await _done(double, _order())


@pytest.mark.parametrize("task", ["migrating", None])
async def test_what_nova_gave_up_is_followed_as_long_as_libvirt_goes_on(
    task: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nova_move, "SETTLE_S", -1.0)
    given_up = (server(task=task), record("error"))
    double = ApiDouble([(MOVING, in_progress()), *[given_up] * 3])
    said: list[str] = []
    move = _move(double, _order(), libvirt=(True, True, False), said=said)
    await _start(double, move)
    with pytest.raises(MoveEnded, match="Nova does not say why"):
        await move.follow()
    assert double.script == []
    (told,) = said
    assert "Nova has given it up, and libvirt on n1 goes on with it" in told
