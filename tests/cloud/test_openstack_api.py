"""Calls to OpenStack's services: which version, which pages, what is tried again, and the sentence where it fails."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.cloud.openstack_double import Answer, Asked, CloudDouble

from hotfoot.cloud.openstack_api import OpenStackAccess, OpenStackApi, OpenStackRefusal
from hotfoot.errors import HotfootError

SERVERS = "GET /compute/v2.1/servers/detail"


@pytest.fixture(autouse=True)
def no_other_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("OS_CLOUD", "OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD", "OS_CLIENT_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cloud() -> Iterator[CloudDouble]:
    double = CloudDouble()
    yield double
    double.close()


@asynccontextmanager
async def connected(cloud: CloudDouble, folder: Path, **more: Any) -> AsyncIterator[OpenStackApi]:
    api = await OpenStackApi.connect(OpenStackAccess("double", None, cloud.clouds_file(folder, **more)))
    try:
        yield api
    finally:
        await api.close()


async def refusal(cloud: CloudDouble, folder: Path, call: str, answer: Answer) -> OpenStackRefusal:
    cloud.routes[call] = answer
    method, _, path = call.partition(" /compute/v2.1")
    async with connected(cloud, folder) as api:
        ask = api.get("compute", path) if method == "GET" else api.post("compute", path, {})
        with pytest.raises(OpenStackRefusal) as caught:
            await ask
    return caught.value


async def no_connection(access: OpenStackAccess) -> str:
    with pytest.raises(HotfootError) as caught:
        await OpenStackApi.connect(access)
    assert "open sesame" not in str(caught.value)
    return str(caught.value)


async def test_the_highest_version_that_both_know_is_used(cloud: CloudDouble, tmp_path: Path) -> None:
    cloud.routes["GET /compute/v2.1/servers/a"] = Answer(body={"server": {"id": "a"}})
    for offered, used in (("2.60", "2.60"), ("2.96", "2.96"), ("2.104", "2.96")):
        cloud.newest = offered
        async with connected(cloud, tmp_path) as api:
            assert await api.get("compute", "/servers/a") == {"server": {"id": "a"}}
            assert api.offers("2.53")
            assert api.offers("2.90") == (used == "2.96")
        headers = cloud.calls("GET /compute/v2.1/servers/a")[-1].headers
        assert headers["OpenStack-API-Version"] == f"compute {used}"


async def test_lists_are_asked_with_the_version_that_costs_nova_least(cloud: CloudDouble, tmp_path: Path) -> None:
    cloud.routes[SERVERS] = Answer(body={"servers": []})
    cloud.routes["GET /compute/v2.1/os-hypervisors/detail"] = Answer(body={"hypervisors": []})
    async with connected(cloud, tmp_path) as api:
        await api.all("compute", "/servers/detail", "servers")
        await api.all("compute", "/os-hypervisors/detail", "hypervisors")
    versions = [asked.headers.get("OpenStack-API-Version") for asked in cloud.asked[-2:]]
    assert versions == ["compute 2.72", "compute 2.87"]


async def test_a_nova_that_is_too_old_is_told_what_is_missing(cloud: CloudDouble, tmp_path: Path) -> None:
    cloud.newest = "2.42"
    said = await no_connection(OpenStackAccess("double", None, cloud.clouds_file(tmp_path)))
    assert "up to 2.42" in said
    assert "2.53" in said


async def test_all_pages_are_read_though_links_name_another_host(cloud: CloudDouble, tmp_path: Path) -> None:
    def page(asked: Asked) -> Answer:
        first = int(asked.params.get("marker", "0"))
        link = {"rel": "next", "href": f"https://inside.example/v2.1/servers/detail?all_tenants=1&marker={first + 2}"}
        more = {"servers_links": [link]} if first < 4 else {}
        return Answer(body={"servers": [{"id": str(first)}, {"id": str(first + 1)}], **more})

    cloud.routes[SERVERS] = page
    async with connected(cloud, tmp_path) as api:
        found = await api.all("compute", "/servers/detail", "servers", all_tenants="1")
    assert [server["id"] for server in found] == ["0", "1", "2", "3", "4", "5"]
    assert all(asked.params["all_tenants"] == "1" for asked in cloud.calls(SERVERS))


async def test_a_list_whose_mark_was_deleted_is_read_once_more(cloud: CloudDouble, tmp_path: Path) -> None:
    gone = Answer(400, {"badRequest": {"code": 400, "message": "marker [1] not found"}})

    def page(asked: Asked) -> Answer:
        if len(cloud.calls(SERVERS)) == 2:
            return gone
        if "marker" in asked.params:
            return Answer(body={"servers": [{"id": "2"}]})
        link = {"rel": "next", "href": f"{cloud.url}/compute/v2.1/servers/detail?marker=1"}
        return Answer(body={"servers": [{"id": "1"}], "servers_links": [link]})

    cloud.routes[SERVERS] = page
    async with connected(cloud, tmp_path) as api:
        assert [each["id"] for each in await api.all("compute", "/servers/detail", "servers")] == ["1", "2"]


async def test_a_list_without_an_end_is_told(cloud: CloudDouble, tmp_path: Path) -> None:
    link = {"rel": "next", "href": f"{cloud.url}/compute/v2.1/servers/detail?marker=1"}
    cloud.routes[SERVERS] = Answer(body={"servers": [{"id": "1"}], "servers_links": [link]})
    async with connected(cloud, tmp_path) as api:
        with pytest.raises(HotfootError, match="has no end"):
            await api.all("compute", "/servers/detail", "servers")


async def test_an_accepted_request_without_a_body_is_none(cloud: CloudDouble, tmp_path: Path) -> None:
    cloud.routes["POST /compute/v2.1/servers/a/action"] = Answer(202)
    cloud.routes["DELETE /compute/v2.1/servers/a/migrations/1"] = Answer(202)
    async with connected(cloud, tmp_path) as api:
        body = {"os-migrateLive": {"host": None, "block_migration": "auto"}}
        assert await api.post("compute", "/servers/a/action", body) is None
        await api.delete("compute", "/servers/a/migrations/1")
    assert cloud.calls("POST /compute/v2.1/servers/a/action")[0].body == body


async def test_an_expired_token_is_renewed(cloud: CloudDouble, tmp_path: Path) -> None:
    cloud.routes[SERVERS] = Answer(body={"servers": []})
    async with connected(cloud, tmp_path) as api:
        cloud.expire()
        assert await api.all("compute", "/servers/detail", "servers") == []
    assert cloud.tokens == 2


async def test_reading_is_tried_once_more_on_a_broken_connection(cloud: CloudDouble, tmp_path: Path) -> None:
    def once(_: Asked) -> Answer:
        return Answer(hang_up=True) if len(cloud.calls(SERVERS)) == 1 else Answer(body={"servers": [{"id": "1"}]})

    cloud.routes[SERVERS] = once
    async with connected(cloud, tmp_path) as api:
        assert await api.all("compute", "/servers/detail", "servers") == [{"id": "1"}]


async def test_what_changes_something_is_never_sent_twice(cloud: CloudDouble, tmp_path: Path) -> None:
    call = "POST /compute/v2.1/servers/a/action"
    cloud.routes[call] = Answer(hang_up=True)
    async with connected(cloud, tmp_path) as api:
        with pytest.raises(HotfootError, match=r"Nova at 127\.0\.0\.1:\d+ of cloud double cannot be reached"):
            await api.post("compute", "/servers/a/action", {})
    assert len(cloud.calls(call)) == 1


async def test_a_service_that_does_not_answer_is_named_with_the_limit(cloud: CloudDouble, tmp_path: Path) -> None:
    never = threading.Event()
    cloud.routes[SERVERS] = Answer(after=never, body={})
    async with connected(cloud, tmp_path, api_timeout=1) as api:
        with pytest.raises(HotfootError, match="did not answer within 1 s"):
            await api.all("compute", "/servers/detail", "servers")
    never.set()
    assert len(cloud.calls(SERVERS)) == 1


async def test_a_host_that_takes_no_connection_is_not_called_slow(cloud: CloudDouble, tmp_path: Path) -> None:
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for waiting in (first, second):  # nobody accepts: what comes after them gets no answer, as behind a firewall
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        file = cloud.clouds_file(tmp_path, api_timeout=1)
        file.write_text(file.read_text().replace(cloud.url, f"http://127.0.0.1:{full.getsockname()[1]}"))
        said = await no_connection(OpenStackAccess("double", None, file))
    assert "takes no connection" in said


async def test_a_login_without_the_role_is_told_which_role(cloud: CloudDouble, tmp_path: Path) -> None:
    body = {"forbidden": {"code": 403, "message": "Policy doesn't allow this to be performed."}}
    refused = await refusal(cloud, tmp_path, SERVERS, Answer(403, body, {"x-compute-request-id": "req-7"}))
    assert refused.status_code == 403
    assert refused.request_id == "req-7"
    assert str(refused) == (
        "Nova of cloud double does not allow user admin to list the instances of all projects (HTTP 403, request"
        " req-7): the role admin is needed, so use credentials that have it (they are from"
        f" {tmp_path / 'clouds.yaml'})."
    )


async def test_a_quota_is_not_called_a_missing_role(cloud: CloudDouble, tmp_path: Path) -> None:
    answer = Answer(
        403, {"forbidden": {"code": 403, "message": "Quota exceeded for cores: Requested 8, but already 20"}}
    )
    refused = await refusal(cloud, tmp_path, "POST /compute/v2.1/servers/a/action", answer)
    assert "Quota exceeded for cores" in str(refused)
    assert "admin is needed" not in str(refused)


async def test_a_refusal_carries_the_services_own_words(cloud: CloudDouble, tmp_path: Path) -> None:
    body = {"conflictingRequest": {"code": 409, "message": "Instance a is locked"}}
    answer = Answer(409, body, {"x-openstack-request-id": "req-8"})
    refused = await refusal(cloud, tmp_path, "POST /compute/v2.1/servers/a/action", answer)
    assert refused.message == "Instance a is locked"
    assert str(refused) == (
        "Nova of cloud double refused to do that with the instance (HTTP 409, request req-8): Instance a is locked."
    )


async def test_a_failure_inside_a_service_names_the_request_to_look_for(cloud: CloudDouble, tmp_path: Path) -> None:
    refused = await refusal(cloud, tmp_path, SERVERS, Answer(500, None, {"x-openstack-request-id": "req-9"}))
    assert "look for req-9 in its log" in str(refused)


async def test_a_wrong_password_is_told_without_it(cloud: CloudDouble, tmp_path: Path) -> None:
    said = await no_connection(OpenStackAccess("double", None, cloud.clouds_file(tmp_path, password="wrong one")))
    assert said == (
        "Keystone of cloud double refuses user admin (HTTP 401, request req-login): check user, password, project and"
        f" domains in {tmp_path / 'clouds.yaml'}."
    )


async def test_a_cloud_that_is_not_known_is_told_with_near_names(cloud: CloudDouble, tmp_path: Path) -> None:
    file = cloud.clouds_file(tmp_path)
    assert await no_connection(OpenStackAccess("dubble", None, file)) == (
        f"There is no cloud dubble in {file}; did you mean double?"
    )


async def test_without_any_login_the_usual_ways_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openstack.config.loader.CONFIG_FILES", [str(tmp_path / "clouds.yaml")])
    said = await no_connection(OpenStackAccess("rack1", None, None))
    assert said.startswith("There is no cloud rack1 to log in to: put clouds.yaml into")


async def test_a_clouds_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    said = await no_connection(OpenStackAccess("double", None, tmp_path / "no.yaml"))
    assert said.startswith(f"{tmp_path / 'no.yaml'} cannot be read")


async def test_the_environment_is_a_login_too(
    cloud: CloudDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openstack.config.loader.CONFIG_FILES", [str(tmp_path / "clouds.yaml")])
    for name, value in {
        "OS_AUTH_URL": f"{cloud.url}/identity/v3",
        "OS_USERNAME": "admin",
        "OS_PASSWORD": "open sesame",
        "OS_PROJECT_NAME": "admin",
        "OS_USER_DOMAIN_ID": "default",
        "OS_PROJECT_DOMAIN_ID": "default",
    }.items():
        monkeypatch.setenv(name, value)
    api = await OpenStackApi.connect(OpenStackAccess())
    assert api.cloud == "envvars"
    await api.close()


async def test_a_region_that_is_not_there_is_told_with_those_that_are(cloud: CloudDouble, tmp_path: Path) -> None:
    file = cloud.clouds_file(tmp_path)
    cloud.region = "north"
    said = await no_connection(OpenStackAccess("double", None, file))
    assert said == "The catalog of cloud double has no Nova (compute) in region RegionOne; regions there: north."


async def test_a_service_that_is_not_in_the_catalog_is_told(cloud: CloudDouble, tmp_path: Path) -> None:
    async with connected(cloud, tmp_path) as api:
        with pytest.raises(HotfootError, match=r"has no Cinder \(block-storage\)"):
            await api.get("block-storage", "/volumes")


async def test_a_keystone_that_does_not_run_is_told(cloud: CloudDouble, tmp_path: Path) -> None:
    file = cloud.clouds_file(tmp_path)
    cloud.close()
    said = await no_connection(OpenStackAccess("double", None, file))
    assert said.startswith(f"Keystone at {cloud.url.removeprefix('http://')} of cloud double cannot be reached: ")


async def test_a_wrong_address_of_keystone_is_told(cloud: CloudDouble, tmp_path: Path) -> None:
    file = cloud.clouds_file(tmp_path)
    file.write_text(file.read_text().replace("/identity/v3", "/nowhere"))
    said = await no_connection(OpenStackAccess("double", None, file))
    assert "check auth_url of cloud double" in said


async def test_versions_are_put_behind_addresses_that_have_none(cloud: CloudDouble, tmp_path: Path) -> None:
    cloud.routes["GET /network/v2.0/ports"] = Answer(body={"ports": [{"id": "a"}]})
    cloud.routes["GET /identity/v3/projects"] = Answer(body={"projects": [], "links": {"next": None}})
    async with connected(cloud, tmp_path) as api:
        assert await api.all("network", "/ports", "ports") == [{"id": "a"}]
        assert await api.all("identity", "/projects", "projects") == []
