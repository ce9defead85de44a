"""What a Prometheus server answers, and what is understood; the answers are those of a real one (2.42)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs

import pytest

from hotfoot.errors import HotfootError
from hotfoot.reach.metrics import asked, samples

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
SCALAR = '{"status":"success","data":{"resultType":"scalar","result":[1795296065.561,"1"]}}'
NOTHING = '{"status":"success","data":{"resultType":"vector","result":[]}}'


def test_each_instance_has_the_sum_of_its_samples_and_what_is_no_amount_does_not_count() -> None:
    assert samples(json.loads(VECTOR), "domain") == pytest.approx({"vm1": 0.55808929575, "vm2": 0.56200992175})
    assert samples(json.loads(NOTHING), "domain") == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (BAD_QUERY, "missing unit character in duration"),
        (SCALAR, "the query gives a scalar, and not a vector"),
        (VECTOR, "no sample has a label uuid"),
        ("[]", "not that of Prometheus"),
        ("{}", "not that of Prometheus"),
        ('{"status":"success"}', "a value of no kind"),
    ],
)
def test_what_tells_no_load_is_said_in_words(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        samples(json.loads(text), "uuid")


class PrometheusDouble(BaseHTTPRequestHandler):
    """Answers as a real one was recorded: a query that it does not understand with status 400."""

    def do_POST(self) -> None:
        query = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())["query"][0]
        text = VECTOR if query == "rate(cpu[5m])" else BAD_QUERY
        self.send_response(200 if text is VECTOR and self.path == "/api/v1/query" else 400)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), PrometheusDouble) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def test_a_server_is_asked_and_its_own_words_are_passed_on(url: str) -> None:
    assert set(await asked(url, "rate(cpu[5m])", "domain")) == {"vm1", "vm2"}
    with pytest.raises(HotfootError, match="does not tell the load of instances: invalid parameter"):
        await asked(url, "rate(cpu[", "domain")


async def test_a_server_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(HotfootError, match=r"Prometheus at http://127\.0\.0\.1:1 does not tell .* refused"):
        await asked("http://127.0.0.1:1", "up", "domain")
