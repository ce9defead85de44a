"""The verdict of the benchmark against the `openstack` command, and the door through which both go."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from benchmarks.nova_door import nova_door
from benchmarks.openstack_speed import Figures, goals


def figures(listed: float, asked: float, moved: float) -> Figures:
    """Two rounds, of which the second is on a machine twice as slow: the ratios are the same."""
    return Figures(
        servers=1000,
        hosts=50,
        list_client_s=(listed, 2 * listed),
        list_hotfoot_s=(1.0, 2.0),
        request_client_s=(1.0, 2.0),
        request_hotfoot_s=(asked, 2 * asked),
        migration_client_s=(1.0, 2.0),
        migration_hotfoot_s=(moved, 2 * moved),
    )


@pytest.mark.parametrize(
    ("measured", "met"),
    [
        ((3.0, 1.0, 1.0), [True, True, True]),
        ((2.9, 1.0, 1.0), [False, True, True]),
        ((3.0, 1.1, 1.0), [True, False, True]),
        ((3.0, 1.0, 1.1), [True, True, False]),
    ],
)
def test_goals_are_judged_by_ratios_within_a_round(measured: tuple[float, float, float], met: list[bool]) -> None:
    found = goals(figures(*measured))
    assert [goal.met for goal in found] == met
    assert [goal.measured for goal in found] == pytest.approx(list(measured))


@pytest.fixture
def nova() -> Iterator[ThreadingHTTPServer]:
    """Something behind the door that accepts actions, and refuses those of a server that is busy."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(409 if b"busy" in body else 202)
            self.send_header("Openstack-Api-Version", str(self.headers["Openstack-Api-Version"]))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_the_door_hands_on_and_notes_what_was_accepted(nova: ThreadingHTTPServer) -> None:
    with nova_door("127.0.0.1", nova.server_port, "127.0.0.1") as door:

        def act(body: bytes) -> None:
            headers = {"OpenStack-API-Version": "compute 2.96"}
            request = urllib.request.Request(f"{door.url}/v2.1/servers/a/action", body, headers, method="POST")
            with urllib.request.urlopen(request) as answer:
                assert answer.read() == body
                assert answer.headers["OpenStack-API-Version"] == "compute 2.96"

        act(b"{}")
        with pytest.raises(urllib.error.HTTPError):
            act(b"busy")
        assert len(door.accepted_s) == 1
