"""The documentation knows every finding, topic and option that the code does."""

from __future__ import annotations

import re
from pathlib import Path

from hotfoot.readiness import cloud_judge, judge

ROOT = Path(__file__).parents[2]
TOPICS = {topic.name for topic in judge.TOPICS} | {topic.name for topic in cloud_judge.CLOUD_TOPICS}
CODE = re.compile(r'"((?:' + "|".join(sorted(TOPICS)) + r")\.[a-z0-9-]+)\"")
MOVE_CODE = re.compile(r'_(?:own_finding|blocks|to)\(\s*move,(?:\s*host,)?\s*"([a-z-]+)"')


def test_every_finding_is_documented() -> None:
    page = (ROOT / "docs" / "findings.md").read_text()
    sources = (ROOT / "src" / "hotfoot" / "readiness").glob("*.py")
    codes = {code for source in sources for code in CODE.findall(source.read_text())}
    codes = {code for code in codes if not code.endswith((".service", ".socket"))}
    readiness = ROOT / "src" / "hotfoot" / "readiness"
    move = [(readiness / f"cloud_{name}.py").read_text() for name in ("move", "destination")]
    of_move = {f"cloud_move.{code}" for text in move for code in MOVE_CODE.findall(text)}
    assert len(of_move) > 15
    codes |= of_move
    assert len(codes) > 100
    assert {code for code in codes if f"`{code}`" not in page} == set()


def test_every_topic_is_documented() -> None:
    page = (ROOT / "docs" / "readiness.md").read_text()
    assert {name for name in (*TOPICS, "cloud_move") if f"`{name}`" not in page} == set()
