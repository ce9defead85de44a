"""All that is wrong with a cluster file, each mistake with its line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hotfoot.cluster.contradictions import contradictions
from hotfoot.cluster.journal_url import has_password
from hotfoot.cluster.model import Cluster
from hotfoot.cluster.named_files import wrong_files
from hotfoot.cluster.sentences import mistake_of, place_name, shown
from hotfoot.cluster.validation import NotValid, part_from
from hotfoot.cluster.yaml_lines import Document, Mistake, Unreadable, read_document


def judge(text: str, path: Path, *, certificates: bool) -> tuple[Cluster | None, list[Mistake]]:
    """Return what the text of the file at ``path`` declares, as far as that can be said, and its mistakes.

    Invariant: without mistakes there is a cluster. Without ``certificates`` those of ``libvirt.pki`` may have yet to
    be made.
    """
    try:
        document = read_document(text)
    except Unreadable as error:
        return None, [error.mistake]
    mistakes = list(document.mistakes)
    if not isinstance(document.value, dict):
        return None, mistakes or [_no_keys(document)]
    cluster: Cluster | None = None
    try:
        cluster = part_from(Cluster, document.value, path.parent)
    except NotValid as error:
        mistakes += [mistake_of(each, document, Cluster) for each in error.errors]
    mistakes += contradictions(document, cluster)
    if cluster is not None:
        for place, wrong in wrong_files(cluster, certificates=certificates):
            mistakes.append(Mistake(document.line(place), f"{place_name(document, place)}: {wrong}"))
        mistakes += _password_for_all(cluster, document, path)
    return cluster, mistakes


def _no_keys(document: Document) -> Mistake:
    if document.value is None:
        return Mistake(1, 'the file is empty; it needs at least the key "hosts"')
    return Mistake(document.line(()), f'the file must hold keys such as "hosts:", not {shown(document.value)}')


def _password_for_all(cluster: Cluster, document: Document, path: Path) -> Iterator[Mistake]:
    url = cluster.journal.url
    if url is not None and has_password(url) and path.stat().st_mode & 0o077:
        yield Mistake(
            document.line(("journal", "url")),
            f"journal.url: others may read the password in this file: put it into ~/.pgpass, or `chmod 600 {path}`",
        )
