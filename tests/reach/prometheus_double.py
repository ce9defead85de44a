"""Answers as a real Prometheus server (2.42) gave them: a query that it does not understand with status 400."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs

QUERY = "rate(cpu[5m])"
"""The one that is understood."""
VECTOR = (
    '{"status":"success","data":{"resultType":"vector","result":['
    '{"metric":{"domain":"vm1","instance":"127.0.0.1:19091","job":"libvirt"},"value":[1795296065.530,"0.5580892957500001"]},'
    '{"metric":{"domain":"vm2","instance":"127.0.0.1:19091","job":"libvirt"},"value":[1795296065.530,"0.06200992175"]},'
    '{"metric":{"domain":"vm2","instance":"127.0.0.1:19092","job":"libvirt"},"value":[1795296065.530,"0.5"]},'
    '{"metric":{"domain":"vm3","instance":"127.0.0.1:19091","job":"libvirt"},"value":[1795296065.530,"NaN"]},'
    '{"metric":{"domain":"vm4","instance":"127.0.0.1:19091","job":"libvirt"},"value":[1795296065.530,"-1"]},'
    '{"metric":{"job":"libvirt"},"value":[1795296065.530,"7"]}]}}'
)
BAD_QUERY = (
    '{"status":"error","errorType":"bad_data",'
    '"error":"invalid parameter \\"query\\": 1:8: parse error: missing unit character in duration"}'
)


class _Double(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        query = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())["query"][0]
        text = VECTOR if query == QUERY else BAD_QUERY
        self.send_response(200 if text is VECTOR and self.path == "/api/v1/query" else 400)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def prometheus_double() -> Iterator[str]:
    """Yield the URL of a server that tells of vm1 and vm2."""
    with HTTPServer(("127.0.0.1", 0), _Double) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
