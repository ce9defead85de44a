"""OpenStack's APIs: one login for all services, calls in threads, and every failure as one sentence."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from keystoneauth1 import exceptions as keystone
from keystoneauth1.session import Session

from hotfoot.cloud import openstack_words as words
from hotfoot.cloud.openstack_login import Login, log_in
from hotfoot.errors import ExitStatus, HotfootError

Json = dict[str, Any]
"""A JSON object as a service sent it."""

Answer = TypeVar("Answer")

OLDEST_MICROVERSION = (2, 53)
"""Nova 16 (Pike): hypervisors and services by UUID; a destination that is named is checked by the scheduler."""
NEWEST_MICROVERSION = (2, 96)
"""The newest whose answers Hotfoot was written for (Nova 29)."""
_PLACEMENT_MICROVERSIONS = {"/allocation_candidates": "1.27", "/resource_providers": "1.14"}
"""From Rocky on: everything that every provider has and uses, in one answer; the root of each provider's tree."""
_PLACEMENT_MICROVERSION = "1.10"
"""For the rest: the newest of Pike's Placement."""
_CAPPED = {"/os-hypervisors/detail": (2, 87), "/servers/detail": (2, 72)}
"""Later ones cost much and tell nothing that is needed: from 2.88 on Nova may ask host after host for its uptime, from
2.73 on it reads all of each instance's system metadata, and from 2.96 on what each was once requested with."""

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 30.0
LIST_TIMEOUT_S = 60.0
CALLS_AT_ONCE = 10
_MOST_PAGES = 10_000

for _name in ("keystoneauth", "openstack", "urllib3", "stevedore"):
    logging.getLogger(_name).addHandler(logging.NullHandler())  # what they warn of becomes a sentence of ours


@dataclass(frozen=True, slots=True)
class OpenStackAccess:
    """Which cloud is meant: a name in clouds.yaml, its region, and where that file is; None for the usual ways.

    The usual ways are those of all OpenStack clients: ``OS_CLOUD`` or the other ``OS_*`` variables, and clouds.yaml in
    the current folder, ``~/.config/openstack`` or ``/etc/openstack``.
    """

    cloud: str | None = None
    region: str | None = None
    clouds_file: Path | None = None


class OpenStackRefusal(HotfootError):
    """A service answered with 4xx or 5xx: ``message`` is the service's own, the sentence is for the operator."""

    def __init__(self, sentence: str, *, status_code: int, message: str, request_id: str | None) -> None:
        super().__init__(sentence, ExitStatus.ERROR)
        self.status_code = status_code
        self.message = message
        self.request_id = request_id


