from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, cast

import pytest
from tests.cloud.nova_words import UUID, in_progress, record, server

from hotfoot.cloud.libvirt_cloud import LibvirtCloud
from hotfoot.cloud.nova_cloud import CLAIM_KEY, NovaCloud
from hotfoot.cloud.openstack_api import OpenStackApi, OpenStackRefusal
from hotfoot.cloud.openstack_values import instance_of
from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.inventory import InstanceState
from hotfoot.migration.proof import PostCopy, Sighting
from hotfoot.migration.sample import JobSample, Phase

HERE = f"/servers/{UUID}"


def _refusal(status_code: int, message: str = "no") -> OpenStackRefusal:
    return OpenStackRefusal("Nova refuses.", status_code=status_code, message=message, request_id="req-1")


class ApiDouble:
    """A double of the compute API: what each path answers, and what was sent."""

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = {
            HERE: {"server": server()},
            f"{HERE}/migrations": {"migrations": []},
            f"{HERE}/diagnostics": {"state": "running"},
            f"{HERE}/metadata": {"metadata": {}},
            f"/allocations/{UUID}": {"allocations": {}},
            "/ports": {"ports": []},
            "/os-services": {"services": [{"host": "n1", "state": "up"}]},
            **answers,
        }
        self.sent: list[tuple[str, str, Any]] = []

    def offers(self, _microversion: str) -> bool:
        return True

    async def get(self, _service: str, path: str, **_params: str) -> dict[str, Any]:
        answer = self.answers[path]
        if isinstance(answer, HotfootError):
            raise answer
        return cast("dict[str, Any]", answer)

    async def all(self, _service: str, _path: str, _key: str, **params: str) -> list[dict[str, Any]]:
        return cast("list[dict[str, Any]]", self.answers.get(params["status"], []))

    async def post(self, _service: str, path: str, body: Any) -> None:
        self.sent.append(("POST", path, body))
        if "os-resetState" in body:
            self.answers[HERE] = {"server": server()}

    async def delete(self, _service: str, path: str) -> None:
        self.sent.append(("DELETE", path, None))
        if isinstance(told := self.answers.get("DELETE"), HotfootError):
            raise told


def _cloud(double: ApiDouble) -> NovaCloud:
    return NovaCloud(cast(OpenStackApi, double), None)


WEB1 = instance_of(server(), {})


async def test_what_a_move_depends_on() -> None:
    moving = in_progress(user_id="u1")
    other = {"resources": {"NET_BW_EGR_KILOBIT_PER_SEC": 1000}}
    needs = {"allocations": {"rp": {"resources": {"VCPU": 1, "MEMORY_MB": 128}}, "network": other}}
    double = ApiDouble(**{f"{HERE}/migrations": {"migrations": [moving]}, f"/allocations/{UUID}": needs})
    facts = (await _cloud(double).examine(WEB1, "n2")).nova
    assert facts is not None
    assert facts.needs == {"VCPU": 1, "MEMORY_MB": 128}
    assert "to n2, running since" in (facts.under_way or "")
    assert "asked for by user u1" in (facts.under_way or "")
    assert not facts.visible


async def test_nova_compute_is_asked_whether_the_guest_runs() -> None:
    wrong = {"server": server(status="ERROR")}
    seen = await _cloud(ApiDouble(**{HERE: wrong})).sightings(UUID)
    assert [(one.host, one.alive) for one in seen] == [("n1", True)]
    assert "in ERROR, though it runs unharmed" in (seen[0].remark or "")
    off = _refusal(409, "Cannot 'get_diagnostics' instance x while it is in power state shutdown")
    for answer in (off, HotfootError("Nova does not answer.")):
        blind = await _cloud(ApiDouble(**{HERE: wrong, f"{HERE}/diagnostics": answer})).sightings(UUID)
        assert [one.alive for one in blind] == [False]
    gone = await _cloud(ApiDouble(**{HERE: _refusal(404)})).sightings(UUID)
    assert [one.alive for one in gone] == [False]
    silent = await _cloud(ApiDouble(**{HERE: HotfootError("Nova does not answer.")})).sightings(UUID)
    assert silent[0].problem == "Nova does not answer."


async def test_an_abort_is_told_to_nova_and_one_that_cannot_be_is_none() -> None:
    assert not await _cloud(ApiDouble()).abort("n1", UUID)
    double = ApiDouble(**{f"{HERE}/migrations": {"migrations": [in_progress()]}})
    assert await _cloud(double).abort("n1", UUID)
    assert double.sent == [("DELETE", f"{HERE}/migrations/7", None)]
    late = ApiDouble(**{f"{HERE}/migrations": {"migrations": [in_progress("post-migrating")]}})
    assert not await _cloud(late).abort("n1", UUID)
    assert late.sent == []
    over = ApiDouble(**{f"{HERE}/migrations": {"migrations": [in_progress()]}, "DELETE": _refusal(400)})
    assert not await _cloud(over).abort("n1", UUID)


