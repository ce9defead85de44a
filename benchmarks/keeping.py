"""What a benchmark found, kept as JSON in benchmarks/results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"


def keep(name: str, found: Mapping[str, object]) -> str:
    """Write what was found, so far or at the end, to ``results/NAME.json``; return that text."""
    text = json.dumps(found, indent=1)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    return text
