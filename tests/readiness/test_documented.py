"""The documentation knows every finding, topic and option that the code does."""

from __future__ import annotations

import re
from pathlib import Path

from hotfoot.readiness import judge

ROOT = Path(__file__).parents[2]
CODE = re.compile(r'"((?:' + "|".join(topic.name for topic in judge.TOPICS) + r")\.[a-z0-9-]+)\"")


def test_every_finding_is_documented() -> None:
    page = (ROOT / "docs" / "findings.md").read_text()
    sources = (ROOT / "src" / "hotfoot" / "readiness").glob("*.py")
    codes = {code for source in sources for code in CODE.findall(source.read_text())}
    codes = {code for code in codes if not code.endswith((".service", ".socket"))}
    assert len(codes) > 100
    assert {code for code in codes if f"`{code}`" not in page} == set()


def test_every_topic_is_documented() -> None:
    page = (ROOT / "docs" / "readiness.md").read_text()
    assert {topic.name for topic in judge.TOPICS if f"`{topic.name}`" not in page} == set()
