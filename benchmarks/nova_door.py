"""A door before Nova's API: hands every request on, and notes when Nova accepted one.

Both commands that are compared go through it, so that neither has to be believed about its own times.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_PASSED_ON = ("content-type", "openstack-api-version", "x-openstack-nova-api-version", "x-openstack-request-id")
_ANSWER_S = 120.0


@dataclass(slots=True)
class NovaDoor:
    """What went through: ``accepted_s`` are the times (monotonic) at which Nova accepted an action on a server."""

    url: str
    accepted_s: list[float] = field(default_factory=list)


@contextmanager
def nova_door(address: str, port: int, host: str) -> Iterator[NovaDoor]:
    """Open a door to Nova's API at an address, on another one; closed at the end."""
    door = NovaDoor(url="")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            behind = http.client.HTTPConnection(address, port, timeout=_ANSWER_S)
            try:
                behind.request(self.command, self.path, body, headers)
                answer = behind.getresponse()
                content = answer.read()
            finally:
                behind.close()
            if self.command == "POST" and urlsplit(self.path).path.endswith("/action") and answer.status == 202:
                door.accepted_s.append(time.monotonic())
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() in _PASSED_ON:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = _pass

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((host, 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    door.url = f"http://{host}:{server.server_port}"
    try:
        yield door
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
