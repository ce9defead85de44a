"""Where the journal may lie, and that a password is neither shown nor left for all to read."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotfoot.cluster import load
from hotfoot.cluster.journal_url import check_journal_url, has_password, without_password
from hotfoot.cluster.validation import cluster_json
from hotfoot.errors import HotfootError

SECRET = "postgresql://hotfoot:secret@db/hotfoot"


@pytest.mark.parametrize(
    "url",
    ["postgresql://hotfoot@db.example.org/hotfoot", "postgres://db/x?sslmode=require", "sqlite:////srv/j.sqlite3"],
)
def test_a_url_of_a_journal(url: str) -> None:
    assert check_journal_url(url) == url
    assert not has_password(url)
    assert without_password(url) == url


@pytest.mark.parametrize(
    "url", ["", "db", "mysql://u:secret@h/d", "sqlite:///relative", "postgresql://secret@h", "postgresql://h:secret/d"]
)
def test_what_is_none_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|must") as caught:
        check_journal_url(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", [SECRET, "postgresql:///hotfoot?host=/run/pg&password=secret"])
def test_a_password_is_taken_out_of_what_is_shown(url: str) -> None:
    assert has_password(url)
    assert "secret" not in without_password(url)


def test_a_cluster_file_with_a_password_is_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "hotfoot.yaml"
    file.write_text(f"journal: {{url: '{SECRET}'}}\nhosts: [{{name: n1, address: 10.0.0.1}}]\n")
    file.chmod(0o640)
    with pytest.raises(HotfootError, match=r"hotfoot.yaml:1: journal.url: others may read the password") as caught:
        load(None, tmp_path)
    assert "secret" not in str(caught.value)
    file.chmod(0o600)
    cluster = load(None, tmp_path)
    assert cluster.journal.url == SECRET
    assert "secret" not in repr(cluster)
    assert "secret" not in cluster_json(cluster)