class OpenStackApi:
    """The services of one region of one cloud.

    Paths are those of the API references, below the version: ``/servers/detail``. Each call to Nova is made with the
    highest microversion that both sides know. Every call ends in bounded time; a connection that breaks is tried once
    more for reading, never for what changes anything. An expired token is renewed. Raises OpenStackRefusal, and
    HotfootError where a service does not answer.
    """

    def __init__(self, login: Login, threads: ThreadPoolExecutor) -> None:
        self._login = login
        self._threads = threads
        self._session: Session = login.session
        self._offered = login.microversion
        self._roots: dict[str, str] = {"compute": login.compute_url}

    @classmethod
    async def connect(cls, access: OpenStackAccess) -> OpenStackApi:
        """Log in, and ask Nova what it offers. Raises HotfootError: one sentence without a secret."""
        threads = ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="OpenStack call")
        try:
            login = await _in_thread(
                threads,
                lambda: log_in(access.cloud, access.region, access.clouds_file, CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S),
            )
            if login.microversion < OLDEST_MICROVERSION:
                raise HotfootError(words.too_old(login.cloud, login.microversion, OLDEST_MICROVERSION))
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
        return cls(login, threads)

    @property
    def cloud(self) -> str:
        """The cloud's name, for sentences."""
        return self._login.cloud

    @property
    def newest(self) -> tuple[int, int]:
        """The highest microversion that Nova offers, which tells its release."""
        return self._offered

    def offers(self, microversion: str) -> bool:
        """Whether Nova offers at least this microversion, and calls are made with it or a later one."""
        major, _, minor = microversion.partition(".")
        return (int(major), int(minor)) <= min(self._offered, NEWEST_MICROVERSION)

    async def get(self, service: str, path: str, **params: str) -> Json:
        """Read one object."""
        return await self._ask("GET", service, path, params=params) or {}

    async def all(self, service: str, path: str, key: str, **params: str) -> list[Json]:
        """Read a whole list, which lies under ``key`` of each page.

        Something that is deleted while the list is read can be the mark from which the next page was to go on: then
        the list is read once more from its beginning.
        """
        try:
            return await self._pages(service, path, key, params)
        except OpenStackRefusal as refusal:
            if refusal.status_code != 400 or "marker" not in refusal.message.lower():
                raise
        return await self._pages(service, path, key, params)

    async def post(self, service: str, path: str, body: Json, *, at_most: tuple[int, int] | None = None) -> Json | None:
        """Send an object; None for an empty answer, such as that of an accepted request (202).

        ``at_most``: the newest microversion whose meaning is wanted.
        """
        return await self._ask("POST", service, path, body=body, at_most=at_most)

    async def put(self, service: str, path: str, body: Json) -> Json | None:
        """Replace an object; None for an empty answer."""
        return await self._ask("PUT", service, path, body=body)

    async def delete(self, service: str, path: str) -> None:
        """Delete an object, or stop what it stands for."""
        await self._ask("DELETE", service, path)

    async def close(self) -> None:
        """Let go of the connections, without waiting for an answer that is under way."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._session.close()

    async def _pages(self, service: str, path: str, key: str, params: dict[str, str]) -> list[Json]:
        found: list[Json] = []
        wanted = dict(params)
        for _ in range(_MOST_PAGES):
            page = await self._ask("GET", service, path, params=wanted, timeout_s=LIST_TIMEOUT_S) or {}
            found += page.get(key) or []
            following = next_page(page, key)
            if following is None:
                return found
            following = params | following
            if following == wanted:
                break
            wanted = following
        raise HotfootError(words.endless(self.cloud, service, path))

    async def _ask(
        self,
        method: str,
        service: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        body: Json | None = None,
        timeout_s: float = ANSWER_TIMEOUT_S,
        at_most: tuple[int, int] | None = None,
    ) -> Json | None:
        timeout_s = self._login.api_timeout_s or timeout_s
        try:
            async with asyncio.timeout(2 * timeout_s + CONNECT_TIMEOUT_S):  # where an answer trickles in
                return await _in_thread(
                    self._threads, lambda: self._call(method, service, path, params or {}, body, timeout_s, at_most)
                )
        except TimeoutError:
            raise HotfootError(words.silent(self.cloud, service, self._roots.get(service), timeout_s)) from None

    def _call(
        self,
        method: str,
        service: str,
        path: str,
        params: dict[str, str],
        body: Json | None,
        timeout_s: float,
        at_most: tuple[int, int] | None,
    ) -> Json | None:
        """Make one call, in a thread."""
        headers = {"Accept": "application/json", **self._version_header(service, path, at_most)}
        try:
            url = self._root(service) + path
            try:
                answer = self._send(method, url, headers, params, body, timeout_s)
            except keystone.ConnectFailure:
                if method != "GET":
                    raise
                answer = self._send(method, url, headers, params, body, timeout_s)
        except keystone.HttpError as error:  # of the login: it had to be renewed
            raise HotfootError(words.login_refused(self._login.about, error)) from None
        except keystone.ClientException as error:
            raise HotfootError(
                words.unreachable(self.cloud, service, self._roots.get(service), error, timeout_s)
            ) from None
        if answer.status_code >= 400:
            raise self._refusal(method, service, path, answer)
        try:
            content = answer.json() if answer.content else None
        except ValueError:
            raise HotfootError(words.no_json(self.cloud, service, url)) from None
        return content if isinstance(content, dict) else None

    def _send(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        params: dict[str, str],
        body: Json | None,
        timeout_s: float,
    ) -> Any:
        return self._session.request(
            url,
            method,
            json=body,
            params=params,
            headers=headers,
            raise_exc=False,
            connect_retries=0,
            timeout=(min(CONNECT_TIMEOUT_S, timeout_s), timeout_s),
        )

    def _version_header(self, service: str, path: str, at_most: tuple[int, int] | None) -> dict[str, str]:
        if service == "placement":
            return {"OpenStack-API-Version": f"placement {_PLACEMENT_MICROVERSIONS.get(path, _PLACEMENT_MICROVERSION)}"}
        if service != "compute":
            return {}
        version = min(self._offered, at_most or _CAPPED.get(path, NEWEST_MICROVERSION), NEWEST_MICROVERSION)
        return {"OpenStack-API-Version": f"compute {version[0]}.{version[1]}"}

    def _root(self, service: str) -> str:
        if service not in self._roots:
            self._roots[service] = self._login.root_of(service)
        return self._roots[service]

    def _refusal(self, method: str, service: str, path: str, answer: Any) -> OpenStackRefusal:
        try:
            message = words.message_of(answer.json())
        except ValueError:
            message = ""
        request_id = answer.headers.get("x-openstack-request-id") or answer.headers.get("x-compute-request-id")
        sentence = words.refused(self._login.about, method, service, path, answer.status_code, message, request_id)
        return OpenStackRefusal(sentence, status_code=answer.status_code, message=message, request_id=request_id)


def next_page(page: Json, key: str) -> dict[str, str] | None:
    """Return the query of the page that follows; None after the last one.

    Only the query of a link is used: behind a proxy its host is often not the one that was asked. Nova, Cinder and
    Neutron give ``KEY_links``, Glance ``next``, Keystone ``links.next``.
    """
    links = page.get(f"{key}_links") or []
    own = page.get("links")
    href = next((link.get("href") for link in links if link.get("rel") == "next"), None) or page.get("next")
    href = href or (own.get("next") if isinstance(own, dict) else None)
    return dict(parse_qsl(urlsplit(href).query, keep_blank_values=True)) if isinstance(href, str) else None


async def _in_thread(threads: ThreadPoolExecutor, call: Callable[[], Answer]) -> Answer:
    return await asyncio.get_running_loop().run_in_executor(threads, call)
