"""A double of an OpenStack cloud over real HTTP: Keystone's login and catalog, and answers that a test gives.

It stands in for what a real cloud cannot be made to do at will: old versions, broken connections, services that fail.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

PASSWORD = "open sesame"
SERVICES = {
    "compute": "/compute/v2.1",
    "placement": "/placement",
    "identity": "/identity",
    "network": "/network",
    "image": "/image",
}


@dataclass
class Asked:
    """One request as the double saw it."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Answer:
    """What the double answers; ``hang_up``: the connection is closed without a word."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False
    after: threading.Event | None = None
    """Wait for it before answering."""


Route = Callable[[Asked], Answer]


class CloudDouble:
    """A cloud of which a test says what each call (``GET /compute/v2.1/servers/detail``) answers."""

    def __init__(self, *, newest: str = "2.96", region: str = "RegionOne") -> None:
        self.routes: dict[str, Route | Answer] = {}
        self.asked: list[Asked] = []
        self.tokens = 0
        self.newest = newest
        self.region = region
        self._expired: set[str] = set()
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                text = self.rfile.read(length)
                asked = Asked(
                    self.command,
                    urlsplit(self.path).path.rstrip("/"),
                    dict(parse_qsl(urlsplit(self.path).query)),
                    dict(self.headers),
                    json.loads(text) if text else None,
                )
                double.asked.append(asked)
                answer = double.answer(asked)
                if answer.after is not None:
                    answer.after.wait()
                if answer.hang_up:
                    self.close_connection = True
                    return
                content = b"" if answer.body is None else json.dumps(answer.body).encode()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = _answer

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    def expire(self) -> None:
        """Let all tokens given so far be worth nothing any more."""
        self._expired = {f"token-{number}" for number in range(1, self.tokens + 1)}

    def calls(self, call: str) -> list[Asked]:
        """Return the requests of one kind: ``GET /compute/v2.1/servers/detail``."""
        return [asked for asked in self.asked if f"{asked.method} {asked.path}" == call]

    def answer(self, asked: Asked) -> Answer:
        """Answer what a test said, or what every cloud answers."""
        call = f"{asked.method} {asked.path}"
        found = self.routes.get(call)
        if found is None and call == "POST /identity/v3/auth/tokens":
            return self._login(asked)
        if call == "GET /identity/v3":
            links = [{"rel": "self", "href": f"{self.url}/identity/v3/"}]
            return Answer(body={"version": {"id": "v3.14", "status": "stable", "links": links}})
        if asked.headers.get("X-Auth-Token") in self._expired:
            return Answer(401, {"error": {"message": "The request you have made requires authentication."}})
        if found is None and call == "GET /compute/v2.1":
            links = [{"rel": "self", "href": f"{self.url}/compute/v2.1/"}]
            version = {"id": "v2.1", "status": "CURRENT", "version": self.newest, "min_version": "2.1", "links": links}
            return Answer(body={"version": version})
        if found is None:
            return Answer(404, {"itemNotFound": {"code": 404, "message": f"no route {call}"}})
        return found if isinstance(found, Answer) else found(asked)

    def _login(self, asked: Asked) -> Answer:
        if asked.body["auth"]["identity"]["password"]["user"]["password"] != PASSWORD:
            message = "The request you have made requires authentication."
            return Answer(401, {"error": {"code": 401, "message": message}}, {"x-openstack-request-id": "req-login"})
        self.tokens += 1
        catalog = [
            {
                "type": service,
                "name": service,
                "endpoints": [{"interface": "public", "region_id": self.region, "url": f"{self.url}{path}", "id": "e"}],
            }
            for service, path in SERVICES.items()
        ]
        token = {
            "methods": ["password"],
            "user": {"id": "u", "name": "admin", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "p", "name": "admin", "domain": {"id": "default", "name": "Default"}},
            "catalog": catalog,
            "expires_at": "2100-01-01T00:00:00.000000Z",
            "issued_at": "2026-01-01T00:00:00.000000Z",
        }
        return Answer(201, {"token": token}, {"X-Subject-Token": f"token-{self.tokens}"})

    def clouds_file(self, folder: Path, *, password: str = PASSWORD, **more: object) -> Path:
        """Write a clouds.yaml with this cloud as ``double``."""
        auth = {
            "auth_url": f"{self.url}/identity/v3",
            "username": "admin",
            "password": password,
            "project_name": "admin",
            "user_domain_id": "default",
            "project_domain_id": "default",
        }
        file = folder / "clouds.yaml"
        file.write_text(json.dumps({"clouds": {"double": {"auth": auth, "region_name": self.region, **more}}}))
        return file
