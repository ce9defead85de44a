"""What a Prometheus server knows of instances: one query, one number for each."""

from __future__ import annotations

import asyncio
import json
import math
from collections import defaultdict
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

from hotfoot.errors import HotfootError

PATIENCE_S = 10.0
_MOST_BYTES = 64 << 20


async def asked(url: str, query: str, label: str) -> Mapping[str, float]:
    """Return the value of each instance, by what the label holds. Raises HotfootError.

    The server is asked by the HTTP API of Prometheus (``/api/v1/query``), directly: no proxy is used.
    """
    try:
        return samples(await asyncio.to_thread(_answer, url, query), label)
    except (OSError, HTTPException, ValueError) as error:
        why = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise HotfootError(f"Prometheus at {url} does not tell the load of instances: {why}.") from None


def _answer(url: str, query: str) -> Any:
    opener = build_opener(ProxyHandler({}))
    form = urlencode({"query": query, "timeout": f"{PATIENCE_S:.0f}s"}).encode()
    try:
        with opener.open(f"{url}/api/v1/query", form, timeout=PATIENCE_S) as reply:
            text = reply.read(_MOST_BYTES)
    except HTTPError as error:
        text = error.read(_MOST_BYTES)
        if not text.startswith(b"{"):
            raise
    return json.loads(text)


def samples(answer: Any, label: str) -> Mapping[str, float]:
    """Read an answer: samples of one instance are added up; what is no finite number, or below 0, is not counted.

    Raises ValueError with the server's own words, or with what is wrong with the answer.
    """
    if not isinstance(answer, dict) or answer.get("status") != "success":
        said = answer.get("error") if isinstance(answer, dict) else None
        raise ValueError(str(said or "its answer is not that of Prometheus"))
    data = answer.get("data")
    if not isinstance(data, dict) or data.get("resultType") != "vector":
        kind = data.get("resultType") if isinstance(data, dict) else "value of no kind"
        raise ValueError(f"the query gives a {kind}, and not a vector with a sample for each instance")
    found: dict[str, float] = defaultdict(float)
    for sample in data["result"]:
        name, value = sample["metric"].get(label), float(sample["value"][1])
        if name and math.isfinite(value) and value >= 0:
            found[name] += value
    if data["result"] and not found:
        raise ValueError(f"no sample has a label {label} and a number")
    return dict(found)