async def test_only_what_runs_is_completed_by_force() -> None:
    double = ApiDouble(**{f"{HERE}/migrations": {"migrations": [in_progress()]}})
    await _cloud(double).force_complete(WEB1, dry_run=True)
    assert double.sent == []
    await _cloud(double).force_complete(WEB1)
    assert double.sent == [("POST", f"{HERE}/migrations/7/action", {"force_complete": None})]
    for migrations, why in (([], "nothing to complete"), ([in_progress("queued")], "is queued")):
        with pytest.raises(HotfootError, match=why) as refused:
            await _cloud(ApiDouble(**{f"{HERE}/migrations": {"migrations": migrations}})).force_complete(WEB1)
        assert refused.value.status is ExitStatus.REFUSED


async def test_a_wrong_state_is_set_right_and_looked_at_again() -> None:
    double = ApiDouble(**{HERE: {"server": server(status="ERROR")}})
    cloud = _cloud(double)
    wrong = await cloud.to_repair(WEB1)
    assert (wrong.why_not, wrong.state, wrong.bindings) == (None, True, {})
    await cloud.repair(WEB1, wrong)
    assert double.sent == [("POST", f"{HERE}/action", {"os-resetState": {"state": "active"}})]
    assert "nothing to repair" in ((await cloud.to_repair(WEB1)).why_not or "")


async def test_what_a_broken_off_move_has_left_of_ports_is_told_and_removed() -> None:
    bindings = [{"host": "n1", "status": "ACTIVE"}, {"host": "n2", "status": "INACTIVE"}]
    double = ApiDouble(
        **{
            HERE: {"server": server()},
            "/ports": {"ports": [{"id": "p1"}, {"id": "p2"}]},
            "/ports/p1/bindings": {"bindings": bindings},
            "/ports/p2/bindings": {"bindings": bindings[:1]},
        }
    )
    cloud = _cloud(double)
    facts = (await cloud.examine(WEB1, "n2")).nova
    assert facts is not None
    assert facts.leftover_bindings == {"n2": ("p1",)}
    wrong = await cloud.to_repair(WEB1)
    assert (wrong.why_not, wrong.state) == (None, False)
    await cloud.repair(WEB1, wrong)
    assert double.sent == [("DELETE", "/ports/p1/bindings/n2", None)]
    double.answers["DELETE"] = _refusal(403)
    with pytest.raises(
        HotfootError, match=r"bound to n2 \(1 port\), and Neutron lets only the role service"
    ) as refused:
        await cloud.repair(WEB1, wrong)
    assert refused.value.status is ExitStatus.REFUSED
    double.answers[f"{HERE}/migrations"] = {"migrations": [in_progress()]}
    assert "is in progress" in ((await cloud.to_repair(WEB1)).why_not or "")


async def test_a_neutron_without_several_bindings_tells_of_no_leftovers() -> None:
    for answer in (_refusal(404), HotfootError("There is no network service.")):
        double = ApiDouble(**{"/ports": {"ports": [{"id": "p1"}]}, "/ports/p1/bindings": answer})
        facts = (await _cloud(double).examine(WEB1, "n2")).nova
        assert facts is not None
        assert facts.leftover_bindings == {}


async def test_a_claim_lies_in_the_metadata_where_the_host_cannot_be_asked() -> None:
    double = ApiDouble()
    cloud = _cloud(double)
    assert await cloud.claim("n1", UUID) is None
    await cloud.set_claim("n1", UUID, "<claim/>")
    await cloud.set_claim("n1", UUID, None)
    assert double.sent == [
        ("POST", f"{HERE}/metadata", {"metadata": {CLAIM_KEY: "<claim/>"}}),
        ("DELETE", f"{HERE}/metadata/{CLAIM_KEY}", None),
    ]
    double.answers[f"{HERE}/metadata"] = {"metadata": {CLAIM_KEY: "<claim/>"}}
    assert await cloud.claim("n1", UUID) == "<claim/>"
    with pytest.raises(HotfootError, match="longer than"):
        await cloud.set_claim("n1", UUID, "x" * 256)


async def test_migrations_that_others_started_are_seen_with_their_bytes() -> None:
    double = ApiDouble(running=[record("running")], **{f"{HERE}/migrations": {"migrations": [in_progress()]}})
    found = await _cloud(double).jobs()
    assert list(found) == [("n1", UUID, "web1")]
    sample = found["n1", UUID, "web1"]
    assert (sample.phase, sample.memory_processed_bytes) == (Phase.COPYING_MEMORY, 34_000_000)
    assert await _cloud(double).job("n1", UUID) is not None
    assert await _cloud(ApiDouble()).job("n1", UUID) is None


class HostsDouble:
    """A double of libvirt on three hosts: it goes on with a migration, and shows the sightings that it is given."""

    hosts = ("n1", "n2", "n3")

    def __init__(self, **seen: Sighting) -> None:
        self.seen = seen
        self.asked: list[tuple[str, ...]] = []

    async def jobs(self) -> dict[tuple[str, str, str], JobSample]:
        return {("n1", UUID, "instance-00000001"): JobSample(at_s=0.0, phase=Phase.COPYING_MEMORY)}

    async def sightings(self, _uuid: str, hosts: Collection[str] | None = None) -> tuple[Sighting, ...]:
        asked = tuple(self.hosts if hosts is None else hosts)
        self.asked.append(asked)
        return tuple(self.seen.get(host, Sighting(host=host)) for host in asked)


async def test_what_libvirt_goes_on_with_has_the_servers_name_though_nova_lists_no_migration() -> None:
    """Seen when Nova's resource tracker took a running migration for one that had not ended before."""
    cloud = NovaCloud(cast(OpenStackApi, ApiDouble()), cast("LibvirtCloud", HostsDouble()))
    assert list(await cloud.jobs()) == [("n1", UUID, "web1")]
    gone = {HERE: _refusal(404)}
    cloud = NovaCloud(cast(OpenStackApi, ApiDouble(**gone)), cast("LibvirtCloud", HostsDouble()))
    assert list(await cloud.jobs()) == [("n1", UUID, "instance-00000001")]


AT_N1 = Sighting(host="n1", state=InstanceState.RUNNING, persistent=True)
AT_N2 = Sighting(host="n2", state=InstanceState.RUNNING, persistent=True)


def _looking(double: ApiDouble, hosts: HostsDouble) -> NovaCloud:
    return NovaCloud(cast(OpenStackApi, double), cast("LibvirtCloud", hosts))


async def test_where_a_guest_runs_is_libvirts_word_where_nova_has_lost_it() -> None:
    hosts = HostsDouble(n2=AT_N2)
    assert await _looking(ApiDouble(), hosts).seen_elsewhere(WEB1) == ("n2",)
    assert hosts.asked == [("n1",), ("n2", "n3")]
    as_nova_has_it = HostsDouble(n1=AT_N1)
    assert await _looking(ApiDouble(), as_nova_has_it).seen_elsewhere(WEB1) == ()
    assert as_nova_has_it.asked == [("n1",)], "all hosts are asked only where there is a doubt"
    for at_n1 in (Sighting(host="n1"), Sighting(host="n1", problem="It does not answer.")):
        assert await _looking(ApiDouble(), HostsDouble(n1=at_n1)).seen_elsewhere(WEB1) == ()
    half = replace(AT_N2, post_copy=PostCopy.UNDER_WAY)
    assert await _looking(ApiDouble(), HostsDouble(n2=half)).seen_elsewhere(WEB1) == ()
    assert await _cloud(ApiDouble()).seen_elsewhere(WEB1) == ()


async def test_a_guest_that_is_moved_meanwhile_is_not_told_as_lost() -> None:
    for meanwhile in (
        {HERE: {"server": server(host="n2")}},
        {f"{HERE}/migrations": {"migrations": [in_progress("post-migrating")]}},
        {HERE: {"server": server(status="MIGRATING", task="migrating")}},
    ):
        assert await _looking(ApiDouble(**meanwhile), HostsDouble(n2=AT_N2)).seen_elsewhere(WEB1) == ()


async def test_only_a_doubtful_server_is_looked_for_where_its_own_host_cannot_be_asked() -> None:
    at_n9 = {"host": "n9"}
    hosts = HostsDouble(n2=AT_N2)
    for status, seen in (("ACTIVE", ()), ("ERROR", ("n2",))):
        one = server(status=status, **at_n9)
        double = ApiDouble(**{HERE: {"server": one}})
        assert await _looking(double, hosts).seen_elsewhere(instance_of(one, {})) == seen
    assert hosts.asked == [("n1", "n2", "n3")]


async def test_a_migration_whose_nova_compute_is_down_is_none_to_see_unless_that_is_not_known() -> None:
    moving = {f"{HERE}/migrations": {"migrations": [in_progress()]}}
    down = {"services": [{"host": "n1", "state": "down"}]}
    assert await _cloud(ApiDouble(**moving, **{"/os-services": down})).job("n1", UUID) is None
    silent = HotfootError("Nova does not answer.")
    assert await _cloud(ApiDouble(**moving, **{"/os-services": silent})).job("n1", UUID) is not None


async def test_nothing_is_steered_behind_novas_back() -> None:
    cloud = _cloud(ApiDouble())
    for refused in (cloud.limit_downtime("n1", UUID, 5), cloud.start_post_copy("n1", UUID), cloud.forget("n1", UUID)):
        with pytest.raises(HotfootError):
            await refused
    assert WEB1.state is InstanceState.RUNNING
